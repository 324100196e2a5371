import FSDB
import Foundation
import PlantDBCore
import PlantDBTesting
import Testing

struct FilesetTests {
    private let folder: TemporaryDirectory
    private let db: FSDB
    private let scan: Scan
    private var path: String { scan.path }

    init() throws {
        folder = try TemporaryDirectory()
        db = try FSDB.createEmptyDatabase(at: folder.appending("db"))
        try db.connect()
        scan = try db.createScan("scan", metadata: ["owner": "ada"])
    }

    private func text(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: path + "/" + name)), as: UTF8.self)
    }

    private func index() throws -> FileIndex { try FileIndex(parsing: Array(try text("files.json").utf8)) }

    private func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path + "/" + name) }

    private func error(_ body: () throws -> Void) -> DatabaseError? {
        do {
            try body()
            return nil
        } catch {
            return DatabaseError.wrapping(error, while: "testing")
        }
    }

    @Test func filesetsAreListedInTheOrderOfTheirMaking() throws {
        try scan.createFileset("images", metadata: ["camera": "rgb"])
        try scan.createFileset("Voxels")
        #expect(try scan.listFilesets() == ["images", "Voxels"])
        #expect(try index().filesets.map(\.id) == ["images", "Voxels"])
        #expect(try text("metadata/images.json") == "{\n    \"camera\": \"rgb\"\n}")
        #expect(!exists("metadata/Voxels.json"))
        #expect(try scan.getFileset("images").getMetadata("camera") == "rgb")
        #expect(error { try scan.createFileset("images") }?.code == .alreadyExists)
        #expect(error { _ = try scan.getFileset("none") }?.code == .notFound)
        for reserved in ["metadata", "webcache", "files.json", "measures.json"] {
            #expect(error { try scan.createFileset(reserved) }?.code == .invalidName)
        }
    }

    @Test func aFileIsListedOnceItHasContent() throws {
        let images = try scan.createFileset("images")
        let file = try images.createFile("00000_rgb", metadata: ["channel": "rgb"])
        #expect(try images.listFiles() == ["00000_rgb"])
        #expect(try index().fileset("images")?.files.isEmpty == true)
        #expect(try file.filename == nil)
        #expect(error { _ = try file.read() }?.code == .notFound)
        #expect(error { try images.createFile("00000_rgb") }?.code == .alreadyExists)

        try file.write([0xff, 0xd8], ext: "jpg")
        #expect(try file.read() == [0xff, 0xd8])
        #expect(try file.filename == "00000_rgb.jpg")
        #expect(try file.path == path + "/images/00000_rgb.jpg")
        #expect(try index().fileset("images")?.files == [IndexedFile(id: "00000_rgb", file: "00000_rgb.jpg")])
        #expect(try text("metadata/images/00000_rgb.json") == "{\n    \"channel\": \"rgb\"\n}")
        #expect(error { try images.createFile("00000_rgb") }?.code == .alreadyExists)
    }

    @Test func contentIsReplacedUnderTheSameNameOrAnother() throws {
        let fileset = try scan.createFileset("data")
        let file = try fileset.createFile("a")
        try file.write("one", ext: ".txt")
        try file.write("two")
        #expect(try file.readText() == "two")
        #expect(try file.filename == "a.txt")
        try file.write("{}", ext: "json")
        #expect(try file.filename == "a.json")
        #expect(!exists("data/a.txt"))
        try file.write("bare", ext: "")
        #expect(try file.filename == "a")
        #expect(!exists("data/a.json"))
        #expect(try fileset.listFiles() == ["a"])
        // A file of that name belongs to somebody else.
        #expect(error { try fileset.createFile("a.json").write("x", ext: "") } == nil)
        #expect(error { try file.write("x", ext: "json") }?.code == .alreadyExists)
        #expect(try file.readText() == "bare")
        #expect(error { try file.write("x", ext: "../up") }?.code == .invalidName)
        #expect(error { try file.write("x", ext: "sub/x") }?.code == .invalidName)
    }

    @Test func aFailedChangeLeavesEverythingUsable() throws {
        let fileset = try scan.createFileset("images")
        let kept = try fileset.createFile("kept")
        #expect(error { try kept.importFile(from: folder.appending("none")) }?.code == .notFound)
        #expect(error { try scan.createFileset("images") }?.code == .alreadyExists)
        #expect(try fileset.listFiles() == ["kept"])
        try kept.write("x", ext: "txt")
        #expect(try kept.readText() == "x")
        #expect(try FileManager.default.contentsOfDirectory(atPath: path + "/images") == ["kept.txt"])
    }

    @Test func aFileIsImportedFromAnywhere() throws {
        let content = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let source = folder.appending("photo.JPG")
        try writeFile(source, content)
        let fileset = try scan.createFileset("images")
        let file = try fileset.createFile("00000")
        try file.importFile(from: source)
        #expect(try file.filename == "00000.JPG")
        #expect(try file.read() == content)
        #expect(try Array(Data(contentsOf: URL(filePath: source))) == content)
        #expect(error { try file.importFile(from: folder.appending("none.jpg")) }?.code == .notFound)
        #expect(error { try file.importFile(from: folder.path) } != nil)
        #expect(try file.read() == content)
        try writeFile(folder.appending(".hidden"), [1])
        let hidden = try fileset.createFile("h")
        try hidden.importFile(from: folder.appending(".hidden"))
        #expect(try hidden.filename == "h")
        // The kernel says these are empty, and they are not.
        let status = try fileset.createFile("status")
        try status.importFile(from: "/proc/self/status")
        #expect(try !status.read().isEmpty)
    }

    @Test func deletingTakesFileMetadataAndEntryAway() throws {
        let fileset = try scan.createFileset("images", metadata: ["a": 1])
        for name in ["one", "two"] {
            try fileset.createFile(name, metadata: ["channel": "rgb"]).write("x", ext: "txt")
        }
        let one = try fileset.getFile("one")
        try fileset.deleteFile("one")
        #expect(try fileset.listFiles() == ["two"])
        #expect(!exists("images/one.txt"))
        #expect(!exists("metadata/images/one.json"))
        #expect(error { _ = try one.read() }?.code == .notFound)
        #expect(error { try fileset.deleteFile("one") }?.code == .notFound)
        try fileset.createFile("pending", metadata: ["a": 1])
        try fileset.deleteFile("pending")
        #expect(!exists("metadata/images/pending.json"))

        try scan.deleteFileset("images")
        #expect(try scan.listFilesets().isEmpty)
        #expect(!exists("images"))
        #expect(!exists("metadata/images"))
        #expect(!exists("metadata/images.json"))
        #expect(error { try scan.deleteFileset("images") }?.code == .notFound)
        #expect(try text("files.json") == "{\n    \"filesets\": []\n}")
    }

    @Test func metadataIsMergedAndWhatWasNotUnderstoodSurvives() throws {
        let old = "{\"zeta\": NaN, \"é\": 1.50, \"deep\": {\"inf\": [-Infinity]}}"
        try writeFile(path + "/metadata/metadata.json", Array(old.utf8))
        try db.reload()
        try scan.setMetadata("object", ["species": "Arabidopsis"])
        try scan.setMetadata(["count": 3, "height": 0.5])
        #expect(
            try text("metadata/metadata.json") == #"""
                {
                    "count": 3,
                    "deep": {
                        "inf": [
                            -Infinity
                        ]
                    },
                    "height": 0.5,
                    "object": {
                        "species": "Arabidopsis"
                    },
                    "zeta": NaN,
                    "\u00e9": 1.50
                }
                """#)
        let fileset = try scan.createFileset("images")
        let file = try fileset.createFile("a")
        try file.write("x")
        try fileset.setMetadata("task", "Scan")
        try file.setMetadata("channel", "rgb")
        #expect(try fileset.metadata == ["task": "Scan"])
        #expect(try file.getMetadata("channel") == "rgb")
        #expect(try file.getMetadata("none") == nil)
        #expect(try text("metadata/images/a.json") == "{\n    \"channel\": \"rgb\"\n}")
    }

    @Test func unknownKeysOfTheIndexSurviveAChange() throws {
        try writeFile(
            path + "/files.json",
            Array(#"{"filesets": [{"id": "gone", "files": [], "x": 1}], "version": 2}"#.utf8))
        try db.reload()
        #expect(try scan.listFilesets().isEmpty)
        try scan.createFileset("images")
        #expect(
            try JSONValue(parsing: try text("files.json").utf8)
                == [
                    "filesets": [["id": "gone", "files": [], "x": 1], ["id": "images", "files": []]],
                    "version": 2,
                ])
    }

    @Test func whatIsListedAndNotThereIsNotShown() throws {
        let fileset = try scan.createFileset("images")
        for name in ["a", "b", "c"] { try fileset.createFile(name).write("x", ext: "txt") }
        try FileManager.default.removeItem(atPath: path + "/images/b.txt")
        try db.reload()
        #expect(try fileset.listFiles() == ["a", "c"])
        let missing = try #require(error { _ = try fileset.getFile("b") })
        #expect(missing.code == .notFound)
        #expect(missing.message.contains("b.txt"))
    }

    @Test func namesThatLeadOutOfTheFilesetAreNeverFollowed() throws {
        try writeFile(folder.appending("secret"), Array("secret".utf8))
        try scan.createFileset("images")
        try FileManager.default.createDirectory(
            atPath: path + "/images/sub", withIntermediateDirectories: false)
        try writeFile(path + "/images/sub/in.txt", Array("in".utf8))
        try FileManager.default.createSymbolicLink(
            atPath: path + "/images/link", withDestinationPath: folder.appending("secret"))
        try FileManager.default.createSymbolicLink(atPath: path + "/linked", withDestinationPath: folder.path)
        try writeFile(
            path + "/files.json",
            Array(
                #"""
                {"filesets": [
                    {"id": "images", "files": [
                        {"id": "up", "file": "../../../secret"}, {"id": "link", "file": "link"},
                        {"id": "in", "file": "sub/in.txt"}
                    ]},
                    {"id": "..", "files": []}, {"id": "linked", "files": [{"id": "s", "file": "secret"}]}
                ]}
                """#.utf8))
        try db.reload()
        let fileset = try scan.getFileset("images")
        for id in ["up", "link"] {
            #expect(error { _ = try fileset.getFile(id).read() } != nil, "\(id)")
        }
        #expect(try fileset.getFile("in").readText() == "in")
        #expect(try fileset.listFiles() == ["in"])
        #expect(try scan.listFilesets() == ["images"])
        #expect(error { _ = try scan.getFileset("linked") } != nil)
        #expect(error { try scan.deleteFileset("..") }?.code == .invalidName)
        #expect(try Data(contentsOf: URL(filePath: folder.appending("secret"))) == Data("secret".utf8))
    }

    @Test func readersNeverSeeAHalfWrittenFile() throws {
        let file = try scan.createFileset("data").createFile("a")
        let sizes = [1, 1_000_000, 3]
        try file.write([UInt8](repeating: 0, count: 1), ext: "bin")
        let target = try #require(try file.path)
        // A descriptor that was open before keeps the old content: the name got a new file.
        let before = try FileHandle(forReadingFrom: URL(filePath: target))
        for (value, size) in sizes.enumerated() {
            try file.write([UInt8](repeating: UInt8(value), count: size), ext: "bin")
        }
        #expect(try before.readToEnd() == Data([0]))
        #expect(try file.read() == [2, 2, 2])
        #expect(try FileManager.default.contentsOfDirectory(atPath: path + "/data") == ["a.bin"])
    }

    @Test func manyThreadsMayUseOneDatabase() async throws {
        let fileset = try scan.createFileset("images")
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<20 {
                group.addTask {
                    do {
                        try fileset.createFile("f\(index)").write("\(index)", ext: "txt")
                    } catch { Issue.record(error) }
                }
            }
        }
        #expect(Set(try fileset.listFiles()) == Set((0..<20).map { "f\($0)" }))
        for file in try fileset.getFiles() { #expect(try file.readText() == String(file.id.dropFirst())) }
    }
}
