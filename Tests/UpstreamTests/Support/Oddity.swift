import Glibc
import PlantDBCore
import PlantDBTesting

/// A small database with one thing in it that is not as it should be.
struct Oddity: Sendable {
    let name: String
    /// Releases about which `plantdb check` is known to be wrong.
    var disagrees: Set<UpstreamLibrary> = []
    /// Releases that were seen to refuse it, where `plantdb check` says nothing about it.
    var refusing: Set<UpstreamLibrary> = []
    private let change: @Sendable (OddPlace) throws -> Void

    init(
        _ name: String, disagrees: Set<UpstreamLibrary> = [], refusing: Set<UpstreamLibrary> = [],
        _ change: @escaping @Sendable (OddPlace) throws -> Void
    ) {
        self.name = name
        self.disagrees = disagrees
        self.refusing = refusing
        self.change = change
    }

    /// One scan `good`, one `odd` that is like it, and the oddity.
    func make(in folder: String) throws {
        var database = SampleDatabase()
        try database.add("good", .plant())
        try database.add("odd", .plant())
        try database.write(to: folder)
        try change(OddPlace(root: folder))
    }

    private static func index(_ name: String, _ text: String) -> Oddity {
        Oddity("files.json: \(name)") { try $0.write("odd/files.json", text) }
    }

