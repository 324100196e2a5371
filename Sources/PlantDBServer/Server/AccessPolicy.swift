/// What a route asks of its caller. Every route has one; ``RouteTable`` takes no route without.
public enum AccessPolicy: String, Sendable, Hashable, CaseIterable {
    /// Anybody: what says that the server is there, and nothing of what it holds.
    case anybody
    /// Whoever may read the database.
    case read
    /// Whoever may change it.
    case write
}

/// Who sent a request.
struct Caller: Sendable {
    /// What its locks and transactions belong to.
    var name: String
    var mayRead: Bool
    var mayWrite: Bool

    func satisfies(_ policy: AccessPolicy) -> Bool {
        switch policy {
        case .anybody: true
        case .read: mayRead
        case .write: mayWrite
        }
    }
}
