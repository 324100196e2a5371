import Glibc
import PlantDBCore
import Synchronization

/// A PlantDB database on disk: a directory with the marker file `romidb`, and in it a
/// directory a scan.
///
/// ```swift
/// let db = try FSDB("/data/romi")
/// try db.connect()
/// print(try db.listScans())
/// let scan = try db.getScan("real_plant")
/// for file in try scan.getFileset("images").getFiles() {
///     print(file.id, try file.getMetadata("channel") ?? "")
/// }
/// db.disconnect()
/// ```
///
/// The names are those of upstream's Python class. All calls block for the disk, may be made
/// from any thread, and are done one after the other. What was read of a scan is kept until
/// it is changed here or ``reload()`` is called; changes always start from what is on disk.
public final class FSDB: Sendable {
    /// How a connection may use the database.
    public enum Access: Sendable, Hashable {
        /// Reads and changes, and keeps everybody else out (the database's lock).
        case readWrite
        /// Reads, and keeps writers out. Needs to write a lock file all the same.
        case readOnly
        /// Reads without a lock, for media that cannot be written; upstream's `unsafe`.
        case unlocked
    }

    /// The file that makes a directory a database.
    public static let markerName = DatabaseLayout.marker

    /// As it was given.
    public let path: String
    let root: Directory
    private let state = Mutex(State())

    private struct State {
        var connection: Connection?
    }

    /// Opens the directory and validates it; ``connect(_:)`` comes next.
    ///
    /// - Throws: `notFound` if there is no such directory, `notADatabase` if it has no marker.
    public init(_ path: String) throws(DatabaseError) {
        self.path = path
        do throws(DatabaseError) { root = try Directory.open(path: path) } catch {
            guard error.code == .notFound else { throw error }
            throw DatabaseError(.notFound, "there is no directory \(path.printable)", cause: error.cause)
        }
        try Self.validate(root)
    }

    deinit { disconnect() }

    /// - Throws: `notADatabase`, naming what is missing.
    private static func validate(_ root: Directory) throws(DatabaseError) {
        switch try root.status(of: markerName)?.kind {
        case .file: return
        case nil:
            throw DatabaseError(
                .notADatabase,
                "\(root.path.printable) is not a PlantDB database: it has no marker file “\(markerName)”; "
                    + "if it is meant to be one, make it with “plantdb init”")
        case .directory, .symbolicLink, .special:
            throw DatabaseError(
                .notADatabase,
                "\(root.path.printable) is not a PlantDB database: “\(markerName)” in it is not a file")
        }
    }

    // MARK: Connecting

    /// Takes the database's lock; does nothing if the database is connected.
    ///
    /// - Throws: `locked`, naming host, process and age of whoever holds it as far as the lock
    ///   tells; `permissionDenied` if the lock cannot be written; `notADatabase`.
    public func connect(_ access: Access = .readWrite) throws(DatabaseError) {
        try state.withLock { (state) throws(DatabaseError) in
            guard state.connection == nil else { return }
            try Self.validate(root)
            state.connection = Connection(access: access, lock: try Self.takeLock(of: root, for: access))
        }
    }

    /// Gives the lock back and forgets what was read. Does nothing if it is not connected.
    public func disconnect() {
        state.withLock { state in
            state.connection?.end()
            state.connection = nil
        }
    }

    public var isConnected: Bool { state.withLock { $0.connection != nil } }

    /// Whether this value holds the database's lock.
    public var isLocked: Bool { state.withLock { $0.connection?.lock != nil } }

    /// Gives the lock back and stays connected for reading, so that another program, or a
    /// synchronisation in this one, may use the database. ``lock()`` takes it again.
    public func unlock() {
        state.withLock { state in
            state.connection?.end()
        }
    }

    /// Takes back the lock that ``unlock()`` gave up, and forgets what was read before.
    /// - Throws: as ``connect(_:)``; `invalidArgument` if it is not connected.
    public func lock() throws(DatabaseError) {
        try withConnection { (connection) throws(DatabaseError) in
            guard connection.lock == nil else { return }
            connection.lock = try Self.takeLock(of: root, for: connection.access)
            connection.scans = [:]
        }
    }

