import PlantDBCore

/// Who holds which lock of a ``MemoryDatabase``.
struct MemoryLockTable: Sendable {
    struct Record: Sendable {
        var id: Int
        var scope: LockScope
        var mode: LockMode
        var owner: String
        var taken: ContinuousClock.Instant
    }

    private(set) var records: [Record] = []
    private var nextID = 1

    /// The id of the new lock; nil while somebody holds one that excludes it.
    mutating func acquire(_ scope: LockScope, mode: LockMode, owner: String) -> Int? {
        guard holder(against: mode, of: scope) == nil else { return nil }
        defer { nextID += 1 }
        records.append(Record(id: nextID, scope: scope, mode: mode, owner: owner, taken: .now))
        return nextID
    }

    /// Who keeps a lock of that mode from being taken.
    func holder(against mode: LockMode, of scope: LockScope) -> Record? {
        records.first { record in
            // A run does not begin where somebody holds the database.
            record.scope == scope && (mode == .exclusive || record.mode == .exclusive)
                || scope == .run && record.scope == .database
        }
    }

    mutating func release(_ id: Int) { records.removeAll { $0.id == id } }
}

/// A lock of a ``MemoryDatabase``, held until it is released.
struct MemoryLock: DatabaseLock {
    let database: MemoryDatabase
    let id: Int

    func release() async { database.state.withLock { $0.locks.release(id) } }
}

extension MemoryEndpoint {
    public func acquireLock(_ scope: LockScope, mode: LockMode, wait: Duration) async throws(DatabaseError)
        -> any DatabaseLock
    {
        try checkOpen("lock \(scope)")
        if scope == .run, mode == .shared {
            // Nothing is taken: it is only waited for whoever writes.
            await (try takeLock(.database, mode: .shared, wait: wait)).release()
            return NoLock()
        }
        return try await takeLock(scope, mode: mode, wait: wait)
    }

    func takeLock(_ scope: LockScope, mode: LockMode, wait: Duration) async throws(DatabaseError)
        -> MemoryLock
    {
        let deadline = ContinuousClock.now + wait
        while true {
            try DatabaseError.checkCancellation(while: "waiting for the lock of \(scope)")
            let (id, holder) = database.state.withLock { state in
                let id = state.locks.acquire(scope, mode: mode, owner: owner)
                return (id, id == nil ? state.locks.holder(against: mode, of: scope) : nil)
            }
            if let id { return MemoryLock(database: database, id: id) }
            guard ContinuousClock.now < deadline else {
                throw DatabaseError(
                    .locked,
                    "\(scope) of \(location) is locked by \(holder?.owner ?? "somebody else"); "
                        + "wait until that run is over")
            }
            do {
                try await Task.sleep(for: .milliseconds(2))
            } catch {
                throw DatabaseError.wrapping(error, while: "waiting for the lock of \(scope)")
            }
        }
    }

    public func heldLocks() async throws(DatabaseError) -> [HeldLock] {
        try checkOpen("list the locks")
        let records = database.state.withLock { $0.locks.records }
        return records.map { record in
            HeldLock(
                scope: record.scope, mode: record.mode, state: .live, owner: record.owner,
                ageSeconds: (ContinuousClock.now - record.taken) / .seconds(1),
                path: Self.path(of: record))
        }.sorted { $0.path < $1.path }
    }

    public func breakLock(_ lock: HeldLock, force: Bool) async throws(DatabaseError) {
        try checkOpen("break a lock")
        let record = database.state.withLock { state in
            state.locks.records.first { Self.path(of: $0) == lock.path }
        }
        guard let record else { return }
        guard force else {
            throw DatabaseError(
                .locked, "\(lock.scope) of \(location) is locked by \(record.owner), which is alive")
        }
        database.state.withLock { $0.locks.release(record.id) }
    }

    private static func path(of record: MemoryLockTable.Record) -> String {
        switch record.scope {
        case .database: "lock#\(record.id)"
        case .run: "run.lock#\(record.id)"
        case .scan(let scan): ".locks/\(scan).lock#\(record.id)"
        }
    }
}
