import PlantDBCore
import SFTPClient

/// Locks over SFTP, which has no flock(2).
///
/// The database's `lock` file is taken by creating it exclusively; it says who holds it, and
/// that owner's death is proven only on the machine where it ran. Upstream 0.15 and later lock
/// scans by flock on `.locks/‹scan›.lock`: those can only be looked at, and one that is there is
/// taken for live.
extension SFTPEndpoint {
    public func acquireLock(_ scope: LockScope, mode: LockMode, wait: Duration) async throws(DatabaseError)
        -> any DatabaseLock
    {
        switch scope {
        case .scan(let scan):
            try await checkUpstreamLocks(of: scan, wait: wait)
            return NoLock()
        case .database:
            if mode == .exclusive { try await createIfNeeded() }
            let lock = try await waiting(wait) { () async throws(DatabaseError) in
                try await attemptLock(at: root.appending(DatabaseLayout.lock), mode)
            }
            guard mode == .exclusive else { return lock }
            do throws(DatabaseError) {
                // A run that locks only to publish may be staging.
                if try await readLock(root.appending(DatabaseLayout.runLockPath)) == nil {
                    try await reclaimStaging()
                }
            } catch {
                await lock.release()
                throw error
            }
            return lock
        case .run:
            guard mode == .exclusive else {
                return try await waiting(wait) { () async throws(DatabaseError) in
                    try await wholeHolder(isReader: true).map { .held(by: $0) } ?? .acquired(NoLock())
                }
            }
            try await createIfNeeded()
            return try await waiting(wait) { () async throws(DatabaseError) in try await attemptRunLock() }
        }
    }

    /// Until the lock is there, or the time is over.
    private func waiting(_ wait: Duration, _ attempt: () async throws(DatabaseError) -> Attempt)
        async throws(DatabaseError) -> any DatabaseLock
    {
        let deadline = ContinuousClock.now + wait
        while true {
            switch try await attempt() {
            case .acquired(let lock): return lock
            case .held(let holder):
                guard ContinuousClock.now < deadline else {
                    throw DatabaseError(
                        .locked,
                        "the database \(location) is locked \(holder); wait for it (--lock-wait), or if its owner is "
                            + "dead see plantdb locks")
                }
                try await pause()
            }
        }
    }

    /// The lock of runs excludes those of ours; who holds the whole database alone excludes it.
    private func attemptRunLock() async throws(DatabaseError) -> Attempt {
        let path = root.appending(DatabaseLayout.runLockPath)
        let attempt = try await attemptLock(at: path, .exclusive)
        guard case .acquired(let lock) = attempt else { return attempt }
        do throws(DatabaseError) {
            if let holder = try await wholeHolder(isReader: false) {
                await lock.release()
                return .held(by: holder)
            }
            // No other run is at work: what lies in staging belongs to the dead.
            try await reclaimStaging()
        } catch {
            await lock.release()
            throw error
        }
        return attempt
    }

    /// Who holds the whole database, as a sentence's end.
    ///
    /// - Parameter isReader: readers go beside other readers. A writer takes away the lock of a process that is
    ///   provably gone, which would go on keeping PlantDB 0.14 out.
    private func wholeHolder(isReader: Bool) async throws(DatabaseError) -> String? {
        let path = root.appending(DatabaseLayout.lock)
        guard isThere, let found = try await readLock(path) else { return nil }
        guard let owner = found.owner else { return Self.foreignHolder(found) }
        guard owner.isProvenDead else {
            return isReader && owner.mode == .shared
                ? nil : "by \(owner.summary), for \(ageText(owner.ageSeconds))"
        }
        if !isReader { try await takeAway(found, at: path) }
        return nil
    }

    private static func foreignHolder(_ found: FoundLock) -> String {
        "by another program (PlantDB 0.14 writes such a lock while it is connected), for "
            + ageText(found.ageSeconds)
    }

    /// The lock of a dead process. Another process of this machine may have been faster.
    private func takeAway(_ found: FoundLock, at path: RemotePath) async throws(DatabaseError) {
        let session = try await connections.session()
        try await translating("take over the lock of \(location)") { () async throws(SFTPError) in
            guard try await session.contents(of: path, limit: 1 << 16) == found.content else { return }
            try await session.removeIfThere(path)
        }
    }

