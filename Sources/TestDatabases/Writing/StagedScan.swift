import Glibc
import PlantDBCore

/// A scan in the making, out of sight of every release of upstream: in
/// `.plantdb-sync/staging/testdb-…/‹scan›` of the database. ``publish()`` puts it into place
/// by one rename; until then the database holds nothing of it.
///
/// The folder `testdb-…` is flocked while it is in use, so that what a killed process has
/// left can be told from what a live one is writing, and is removed by the next, or by the
/// next sync into the database, whose staging lies beside it.
final class StagedScan: Sendable {
    let scan: ScanID
    private let root: String
    private let area: String
    private let folder: String
    private let lock: CInt

    private static let prefix = "testdb-"

    /// From the outside in.
    private static func stagingFolders(in root: String) -> [String] {
        [root + "/" + DatabaseLayout.work, root + "/" + DatabaseLayout.staging]
    }

    /// - Throws: `alreadyExists` if the database has a scan (or anything) of that name.
    init(_ scan: ScanID, inDatabase root: String) throws(DatabaseError) {
        self.scan = scan
        self.root = root
        try Self.checkAbsence(of: scan, in: root)
        let folders = Self.stagingFolders(in: root)
        for folder in folders where mkdir(folder, 0o700) != 0 && errno != EEXIST {
            throw .system("create the folder \(folder)", path: folder)
        }
        // There are two.
        let top = folders[folders.count - 1]
        try Self.removeAbandoned(in: top)
        (area, lock) = try Self.makeArea(in: top)
        folder = area + "/" + scan.name
        if mkdir(folder, 0o777) != 0 {
            let error = DatabaseError.system("create the folder \(folder)", path: folder)
            close(lock)
            throw error
        }
    }

    deinit { close(lock) }

    static func checkAbsence(of scan: ScanID, in root: String) throws(DatabaseError) {
        guard try FileSystem.status(root + "/" + scan.rawValue) != nil else { return }
        throw DatabaseError(
            .alreadyExists,
            "the database \(root.printable) has a scan \(scan) already; delete it first, or use another folder",
            scan: scan)
    }

    private static func makeArea(in top: String) throws(DatabaseError) -> (String, CInt) {
        for attempt in 0..<1000 {
            let path = "\(top)/\(prefix)\(getpid())-\(attempt)"
            if mkdir(path, 0o777) != 0 {
                if errno == EEXIST { continue }
                throw .system("create the folder \(path)", path: path)
            }
            let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            // Another process may just have taken it for abandoned; then the next is ours.
            if descriptor < 0 {
                if errno == ENOENT { continue }
                throw .system("open \(path)", path: path)
            }
            var status = stat()
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0, stat(path, &status) == 0 {
                return (path, descriptor)
            }
            close(descriptor)
        }
        throw DatabaseError(.io, "cannot find a free name for staging in \(top.printable)")
    }

    private static func removeAbandoned(in top: String) throws(DatabaseError) {
        for name in try FileSystem.names(in: top) where name.hasPrefix(prefix) {
            let path = top + "/" + name
            let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard descriptor >= 0 else { continue }  // somebody else has removed it
            defer { close(descriptor) }
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { try FileSystem.removeTree(path) }
        }
    }

    /// Creates the folders of these files.
    func makeFolders(for paths: some Sequence<String>) throws(DatabaseError) {
        var known: Set<Substring> = []
        for path in paths {
            guard let slash = path.lastIndex(of: "/"), known.insert(path[..<slash]).inserted else { continue }
            try FileSystem.makeDirectories(folder + "/" + path[..<slash])
        }
    }

    /// Writes a new file from pieces until `next` returns false.
    ///
    /// - Returns: its size in bytes.
    func write(
        _ path: String, modified: ModificationTime, mode: mode_t = 0o666,
        from next: ((UnsafeRawBufferPointer) throws(DatabaseError) -> Void) throws(DatabaseError) -> Bool
    ) throws(DatabaseError) -> Int64 {
        let action = "write \(path) of \(scan)"
        let file = try OpenFile(folder + "/" + path, O_WRONLY | O_CREAT | O_EXCL, mode: mode, action: action)
        var size: Int64 = 0
        while try next({ (bytes: UnsafeRawBufferPointer) throws(DatabaseError) in
            size += Int64(bytes.count)
            try file.write(bytes, action: action)
        }) {}
        try file.setModified(modified, action: action)
        try file.close(action: action)
        return size
    }

    /// Writes a new file.
    func write(_ path: String, _ content: [UInt8], modified: ModificationTime) throws(DatabaseError) {
        var isWritten = false
        _ = try write(path, modified: modified) { (sink) throws(DatabaseError) in
            if isWritten { return false }
            isWritten = true
            do { try content.withUnsafeBytes { bytes in try sink(bytes) } } catch {
                throw .wrapping(error, while: "writing \(path)")
            }
            return true
        }
    }

    func holds(_ path: String) throws(DatabaseError) -> Bool {
        try FileSystem.status(folder + "/" + path) != nil
    }

    /// Gives every folder the time of the newest file in it or below it, so that a
    /// generated scan is the same in every byte of its metadata; then renames the scan into
    /// the database.
    ///
    /// - Throws: `alreadyExists` if somebody else has made a scan of that name meanwhile.
    func publish() throws(DatabaseError) {
        _ = try setFolderTimes(folder)
        try Self.checkAbsence(of: scan, in: root)
        // rename(2) refuses to replace a folder that is not empty, or a file.
        guard rename(folder, root + "/" + scan.rawValue) == 0 else {
            throw .system("put the scan \(scan) into place", path: scan.rawValue)
        }
        try discard()
    }

    private func setFolderTimes(_ path: String) throws(DatabaseError) -> ModificationTime {
        var newest = ModificationTime(nanoseconds: 0)
        for name in try FileSystem.names(in: path) {
            let child = path + "/" + name
            guard let status = try FileSystem.status(child) else { continue }
            newest = max(newest, status.isDirectory ? try setFolderTimes(child) : status.modified)
        }
        let file = try OpenFile(path, O_RDONLY | O_DIRECTORY, action: "set the time of \(path)")
        try file.setModified(newest, action: "set the time of \(path)")
        return newest
    }

    /// Removes what is staged, and the staging folders if nobody else uses them.
    func discard() throws(DatabaseError) {
        try FileSystem.removeTree(area)
        for folder in Self.stagingFolders(in: root).reversed() where rmdir(folder) != 0 {
            if errno == ENOTEMPTY || errno == EEXIST { return }
            if errno != ENOENT { throw .system("remove \(folder)", path: folder) }
        }
    }
}
