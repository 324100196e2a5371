/// What is locked.
public enum LockScope: Sendable, Hashable, CustomStringConvertible {
    /// The whole database: upstream 0.14's lock, and ours. Others see it, and keep out.
    case database
    /// Runs of ours into one target, which exclude one another; nobody else sees it. Asked for shared, for a
    /// source, nothing is taken: it only waits for whoever holds the whole database alone.
    case run
    /// One scan: the lock of upstream 0.15 and later.
    case scan(ScanID)

    public var description: String {
        switch self {
        case .database, .run: "the database"
        case .scan(let scan): "scan \(scan)"
        }
    }
}

public enum LockMode: String, Sendable, Hashable, Codable {
    /// For reading: others may read too.
    case shared
    /// For writing.
    case exclusive
}

/// A lock that is held. Release it on every way out; a process that dies releases what the
/// kernel holds for it, and leaves behind what `plantdb locks` can tell from a live lock.
public protocol DatabaseLock: Sendable {
    /// Idempotent. Runs to its end even in a cancelled task.
    func release() async
}

/// The lock of a peer that has none.
public struct NoLock: DatabaseLock {
    public init() {}
    public func release() async {}
}
