import PlantDBCore
import Synchronization

/// Counts what is staged and published, and works out the rate.
final class ProgressTracker: Sendable {
    private struct State {
        var progress: SyncProgress
        var active: [(scan: ScanID, meter: ByteMeter)] = []
        /// Staged bytes of scans that are no longer active and were published.
        var settledBytes: Int64 = 0
        /// Staged bytes at earlier times, oldest first, over the last seconds.
        var history: [(seconds: Double, bytes: Int64)] = []
    }

    private static let rateWindowSeconds = 5.0

    private let state: Mutex<State>
    private let start = ContinuousClock().now

    init(plan: SyncPlan) {
        let work = plan.scans.filter(\.hasWork)
        state = Mutex(
            State(
                progress: SyncProgress(
                    filesPlanned: plan.filesToTransfer, bytesPlanned: plan.bytesToTransfer,
                    // What could not even be planned keeps the run from ever being complete.
                    scansPlanned: work.count + plan.removedScans.count + plan.failures.count)))
    }

    func begin(_ scan: ScanID) -> ByteMeter {
        let meter = ByteMeter()
        state.withLock { $0.active.append((scan, meter)) }
        return meter
    }

    /// The scan is over; what it staged counts only if it was published.
    func end(_ scan: ScanID, published plan: ScanPlan?) {
        state.withLock { state in
            state.active.removeAll { $0.scan == scan }
            guard let plan else { return }
            state.settledBytes = state.settledBytes.addingSaturated(plan.bytesToTransfer)
            state.progress.filesPublished += plan.filesToTransfer
            state.progress.bytesPublished = state.progress.bytesPublished.addingSaturated(
                plan.bytesToTransfer)
            state.progress.scansFinished += 1
        }
    }

    func endRemoval() { state.withLock { $0.progress.scansFinished += 1 } }

    /// A scan was planned anew; what it needs counts instead of what it needed.
    func replace(_ old: ScanPlan, with new: ScanPlan) {
        state.withLock { state in
            state.progress.bytesPlanned = state.progress.bytesPlanned.addingSaturated(
                new.bytesToTransfer - old.bytesToTransfer)
            state.progress.filesPlanned += new.filesToTransfer - old.filesToTransfer
        }
    }

    func current() -> SyncProgress {
        let seconds = (ContinuousClock().now - start) / .seconds(1)
        return state.withLock { state in
            let staged = state.active.reduce(state.settledBytes) { $0.addingSaturated($1.meter.total) }
            // A retried scan starts again: what was staged twice is not shown twice.
            state.progress.bytesStaged = min(staged, state.progress.bytesPlanned)
            state.progress.seconds = seconds
            state.progress.activeScans = state.active.map(\.scan)
            state.history.append((seconds, staged))
            while let oldest = state.history.first, state.history.count > 2,
                seconds - oldest.seconds > Self.rateWindowSeconds
            {
                state.history.removeFirst()
            }
            if let oldest = state.history.first, seconds > oldest.seconds {
                state.progress.bytesPerSecond = max(
                    0, Double(staged - oldest.bytes) / (seconds - oldest.seconds))
            }
            return state.progress
        }
    }
}
