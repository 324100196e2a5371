import ArgumentParser
import PlantDBCore
import SyncEngine
import SyncHistory

struct HistoryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history",
        abstract: "List the runs of plantdb sync on this machine, or show the report of one.",
        discussion: """
            Every run of this user but dry runs is kept, up to \(RunHistory.maximumRuns), in \
            $PLANTDB_STATE/history.sqlite, by default in ~/.local/state/plantdb. A run that died \
            without saying how it ended is shown as unfinished. An empty PLANTDB_STATE keeps none.

            EXAMPLES
              How did the last nights go?
                plantdb history --last 7
              What went wrong since yesterday?
                plantdb history --failed --since 1d
              What did one run do?
                plantdb history 20261126T020000Z-3f1a
            """
    )

    @Argument(help: ArgumentHelp("The run to show, as the list names it.", valueName: "run"))
    var wanted: String?

    @Option(help: ArgumentHelp("How many runs to list.", valueName: "n"), transform: Transforms.positive)
    var last: Int = 20

    @Flag(help: "Only runs that failed, left differences, or never ended.")
    var failed = false

    @Option(
        help: ArgumentHelp("Only runs that began so long ago at most (90m, 12h, 1d).", valueName: "duration"),
        transform: Transforms.duration)
    var since: Duration?

    @Flag(help: "One JSON object a line; with RUN, its summary as --report has it.")
    var json = false

    func run() throws {
        let console = Console()
        Running.shared.console = console
        guard let file = RunHistory.file() else {
            throw DatabaseError(
                .invalidArgument,
                "no history is kept: PLANTDB_STATE is empty, or there is no HOME to keep it in")
        }
        let history = try RunHistory(file: file)
        if let run = wanted {
            let (recorded, report) = try history.report(of: RunID(rawValue: run))
            if json {
                console.data(report ?? HistoryText.json(of: recorded).jsonLine)
            } else {
                for line in try HistoryText.lines(recorded, report: report) { console.data(line) }
            }
        } else {
            let runs = try wantedRuns(of: history)
            let lines = json ? runs.map { HistoryText.json(of: $0).jsonLine } : HistoryText.lines(runs)
            for line in lines { console.data(line) }
            if runs.isEmpty && !json { console.note(failed || since != nil ? "no such runs" : "no runs") }
        }
        console.flush()
    }

    private func wantedRuns(of history: RunHistory) throws(DatabaseError) -> [RecordedRun] {
        guard failed || since != nil else { return try history.list(last: last) }
        let oldest = since.map { Double(WallClock.now.nanoseconds) - $0 / .nanoseconds(1) } ?? -.infinity
        let runs = try history.list().filter {
            Double($0.begun.nanoseconds) >= oldest && (!failed || $0.hasFailed)
        }
        return Array(runs.prefix(last))
    }
}
