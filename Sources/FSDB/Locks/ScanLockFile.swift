import Glibc
import PlantDBCore

/// The lock of one scan: flock(2) on its directory, and on the files that upstream 0.15 and
/// later use, `.locks/<scan>.lock`, where the database has a `.locks` directory.
///
/// Upstream makes `.locks` when it opens a database, and only then, so where there is none no
/// such process is at work, and we leave none behind. The flock on the directory keeps our
/// own processes apart everywhere.
final class ScanLockFile: Sendable {
    private let scanDirectory: CInt?
    private let locks: Directory?
    private let descriptor: CInt?
    private let name: String

    private init(scanDirectory: CInt?, locks: Directory?, descriptor: CInt?, name: String) {
        self.scanDirectory = scanDirectory
        self.locks = locks
        self.descriptor = descriptor
        self.name = name
    }

    /// One attempt; blocks for no longer than a few system calls.
    static func attempt(
        on scan: ScanID, in root: Directory, mode: LockMode
    ) throws(DatabaseError) -> LockAttempt<ScanLockFile> {
        var scanDirectory: CInt?
        var isComplete = false
        defer { if !isComplete, let scanDirectory { Flock.unlockAndClose(scanDirectory) } }
        do throws(SystemError) {
            let opened = try root.openRaw(scan.rawValue, flags: O_RDONLY | O_DIRECTORY)
            scanDirectory = opened
            // NFS cannot lock a directory; the database's lock has to do there.
            if try Flock.attempt(opened, mode) == .refused {
                return .held(by: "by another plantdb process of this machine")
            }
        } catch {
            // A scan that does not exist yet has no directory to lock.
            guard error.number == ENOENT else { throw root.failure(error, "lock", scan.rawValue) }
        }
        guard let locks = try root.directoryIfPresent(DatabaseLayout.scanLocks) else {
            isComplete = true
            return .acquired(
                ScanLockFile(scanDirectory: scanDirectory, locks: nil, descriptor: nil, name: scan.name))
        }
        if let holder = try finerLock(of: scan, in: locks, excluding: mode) { return .held(by: holder) }

        let lockName = scan.name + ".lock"
        let descriptor = try locks.open(lockName, flags: O_RDWR | O_CREAT, mode: 0o755)
        var keepsDescriptor = false
        defer { if !keepsDescriptor { Flock.unlockAndClose(descriptor) } }
        do throws(SystemError) {
            if try Flock.attempt(descriptor, mode) == .refused {
                return .held(by: holderText(of: scan.name, in: locks))
            }
            guard try Flock.isNamed(descriptor, lockName, in: locks.descriptor) else { return .raced }
        } catch { throw locks.failure(error, "lock", lockName) }
        do throws(DatabaseError) { try writeInfo(of: scan, in: locks, mode: mode) } catch {
            // On a full disk, say: not to be left behind by a run that goes no further.
            removeFilesIfAlone(of: scan.name, descriptor: descriptor, in: locks)
            throw error
        }
        keepsDescriptor = true
        isComplete = true
        return .acquired(
            ScanLockFile(scanDirectory: scanDirectory, locks: locks, descriptor: descriptor, name: scan.name))
    }

    /// Upstream locks filesets and files of a scan one by one as well (`<scan>_<fileset>…`).
    private static func finerLock(
        of scan: ScanID, in locks: Directory, excluding mode: LockMode
    ) throws(DatabaseError) -> String? {
        let prefix = Array((scan.name + "_").utf8)
        for entry in try locks.entries() where entry.name.starts(with: prefix) {
            guard let name = entry.text, name.hasSuffix(".lock") else { continue }
            let descriptor: CInt
            do throws(SystemError) {
                descriptor = try Flock.open(name, in: locks)
            } catch {
                if error.number == ENOENT { continue }
                throw locks.failure(error, "open the lock", name)
            }
            defer { Flock.unlockAndClose(descriptor) }
            do throws(SystemError) {
                if try Flock.attempt(descriptor, mode) == .refused {
                    return "(a part of it) " + holderText(of: String(name.dropLast(5)), in: locks)
                }
            } catch { throw locks.failure(error, "look at the lock", name) }
        }
        return nil
    }

