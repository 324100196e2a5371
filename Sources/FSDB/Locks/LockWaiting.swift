import PlantDBCore

extension BlockingThreads {
    /// Attempts again and again until the lock is ours or `wait` is over.
    ///
    /// - Throws: ``DatabaseError/Code/locked``; cancellation.
    static func waitForLock<Lock: Sendable>(
        on what: String, scan: ScanID?, wait: Duration,
        _ attempt: @escaping @Sendable () throws(DatabaseError) -> LockAttempt<Lock>
    ) async throws(DatabaseError) -> Lock {
        let clock = ContinuousClock()
        // Who takes or gives up a shared lock holds it alone for a moment: that is no refusal yet.
        let deadline = clock.now + max(wait, .milliseconds(100))
        while true {
            switch try await run(while: "locking \(what)", attempt) {
            case .acquired(let lock): return lock
            case .raced: try DatabaseError.checkCancellation(while: "locking \(what)")
            case .held(let holder):
                guard clock.now < deadline else {
                    throw DatabaseError(
                        .locked,
                        "\(what) is locked \(holder); wait for it (--lock-wait), or if its owner is dead see "
                            + "plantdb locks", scan: scan)
                }
                do { try await Task.sleep(for: .milliseconds(50)) } catch {
                    throw DatabaseError(.cancelled, "cancelled while waiting for the lock of \(what)")
                }
            }
        }
    }
}
