import FSDB
import PlantDBCore
import SyncEngine

/// `--watch`: one run after another, each when something changed at the source.
///
/// Besides, a run comes every ``longestPause``: changes that other machines make on a network file
/// system are seen by nobody here (inotify(7)).
struct SourceWatching {
    let path: String
    /// Of `--min-age`: what a run left alone for its youth is looked at again.
    let minimumAge: Duration?
    let console: Console

    private static let longestPause = Duration.seconds(600)
    /// After a failure, doubled with each further one.
    private static let retryPause = Duration.seconds(10)
    /// A run begins when nothing has changed for so long ...
    private static let quiet = Duration.seconds(2)
    /// ... or when changes have gone on for so long.
    private static let longestUnrest = Duration.seconds(30)
    private static let look = Duration.milliseconds(250)

    /// Returns never but by throwing: `CancellationError`, or what ended the first run before it could
    /// begin. Later failures are said, and tried again.
    func repeatRuns(_ run: (@escaping (SyncReport) -> Void) async throws -> Void) async throws {
        var watch: DatabaseWatch
        do throws(DatabaseError) { watch = try DatabaseWatch(path: path) } catch {
            throw CommandFailure(error, opening: true)
        }
        if let problem = watch.problem { console.note("note: \(problem.printable)") }
        console.note("watching \(path.printable); Ctrl-C ends it")
        var failures = 0
        for number in 1... {
            if watch.isLost {
                // A disk that was mounted anew. While it is away the run says so, and comes again.
                do throws(DatabaseError) { watch = try DatabaseWatch(path: path) } catch {
                    console.logOnly(ReportText.line(of: error))
                }
            }
            // Before the run, so that what changes during it is seen.
            watch.forget()
            var report: SyncReport?
            do {
                try await run { report = $0 }
                failures = 0
            } catch let status as ExitStatus where status == .differences {
                // Said, and for people to settle: nothing that the next try could mend.
                failures = 0
            } catch {
                let isUsage = report?.error?.code == .invalidArgument
                if Task.isCancelled || (number == 1 && report == nil) || isUsage { throw error }
                failures += 1
                say(error)
                console.note(
                    "trying again in \(Durations.text(Self.pause(after: failures))), or when something changes"
                )
            }
            try Task.checkCancellation()
            try await pause(watch, after: report, failures: failures)
        }
    }

    /// What `Plantdb` would say at the end.
    private func say(_ error: any Error) {
        switch error {
        case let failure as CommandFailure: console.error(ReportText.line(of: failure.error))
        case let error as DatabaseError: console.error(ReportText.line(of: error))
        // Said already.
        case is ExitStatus: break
        default: console.error("\(error)".printable)
        }
    }

    private static func pause(after failures: Int) -> Duration {
        min(longestPause, retryPause * (1 << min(failures - 1, 6)))
    }

    private func pause(_ watch: DatabaseWatch, after report: SyncReport?, failures: Int) async throws {
        let start = ContinuousClock.now
        var due = start + Self.longestPause
        if failures > 0 { due = start + Self.pause(after: failures) }
        if let minimumAge, report?.notices.contains(where: { $0.kind == .notSelected }) ?? false {
            due = min(due, start + max(minimumAge, Self.quiet))
        }
        var unrest: ContinuousClock.Instant?
        while ContinuousClock.now < due {
            try await Task.sleep(for: Self.look)
            guard let change = watch.lastChange else { continue }
            let now = ContinuousClock.now
            unrest = unrest ?? change
            let isQuiet = now - change >= Self.quiet
            if isQuiet || now - (unrest ?? now) >= Self.longestUnrest { return }
        }
    }
}