    /// What the companion file tells; it is for people only, and may be missing or torn.
    static func holderText(of name: String, in locks: Directory) -> String {
        guard let info = info(of: name, in: locks) else {
            return "by another program, which does not say who it is"
        }
        let program = info["program"]?.string ?? "PlantDB"
        let user = info["user"]?.string ?? "?"
        let process = info["pid"]?.int.map { "process \($0)" } ?? "an unknown process"
        let host = info["host"]?.string.map { " on \($0)" } ?? ""
        let age = info["timestamp"]?.double.map { ", for " + ageText(max(0, WallClock.seconds - $0)) } ?? ""
        return "by \(program), \(process) of \(user)\(host)\(age)".printable
    }

    static func info(of name: String, in locks: Directory) -> JSONObject? {
        do { return try JSONValue(parsing: try locks.read(name + ".info", limit: 1 << 16)).object } catch {
            // Missing or torn: a lock is what flock says, not what this file says.
            return nil
        }
    }

    private static func writeInfo(of scan: ScanID, in locks: Directory, mode: LockMode) throws(DatabaseError)
    {
        let info: JSONValue = [
            "resource_id": .string(scan.name), "level": "scan", "lock_type": .string(mode.rawValue),
            "user": .string(LockOwner.userName), "timestamp": .number(WallClock.seconds),
            "pid": .number(Int(getpid())), "thread_id": .number(Int(pthread_self())),
            "host": .string(LockOwner.hostName), "program": .string(LockOwner.programName),
            "boot": LockOwner.bootID.map(JSONValue.string) ?? .null,
        ]
        let bytes = info.pythonBytes()
        // In place and not atomic, as upstream does: nothing is decided on it.
        let descriptor = try locks.open(
            scan.name + ".info", flags: O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, mode: 0o644)
        do throws(SystemError) {
            try WrittenFile.closing(descriptor, orThrow: SystemError.init) { () throws(SystemError) in
                guard try FileStatus.of(descriptor).kind == .file else { throw SystemError(EINVAL) }
                try Descriptor.writeAll(descriptor, bytes)
            }
        } catch {
            throw locks.failure(error, "write", scan.name + ".info")
        }
    }

    /// Removes the files of our own processes that died. (Upstream clears its own away when it
    /// opens a database.) Best effort: a file that nobody holds locks nothing.
    static func reclaim(in root: Directory) {
        do throws(DatabaseError) {
            guard let locks = try root.directoryIfPresent(DatabaseLayout.scanLocks) else { return }
            for entry in try locks.entries() {
                guard let file = entry.text, file.hasSuffix(".lock") else { continue }
                let name = String(file.dropLast(5))
                // Without a companion it was cut off between the two; upstream's say no program.
                if let info = info(of: name, in: locks) {
                    let boot = info["boot"]?.string
                    guard info["program"]?.string == LockOwner.programName,
                        info["host"]?.string == LockOwner.hostName || boot != nil && boot == LockOwner.bootID
                    else { continue }
                }
                do throws(SystemError) {
                    let descriptor = try locks.openRaw(file, flags: O_RDWR | O_NONBLOCK)
                    defer { Flock.unlockAndClose(descriptor) }
                    // Without flock(2) nothing tells whether its owner lives.
                    guard try FileStatus.of(descriptor).kind == .file,
                        try Flock.attempt(descriptor, .exclusive) == .taken
                    else { continue }
                    removeFilesIfAlone(of: name, descriptor: descriptor, in: locks)
                } catch {
                    continue
                }
            }
        } catch {
            // As above.
        }
    }

    /// Unlocks, and removes the files unless others share them. Called once.
    func release() {
        if let scanDirectory { Flock.unlockAndClose(scanDirectory) }
        guard let locks, let descriptor else { return }
        defer { Flock.unlockAndClose(descriptor) }
        Self.removeFilesIfAlone(of: name, descriptor: descriptor, in: locks)
    }

    /// Removes both files unless somebody else holds the lock. Best effort: a file that nobody
    /// holds locks nothing.
    private static func removeFilesIfAlone(of name: String, descriptor: CInt, in locks: Directory) {
        do throws(SystemError) {
            guard try Flock.attempt(descriptor, .exclusive) != .refused,
                try Flock.isNamed(descriptor, name + ".lock", in: locks.descriptor)
            else { return }
            // First, since nobody looks at it again once its lock file is gone.
            guard unlinkat(locks.descriptor, name + ".info", 0) == 0 || errno == ENOENT else { return }
            unlinkat(locks.descriptor, name + ".lock", 0)
        } catch {
            // As above.
        }
    }
}
