import Foundation
import PlantDBCore
import SyncEngine
import SyncHistory

/// The run of this command in the history. What the history cannot take is a warning, never the
/// failure of a run.
struct KeptRun: Sendable {
    private let history: RunHistory
    private let run: RunID
    private let console: Console
    /// Whether a run that had nothing to do is kept: a watch has many, which would displace all others.
    private let keepsIdle: Bool

    /// nil where none is kept.
    init?(_ run: RunID, source: String, target: String, keepsIdle: Bool = true, console: Console) {
        guard let file = RunHistory.file() else { return nil }
        do throws(DatabaseError) {
            history = try RunHistory(file: file)
            try history.begin(run, source: Self.place(source), target: Self.place(target))
        } catch {
            Self.warn(error, console)
            return nil
        }
        self.run = run
        self.console = console
        self.keepsIdle = keepsIdle
    }

    func finish(_ report: SyncReport, exitCode: Int32, summary: String) {
        let isIdle = exitCode == 0 && report.scansPublished == 0 && report.totals.filesMoved == 0
        do throws(DatabaseError) {
            if isIdle && !keepsIdle { return try history.forget(run) }
            try history.finish(run, RecordedRun.Outcome(report, exitCode: exitCode), report: summary)
        } catch {
            Self.warn(error, console)
        }
    }

    /// With the exit code and the summary that `plantdb sync` would have had.
    func finish(_ report: SyncReport) {
        let status = ExitStatus(report)
        let summary = JSONEvents(schema: JSONEvents.syncSchema, run: report.runID.rawValue)
            .summary(report, exitCode: status.code)
        finish(report, exitCode: status.code, summary: summary.jsonLine)
    }

    /// A folder as it is found from anywhere: who reads the history stands somewhere else.
    private static func place(_ given: String) -> String {
        guard !given.contains("://"), !given.looksLikeAnotherMachine else { return given }
        return URL(fileURLWithPath: given).standardizedFileURL.path
    }

    private static func warn(_ error: DatabaseError, _ console: Console) {
        console.error("warning: this run is not kept: \(error.description.printable)")
    }
}
