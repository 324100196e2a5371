import ArgumentParser
import PlantDBCore
import PlantDBSync
import SyncEngine

struct ScansCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scans",
        abstract: "List the scans of a database.",
        discussion: """
            One name a line, ready for --scans-from. Folders that are no scans are named on stderr.

            EXAMPLES
              plantdb scans /data/greenhouse
              plantdb scans -l /data/greenhouse 'plant_*'
              plantdb scans A | grep 2026 | plantdb sync A B --scans-from -
            """
    )

    @Argument(help: "The database.", completion: .directory)
    var database: String

    @Argument(help: ArgumentHelp("Names or patterns of scans; all if none is given.", valueName: "scan-glob"))
    var scanGlobs: [String] = []

    @Flag(name: [.customShort("l"), .long], help: "With files, bytes, and the newest change of each.")
    var long = false

    @Flag(help: "One JSON object a line.")
    var json = false

    @OptionGroup(title: "Other machines") var remote: RemoteOptions

    func run() async throws {
        let opener = remote.opener()
        let console = Console()
        Running.shared.console = console
        try await withDatabase(database, opener) { try await list($0, console) }
    }

    private func list(_ database: any DatabaseEndpoint, _ console: Console) async throws {
        let listing = try await database.listing()
        let globs = scanGlobs.map { Glob($0.hasSuffix("/") ? String($0.dropLast()) : $0) }
        var isMatched = [Bool](repeating: false, count: globs.count)
        var failed = false
        var table = TextTable([.right, .right, .left, .left])
        for summary in listing.scans {
            if !globs.isEmpty {
                let matches = globs.indices.filter { globs[$0].matches(summary.scan.rawValue) }
                if matches.isEmpty { continue }
                for index in matches { isMatched[index] = true }
            }
            if case .stray(let reason) = summary.kind {
                console.note("note: \(summary.scan) is no scan: \(reason.printable)")
                continue
            }
            guard long || json else {
                console.data(summary.scan.rawValue)
                continue
            }
            do throws(DatabaseError) {
                let line = try await ScanLine(summary, in: database)
                if json { console.data(line.json.jsonLine) } else { line.add(to: &table) }
            } catch {
                if error.code == .cancelled { throw error }
                failed = true
                console.error(ReportText.line(of: error.locating(scan: summary.scan)))
            }
        }
        for line in table.lines { console.data(line) }
        console.flush()
        for skipped in listing.skipped {
            console.note("note: \(skipped.path.printable): \(ItemizedLine.reason(of: skipped))")
        }
        for (index, glob) in globs.enumerated() where !isMatched[index] {
            throw DatabaseError(
                .notFound, "no scan of \(database.location) matches “\(glob.pattern.printable)”")
        }
        if failed || listing.skipped.contains(where: \.hidesContent) { throw ExitStatus.partial }
    }
}

/// One scan in the long list.
struct ScanLine: Sendable {
    let scan: ScanID
    let kind: ScanSummary.Kind
    let files: Int
    let bytes: Int64
    /// nil where there is no file, or the peer cannot tell.
    let newest: ModificationTime?
    let isComplete: Bool

    /// Costs a listing of the scan.
    init(_ summary: ScanSummary, in database: any ScanSource) async throws(DatabaseError) {
        guard let manifest = try await database.manifest(of: summary.scan, detail: .listing) else {
            throw DatabaseError(
                .notFound, "the scan went away while the database was listed", scan: summary.scan)
        }
        self.init(summary, manifest)
    }

    init(_ summary: ScanSummary, _ manifest: ScanManifest) {
        scan = summary.scan
        kind = summary.kind
        files = manifest.fileCount
        bytes = manifest.byteCount
        newest = manifest.lazy.filter { $0.kind == .file }.compactMap(\.modified).max()
        isComplete = manifest.isComplete
    }

    func add(to table: inout TextTable) {
        let note = kind == .timelapse ? "  (timelapse)" : ""
        table.add(
            Sizes.count(files, "file"), Sizes.bytes(bytes), newest.map(CalendarText.local) ?? "–",
            "\(scan)\(note)")
    }

    var json: JSONValue {
        .object(
            JSONObject([
                ("schema", "plantdb.scans/1"), ("scan", .string(scan.rawValue)),
                ("kind", kind == .timelapse ? "timelapse" : "scan"), ("files", .number(files)),
                ("bytes", .number(bytes)), ("newest", newest.map { .string(CalendarText.utc($0)) } ?? .null),
                ("complete", .bool(isComplete)),
            ]))
    }
}
