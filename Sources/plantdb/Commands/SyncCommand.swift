import ArgumentParser
import PlantDBCore
import PlantDBSync
import SyncEngine

struct SyncCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sync",
        abstract: "Make TARGET hold what SOURCE holds; only TARGET changes.",
        discussion: """
            Copies scans and files that TARGET does not have, that differ in size, or that are \
            newer in SOURCE. Deletes nothing unless asked to. Times and modes are kept. A new scan \
            appears whole; a file that is replaced is the old or the new one at every instant; an \
            interrupted run is finished by the same command.

            What was added at TARGET stays: files.json is merged, and lists what both sides have. \
            What is newer at TARGET, or was changed there since the last run, is reported as a \
            difference and left alone: --overwrite-newer or --checksum replaces data, --metadata metadata. \
            Another scan of the same name is never mixed with the source's: --displace replaces it.

            EXAMPLES
              Everything, with a list of what is copied and why:
                plantdb sync -i /data/greenhouse /backup/greenhouse
              What would happen?
                plantdb sync -n -i /data/greenhouse /backup/greenhouse
              From a scanner, by SSH; to a server goes as well:
                plantdb sync ssh://scanner/data/db /data/greenhouse
              Two scans, and all of a series:
                plantdb sync /data/greenhouse /backup/greenhouse plant_01 'series_*'
              Images only, of one species:
                plantdb sync A B --fileset images --where object.species=Arabidopsis
              Without what was deleted at A; at most 50 files, which are kept in the trash:
                plantdb sync A B --delete --max-delete 50 --trash
              In a nightly job:
                plantdb sync A B -q --lock-wait 15m --min-age 2m --report last.json
              On a scanner, as scans are taken, each when nothing of it is newer than 2 min:
                plantdb sync /data/db lab: --watch --min-age 2m --bwlimit 20M

            THE LIST OF -i
              +  new          ~  replaced         t  time or mode only     -  deleted
              !  different, left alone            ?  not carried, and why
              =  equal, or left alone as asked (with -v)

            \(SidesOptions.discussion)

            \(ExitStatus.table)
            """
    )

    @Argument(help: "The database to read.", completion: .directory)
    var source: String

    @Argument(help: "The database to write; made if there is nothing.", completion: .directory)
    var target: String

    @Argument(
        help: ArgumentHelp(
            "Names or patterns of scans; all if none is given. One that finds nothing ends the run before it begins.",
            valueName: "scan-glob"))
    var scanGlobs: [String] = []

    @OptionGroup(title: "Plan") var planning: PlanOptions
    @OptionGroup(title: "Compare") var comparing: CompareOptions
    @OptionGroup(title: "Select") var selecting: SelectOptions
    @OptionGroup(title: "Safety") var safety: SafetyOptions
    @OptionGroup(title: "Transfer") var transferring: TransferOptions
    @OptionGroup(title: "Locks") var locking: LockOptions
    @OptionGroup(title: "Other machines") var remote: SidesOptions
    @OptionGroup(title: "Unattended") var unattended: UnattendedOptions
    @OptionGroup(title: "Output") var output: OutputOptions

    mutating func validate() throws {
        if source.isEmpty || target.isEmpty { throw ValidationError("a location must not be empty") }
        if scanGlobs.contains("") { throw ValidationError("a name or pattern must not be empty") }
        if planning.dryRun && (unattended.watch || unattended.onFinish != nil) {
            throw ValidationError("--dry-run goes with neither --watch nor --on-finish")
        }
        if unattended.watch
            && (selecting.scansFrom == "-" || remote.standardInputs > 0)
        {
            throw ValidationError("--watch reads no standard input; name a file")
        }
        if planning.dryRun && output.progress {
            throw ValidationError("--dry-run moves nothing whose --progress could be shown")
        }
    }

    /// - Throws: where the list of scans cannot be read.
    func options() throws(DatabaseError) -> SyncOptions {
        var options = SyncOptions()
        comparing.apply(to: &options)
        safety.apply(to: &options)
        transferring.apply(to: &options)
        locking.apply(to: &options)
        options.selection = try selecting.selection(globs: scanGlobs)
        return options
    }

    func run() async throws {
        let console = try output.console()
        Running.shared.console = console
        let opener = remote.opener()
        Running.shared.atStop = "; what is published stays, the rest is done by the same command"
        let options = try options()
        guard unattended.watch else { return try await runOnce(opener, options, console) { _ in } }
        let place = try opener.places(of: source, target).source
        guard !place.location.contains("://") else {
            throw DatabaseError(
                .unsupported,
                "changes of \(source.printable) cannot be watched from here; run plantdb sync --watch on its "
                    + "machine, or sync at intervals with a timer")
        }
        let memory = WatchMemory()
        try await SourceWatching(path: place.location, minimumAge: selecting.minAge, console: console)
            .repeatRuns { try await runOnce(opener, options, console, watch: memory, onReport: $0) }
    }

    /// - Parameter onReport: called with what the run did, before that is said and judged.
    private func runOnce(
        _ opener: DatabaseOpener, _ options: SyncOptions, _ console: Console, watch: WatchMemory? = nil,
        onReport: @escaping (SyncReport) -> Void
    ) async throws {
        let runID = RunID.make()
        let events = output.json ? JSONEvents(schema: JSONEvents.syncSchema, run: runID.rawValue) : nil
        // As they were given: a secret may be in them, also where they are refused for it.
        let (from, to) = (source.withoutSecrets, target.withoutSecrets)
        console.logOnly("plantdb \(Version.text), run \(runID): \(from.printable) → \(to.printable)")
        var ending = RunEnding(console: console)
        if let path = output.report { ending.report = try ReportFile(path: path) }
        // A dry run is no run.
        if !planning.dryRun {
            ending.kept = KeptRun(
                runID, source: from, target: to, watch: watch, console: console)
            ending.command = unattended.onFinish.map {
                FinishCommand(text: $0, run: runID, source: from, target: to)
            }
        }
        // Where a run cannot be kept, that has been said, and it is the same folder.
        let remembers = planning.dryRun || ending.kept != nil
        do {
            try await withDatabases(
                source, target, as: safety.existingTarget ? .existingTarget : .target, opener
            ) { sourceDatabase, targetDatabase in
                let engine = SyncEngine(
                    source: sourceDatabase, target: targetDatabase, options: options,
                    memory: remembers
                        ? KeptRun.memory(
                            from: sourceDatabase, to: targetDatabase, isDryRun: planning.dryRun, console)
                        : nil)
                let printer = SyncPrinter(
                    console: console, events: events, itemizes: planning.itemize,
                    source: sourceDatabase.location.description,
                    target: targetDatabase.location.description, runID: runID, ending: ending)
                if planning.dryRun {
                    let plan = try await engine.plan()
                    try printer.finish(dryRun: plan, options: options, exitCode: planning.exitCode)
                } else {
                    let result = await engine.run(runID: runID) { printer.handle($0) }
                    onReport(result)
                    try await printer.finish(result)
                }
            }
        } catch {
            try await Self.report(error, of: runID, events: events, to: ending)
        }
    }

    /// What ended the command before there was a report, said to programs as well.
    private static func report(
        _ error: any Error, of runID: RunID, events: JSONEvents?, to ending: RunEnding
    ) async throws -> Never {
        let failure: CommandFailure
        switch error {
        case let error as CommandFailure: failure = error
        case let error as DatabaseError: failure = CommandFailure(error)
        default: throw error
        }
        let status = failure.status.namingCause
        let writer = events ?? JSONEvents(schema: JSONEvents.syncSchema, run: runID.rawValue)
        let report = SyncReport(runID: runID, error: failure.error)
        let summary = writer.summary(report, exitCode: status.code)
        if events != nil {
            ending.console.data(writer.error(failure.error).jsonLine, logged: false)
            ending.console.data(summary.jsonLine, logged: false)
            ending.console.flush()
        }
        // What ended the run counts more than that its report could not be written, which has been said.
        _ = await ending.take(report, exitCode: status.code, summary: summary.jsonLine)
        throw failure
    }
}
