import Glibc

/// A generated database: the same bytes every time, valid for every release of PlantDB.
///
/// Made once and found again by a file beside it that is written when it is whole.
struct Tree {
    enum Kind: String, CaseIterable {
        /// 12 scans of 60 images of 1.5 MB, a point cloud, metadata: 1,489 files, 1.1 GB.
        case large
        /// 100 scans of 1,000 files of 250 B to 4 kB.
        case small
        /// 1,000 scans of 1,000 files, all empty but for the indexes.
        case empty
        /// 20 scans of 1,000 files, of 4 KiB but for two in each.
        case sshSmall = "ssh-small"
        /// One scan with a point cloud of 500 MB.
        case sshAppend = "ssh-append"
        /// One scan with a point cloud of 1 GiB.
        case httpFile = "http-file"
    }

    let kind: Kind
    let path: String
    let files: Int
    let bytes: Int64

    /// The tree in `directory`, generated if it is not there.
    init(_ kind: Kind, scale: Double, in directory: String) throws(BenchError) {
        self.kind = kind
        path = "\(directory)/\(kind.rawValue)-\(scale)-source"
        let mark = path + ".complete"
        if !exists(mark) {
            try removeTree(path)
            say("generating \(path)")
            try Self.generate(kind, scale: scale, at: path)
            try write("", to: mark)
        }
        (files, bytes) = try countFiles(path)
    }

    /// A tree that is there.
    init(_ kind: Kind, at path: String) throws(BenchError) {
        self.kind = kind
        self.path = path
        (files, bytes) = try countFiles(path)
    }

    /// Removes every tree that this program makes in `directory`, sources and targets.
    static func removeAll(in directory: String) throws(BenchError) {
        for kind in Kind.allCases { try remove(kind, in: directory) }
    }

    static func remove(_ kind: Kind, in directory: String) throws(BenchError) {
        guard let stream = opendir(directory) else {
            throw BenchError(errno: errno, "cannot list \(directory)")
        }
        var names: [String] = []
        while let name = nextName(stream) {
            if name.hasPrefix(kind.rawValue + "-") { names.append(name) }
        }
        closedir(stream)
        for name in names { try removeTree("\(directory)/\(name)") }
    }

    private static func generate(_ kind: Kind, scale: Double, at path: String) throws(BenchError) {
        try makeDirectories(path)
        func scaled(_ count: Int) -> Int { max(1, Int((Double(count) * scale).rounded())) }
        switch kind {
        case .large:
            for scan in 0..<scaled(12) {
                try ScanWriter(database: path, scan: scan, seed: 0x1a).write(
                    images: 60, imageBytes: 1_500_000...1_500_000, pointCloudBytes: 1_200_000)
            }
        case .small:
            for scan in 0..<scaled(100) {
                // 499 images, their metadata, the scan's metadata, and the index: 1,000 files.
                try ScanWriter(database: path, scan: scan, seed: 0x5b)
                    .write(images: 499, imageBytes: 250...4000, pointCloudBytes: nil)
            }
        case .empty:
            for scan in 0..<scaled(1000) {
                try ScanWriter(database: path, scan: scan, seed: 0)
                    .writeEmpty(files: 998)
            }
        case .sshSmall:
            for scan in 0..<scaled(20) {
                // 998 images, the scan's metadata, and the index.
                try ScanWriter(database: path, scan: scan, seed: 0x4b).write(
                    images: 998, imageBytes: 4096...4096, pointCloudBytes: nil, hasImageMetadata: false)
            }
        case .httpFile:
            try ScanWriter(database: path, scan: 0, seed: 0x61).write(
                images: 1, imageBytes: 1000...1000,
                pointCloudBytes: max(2_000_000, Int(1_073_741_824 * scale)))
        case .sshAppend:
            try ScanWriter(database: path, scan: 0, seed: 0xac).write(
                images: 4, imageBytes: 1_500_000...1_500_000,
                pointCloudBytes: max(2_000_000, Int(500e6 * scale)))
        }
        try Bench.writeMarker(of: path)
    }
}

extension Bench {
    /// The file that makes a directory a database.
    static func writeMarker(of database: String) throws(BenchError) {
        try makeDirectories(database)
        try write("", to: database + "/romidb")
    }
}

/// Writes one scan, name by name below open directories.
private struct ScanWriter {
    let root: String
    private var random: SplitMix

    init(database: String, scan: Int, seed: UInt64) {
        root = "\(database)/scan_\(decimal(scan, digits: 4))"
        random = SplitMix(state: seed << 32 | UInt64(scan))
    }

