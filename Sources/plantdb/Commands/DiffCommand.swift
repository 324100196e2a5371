import ArgumentParser
import PlantDBCore
import PlantDBSync
import SyncEngine

struct DiffCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "List what differs between two databases; change neither.",
        discussion: """
            Ends with 0 if the two hold the same, with 4 if they differ. Without --checksum, files \
            of one size and one time are taken to be equal.

            EXAMPLES
              Did everything arrive?
                plantdb diff /data/greenhouse /backup/greenhouse
              Byte for byte?
                plantdb diff -c /data/greenhouse /backup/greenhouse
              One scan, yes or no:
                plantdb diff -q A B plant_01 && echo equal

            THE LIST
              <  only in A      >  only in B      !  in both, and different
              ?  not compared, and why

            \(SidesOptions.discussion) The source is A.
            """
    )

    @Argument(help: "A database.", completion: .directory)
    var a: String

    @Argument(help: "Another database.", completion: .directory)
    var b: String

    @Argument(help: ArgumentHelp("Names or patterns of scans; all if none is given.", valueName: "scan-glob"))
    var scanGlobs: [String] = []

    @OptionGroup(title: "Compare") var comparing: CompareOptions
    @OptionGroup(title: "Select") var selecting: SelectOptions

    @OptionGroup(title: "Other machines") var remote: SidesOptions

    @Flag(name: [.customShort("q"), .long], help: "List nothing; the exit code tells.")
    var quiet = false

    @Flag(help: "Write events, one JSON object a line (docs/json-events.md).")
    var json = false

    mutating func validate() throws {
        if a.isEmpty || b.isEmpty { throw ValidationError("a location must not be empty") }
        if scanGlobs.contains("") { throw ValidationError("a name or pattern must not be empty") }
    }

    func run() async throws {
        let opener = remote.opener()
        let console = Console(isQuiet: quiet)
        Running.shared.console = console
        var options = SyncOptions()
        comparing.apply(to: &options)
        // So that the plan names what only B has. A diff guards against nothing.
        options.deletion = .delete(limit: .percent(100))
        options.deletesUnknown = true
        options.allowsEmptySource = true
        options.selectsFromBothSides = true
        options.selection = try selecting.selection(globs: scanGlobs)

        let (plan, locations): (SyncPlan, (String, String))
        do {
            (plan, locations) = try await withDatabases(a, b, as: .source, opener) {
                [options] first, second in
                let engine = SyncEngine(source: first, target: second, options: options)
                return (try await engine.plan(), (first.location.description, second.location.description))
            }
        } catch {
            if json { JSONEvents.sayFailure(error, schema: JSONEvents.diffSchema, to: console) }
            throw error
        }
        let status = ExitStatus(plan, reportsDifferences: true)
        if json {
            let events = JSONEvents(schema: JSONEvents.diffSchema, run: RunID.make().rawValue)
            if !quiet {
                console.data(
                    events.plan(plan, source: locations.0, target: locations.1, isDryRun: true).jsonLine)
                events.files(of: plan) { console.data($0.jsonLine) }
            }
            console.data(events.summary(of: plan, exitCode: status.code).jsonLine)
        } else if !quiet {
            DiffLine.lines(of: plan) { console.data($0) }
        }
        console.flush()
        for notice in plan.notices where notice.kind != .notSelected {
            let place = notice.scan.map { notice.message.contains($0) ? "" : "\($0.printable): " } ?? ""
            console.note("note: \(place)\(notice.message.printable)")
        }
        for failure in plan.failures {
            for error in failure.errors {
                console.error(ReportText.line(of: error.locating(scan: failure.scan)))
            }
        }
        if status != .inSync { throw status }
    }
}
