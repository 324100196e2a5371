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
            let deadline = ContinuousClock.now + wait
            while true {
                switch try await attemptLock(mode) {
                case .acquired(let lock):
                    if mode == .exclusive { try await reclaimStaging(releasing: lock) }
                    return lock
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
    }

    private func reclaimStaging(releasing lock: any DatabaseLock) async throws(DatabaseError) {
        do throws(DatabaseError) { try await reclaimStaging() } catch {
            await lock.release()
            throw error
        }
    }

    private enum Attempt {
        case acquired(any DatabaseLock)
        case held(by: String)
    }

    private func attemptLock(_ mode: LockMode) async throws(DatabaseError) -> Attempt {
        let session = try await connections.session()
        let path = root.appending(DatabaseLayout.lock)
        let content = LockOwner.current(mode: mode, holdsFlock: false).encoded()
        do throws(SFTPError) {
            try await RemoteLockFile(root: root, session: session, mode: mode).create(path, holding: content)
            return .acquired(RemoteLock(path: path, content: content, connections: connections))
        } catch {
            // Version 3 has no status for a name that is taken, so look.
            guard case .status(let status) = error.code else { throw .sftp(error, "lock \(location)") }
            guard let found = try await readLock() else {
                if status == .permissionDenied || mode == .shared && status == .failure {
                    throw DatabaseError(
                        .permissionDenied,
                        "cannot lock \(location): its directory cannot be written; for a source that cannot be "
                            + "written use --no-source-lock", cause: error.message)
                }
                throw await explained(.sftp(error, "lock \(location)"))
            }
            guard let owner = found.owner else {
                return .held(
                    by: "by another program (PlantDB 0.14 writes such a lock while it is connected), for "
                        + ageText(found.ageSeconds))
            }
            // Beside another reader: its lock keeps writers out for both.
            if mode == .shared, owner.mode == .shared, !owner.isProvenDead { return .acquired(NoLock()) }
            guard owner.isProvenDead else {
                return .held(by: "by \(owner.summary), for \(ageText(owner.ageSeconds))")
            }
            try await translating("take over the lock of \(location)") { () async throws(SFTPError) in
                // Another process of this machine may have been faster.
                guard try await session.contents(of: path, limit: 1 << 16) == found.content else { return }
                try await session.removeIfThere(path)
            }
            return try await attemptLock(mode)
        }
    }

    private struct FoundLock {
        /// nil: not one of ours.
        var owner: LockOwner?
        var content: [UInt8]
        var ageSeconds: Double
    }

    /// nil: there is none.
    private func readLock() async throws(DatabaseError) -> FoundLock? {
        let session = try await connections.session()
        let path = root.appending(DatabaseLayout.lock)
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
        if let found = try await readLock() {
            result.append(
                HeldLock(
                    scope: .database, mode: found.owner?.mode ?? .exclusive,
                    state: found.owner?.isProvenDead == true ? .dead : .live,
                    owner: found.owner?.summary
                        ?? "another program (PlantDB 0.14 writes such a lock while it is connected)",
                    ageSeconds: found.owner?.ageSeconds ?? found.ageSeconds, path: DatabaseLayout.lock))
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
