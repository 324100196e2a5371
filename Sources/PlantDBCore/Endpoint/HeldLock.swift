/// A lock found in a database, as `plantdb locks list` shows it.
public struct HeldLock: Sendable, Hashable {
    public enum State: String, Sendable, Hashable, Codable {
        /// Its owner is alive, or nothing proves that it is not.
        case live
        /// Its owner is dead; the next run takes it over.
        case dead
        /// A leftover that locks nothing (upstream's orphaned `.info` files).
        case debris
    }

    public var scope: LockScope
    /// nil where the lock does not tell.
    public var mode: LockMode?
    public var state: State
    /// Who holds it: program, user, host, process, run, as far as the lock tells.
    public var owner: String
    /// How long ago it was taken, in seconds; nil where the lock does not tell.
    public var ageSeconds: Double?
    /// Its file, relative to the database's root.
    public var path: String

    public init(
        scope: LockScope, mode: LockMode?, state: State, owner: String, ageSeconds: Double?, path: String
    ) {
        self.scope = scope
        self.mode = mode
        self.state = state
        self.owner = owner
        self.ageSeconds = ageSeconds
        self.path = path
    }
}

/// An endpoint whose locks can be looked at and broken.
public protocol LockInspecting: Sendable {
    /// All locks of the database, in the order of their paths.
    func heldLocks() async throws(DatabaseError) -> [HeldLock]
    /// Removes a lock.
    /// - Parameter force: also if it is live; the owner then no longer has what it believes in.
    /// - Throws: ``DatabaseError/Code/locked`` if it is live and `force` is false.
    func breakLock(_ lock: HeldLock, force: Bool) async throws(DatabaseError)
}
