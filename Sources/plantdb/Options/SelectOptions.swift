import ArgumentParser
import Glibc
import PlantDBCore
import SyncEngine

/// Which scans, and what of them. (`sync`, `diff`)
struct SelectOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Only scans of this name or pattern. Repeatable.", valueName: "glob"))
    var scan: [String] = []

    @Option(
        help: ArgumentHelp(
            "Only the scans named in this file, a name or pattern a line; - for standard input.",
            valueName: "file"),
        completion: .file())
    var scansFrom: String?

    @Option(help: ArgumentHelp("Only filesets of this name or pattern. Repeatable.", valueName: "glob"))
    var fileset: [String] = []

    @Option(help: ArgumentHelp("All filesets but these. Repeatable.", valueName: "glob"))
    var excludeFileset: [String] = []

    @Option(
        name: .customLong("where"),
        help: ArgumentHelp(
            "Only scans whose metadata say so, such as object.species=Arabidopsis. Repeatable; all must hold.",
            valueName: "key=value"),
        transform: Transforms.condition)
    var conditions: [MetadataCondition] = []

    @Option(
        help: ArgumentHelp(
            "Leave scans alone in which something changed less than this ago: 90s, 15m, 2h, 1d.",
            valueName: "duration"),
        transform: Transforms.duration)
    var minAge: Duration?

    mutating func validate() throws {
        if (scan + fileset + excludeFileset).contains("") {
            throw ValidationError("a name or pattern must not be empty")
        }
    }

    /// - Parameter globs: the positional arguments after the locations.
    /// - Throws: ``DatabaseError`` where the file of `--scans-from` cannot be read or names
    ///   nothing: it must not end up as “all scans”.
    func selection(globs: [String]) throws(DatabaseError) -> ScanSelection {
        var selection = ScanSelection()
        selection.scans = globs + scan
        if let scansFrom { selection.scans += try ScanNames.read(scansFrom) }
        // A trailing slash, as completion leaves it, means nothing.
        selection.scans = selection.scans.map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 }
        selection.filesets = fileset
        selection.excludedFilesets = excludeFileset
        selection.metadata = conditions
        selection.minimumAge = minAge
        return selection
    }
}

/// Names in a text, one a line; empty lines and lines that begin with `#` are none.
enum ScanNames {
    static func parse(_ text: String) -> [String] {
        text.split(whereSeparator: \.isNewline).compactMap { line in
            var name = line.drop(while: \.isWhitespace)
            while name.last?.isWhitespace == true { name.removeLast() }
            return name.isEmpty || name.hasPrefix("#") ? nil : String(name)
        }
    }

    static func read(_ path: String) throws(DatabaseError) -> [String] {
        let name = path == "-" ? "standard input" : path.printable
        let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw DatabaseError(
                .invalidArgument, "the list of scans \(name) cannot be opened",
                cause: String(cString: strerror(errno)))
        }
        defer { if path != "-" { close(descriptor) } }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else {
                throw DatabaseError(
                    .invalidArgument, "the list of scans \(name) cannot be read",
                    cause: String(cString: strerror(errno)))
            }
            if count == 0 { break }
            bytes += chunk[..<count]
            guard bytes.count <= 64_000_000 else {
                throw DatabaseError(.invalidArgument, "the list of scans \(name) is larger than 64 MB")
            }
        }
        let names = parse(String(decoding: bytes, as: UTF8.self))
        guard !names.isEmpty else {
            throw DatabaseError(
                .invalidArgument,
                "the list of scans \(name) names no scan; leave --scans-from out to take all scans")
        }
        return names
    }
}
