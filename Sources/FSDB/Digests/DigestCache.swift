import FoundationEssentials
import GRDB
import PlantDBCore
import Synchronization

/// Remembers the SHA-256 of files between runs, in one SQLite file in the user's cache
/// directory, so that a source is never written to.
///
/// A digest counts as long as path, inode, size, modification and change time are the same.
/// The change time (st_ctime) cannot be set by hand, so bytes that were altered behind an old
/// modification time are read again. A cache that cannot be opened is none: the digests are
/// computed.
final class DigestCache: Sendable {
    static var defaultFile: String? {
        let environment = ProcessInfo.processInfo.environment
        if let cache = environment["XDG_CACHE_HOME"], cache.hasPrefix("/") {
            return cache + "/plantdb/digests.sqlite"
        }
        guard let home = environment["HOME"], home.hasPrefix("/") else { return nil }
        return home + "/.cache/plantdb/digests.sqlite"
    }

    struct Key: Hashable {
        /// Identity of the database's root and the scan.
        let database: String
        let scan: String
    }

    /// What a file must still be for its digest to count.
    struct Stamp: Hashable {
        let inode: UInt64
        let size: Int64
        let modified: Int64
        let changed: Int64
    }

    struct Record {
        let path: String
        let stamp: Stamp
        let digest: Digest
    }

    private let file: String
    private let queue = Mutex<Opened>(.notYet)

    private enum Opened {
        case notYet
        case open(DatabaseQueue)
        case unavailable
    }

    init(file: String) { self.file = file }

    /// All digests known of a scan, by path. Empty if the cache cannot be read.
    func digests(of key: Key) -> [String: Record] {
        guard let queue = opened() else { return [:] }
        do {
            return try queue.read { database in
                var result: [String: Record] = [:]
                let rows = try Row.fetchCursor(
                    database,
                    sql:
                        "SELECT path, inode, size, modified, changed, digest FROM digest WHERE root = ? AND scan = ?",
                    arguments: [key.database, key.scan])
                while let row = try rows.next() {
                    let bytes: Data = row[5]
                    guard bytes.count == Digest.byteCount else { continue }
                    let inode: Int64 = row[1]
                    let record = Record(
                        path: row[0],
                        stamp: Stamp(
                            inode: UInt64(bitPattern: inode), size: row[2], modified: row[3], changed: row[4]),
                        digest: Digest(bytes: Array(bytes)))
                    result[record.path] = record
                }
                return result
            }
        } catch {
            // A damaged cache costs a read of the files, not the run.
            return [:]
        }
    }

    /// Replaces what is known of a scan.
    func store(_ records: [Record], for key: Key) {
        guard let queue = opened() else { return }
        do {
            try queue.write { database in
                try database.execute(
                    sql: "DELETE FROM digest WHERE root = ? AND scan = ?",
                    arguments: [key.database, key.scan])
                let insert = try database.makeStatement(
                    sql: "INSERT INTO digest (root, scan, path, inode, size, modified, changed, digest) "
                        + "VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
                for record in records {
                    try insert.execute(arguments: [
                        key.database, key.scan, record.path, Int64(bitPattern: record.stamp.inode),
                        record.stamp.size, record.stamp.modified, record.stamp.changed,
                        Data(record.digest.bytes),
                    ])
                }
            }
        } catch {
            // As above: the next run computes them again.
        }
    }

    private func opened() -> DatabaseQueue? {
        queue.withLock { state in
            if case .notYet = state { state = open() }
            guard case .open(let queue) = state else { return nil }
            return queue
        }
    }

    private func open() -> Opened {
        do {
            let directory = FSDBEndpoint.parent(of: file)
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            var configuration = Configuration()
            configuration.busyMode = .timeout(10)
            let queue = try DatabaseQueue(path: file, configuration: configuration)
            // Both sides of a run open the same new file at once: one statement in one immediate
            // transaction, for which the other waits.
            try queue.write { database in
                try database.execute(
                    sql: """
                        CREATE TABLE IF NOT EXISTS digest (root TEXT NOT NULL, scan TEXT NOT NULL,
                        path TEXT NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,
                        modified INTEGER NOT NULL, changed INTEGER NOT NULL, digest BLOB NOT NULL,
                        PRIMARY KEY (root, scan, path)) WITHOUT ROWID
                        """)
            }
            return .open(queue)
        } catch {
            return .unavailable
        }
    }
}
