import Foundation
import PlantDBCore
import SyncEngine
import SyncHistory
import Synchronization

/// The run of this command in the history. What the history cannot take is a warning, never the
/// failure of a run.
struct KeptRun: Sendable {
    private let history: RunHistory
    private let run: RunID
    private let console: Console
    private let watch: WatchMemory?

    /// nil where none is kept.
    init?(_ run: RunID, source: String, target: String, watch: WatchMemory? = nil, console: Console) {
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
        self.watch = watch
    }

    /// What runs between the two remember; nil where nothing is kept.
    ///
    /// - Parameter isDryRun: makes no file.
    static func memory(
        from source: any DatabaseEndpoint, to target: any DatabaseEndpoint, isDryRun: Bool, _ console: Console
    ) -> (any PairMemory)? {
        do throws(DatabaseError) {
            return try SyncMemory.ofUser(from: source, to: target, creates: !isDryRun)
        } catch {
            warn(error, console)
            return nil
        }
    }

    func finish(_ report: SyncReport, exitCode: Int32, summary: String) {
        let didNothing = report.scansPublished == 0 && report.totals.filesMoved == 0
        let isAsBefore = watch?.endsAsBefore(exitCode) ?? false
        do throws(DatabaseError) {
            if didNothing && isAsBefore { return try history.forget(run) }
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

/// How the last run of a watch ended. A run that did nothing and ended in the same way is not kept: there
/// are many, and they would displace all others.
final class WatchMemory: Sendable {
    private let last = Mutex<Int32?>(nil)

    func endsAsBefore(_ exitCode: Int32) -> Bool {
        last.withLock { last in
            defer { last = exitCode }
            return last == exitCode
        }
    }
}
