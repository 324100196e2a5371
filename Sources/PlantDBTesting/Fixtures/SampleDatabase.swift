import PlantDBCore

/// A small database for a test: scans by name, to be put on disk or in memory.
public struct SampleDatabase: Sendable, Equatable {
    public var scans: [ScanID: SampleTree]

    public init(scans: [ScanID: SampleTree] = [:]) { self.scans = scans }

    public subscript(scan: String) -> SampleTree? {
        // A text that is no valid name names no scan.
        guard let scan = try? ScanID(scan) else { return nil }
        return scans[scan]
    }

    public mutating func add(_ scan: String, _ tree: SampleTree) throws(DatabaseError) {
        scans[try ScanID(scan)] = tree
    }

    public var fileCount: Int { scans.values.reduce(0) { $0 + $1.filePaths.count } }
    public var byteCount: Int { scans.values.reduce(0) { $0 + $1.byteCount } }

    /// `count` scans `plant_0`, `plant_1`, …, each with images, a point cloud, metadata and
    /// an index; equal seeds give equal databases.
    public static func plants(_ count: Int = 2, images: Int = 3, seed: UInt64 = 1) throws(DatabaseError)
        -> SampleDatabase
    {
        var database = SampleDatabase()
        for index in 0..<count {
            try database.add("plant_\(index)", .plant(images: images, seed: seed &+ UInt64(index)))
        }
        return database
    }

    /// Up to `scans` scans of random trees.
    public static func random(scans: Int = 3, seed: UInt64) throws(DatabaseError) -> SampleDatabase {
        var generator = SplitMix64(seed: seed)
        var database = SampleDatabase()
        for index in 0..<Int.random(in: 1...max(1, scans), using: &generator) {
            try database.add("scan-\(index)", .random(using: &generator))
        }
        return database
    }
}

extension SampleDatabase: CustomStringConvertible {
    public var description: String { "a database of \(scans.count) scans and \(byteCount) bytes" }
}

extension SampleTree: CustomStringConvertible {
    public var description: String { "a tree of \(filePaths.count) files and \(byteCount) bytes" }
}

extension SampleTree {
    /// A scan as a phenotyping station leaves it: `images/`, `PointCloud_1_0/`, `metadata/`,
    /// `scan.toml`, `files.json`.
    public static func plant(images: Int = 3, seed: UInt64 = 1) throws(DatabaseError) -> SampleTree {
        var generator = SplitMix64(seed: seed)
        var tree = SampleTree()
        try tree.directory("metadata/images")
        try tree.file(
            "metadata/metadata.json", "{\n    \"object\": {\n        \"species\": \"Arabidopsis\"\n    }\n}")
        for index in 0..<images {
            let name = "0000\(index)_rgb"
            try tree.file(
                "images/\(name).jpg", generator.bytes(Int.random(in: 100..<5000, using: &generator)),
                modified: ModificationTime(
                    seconds: Self.time.seconds + Int64(index), nanoseconds: Int64(index) * 1_001))
            try tree.file("metadata/images/\(name).json", "{\n    \"channel\": \"rgb\"\n}")
        }
        // Sizes tell plants apart, so that two of them never look equal by size and time.
        let size = 64 * images + Int(seed % 64)
        try tree.file("PointCloud_1_0/PointCloud.ply", generator.bytes(2000 + size))
        try tree.file(
            "scan.toml", "[Scan]\nn_images = \(images)\n" + String(repeating: "#", count: size), mode: 0o600)
        try tree.writeIndex()
        return tree
    }

    /// The smallest valid scan, with one file in the fileset `images`.
    public static func minimal(_ text: String = "a") throws(DatabaseError) -> SampleTree {
        var tree = SampleTree()
        try tree.directory("metadata")
        try tree.file("images/a.txt", text)
        try tree.writeIndex()
        return tree
    }

    /// A valid scan of up to 12 files, some empty, some deep, with random times and modes.
    public static func random(using generator: inout SplitMix64) throws(DatabaseError) -> SampleTree {
        var tree = SampleTree()
        try tree.directory("metadata")
        let folders = ["images", "PointCloud_1", "Mesh_2", "metadata/images", "images/deep/deeper"]
        for index in 0..<Int.random(in: 0...12, using: &generator) {
            let folder = folders.randomElement(using: &generator) ?? "images"
            let size = generator.chance(4) ? 0 : Int.random(in: 1...300, using: &generator)
            try tree.file(
                "\(folder)/file \(index)", generator.bytes(size),
                modified: ModificationTime(
                    seconds: 1_600_000_000 + Int64.random(in: 0..<100_000_000, using: &generator),
                    nanoseconds: Int64.random(in: 0..<1_000_000_000, using: &generator)),
                mode: generator.chance(3) ? 0o600 : 0o644)
        }
        if generator.chance(3) { try tree.directory("empty_fileset") }
        try tree.writeIndex(
            modified: ModificationTime(
                seconds: 1_600_000_000 + Int64.random(in: 0..<100_000_000, using: &generator)))
        return tree
    }

    /// Puts the `files.json` that lists what lies in the filesets, written as upstream
    /// writes it: sorted keys, 4 spaces, ASCII escapes, no final newline.
    ///
    /// A fileset is a directory of the scan but `metadata`; the files directly in it are its
    /// files, their ids the names without extension.
    public mutating func writeIndex(modified: ModificationTime = Self.time) throws(DatabaseError) {
        var filesets: [String] = []
        for fileset in paths where nodes[fileset]?.kind == .directory && fileset.parent == nil {
            if fileset == .metadata { continue }
            var files: [String] = []
            for path in filePaths where path.parent == fileset {
                let name = String(path.name)
                let id = name.lastIndex(of: ".").map { String(name[..<$0]) } ?? name
                files.append(
                    """
                                    {
                                        "file": \(Self.quoted(name)),
                                        "id": \(Self.quoted(id))
                                    }
                    """)
            }
            let list = files.isEmpty ? "[]" : "[\n" + files.joined(separator: ",\n") + "\n            ]"
            filesets.append(
                """
                        {
                            "files": \(list),
                            "id": \(Self.quoted(fileset.rawValue))
                        }
                """)
        }
        let list = filesets.isEmpty ? "[]" : "[\n" + filesets.joined(separator: ",\n") + "\n    ]"
        try file("files.json", "{\n    \"filesets\": \(list)\n}", modified: modified)
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for unit in text.utf16 {
            switch unit {
            case 0x22, 0x5c: result += "\\" + String(UnicodeScalar(UInt8(unit)))
            case 0x20..<0x7f: result += String(UnicodeScalar(UInt8(unit)))
            default:
                let hex = String(unit, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            }
        }
        return result + "\""
    }
}
