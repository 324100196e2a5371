import ArgumentParser
import DatabaseCheck
import PlantDBCore
import PlantDBSync
import SyncEngine

struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Look a database over and say what is wrong with it; change nothing.",
        discussion: """
            Finds files that are listed and absent, or present and unlisted; invalid JSON; names \
            that some release cannot hold; stray folders; owners and groups of scans that have no account \
            here (not over HTTP); and says which releases of PlantDB would refuse to open the database. \
            What else stands in users.json and groups.json, and locks, which can keep a release out as \
            well, are not looked at. Ends with 0 unless there are errors, then with 1.

            EXAMPLES
              plantdb check /data/greenhouse
              plantdb check /data/greenhouse 'plant_*'
              plantdb check --json /data/greenhouse
            """
    )

    @Argument(help: "The database.", completion: .directory)
    var database: String

    @Argument(help: ArgumentHelp("Names or patterns of scans; all if none is given.", valueName: "scan-glob"))
    var scanGlobs: [String] = []

    @Flag(help: "One JSON object a finding, then one with the totals.")
    var json = false

    @Flag(name: [.customShort("q"), .long], help: "Only errors; no notes, no warnings, no totals.")
    var quiet = false

    @OptionGroup(title: "Other machines") var remote: RemoteOptions

    func run() async throws {
        let opener = remote.opener()
        let console = Console(isQuiet: quiet)
        Running.shared.console = console
        let globs = scanGlobs.map { Glob($0.hasSuffix("/") ? String($0.dropLast()) : $0) }
        let report = try await withDatabase(database, opener) { database in
            let checker = DatabaseChecker(
                source: database, concurrentScans: database.capabilities.concurrentScans.lowerBound)
            return try await checker.run { scan in
                globs.isEmpty || globs.contains { $0.matches(scan.rawValue) }
            }
        }
        if !globs.isEmpty && report.scansChecked == 0 && report.findings.isEmpty {
            let names = scanGlobs.map { "“\($0.printable)”" }.joined(separator: ", ")
            throw DatabaseError(
                .notFound, "\(database.printable) has no scan \(names); plantdb scans lists what it has")
        }
        let lines =
            json
            ? CheckText.jsonLines(report, isQuiet: quiet) : CheckText.lines(report, isQuiet: quiet)
        for line in lines { console.data(line) }
        console.flush()
        if report.worst == .error { throw ExitStatus.error }
    }
}
