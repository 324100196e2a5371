import FSDB
import PlantDBCore
import PlantDBTesting

/// What a database shows, a line a fact, so that two views of it can be compared and the
/// difference read.
struct Listing: Equatable, CustomStringConvertible {
    private(set) var lines: [String] = []
    private(set) var fileCount = 0

    var description: String { lines.joined(separator: "\n") }
    var isEmpty: Bool { lines.isEmpty }

    /// The answer of `list.py`.
    init(_ scans: JSONValue) throws {
        for scan in scans.array ?? [] {
            let scanID = try text(scan, "id")
            add(scanID, "metadata", scan["metadata"]?.object ?? [:])
            add(scanID, "measures", scan["measures"]?.object ?? [:])
            let filesets = scan["filesets"]?.array ?? []
            lines.append("\(scanID) filesets: \(try filesets.map { try text($0, "id") })")
            for fileset in filesets {
                let place = "\(scanID)/\(try text(fileset, "id"))"
                add(place, "metadata", fileset["metadata"]?.object ?? [:])
                let files = fileset["files"]?.array ?? []
                lines.append("\(place) files: \(try files.map { try text($0, "id") })")
                for file in files {
                    add(
                        file: "\(place)/\(try text(file, "id"))", name: try text(file, "file"),
                        sha256: try text(file, "sha256"), metadata: file["metadata"]?.object ?? [:])
                }
            }
        }
    }

    /// What our own object model shows.
    init(_ database: FSDB) throws {
        for scan in try database.getScans() {
            add(scan.id, "metadata", try scan.metadata)
            add(scan.id, "measures", try scan.measures)
            lines.append("\(scan.id) filesets: \(try scan.listFilesets())")
            for fileset in try scan.getFilesets() {
                let place = "\(scan.id)/\(fileset.id)"
                add(place, "metadata", try fileset.metadata)
                lines.append("\(place) files: \(try fileset.listFiles())")
                for file in try fileset.getFiles() {
                    let digest = Digest(of: try file.read())
                    add(
                        file: "\(place)/\(file.id)", name: try file.filename ?? "",
                        sha256: digest.description, metadata: try file.metadata)
                }
            }
        }
    }

    /// What our object model shows of a database on disk.
    static func ofOurs(_ path: String) throws -> Listing {
        let database = try FSDB(path)
        try database.connect(.readOnly)
        defer { database.disconnect() }
        return try Listing(database)
    }

    /// Without the three keys of a scan's metadata that upstream makes up from those of its
    /// images: 0.14 takes them from `images.json`, 0.16 and later show them empty where there
    /// is a directory `metadata/images`.
    var withoutDerivedMetadata: Listing {
        var result = self
        result.lines.removeAll { line in
            ["object", "hardware", "acquisition_date"].contains { key in
                guard let range = line.firstRange(of: " metadata \(key) =") else { return false }
                return !line[..<range.lowerBound].contains("/")
            }
        }
        return result
    }

    /// What one shows and the other does not; empty if they are equal.
    func differences(from other: Listing) -> String {
        let own = Set(lines)
        let others = Set(other.lines)
        let changes =
            lines.filter { !others.contains($0) }.map { "+ " + $0 }
            + other.lines.filter { !own.contains($0) }.map { "- " + $0 }
        if changes.isEmpty, lines != other.lines { return "the same facts in another order" }
        return changes.prefix(20).joined(separator: "\n")
    }

    private mutating func add(file place: String, name: String, sha256: String, metadata: JSONObject) {
        fileCount += 1
        lines.append("\(place): \(name) \(sha256)")
        add(place, "metadata", metadata)
    }

    private mutating func add(_ place: String, _ what: String, _ object: JSONObject) {
        for member in object.members.sorted(by: { $0.key < $1.key }) {
            let value = String(decoding: member.value.pythonBytes(), as: UTF8.self)
            lines.append("\(place) \(what) \(member.key) = \(value)")
        }
    }
}

private func text(_ value: JSONValue, _ key: String) throws -> String {
    guard let text = value[key]?.string else {
        throw ToolFailure(description: "an answer has no text “\(key)”")
    }
    return text
}
