import PlantDBCore

/// The lock of runs into one database: ``LockScope/run``.
///
/// It excludes runs of ours from one another, and lets everybody else in. Who holds the whole database,
/// PlantDB 0.14 or a run with `--lock whole`, keeps it from being had.
enum RunLock {
    /// One attempt; blocks for no longer than a few system calls.
    static func attempt(in root: Directory) throws(DatabaseError) -> LockAttempt<DatabaseLockFile> {
        // Before anything is made: a database that is held stays as it is.
        if let holder = try holder(of: root, isReader: false) { return .held(by: holder) }
        try root.makeDirectory(DatabaseLayout.work, mode: 0o700)
        let taken: LockAttempt<DatabaseLockFile>
        do throws(DatabaseError) {
            guard let work = try root.directoryIfPresent(DatabaseLayout.work) else { return .raced }
            taken = try DatabaseLockFile.attempt(in: work, named: DatabaseLayout.runLock, mode: .exclusive)
        } catch {
            // Whoever ended a run in this moment took the empty directory away.
            if error.code == .notFound { return .raced }
            try root.removeIfEmpty(DatabaseLayout.work)
            throw error
        }
        guard case .acquired(let lock) = taken else { return taken }
        do throws(DatabaseError) {
            guard let holder = try holder(of: root, isReader: false) else { return taken }
            release(lock, of: root)
            return .held(by: holder)
        } catch {
            release(lock, of: root)
            throw error
        }
    }

    static func release(_ lock: DatabaseLockFile, of root: Directory) {
        lock.release()
        // It stays where something else is in it; the next run finds it as well as this one.
        do throws(DatabaseError) { try root.removeIfEmpty(DatabaseLayout.work) } catch {}
    }

    static func inspect(in root: Directory) throws(DatabaseError) -> HeldLock? {
        guard let work = try root.directoryIfPresent(DatabaseLayout.work) else { return nil }
        return try DatabaseLockFile.inspect(
            in: work, named: DatabaseLayout.runLock, scope: .run, path: DatabaseLayout.runLockPath)
    }

    /// Who holds the whole database, as a sentence's end.
    ///
    /// - Parameter isReader: readers go beside other readers. A writer takes away the lock of a process that is
    ///   provably gone, which would go on keeping PlantDB 0.14 out.
    static func holder(of root: Directory, isReader: Bool) throws(DatabaseError) -> String? {
        guard let lock = try DatabaseLockFile.inspect(in: root) else { return nil }
        switch (lock.state, lock.mode) {
        case (.live, .shared) where isReader: return nil
        case (.live, _):
            return "by \(lock.owner)" + (lock.ageSeconds.map { ", for " + ageText($0) } ?? "")
        case (.dead, _), (.debris, _):
            if isReader { return nil }
            if case .acquired(let taken) = try DatabaseLockFile.attempt(in: root, mode: .exclusive) {
                taken.release()
            }
            return nil
        }
    }
}
