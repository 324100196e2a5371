import PlantDBCore
import Synchronization

extension ScanPartStream {
    /// A stream of ready-made parts, ended by `failure` where there is one.
    public init(replaying parts: [ScanPart], failure: DatabaseError? = nil) {
        let cursor = ReplayCursor(parts: parts, failure: failure)
        self.init { () async throws(DatabaseError) in try cursor.next() }
    }

    /// A stream that hands out `parts` and then waits until its task is cancelled.
    public init(stallingAfter parts: [ScanPart]) {
        let cursor = ReplayCursor(parts: parts, failure: nil)
        self.init { () async throws(DatabaseError) in
            if let part = try cursor.next() { return part }
            try await stallUntilCancelled(while: "reading a part")
            return nil
        }
    }
}

/// Waits for the task's cancellation, which is the only way out.
/// - Throws: ``DatabaseError/Code/cancelled``.
func stallUntilCancelled(while doing: String) async throws(DatabaseError) {
    while true {
        do {
            try await Task.sleep(for: .seconds(3600))
        } catch {
            throw DatabaseError.wrapping(error, while: doing)
        }
    }
}

private final class ReplayCursor: Sendable {
    private let parts: [ScanPart]
    private let failure: DatabaseError?
    private let position = Mutex(0)

    init(parts: [ScanPart], failure: DatabaseError?) {
        self.parts = parts
        self.failure = failure
    }

    func next() throws(DatabaseError) -> ScanPart? {
        let index = position.withLock { position in
            defer { position += 1 }
            return position
        }
        if index < parts.count { return parts[index] }
        if let failure { throw failure }
        return nil
    }
}
