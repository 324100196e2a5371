import PlantDBCore

/// What a connected ``FSDB`` holds: its lock, a place to prepare files, and what it has read.
struct Connection: Sendable {
    let access: FSDB.Access
    /// nil: without a lock, or given back.
    var lock: DatabaseLockFile?
    var scans: [ScanID: LoadedScan] = [:]
    /// Made by the first change.
    private var area: StagingArea?

    init(access: FSDB.Access, lock: DatabaseLockFile?) {
        self.access = access
        self.lock = lock
    }

    func checkWritable(_ path: String) throws(DatabaseError) {
        guard access == .readWrite else {
            throw DatabaseError(
                .permissionDenied,
                "\(path.printable) is connected for reading only; connect it with .readWrite to change it")
        }
        guard lock != nil else {
            throw DatabaseError(
                .permissionDenied, "the lock of \(path.printable) was given back; call lock() to change it")
        }
    }

    /// The lock of one scan, which releases 0.15 and later respect.
    func lockScan(_ scan: ScanID, in root: Directory) throws(DatabaseError) -> ScanLockFile {
        // As with the database's lock: nobody wins every one of a thousand races.
        for _ in 0..<1000 {
            switch try ScanLockFile.attempt(on: scan, in: root, mode: .exclusive) {
            case .acquired(let lock): return lock
            case .raced: continue
            case .held(let holder):
                throw DatabaseError(
                    .locked,
                    "scan \(scan) is locked \(holder); wait for it, or if its owner is dead see "
                        + "“plantdb locks”", scan: scan)
            }
        }
        throw DatabaseError(.locked, "the lock of scan \(scan) changes hands all the time", scan: scan)
    }

    /// A private directory on the file system of the database, where no release of upstream
    /// looks for scans.
    mutating func staging(in root: Directory) throws(DatabaseError) -> Directory {
        if let area { return area.directory }
        let made = try StagingArea(root: root)
        area = made
        return made.directory
    }

    /// Removes the staging and releases the lock.
    mutating func end() {
        area?.close()
        area = nil
        lock?.release()
        lock = nil
    }
}
