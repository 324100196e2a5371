import Glibc
import PlantDBCore

/// All locks of a database directory, to look at and to break.
enum LockInspection {
    static func heldLocks(in root: Directory) throws(DatabaseError) -> [HeldLock] {
        var result: [HeldLock] = []
        if let locks = try root.directoryIfPresent(DatabaseLayout.scanLocks) {
            for entry in try locks.entries() {
                guard let name = entry.text else { continue }
                let path = DatabaseLayout.scanLocks + "/" + name
                if name.hasSuffix(".lock") {
                    result.append(try inspect(String(name.dropLast(5)), path: path, in: locks))
                } else if name.hasSuffix(".info"),
                    try locks.status(of: String(name.dropLast(5)) + ".lock") == nil
                {
                    result.append(
                        HeldLock(
                            scope: .database, mode: nil, state: .debris, owner: "a leftover of PlantDB",
                            ageSeconds: nil, path: path))
                }
            }
        }
        let shown = Set(result.filter { $0.state == .live }.map(\.scope))
        for scan in try DatabaseListing.of(root).scans.map(\.scan) where !shown.contains(.scan(scan)) {
            if let lock = try lockedDirectory(of: scan, in: root) { result.append(lock) }
        }
        if let lock = try DatabaseLockFile.inspect(in: root) { result.append(lock) }
        if let lock = try RunLock.inspect(in: root) { result.append(lock) }
        return result
    }

    /// The flock(2) on a scan's directory, which ``ScanLockFile`` takes; nil where nobody holds it.
    private static func lockedDirectory(of scan: ScanID, in root: Directory) throws(DatabaseError)
        -> HeldLock?
    {
        guard let directory = try root.directoryIfPresent(scan.rawValue) else { return nil }
        let mode: LockMode
        do throws(SystemError) {
            guard try Flock.attempt(directory.descriptor, .exclusive) == .refused else { return nil }
            mode = try Flock.attempt(directory.descriptor, .shared) == .taken ? .shared : .exclusive
        } catch { throw directory.failure(error, "look at the lock", ".") }
        return HeldLock(
            scope: .scan(scan), mode: mode, state: .live, owner: "a plantdb process of this machine",
            ageSeconds: nil, path: scan.rawValue)
    }

    private static func inspect(_ name: String, path: String, in locks: Directory) throws(DatabaseError)
        -> HeldLock
    {
        let info = ScanLockFile.info(of: name, in: locks)
        var state = HeldLock.State.live
        var mode = (info?["lock_type"]?.string).flatMap(LockMode.init(rawValue:))
        do throws(SystemError) {
            let descriptor = try Flock.open(name + ".lock", in: locks)
            defer { Flock.unlockAndClose(descriptor) }
            if try Flock.attempt(descriptor, .exclusive) != .refused {
                state = .dead
            } else if mode == nil {
                mode = try Flock.attempt(descriptor, .shared) == .taken ? .shared : .exclusive
            }
        } catch {
            if error.number != ENOENT { throw locks.failure(error, "look at the lock", name + ".lock") }
            state = .dead
        }
        let scope: LockScope
        do { scope = .scan(try ScanID(info?["resource_id"]?.string ?? name)) } catch { scope = .database }
        return HeldLock(
            scope: scope, mode: mode, state: state, owner: ScanLockFile.holderText(of: name, in: locks),
            ageSeconds: (info?["timestamp"]?.double).map { max(0, WallClock.seconds - $0) }, path: path)
    }

    static func breakLock(_ lock: HeldLock, force: Bool, in root: Directory) throws(DatabaseError) {
        // As it is now, not as it was listed.
        guard let current = try heldLocks(in: root).first(where: { $0.path == lock.path }) else { return }
        if current.state == .live, !force {
            throw DatabaseError(
                .locked,
                "\(lock.path) is held by \(current.owner); nothing proves that it is dead: make sure, "
                    + "then use --force")
        }
        if case .scan(let scan) = current.scope, current.path == scan.rawValue {
            throw DatabaseError(
                .locked,
                "scan \(scan) is held by a running process of this machine, and by no file that could be "
                    + "removed; end that process", scan: scan)
        }
        try root.remove(lock.path)
        if lock.path.hasSuffix(".lock"), lock.path.hasPrefix(DatabaseLayout.scanLocks + "/") {
            try root.remove(String(lock.path.dropLast(5)) + ".info")
        }
    }
}
