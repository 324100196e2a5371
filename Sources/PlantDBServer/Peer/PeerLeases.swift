import PlantDBCore
import PlantDBWire

/// The locks and transactions that peers hold on this server. They are leases: what its peer
/// did not use for ``PeerProtocol/leaseSeconds`` is dropped, so that a peer that vanished
/// blocks nobody for longer.
actor PeerLeases {
    private let clock = ContinuousClock()
    private var locks: [String: Lease<any DatabaseLock>] = [:]
    private var transactions: [String: Lease<PeerTransaction>] = [:]
    private var commits: [String: Lease<Task<Result<Void, DatabaseError>, Never>>] = [:]

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

    /// Of all owners together.
    private let limit: Int

    /// - Parameter limit: of locks and transactions together.
    init(limit: Int = 1000) { self.limit = limit }

    /// - Parameter owner: whoever began it; nobody else can use it.
    ///
    /// - Throws: `unreachable` if the owner holds as many as one may, or all do: each costs descriptors.
    func add(_ lock: any DatabaseLock, owner: String) async throws(DatabaseError) -> String {
        guard hasRoom(beside: locks.values.count { $0.owner == owner }) else {
            await lock.release()
            throw Self.tooMany("locks")
        }
        let id = Self.newID()
        locks[id] = Lease(held: lock, owner: owner, lastUsed: clock.now)
        return id
    }

    /// - Throws: as for a lock.
    func add(_ transaction: PeerTransaction, owner: String) async throws(DatabaseError) -> String {
        guard hasRoom(beside: transactions.values.count { $0.owner == owner }) else {
            await transaction.transaction.abort()
            throw Self.tooMany("transactions")
        }
        let id = Self.newID()
        transactions[id] = Lease(held: transaction, owner: owner, lastUsed: clock.now)
        return id
    }

    var transactionCount: Int { transactions.count }

    private static let limitForOneOwner = 100

    /// Nobody takes more than half of what there is room for.
    private func hasRoom(beside count: Int) -> Bool {
        count < min(Self.limitForOneOwner, max(1, limit / 2)) && locks.count + transactions.count < limit
    }

    private static func tooMany(_ what: String) -> DatabaseError {
        DatabaseError(
            .unreachable,
            "the server holds as many \(what) as it can, for this user or for all; try again when they have ended"
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
    /// - Throws: `unreachable` if there is none (any more); `conflict` if another request uses it.
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

    /// Commits a transaction. It goes on to its end whatever becomes of the request, and its outcome is
    /// kept as long as a lease: a peer that lost the connection asks again, and waits for the same commit.
    ///
    /// - Throws: what the commit throws; as ``takeTransaction(_:owner:)``.
    func commit(_ id: String, owner: String) async throws(DatabaseError) {
        if let begun = commits[id], begun.owner == owner { return try await begun.held.value.get() }
        let transaction = try takeTransaction(id, owner: owner).transaction
        let commit = Task { () -> Result<Void, DatabaseError> in
            do throws(DatabaseError) {
                try await transaction.commit()
                return .success(())
            } catch {
                await transaction.abort()
                return .failure(error)
            }
        }
        commits[id] = Lease(held: commit, owner: owner, lastUsed: clock.now)
        let outcome = await commit.value
        transactions[id] = nil
        commits[id]?.lastUsed = clock.now
        try outcome.get()
    }

    /// Drops what was not used for too long.
    func dropExpired() async {
        let limit = clock.now - .seconds(PeerProtocol.leaseSeconds)
        commits = commits.filter { transactions[$0.key] != nil || $0.value.lastUsed >= limit }
        for (id, lease) in transactions where lease.users == 0 && lease.lastUsed < limit {
            transactions[id] = nil
            await lease.held.transaction.abort()
        }
        for (id, lease) in locks where lease.lastUsed < limit {
            locks[id] = nil
            await lease.held.release()
        }
    }

    /// Drops everything: the server stops. What is being published is finished.
    func dropAll() async {
        let (begun, uncommitted, heldLocks) = (
            commits, transactions.filter { commits[$0.key] == nil }, locks
        )
        transactions = [:]
        locks = [:]
        for commit in begun.values { _ = await commit.held.value }
        for lease in uncommitted.values { await lease.held.transaction.abort() }
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