    private static func filesets(_ name: String, _ text: String) -> Oddity {
        index(name, #"{"filesets": [\#(text)]}"#)
    }

    /// An entry of the files of `images`, beside a good one.
    private static func file(_ name: String, _ text: String) -> Oddity {
        let good = #"{"id": "00000_rgb", "file": "00000_rgb.jpg"}"#
        return filesets("a file \(name)", #"{"id": "images", "files": [\#(good), \#(text)]}"#)
    }

    private static func metadata(_ name: String, _ path: String, _ text: String) -> Oddity {
        Oddity("\(path): \(name)") { try $0.write("odd/metadata/\(path)", text) }
    }

    // MARK: The table

    static let content: [Oddity] = roots + scans + indexes + documents + timelapses

    private static let roots = [
        Oddity("nothing") { _ in },
        Oddity("no scans") { place in for scan in ["good", "odd"] { try place.remove(scan) } },
        // 0.15 does not look for the marker. Without it we open nothing.
        Oddity("no marker", disagrees: [.v015]) { try $0.remove("romidb") },
        Oddity("the marker is a folder", disagrees: [.v015]) { place in
            try place.remove("romidb")
            try place.folder("romidb")
        },
        Oddity("an empty folder") { try $0.folder("models") },
        Oddity("a folder of files") { try $0.write("webcache/a.jpeg", "x") },
        Oddity("configs") { try $0.write("configs/a.toml", "x") },
        Oddity("an empty hidden folder") { try $0.folder(".cache") },
        Oddity("a hidden scan") { try $0.move("odd", ".odd") },
        // Hidden directories are private to whoever made them, and are not looked at.
        Oddity("a hidden scan with a broken files.json", disagrees: [.v014]) { place in
            try place.move("odd", ".odd")
            try place.write(".odd/files.json", "{")
        },
        Oddity("a stray file") { try $0.write("notes.txt", "x") },
        // 0.16 and later refuse links to directories. We do not look where a link leads, and only warn.
        Oddity("a link to a scan", disagrees: [.v016, .v017]) { place in
            try place.move("odd", "../\(place.name)-elsewhere")
            try place.link("odd", to: "../\(place.name)-elsewhere")
        },
        Oddity("a link to an empty folder", disagrees: [.v016, .v017]) { place in
            try place.folder("../\(place.name)-empty")
            try place.link("linked", to: "../\(place.name)-empty")
        },
        Oddity("a link to nothing") { try $0.link("linked", to: "nowhere") },
        Oddity("a link to a file") { try $0.link("linked", to: "romidb") },
    ]

    private static let scans = [
        Oddity("no metadata folder") { try $0.remove("odd/metadata") },
        Oddity("an empty metadata folder") { place in
            try place.remove("odd/metadata")
            try place.folder("odd/metadata")
        },
        Oddity("metadata is a file") { place in
            try place.remove("odd/metadata")
            try place.write("odd/metadata", "{}")
        },
        // Behind these two links all is well, and releases follow them. We do not.
        Oddity("metadata is a link to a folder", disagrees: [.v016, .v017]) { place in
            try place.move("odd/metadata", "odd/images/elsewhere")
            try place.link("odd/metadata", to: "images/elsewhere")
        },
        Oddity("no files.json") { try $0.remove("odd/files.json") },
        Oddity("files.json is a folder") { place in
            try place.remove("odd/files.json")
            try place.folder("odd/files.json")
        },
        Oddity("files.json is a link to a good one", disagrees: [.v015, .v016, .v017]) { place in
            try place.move("odd/files.json", "odd/images/index")
            try place.link("odd/files.json", to: "images/index")
        },
        Oddity("a listed fileset is absent") { try $0.remove("odd/PointCloud_1_0") },
        Oddity("a listed fileset is a file") { place in
            try place.remove("odd/PointCloud_1_0")
            try place.write("odd/PointCloud_1_0", "x")
        },
        Oddity("a listed file is absent") { try $0.remove("odd/images/00001_rgb.jpg") },
        Oddity("a listed file is a folder") { place in
            try place.remove("odd/images/00001_rgb.jpg")
            try place.folder("odd/images/00001_rgb.jpg")
        },
        Oddity("a listed file is a link to nothing") { place in
            try place.remove("odd/images/00001_rgb.jpg")
            try place.link("odd/images/00001_rgb.jpg", to: "nowhere")
        },
        Oddity("an unlisted file") { try $0.write("odd/images/extra.jpg", "x") },
        Oddity("an unlisted folder") { try $0.write("odd/extra/a.jpg", "x") },
        Oddity("a name with a space") { try $0.move("odd", "odd one") },
        Oddity("a name outside ASCII") { try $0.move("odd", "été") },
        Oddity("a name with a dot") { try $0.move("odd", "odd.1") },
        Oddity("a name that begins with an underscore") { try $0.move("odd", "_odd") },
        Oddity("the name of configurations, and a scan") { try $0.move("odd", "configs") },
        Oddity("the name webcache, and a scan") { try $0.move("odd", "webcache") },
    ]

    private static let indexes = [
        index("broken", "{"), index("empty", ""), index("white space", " \n"),
        index("a byte order mark", "\u{feff}{\"filesets\": []}"),
        index("text after it", #"{"filesets": []} x"#),
        index("no filesets", "{}"), index("a list", "[]"), index("null", "null"),
        index("no filesets at all in the list", #"{"filesets": []}"#),
        index("filesets an object", #"{"filesets": {}}"#),
        index("filesets an object with members", #"{"filesets": {"id": "images", "files": []}}"#),
        index("filesets null", #"{"filesets": null}"#),
        index("filesets a text", #"{"filesets": "images"}"#),
        index("filesets a number", #"{"filesets": 3}"#),
        index("an unknown key", #"{"filesets": [], "more": NaN}"#),
        Oddity("files.json: not UTF-8") { place in
            try place.write(
                "odd/files.json", bytes: Array(#"{"filesets": [], "x": ""#.utf8) + [0xff] + Array("\"}".utf8))
        },
        filesets("a fileset without id", #"{"files": []}"#),
        filesets("a fileset with a number for an id", #"{"id": 3, "files": []}"#),
        filesets("a fileset with null for an id", #"{"id": null, "files": []}"#),
        filesets("a fileset with 0 for an id", #"{"id": 0, "files": []}"#),
        filesets("a fileset with a list for an id", #"{"id": ["images"], "files": []}"#),
        filesets("a fileset with an empty id", #"{"id": "", "files": []}"#),
        filesets("a fileset without files", #"{"id": "images"}"#),
        filesets("an absent fileset without files", #"{"id": "nowhere"}"#),
        filesets("a fileset whose files are null", #"{"id": "images", "files": null}"#),
        filesets("an absent fileset whose files are null", #"{"id": "nowhere", "files": null}"#),
        filesets("an absent fileset with a file without name", #"{"id": "nowhere", "files": [{"id": "a"}]}"#),
        filesets("an absent fileset with a file that is null", #"{"id": "nowhere", "files": [null]}"#),
        filesets("a fileset whose files are an object", #"{"id": "images", "files": {}}"#),
        filesets("a fileset whose files are a text", #"{"id": "images", "files": "abc"}"#),
        filesets("a fileset that is a text", #""images""#),
        filesets("a fileset that is null", "null"),
        filesets("a fileset that is a list", "[]"),
        filesets("a fileset listed twice", #"{"id": "images", "files": []}, {"id": "images", "files": []}"#),
        filesets("a fileset with a path", #"{"id": "images/deep", "files": []}"#),
        filesets("a fileset outside", #"{"id": "../good/images", "files": []}"#),
        filesets("a fileset with an unknown key", #"{"id": "images", "files": [], "more": 1}"#),
        file("without id", #"{"file": "00001_rgb.jpg"}"#),
        file("with a number for an id", #"{"id": 3, "file": "00001_rgb.jpg"}"#),
        file("with null for an id", #"{"id": null, "file": "00001_rgb.jpg"}"#),
        file("without name", #"{"id": "00001_rgb"}"#),
        file("with neither", "{}"),
        file("with a number for a name", #"{"id": "00001_rgb", "file": 3}"#),
        file("with null for a name", #"{"id": "00001_rgb", "file": null}"#),
        file("with an empty name", #"{"id": "00001_rgb", "file": ""}"#),
        file("that is a text", #""00001_rgb""#),
        file("that is null", "null"),
        file("listed twice", #"{"id": "00000_rgb", "file": "00001_rgb.jpg"}"#),
        file("with a path", #"{"id": "deep", "file": "deep/a.jpg"}"#),
        file("outside", #"{"id": "out", "file": "../scan.toml"}"#),
        file("with an unknown key", #"{"id": "00001_rgb", "file": "00001_rgb.jpg", "more": 1}"#),
    ]

    private static let documents = [
        metadata("broken", "metadata.json", "{"),
        metadata("empty", "metadata.json", ""),
        metadata("a list", "metadata.json", "[]"),
        metadata("a text", "metadata.json", "\"a\""),
        metadata("null", "metadata.json", "null"),
        metadata("NaN inside", "metadata.json", #"{"a": NaN}"#),
        metadata("half a surrogate pair", "metadata.json", #"{"a": "\ud800"}"#),
        Oddity("metadata.json: not UTF-8") { place in
            try place.write(
                "odd/metadata/metadata.json", bytes: Array("{\"a\": \"".utf8) + [0xe9] + Array("\"}".utf8))
        },
        Oddity("metadata.json: a byte order mark") {
            try $0.write("odd/metadata/metadata.json", "\u{feff}{}")
        },
        Oddity("metadata.json is a folder") { place in
            try place.remove("odd/metadata/metadata.json")
            try place.folder("odd/metadata/metadata.json")
        },
        metadata("broken", "images.json", "{"),
        metadata("a list", "images.json", "[]"),
        metadata("null", "images.json", "null"),
        metadata("an object", "images.json", #"{"object": {"species": "x"}}"#),
        metadata("a list", "PointCloud_1_0.json", "[]"),
        metadata("a list, of no fileset", "nothing.json", "[]"),
        metadata("broken", "images/00001_rgb.json", "{"),
        metadata("a list", "images/00001_rgb.json", "[]"),
        metadata("null", "images/00001_rgb.json", "null"),
        metadata("a list, of no file", "images/nothing.json", "[]"),
        Oddity("images.json not UTF-8") { try $0.write("odd/metadata/images.json", bytes: [0x7b, 0xff]) },
        Oddity("images.json: a list, and images is not listed") { place in
            try place.write("odd/files.json", #"{"filesets": []}"#)
            try place.write("odd/metadata/images.json", "[]")
        },
        Oddity("PointCloud_1_0.json not UTF-8") {
            try $0.write("odd/metadata/PointCloud_1_0.json", bytes: [0x7b, 0xff])
        },
        Oddity("PointCloud_1_0.json: a list, of an absent fileset") { place in
            try place.remove("odd/PointCloud_1_0")
            try place.write("odd/metadata/PointCloud_1_0.json", "[]")
        },
        Oddity("metadata of an absent file not UTF-8") { place in
            try place.remove("odd/images/00001_rgb.jpg")
            try place.write("odd/metadata/images/00001_rgb.json", bytes: [0x7b, 0xff])
        },
        Oddity("metadata of a file not UTF-8") {
            try $0.write("odd/metadata/images/00001_rgb.json", bytes: [0x7b, 0xff])
        },
        Oddity("metadata of an absent file: a list") { place in
            try place.remove("odd/images/00001_rgb.jpg")
            try place.write("odd/metadata/images/00001_rgb.json", "[]")
        },
        Oddity("metadata of an absent fileset: a list") { place in
            try place.remove("odd/images")
            try place.write("odd/metadata/images.json", "[]")
        },
        Oddity("measures.json: a list") { try $0.write("odd/measures.json", "[]") },
        Oddity("measures.json: broken") { try $0.write("odd/measures.json", "{") },
        Oddity("measures.json: empty") { try $0.write("odd/measures.json", "") },
        Oddity("measures.json: not UTF-8") { try $0.write("odd/measures.json", bytes: [0xff]) },
        Oddity("measures.json: an object") { try $0.write("odd/measures.json", #"{"angles": [1]}"#) },
    ]

    private static let member = #"{"timelapse": {"id": "growth", "index": 0}}"#

    private static let timelapses = [
        Oddity("an empty timelapse") { try $0.write("growth/timelapse.json", "{}") },
        Oddity("a timelapse with a broken marker") { try $0.write("growth/timelapse.json", "{") },
        Oddity("a timelapse with a scan") { place in
            try place.write("growth/timelapse.json", "{}")
            try place.move("odd", "growth/odd")
            try place.write("growth/odd/metadata/metadata.json", member)
        },
        Oddity("a timelapse with a stray folder") { place in
            try place.write("growth/timelapse.json", "{}")
            try place.folder("growth/stray")
        },
        Oddity("a timelapse with configs") { place in
            try place.write("growth/timelapse.json", "{}")
            try place.write("growth/configs/a.toml", "x")
        },
        Oddity("a timelapse with a hidden folder") { place in
            try place.write("growth/timelapse.json", "{}")
            try place.folder("growth/.cache")
        },
        Oddity("a timelapse whose scan does not say so") { place in
            try place.write("growth/timelapse.json", "{}")
            try place.move("odd", "growth/odd")
        },
        Oddity("a nested scan without a marker") { place in
            try place.folder("growth")
            try place.move("odd", "growth/odd")
        },
        Oddity("a flat scan that names a timelapse") { place in
            try place.write("odd/metadata/metadata.json", member)
        },
        Oddity("a flat scan that names a timelapse which is there") { place in
            try place.write("growth/timelapse.json", "{}")
            try place.write("odd/metadata/metadata.json", member)
        },
        metadata("a timelapse that is a text", "metadata.json", #"{"timelapse": "growth"}"#),
        metadata("a timelapse that is null", "metadata.json", #"{"timelapse": null}"#),
        metadata("a timelapse without id", "metadata.json", #"{"timelapse": {"index": 0}}"#),
        metadata("a timelapse with a number for an id", "metadata.json", #"{"timelapse": {"id": 3}}"#),
        metadata("a timelapse with 0 for an id", "metadata.json", #"{"timelapse": {"id": 0}}"#),
        metadata("a timelapse with a list for an id", "metadata.json", #"{"timelapse": {"id": [1]}}"#),
        metadata("a timelapse with an empty id", "metadata.json", #"{"timelapse": {"id": ""}}"#),
        metadata("a timelapse with null for an id", "metadata.json", #"{"timelapse": {"id": null}}"#),
        Oddity("a scan that is a timelapse too") { try $0.write("odd/timelapse.json", "{}") },
    ]

    static let users = [
        Oddity("no users") { _ in },
        // Read without an answer to the question whether to replace it.
        Oddity("users.json of 0.14", refusing: [.v015, .v016, .v017]) {
            try $0.write("users.json", Self.users014)
        },
        Oddity("users.json of 0.15 and later", refusing: [.v014]) { try $0.write("users.json", "[]") },
        Oddity("users.json: an empty object") { try $0.write("users.json", "{}") },
        Oddity("users.json: an empty file", refusing: [.v014]) { try $0.write("users.json", "") },
        Oddity("users.json: broken", refusing: [.v014, .v015, .v016, .v017]) {
            try $0.write("users.json", "{")
        },
        Oddity("groups.json: broken", refusing: [.v015, .v016, .v017]) { try $0.write("groups.json", "{") },
        Oddity("a lock of 0.14", refusing: [.v014]) { try $0.write("lock", "") },
    ]

    private static let users014 = """
        {"anonymous": {"password": "x", "fullname": "A", "created": "240101_000000", "last_login": null, \
        "failed_attempts": 0}}
        """
}

/// The folder of an ``Oddity``, by paths in it.
struct OddPlace: Sendable {
    let root: String

    var name: String { String(root.split(separator: "/").last ?? "") }

    func write(_ path: String, _ text: String) throws { try write(path, bytes: Array(text.utf8)) }

    func write(_ path: String, bytes: [UInt8]) throws {
        if let slash = path.lastIndex(of: "/") { try folder(String(path[..<slash])) }
        try writeFile("\(root)/\(path)", bytes)
    }

    func folder(_ path: String) throws {
        guard mkdir("\(root)/\(path)", 0o755) == 0 || errno == EEXIST else { throw failure("make", path) }
    }

    func remove(_ path: String) throws { try removeTree("\(root)/\(path)") }

    func move(_ path: String, _ other: String) throws {
        guard rename("\(root)/\(path)", "\(root)/\(other)") == 0 else { throw failure("move", path) }
    }

    func link(_ path: String, to target: String) throws {
        guard symlink(target, "\(root)/\(path)") == 0 else { throw failure("link", path) }
    }
}
