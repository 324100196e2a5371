import CPlatform
import Glibc
import PlantDBCore

/// A lock of the whole database: the file `lock` in the root, as upstream 0.14 has it; and the lock of
/// runs, `.plantdb-sync/run.lock`, which is made in the same way and is ours alone.
///
/// Upstream's is empty and means by its existence that a process is connected; nothing tells
/// whether that process lives, so it is always taken for live. Ours says who holds it and is
/// held by flock(2): exclusive, or shared by several readers of a source. To upstream 0.14 a
/// shared lock of ours looks like any other. Where there is no flock it is as over SFTP: that its owner
/// is gone must be proven, and a reader beside another goes by that one's lock.
final class DatabaseLockFile: Sendable {
    /// That the lock lies in.
    private let root: Directory
    private let name: String
    private let descriptor: CInt
    /// Whether the file is another reader's.
    private let isGuest: Bool

    private init(root: Directory, name: String, descriptor: CInt, isGuest: Bool = false) {
        self.root = root
        self.name = name
        self.descriptor = descriptor
        self.isGuest = isGuest
    }

    /// One attempt; blocks for no longer than a few system calls.
    static func attempt(in root: Directory, named name: String = DatabaseLayout.lock, mode: LockMode)
        throws(DatabaseError) -> LockAttempt<DatabaseLockFile>
    {
        if let created = try create(in: root, named: name, mode: mode) { return .acquired(created) }
        let descriptor: CInt
        do throws(SystemError) {
            descriptor = try root.openRaw(name, flags: O_RDWR | O_NOFOLLOW | O_NONBLOCK)
        } catch {
            if error.number == ENOENT { return .raced }
            throw root.failure(error, "open the lock", name)
        }
        var keepsDescriptor = false
        defer { if !keepsDescriptor { Flock.unlockAndClose(descriptor) } }
        do throws(SystemError) {
            let status = try FileStatus.of(descriptor)
            let content = try Descriptor.readAll(descriptor, expecting: Int(status.size), limit: 1 << 16)
            guard let owner = LockOwner(parsing: content) else {
                let age = max(0, WallClock.seconds - Double(status.modified.nanoseconds) / 1e9)
                return .held(
                    by: "by another program (PlantDB 0.14 writes such a lock while it is connected), for "
                        + ageText(age))
            }
            let holder = "\(owner.summary), for \(ageText(owner.ageSeconds))"
            guard owner.isOfThisMachine else { return .held(by: "by " + holder) }
            let outcome = try Flock.attempt(descriptor, mode)
            if outcome == .refused { return .held(by: "by " + holder) }
            guard try Flock.isNamed(descriptor, name, in: root.descriptor) else { return .raced }
            let isSurelyDead = outcome == .unsupported && owner.isProvenDead
            if mode == .shared, owner.mode == .shared, !isSurelyDead {
                keepsDescriptor = true
                return .acquired(
                    DatabaseLockFile(
                        root: root, name: name, descriptor: descriptor, isGuest: outcome == .unsupported))
            }
            switch outcome == .taken ? try Flock.attempt(descriptor, .exclusive) : outcome {
            case .refused: return .raced
            // Nobody holds the flock. Who never held it, since it came over SFTP, may live.
            case .taken: guard owner.isDeadWithoutFlock else { return .held(by: "by " + holder) }
            case .unsupported: guard isSurelyDead else { return .held(by: "by " + holder) }
            }
            // Remove the file under an exclusive lock, then create our own.
            guard try Flock.isNamed(descriptor, name, in: root.descriptor) else { return .raced }
            guard unlinkat(root.descriptor, name, 0) == 0 || errno == ENOENT else { throw SystemError() }
            return .raced
        } catch { throw root.failure(error, "take the lock", name) }
    }