    /// Runs `body` with the scan and the database locked, unless they are from the beginning.
    func lockedForPublishing(
        _ scan: ScanID, _ options: TransactionOptions, _ body: () async throws(DatabaseError) -> Void
    ) async throws(DatabaseError) {
        guard options.locking == .publication else { return try await body() }
        try await publishing.begin(wait: options.lockWait) { (wait) async throws(DatabaseError) in
            try await self.acquireLock(.database, mode: .exclusive, wait: wait)
        }
        let outcome: Result<Void, DatabaseError>
        do throws(DatabaseError) {
            try await checkUpstreamLocks(of: scan, wait: options.lockWait)
            outcome = .success(try await body())
        } catch { outcome = .failure(error) }
        await publishing.end()
        try outcome.get()
    }

    private enum Attempt {
        case acquired(any DatabaseLock)
        case held(by: String)
    }

    private func attemptLock(at path: RemotePath, _ mode: LockMode, tries: Int = 5)
        async throws(DatabaseError) -> Attempt
    {
        let session = try await connections.session()
        let content = LockOwner.current(mode: mode, holdsFlock: false).encoded()
        do throws(SFTPError) {
            try await RemoteLockFile(root: root, session: session, mode: mode).create(path, holding: content)
            return .acquired(RemoteLock(path: path, content: content, connections: connections))
        } catch {
            // Version 3 has no status for a name that is taken, so look.
            guard case .status(let status) = error.code else { throw .sftp(error, "lock \(location)") }
            guard let found = try await readLock(path) else {
                // Whoever held it gave it back in this moment.
                if status == .failure, tries > 1 {
                    return try await attemptLock(at: path, mode, tries: tries - 1)
                }
                if status == .permissionDenied || mode == .shared && status == .failure {
                    throw DatabaseError(
                        .permissionDenied,
                        "cannot lock \(location): its directory cannot be written; for a source that cannot be "
                            + "written use --no-source-lock", cause: error.message)
                }
                throw await explained(.sftp(error, "lock \(location)"))
            }
            guard let owner = found.owner else { return .held(by: Self.foreignHolder(found)) }
            // Beside another reader: its lock keeps writers out for both.
            if mode == .shared, owner.mode == .shared, !owner.isProvenDead { return .acquired(NoLock()) }
            guard owner.isProvenDead else {
                return .held(by: "by \(owner.summary), for \(ageText(owner.ageSeconds))")
            }
            try await takeAway(found, at: path)
            return try await attemptLock(at: path, mode)
        }
    }

    private struct FoundLock {
        /// nil: not one of ours.
        var owner: LockOwner?
        var content: [UInt8]
        var ageSeconds: Double
    }

    /// nil: there is none.
    private func readLock(_ path: RemotePath) async throws(DatabaseError) -> FoundLock? {
        let session = try await connections.session()
        return try await translating("look at the lock of \(location)") { () async throws(SFTPError) in
            guard let attributes = try await session.attributes(of: path) else { return nil }
            let age = attributes.times.map { max(0, WallClock.seconds - Double($0.modified)) } ?? 0
            let content = attributes.kind == .file ? try await session.contents(of: path, limit: 1 << 16) : []
            return FoundLock(
                owner: content.flatMap { LockOwner(parsing: $0) }, content: content ?? [], ageSeconds: age)
        }
    }

    /// - Throws: ``DatabaseError/Code/locked`` if a process of upstream 0.15 or later may hold it.
    func checkUpstreamLocks(of scan: ScanID, wait: Duration) async throws(DatabaseError) {
        let name = scan.name
        let deadline = ContinuousClock.now + wait
        while let lock = try await upstreamLocks().first(where: {
            $0 == name + ".lock" || $0.hasPrefix(name + "_") && $0.hasSuffix(".lock")
        }) {
            guard ContinuousClock.now < deadline else {
                throw DatabaseError(
                    .locked,
                    "scan \(scan) of \(location) is locked by another program (\(DatabaseLayout.scanLocks)/\(lock)), and "
                        + "over SFTP nothing tells whether it lives; wait for it, or see plantdb locks",
                    scan: scan)
            }
            try await pause()
        }
    }

