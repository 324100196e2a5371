import PlantDBCore
import PlantDBWire

/// The locks and transactions that peers hold on this server. They are leases: what its peer
/// did not use for ``PeerProtocol/leaseSeconds`` is dropped, so that a peer that vanished
/// blocks nobody for longer.
actor PeerLeases {
    private let clock = ContinuousClock()
    private var locks: [String: Lease<any DatabaseLock>] = [:]
    private var transactions: [String: Lease<PeerTransaction>] = [:]
    private var commits: [String: Lease<Result<Void, DatabaseError>>] = [:]

    /// One transaction, and the scan it is on.
    struct PeerTransaction: Sendable {
        let scan: ScanID
        let transaction: any ScanTransaction
    }

    private struct Lease<Held: Sendable> {
        let held: Held
        /// Who may use it.
        let owner: String
        var lastUsed: ContinuousClock.Instant
        /// Requests that are at work with it: it does not end under them.
        var users = 0
        /// It is dropped when its last user gives it back.
        var isGivenUp = false
    }

    /// - Parameter owner: whoever began it; nobody else can use it.
    ///
    /// - Throws: `unreachable` if the owner holds as many as one may: each costs a descriptor.
    func add(_ lock: any DatabaseLock, owner: String) async throws(DatabaseError) -> String {
        guard locks.values.count(where: { $0.owner == owner }) < Self.limitForOneOwner else {
            await lock.release()
            throw Self.tooMany("locks")
        }
        let id = Self.newID()
        locks[id] = Lease(held: lock, owner: owner, lastUsed: clock.now)
        return id
    }

    /// - Throws: as for a lock.
    func add(_ transaction: PeerTransaction, owner: String) async throws(DatabaseError) -> String {
        guard transactions.values.count(where: { $0.owner == owner }) < Self.limitForOneOwner else {
            await transaction.transaction.abort()
            throw Self.tooMany("transactions")
        }
        let id = Self.newID()
        transactions[id] = Lease(held: transaction, owner: owner, lastUsed: clock.now)
        return id
    }

    var transactionCount: Int { transactions.count }

    private static let limitForOneOwner = 100

    private static func tooMany(_ what: String) -> DatabaseError {
        DatabaseError(
            .unreachable,
            "the server holds \(limitForOneOwner) \(what) for this user already; try again when they have ended"
        )
    }

    /// - Returns: whether it is held still.
    func keepLock(_ id: String, owner: String) -> Bool {
        guard locks[id]?.owner == owner else { return false }
        locks[id]?.lastUsed = clock.now
        return true
    }

    func releaseLock(_ id: String, owner: String) async {
        guard locks[id]?.owner == owner, let lease = locks.removeValue(forKey: id) else { return }
        await lease.held.release()
    }

    /// Takes it for one request. Give it back with ``giveBack(_:)``.
    /// - Throws: `notFound` if there is none (any more); `conflict` if another request uses it.
    func takeTransaction(_ id: String, owner: String) throws(DatabaseError) -> PeerTransaction {
        guard let lease = transactions[id], lease.owner == owner else {
            throw DatabaseError(
                .unreachable, "the transaction is gone: the server dropped it, or was started again")
        }
        guard lease.users == 0 else {
            throw DatabaseError(.conflict, "another request is at work with this transaction")
        }
        transactions[id]?.users = 1
        return lease.held
    }

    /// It is dropped when it is given back.
    func doom(_ id: String) { transactions[id]?.isGivenUp = true }

    func giveBack(_ id: String) async {
        transactions[id]?.users = 0
        transactions[id]?.lastUsed = clock.now
        guard transactions[id]?.isGivenUp == true, let lease = transactions.removeValue(forKey: id) else {
            return
        }
        await lease.held.transaction.abort()
    }

    /// Drops a transaction: now, or as soon as the request that is at work with it has ended. (The
    /// peer lost that one's connection, and the server has not noticed yet.) Returns when it is gone.
    func giveUp(_ id: String, owner: String) async {
        guard let lease = transactions[id], lease.owner == owner else { return }
        if lease.users == 0 {
            transactions[id] = nil
            return await lease.held.transaction.abort()
        }
        transactions[id]?.isGivenUp = true
        let deadline = clock.now + .seconds(10)
        while transactions[id] != nil, clock.now < deadline {
            // Cancelled: the transaction ends all the same, and nobody waits for it.
            do { try await Task.sleep(for: .milliseconds(10)) } catch { return }
        }
    }

    /// After a commit, whose outcome is kept for whoever asks again.
    func ended(_ id: String, owner: String, _ outcome: Result<Void, DatabaseError>) {
        transactions[id] = nil
        commits[id] = Lease(held: outcome, owner: owner, lastUsed: clock.now)
    }

    /// nil if it was not committed, or too long ago.
    func outcome(ofCommit id: String, owner: String) -> Result<Void, DatabaseError>? {
        commits[id].flatMap { $0.owner == owner ? $0.held : nil }
    }

    /// Drops what was not used for too long.
    func dropExpired() async {
        let limit = clock.now - .seconds(PeerProtocol.leaseSeconds)
        commits = commits.filter { $0.value.lastUsed >= limit }
        for (id, lease) in transactions where lease.users == 0 && lease.lastUsed < limit {
            transactions[id] = nil
            await lease.held.transaction.abort()
        }
        for (id, lease) in locks where lease.lastUsed < limit {
            locks[id] = nil
            await lease.held.release()
        }
    }

    /// Drops everything: the server stops.
    func dropAll() async {
        let (openTransactions, heldLocks) = (transactions, locks)
        transactions = [:]
        locks = [:]
        for lease in openTransactions.values { await lease.held.transaction.abort() }
        for lease in heldLocks.values { await lease.held.release() }
    }

    /// Drops what expires until the task is cancelled, and everything then.
    func run() async {
        while !Task.isCancelled {
            do { try await Task.sleep(for: .seconds(5)) } catch { break }
            await dropExpired()
        }
        await dropAll()
    }

    /// 128 random bits: nobody guesses another's.
    private static func newID() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<2).map { _ in
            let digits = String(generator.next() as UInt64, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}