    /// Forgets what was read, so that changes made by others are seen.
    /// - Throws: `notADatabase` if the marker is gone; `invalidArgument` if it is not connected.
    public func reload() throws(DatabaseError) {
        try withConnection { (connection) throws(DatabaseError) in
            try Self.validate(root)
            connection.scans = [:]
        }
    }

    private static func takeLock(of root: Directory, for access: Access) throws(DatabaseError)
        -> DatabaseLockFile?
    {
        if access == .unlocked { return nil }
        // A race is lost to somebody who creates or removes the file at this moment; nobody
        // does that a thousand times in a row.
        for _ in 0..<1000 {
            switch try DatabaseLockFile.attempt(in: root, mode: access == .readWrite ? .exclusive : .shared) {
            case .acquired(let lock): return lock
            case .raced: continue
            case .held(let holder):
                throw DatabaseError(
                    .locked,
                    "the database \(root.path.printable) is locked \(holder); wait for it, or if its owner "
                        + "is dead see “plantdb locks”")
            }
        }
        throw DatabaseError(.locked, "the lock of \(root.path.printable) changes hands all the time")
    }

    // MARK: Working on it

    func withConnection<Result: Sendable>(
        _ body: (inout Connection) throws(DatabaseError) -> Result
    ) throws(DatabaseError) -> Result {
        try state.withLock { (state) throws(DatabaseError) in
            guard var connection = state.connection else {
                throw DatabaseError(
                    .invalidArgument, "the database \(path.printable) is not connected; call connect() first")
            }
            // Taken out and put back, so that nothing in it is copied to be changed.
            state.connection = nil
            defer { state.connection = connection }
            return try body(&connection)
        }
    }

    /// Reads of a scan: what is known of it, loaded if it is not.
    func read<Result: Sendable>(
        _ scan: ScanID, _ body: (Directory, inout LoadedScan) throws(DatabaseError) -> Result
    ) throws(DatabaseError) -> Result {
        try withConnection { (connection) throws(DatabaseError) in
            do throws(DatabaseError) {
                let directory = try scanDirectory(scan)
                var loaded: LoadedScan
                if let known = connection.scans[scan], !known.isOutdated {
                    loaded = known
                } else {
                    loaded = try LoadedScan(loading: directory)
                    loaded.pending = connection.scans[scan]?.pending ?? [:]
                }
                // Taken out and put back, so that nothing in it is copied to be changed.
                connection.scans[scan] = nil
                defer { connection.scans[scan] = loaded }
                return try body(directory, &loaded)
            } catch { throw error.locating(scan: scan) }
        }
    }

    /// Changes of a scan, under its lock, from what is on disk at this moment.
    func change<Result: Sendable>(
        _ scan: ScanID, _ body: (ScanWriter, inout LoadedScan) throws(DatabaseError) -> Result
    ) throws(DatabaseError) -> Result {
        try withConnection { (connection) throws(DatabaseError) in
            do throws(DatabaseError) {
                try connection.checkWritable(path)
                let lock = try connection.lockScan(scan, in: root)
                defer { lock.release() }
                let directory = try scanDirectory(scan)
                var loaded = try LoadedScan(loading: directory)
                // What it says of files is read anew; what only this process knows is kept.
                loaded.pending = connection.scans[scan]?.pending ?? [:]
                connection.scans[scan] = loaded
                let writer = ScanWriter(directory: directory, staging: try connection.staging(in: root))
                do throws(DatabaseError) {
                    let result = try body(writer, &loaded)
                    connection.scans[scan] = loaded
                    return result
                } catch {
                    // It may have been half done, so the next access reads what is there.
                    connection.scans[scan]?.isOutdated = true
                    throw error
                }
            } catch { throw error.locating(scan: scan) }
        }
    }

    /// - Throws: `notFound` if there is no such scan.
    private func scanDirectory(_ scan: ScanID) throws(DatabaseError) -> Directory {
        guard let directory = try root.directoryIfPresent(scan.rawValue) else {
            throw DatabaseError(
                .notFound, "there is no scan \(scan) in \(path.printable)", scan: scan)
        }
        return directory
    }
}
