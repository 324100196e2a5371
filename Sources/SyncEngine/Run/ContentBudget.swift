import Synchronization

/// How much content may be on its way at a time, all scans together: a few large scans, or more
/// small ones. It bounds the memory of a run, whatever number of scans is at work.
final class ContentBudget: Sendable {
    /// In bytes: a scan with more than this takes as much as this.
    private static let largestShare = 8 << 20

    private struct State {
        var free: Int
        /// In the order they came.
        var waiting: [(share: Int, continuation: CheckedContinuation<Void, Never>)] = []

        mutating func admitted() -> [CheckedContinuation<Void, Never>] {
            var result: [CheckedContinuation<Void, Never>] = []
            while let first = waiting.first, first.share <= free {
                free -= first.share
                result.append(first.continuation)
                waiting.removeFirst()
            }
            return result
        }
    }

    private let state: Mutex<State>

    init(largeScans: Int) { state = Mutex(State(free: max(1, largeScans) * Self.largestShare)) }

    /// Waits until so many bytes may be on their way. Also in a cancelled task: those at work end soon
    /// then.
    ///
    /// - Returns: what is to be given back.
    func take(_ bytes: Int64) async -> Int {
        let share = min(Int(clamping: bytes), Self.largestShare)
        await withCheckedContinuation { continuation in
            let admitted = state.withLock { state in
                state.waiting.append((share, continuation))
                return state.admitted()
            }
            for one in admitted { one.resume() }
        }
        return share
    }

    func giveBack(_ share: Int) {
        let admitted = state.withLock { state in
            state.free += share
            return state.admitted()
        }
        for one in admitted { one.resume() }
    }
}