    /// - Parameter imageBytes: the sizes to choose from.
    consuming func write(
        images: Int, imageBytes: ClosedRange<Int>, pointCloudBytes: Int?, hasImageMetadata: Bool = true
    ) throws(BenchError) {
        try makeDirectories(root + "/images")
        try makeDirectories(root + "/metadata/images")
        let ids = (0..<images).map { "\(decimal($0, digits: 5))_rgb" }
        let pixels = try OpenDirectory(root + "/images")
        let metadata = try OpenDirectory(root + "/metadata/images")
        var buffer = [UInt64](repeating: 0, count: (imageBytes.upperBound + 7) / 8)
        for (index, id) in ids.enumerated() {
            let size = imageBytes.lowerBound + Int(random.next() % UInt64(imageBytes.count))
            try pixels.write("\(id).jpg", randomBytes: size, buffer: &buffer, random: &random)
            if hasImageMetadata { try metadata.write("\(id).json", Self.imageMetadata(index: index)) }
        }

        var filesets = [(id: "images", files: ids.map { (id: $0, name: $0 + ".jpg") })]
        let top = try OpenDirectory(root)
        if let pointCloudBytes {
            let id = "PointCloud_1_0_1_0_10_0_7ee836e5a9"
            try makeDirectories("\(root)/\(id)")
            var buffer = [UInt64](repeating: 0, count: min(1 << 17, (pointCloudBytes + 7) / 8))
            let cloud = try OpenDirectory("\(root)/\(id)")
            try cloud.write("PointCloud.ply", randomBytes: pointCloudBytes, buffer: &buffer, random: &random)
            filesets.append((id, [("PointCloud", "PointCloud.ply")]))
            try top.write("metadata/images.json", "{\n    \"channels\": [\n        \"rgb\"\n    ]\n}")
        }
        try top.write("metadata/metadata.json", Self.scanMetadata)
        try top.write("files.json", Self.index(filesets))
    }

    /// Files without content, in one fileset.
    consuming func writeEmpty(files: Int) throws(BenchError) {
        try makeDirectories(root + "/images")
        try makeDirectories(root + "/metadata")
        let ids = (0..<files).map { "\(decimal($0, digits: 5))_rgb" }
        let pixels = try OpenDirectory(root + "/images")
        for id in ids { try pixels.write("\(id).jpg", "") }
        let top = try OpenDirectory(root)
        try top.write("metadata/metadata.json", Self.scanMetadata)
        try top.write("files.json", Self.index([("images", ids.map { ($0, $0 + ".jpg") })]))
    }

    private static let scanMetadata = """
        {
            "object": {
                "plant_id": "col-0",
                "species": "Arabidopsis thaliana"
            },
            "owner": "anonymous"
        }
        """

    private static func imageMetadata(index: Int) -> String {
        """
        {
            "approximate_pose": [
                \(index).0,
                375.0,
                80.0,
                \(index * 6 % 360).0,
                0
            ],
            "channel": "rgb",
            "shot_id": "\(decimal(index, digits: 6))"
        }
        """
    }

    private static func index(_ filesets: [(id: String, files: [(id: String, name: String)])]) -> String {
        let entries = filesets.map { fileset in
            let files = fileset.files.map { file in
                """
                                {
                                    "file": "\(file.name)",
                                    "id": "\(file.id)"
                                }
                """
            }
            return """
                        {
                            "files": [
                \(files.joined(separator: ",\n"))
                            ],
                            "id": "\(fileset.id)"
                        }
                """
        }
        return "{\n    \"filesets\": [\n\(entries.joined(separator: ",\n"))\n    ]\n}"
    }
}

private final class OpenDirectory {
    private let descriptor: CInt

    init(_ path: String) throws(BenchError) {
        descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw BenchError(errno: errno, "cannot open \(path)") }
    }

    deinit { close(descriptor) }

    func write(_ name: String, _ text: String) throws(BenchError) {
        let bytes = Array(text.utf8)
        try requireWritten(name, bytes.withUnsafeBytes { writeFile(descriptor, name, $0) })
    }

    /// - Parameter buffer: overwritten; no more than it holds is in memory at a time.
    func write(_ name: String, randomBytes size: Int, buffer: inout [UInt64], random: inout SplitMix)
        throws(BenchError)
    {
        let file = openat(descriptor, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw BenchError(errno: errno, "cannot make \(name)") }
        defer { close(file) }
        var left = size
        while left > 0 {
            let count = min(left, buffer.count * 8)
            for index in 0..<(count + 7) / 8 { buffer[index] = random.next() }
            try requireWritten(
                name,
                buffer.withUnsafeBytes { writeAll(file, UnsafeRawBufferPointer(rebasing: $0[..<count])) })
            left -= count
        }
    }
}

/// Steele, Lea and Flood's generator: incompressible bytes, the same for the same seed.
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }
}

/// With leading zeros.
func decimal(_ number: Int, digits: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}