    private func pause() async throws(DatabaseError) {
        do { try await Task.sleep(for: .milliseconds(200)) } catch {
            throw DatabaseError(.cancelled, "cancelled while waiting for a lock of \(location)")
        }
    }

    private func upstreamLocks() async throws(DatabaseError) -> [String] {
        guard isThere else { return [] }
        let session = try await connections.session()
        let path = root.appending(DatabaseLayout.scanLocks)
        return try await translating("look at the locks of \(location)") { () async throws(SFTPError) in
            do throws(SFTPError) {
                return try await session.entries(ofDirectory: path).map {
                    String(decoding: $0.bytes, as: UTF8.self)
                }
            } catch {
                if error.code == .status(.noSuchFile) { return [] }
                throw error
            }
        }
    }

    // MARK: Looking at them

    public func heldLocks() async throws(DatabaseError) -> [HeldLock] {
        var result: [HeldLock] = []
        for name in try await upstreamLocks().sorted() where name.hasSuffix(".lock") {
            let scope: LockScope
            do throws(DatabaseError) { scope = .scan(try ScanID(String(name.dropLast(5)))) } catch {
                scope = .database
            }
            result.append(
                HeldLock(
                    scope: scope, mode: nil, state: .live, owner: "another program", ageSeconds: nil,
                    path: "\(DatabaseLayout.scanLocks)/\(name)"))
        }
        for (scope, path) in [
            (LockScope.database, DatabaseLayout.lock), (.run, DatabaseLayout.runLockPath),
        ] {
            guard let found = try await readLock(root.appending(path)) else { continue }
            result.append(
                HeldLock(
                    scope: scope, mode: found.owner?.mode ?? .exclusive,
                    state: found.owner?.isProvenDead == true ? .dead : .live,
                    owner: found.owner?.summary
                        ?? "another program (PlantDB 0.14 writes such a lock while it is connected)",
                    ageSeconds: found.owner?.ageSeconds ?? found.ageSeconds, path: path))
        }
        return result
    }

    public func breakLock(_ lock: HeldLock, force: Bool) async throws(DatabaseError) {
        guard let current = try await heldLocks().first(where: { $0.path == lock.path }) else { return }
        if current.state == .live, !force {
            throw DatabaseError(
                .locked,
                "\(lock.path) is held by \(current.owner); nothing proves that it is dead: make sure, then use --force"
            )
        }
        let session = try await connections.session()
        let root = root
        try await translating("break \(lock.path) of \(location)") { () async throws(SFTPError) in
            try await session.removeIfThere(root.appending(lock.path))
            if lock.path.hasPrefix(DatabaseLayout.scanLocks + "/") {
                try await session.removeIfThere(root.appending(lock.path.dropLast(5) + ".info"))
            }
        }
    }
}

/// The `lock` file that this process made.
private actor RemoteLock: DatabaseLock {
    private let path: RemotePath
    private let content: [UInt8]
    private let connections: SFTPConnections
    private var isReleased = false

    init(path: RemotePath, content: [UInt8], connections: SFTPConnections) {
        self.path = path
        self.content = content
        self.connections = connections
    }

    func release() async {
        guard !isReleased else { return }
        isReleased = true
        let (path, content, connections) = (path, content, connections)
        // Also in a cancelled task.
        await Task {
            // Where even this fails it stays, and tells the next run of this machine that its owner is dead.
            await connections.tidyUp { (session) async throws(SFTPError) in
                // Broken by force, it may be somebody else's by now.
                guard try await session.contents(of: path, limit: 1 << 16) == content else { return }
                try await session.removeIfThere(path)
                // That of a run lies in our own directory, which goes with the last of what is in it.
                if path.description.hasSuffix("/" + DatabaseLayout.runLockPath) {
                    try await session.removeDirectoryIfEmpty(path.parent)
                }
            }
        }.value
    }
}

extension SFTPSession {
    func removeIfThere(_ path: RemotePath) async throws(SFTPError) {
        do throws(SFTPError) { try await request(.remove(path)) } catch {
            if error.code != .status(.noSuchFile) { throw error }
        }
    }
}