    /// nil if the name is taken.
    private static func create(in root: Directory, named name: String, mode: LockMode)
        throws(DatabaseError) -> DatabaseLockFile?
    {
        do throws(SystemError) {
            // Without a name first, so that the file appears complete and locked; the name comes by /proc.
            var descriptor: CInt = -1
            if access("/proc/self/fd", F_OK) == 0 {
                descriptor = plantdb_openat(root.descriptor, ".", O_RDWR | plantdb_o_tmpfile, 0o644)
            }
            let isUnnamed = descriptor >= 0
            if !isUnnamed {
                // NFS, FAT and others have no unnamed files.
                guard [EOPNOTSUPP, EISDIR, ENOENT, EINVAL].contains(errno) else { throw SystemError() }
                descriptor = plantdb_openat(
                    root.descriptor, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644)
                if descriptor < 0 {
                    if errno == EEXIST { return nil }
                    throw SystemError()
                }
            }
            do throws(SystemError) {
                let holdsFlock = try Flock.attempt(descriptor, mode) == .taken
                try Descriptor.writeAll(
                    descriptor, LockOwner.current(mode: mode, holdsFlock: holdsFlock).encoded())
                // A power cut may leave the name without the content, and an empty lock is one of
                // upstream's, which is never taken over.
                guard fsync(descriptor) == 0 || errno == EINVAL else { throw SystemError() }
                if isUnnamed, plantdb_link_descriptor(descriptor, root.descriptor, name) != 0 {
                    if errno == EEXIST {
                        Flock.unlockAndClose(descriptor)
                        return nil
                    }
                    throw SystemError()
                }
            } catch {
                Flock.unlockAndClose(descriptor)
                throw error
            }
            return DatabaseLockFile(root: root, name: name, descriptor: descriptor)
        } catch {
            throw root.failure(
                error,
                mode == .shared
                    ? "lock (for a source that cannot be written use --no-source-lock)" : "lock", name)
        }
    }

    /// Removes the file unless other readers share it. Called once.
    func release() {
        defer { Flock.unlockAndClose(descriptor) }
        if isGuest { return }
        do throws(SystemError) {
            // Gives up a shared lock if it fails, which is what we want anyway.
            guard try Flock.attempt(descriptor, .exclusive) != .refused,
                try Flock.isNamed(descriptor, name, in: root.descriptor)
            else { return }
            unlinkat(root.descriptor, name, 0)
        } catch {
            // The next run finds a file that nobody holds, and takes it over.
        }
    }

    // MARK: Looking at it

    /// - Parameters:
    ///   - scope: of the lock that lies in `root` by that name.
    ///   - path: what it is called from outside.
    static func inspect(
        in root: Directory, named name: String = DatabaseLayout.lock, scope: LockScope = .database,
        path: String = DatabaseLayout.lock
    ) throws(DatabaseError) -> HeldLock? {
        guard let status = try root.status(of: name) else { return nil }
        let descriptor: CInt
        do throws(SystemError) { descriptor = try Flock.open(name, in: root) } catch {
            if error.number == ENOENT { return nil }
            throw root.failure(error, "open the lock", name)
        }
        defer { Flock.unlockAndClose(descriptor) }
        do throws(SystemError) {
            let content = try Descriptor.readAll(descriptor, expecting: 0, limit: 1 << 16)
            guard let owner = LockOwner(parsing: content) else {
                return HeldLock(
                    scope: scope, mode: .exclusive, state: .live,
                    owner: "another program (PlantDB 0.14 writes such a lock while it is connected)",
                    ageSeconds: max(0, WallClock.seconds - Double(status.modified.nanoseconds) / 1e9),
                    path: path)
            }
            var isDead = false
            if owner.isOfThisMachine, owner.isDeadWithoutFlock {
                switch try Flock.attempt(descriptor, .exclusive) {
                case .taken: isDead = true
                case .refused: break
                case .unsupported: isDead = owner.isProvenDead
                }
            }
            return HeldLock(
                scope: scope, mode: owner.mode, state: isDead ? .dead : .live, owner: owner.summary,
                ageSeconds: owner.ageSeconds, path: path)
        } catch { throw root.failure(error, "look at the lock", name) }
    }
}
