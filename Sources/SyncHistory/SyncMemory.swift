import FoundationEssentials
import GRDB
import Glibc
import PlantDBCore
import SyncEngine
import Synchronization

// GRDB has one of this name too.
import struct PlantDBCore.DatabaseError

/// What runs of one pair of databases remember, in one SQLite file for all pairs of a user.
///
/// It can be thrown away at any time: the next runs are the more careful, and tell again what they told.
/// Any number of processes may use one file at once; each writes in transactions of up to
/// ``largestBatch`` scans and waits up to 10 s for those of others. 24 bytes a file.
public final class SyncMemory: PairMemory {
    private static let schema = 1
    private static let largestBatch = 256

    private let queue: DatabaseQueue
    private let file: String
    private let pair: Int64
    private let state: Mutex<State>

    private struct State {
        var known: Set<ScanID>
        /// Not yet in the file; nil: forgotten.
        var pending: [ScanID: ScanMemory?] = [:]
        let wasEmpty: Bool
    }

    /// Opens the memory of a pair, and makes it where there is none.
    ///
    /// - Throws: ``PlantDBCore/DatabaseError/Code/unsupported`` for the file of a later release,
    ///   else ``PlantDBCore/DatabaseError/Code/io``.
    public init(file: String, source: DatabaseLocation, target: DatabaseLocation) throws(DatabaseError) {
        self.file = file
        do {
            queue = try Self.open(file)
            let key = source.lasting + "\n" + target.lasting
            let (pair, known) = try queue.write { database -> (Int64, Set<ScanID>) in
                let found = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
                guard found <= Self.schema else {
                    throw DatabaseError(
                        .unsupported, "\(file.printable) was written by a later release; update this one")
                }
                try database.execute(
                    sql: """
                        CREATE TABLE IF NOT EXISTS pair (id INTEGER PRIMARY KEY, place TEXT NOT NULL UNIQUE);
                        CREATE TABLE IF NOT EXISTS scan (pair INTEGER NOT NULL, name TEXT NOT NULL,
                        memory BLOB NOT NULL, PRIMARY KEY (pair, name)) WITHOUT ROWID;
                        PRAGMA user_version = \(Self.schema)
                        """)
                try database.execute(sql: "INSERT OR IGNORE INTO pair (place) VALUES (?)", arguments: [key])
                let pair = try Int64.fetchOne(
                    database, sql: "SELECT id FROM pair WHERE place = ?", arguments: [key])
                let names = try String.fetchAll(
                    database, sql: "SELECT name FROM scan WHERE pair = ?", arguments: [pair])
                return (pair ?? 0, Set(names.compactMap { name in ScanID(ifValid: name) }))
            }
            self.pair = pair
            state = Mutex(State(known: known, wasEmpty: known.isEmpty))
        } catch { throw Self.failure(file, "opened", error) }
    }

    /// A file that SQLite cannot read is set aside: what it held is forgotten, and the next runs are careful.
    private static func open(_ file: String) throws -> DatabaseQueue {
        do {
            let queue = try StateFile.open(file)
            _ = try queue.read { database in
                try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_master")
            }
            return queue
        } catch let error as GRDB.DatabaseError
            where [.SQLITE_NOTADB, .SQLITE_CORRUPT].contains(error.resultCode)
        {
            try FileManager.default.moveItem(
                atPath: file, toPath: "\(file).damaged-\(WallClock.now.seconds)")
            return try StateFile.open(file)
        }
    }

    /// Beside the history: `memory.sqlite`; nil where that keeps none.
    public static func file(in environment: [String: String] = ProcessInfo.processInfo.environment) -> String?
    {
        RunHistory.file(in: environment).map { file in
            String(file[..<(file.lastIndex(of: "/") ?? file.startIndex)]) + "/memory.sqlite"
        }
    }

    /// That of this user; nil where none is kept, or where there is none and `creates` is off.
    ///
    /// - Throws: as ``init(file:source:target:)``.
    public static func ofUser(
        from source: any DatabaseEndpoint, to target: any DatabaseEndpoint, creates: Bool = true
    ) throws(DatabaseError) -> SyncMemory? {
        guard let file = file(), creates || access(file, F_OK) == 0 else { return nil }
        return try SyncMemory(file: file, source: source.location, target: target.location)
    }

    public var isEmpty: Bool { state.withLock { $0.wasEmpty } }

    public var scans: [ScanID] { state.withLock { Array($0.known) } }

    public func knows(_ scan: ScanID) -> Bool { state.withLock { $0.known.contains(scan) } }

    public func recall(_ scan: ScanID) throws(DatabaseError) -> ScanMemory? {
        let (isKnown, pending) = state.withLock { ($0.known.contains(scan), $0.pending[scan]) }
        if let pending { return pending }
        guard isKnown else { return nil }
        do {
            let bytes = try queue.read { database in
                try Data.fetchOne(
                    database, sql: "SELECT memory FROM scan WHERE pair = ? AND name = ?",
                    arguments: [pair, scan.rawValue])
            }
            return bytes.flatMap { ScanMemory(decoding: Array($0)) }
        } catch { throw Self.failure(file, "read", error) }
    }

    public func remember(_ memory: ScanMemory, of scan: ScanID) throws(DatabaseError) {
        try note(memory, scan)
    }

    public func forget(_ scan: ScanID) throws(DatabaseError) { try note(nil, scan) }

    private func note(_ memory: ScanMemory?, _ scan: ScanID) throws(DatabaseError) {
        let isFull = state.withLock { state in
            state.pending[scan] = .some(memory)
            if memory == nil { state.known.remove(scan) } else { state.known.insert(scan) }
            return state.pending.count >= Self.largestBatch
        }
        if isFull { try flush() }
    }

    public func flush() throws(DatabaseError) {
        let pending = state.withLock { state in
            defer { state.pending = [:] }
            return state.pending
        }
        if pending.isEmpty { return }
        do {
            try queue.write { database in
                for (scan, memory) in pending {
                    if let memory {
                        try database.execute(
                            sql: "INSERT OR REPLACE INTO scan (pair, name, memory) VALUES (?, ?, ?)",
                            arguments: [pair, scan.rawValue, Data(memory.encoded())])
                    } else {
                        try database.execute(
                            sql: "DELETE FROM scan WHERE pair = ? AND name = ?",
                            arguments: [pair, scan.rawValue])
                    }
                }
            }
        } catch { throw Self.failure(file, "written", error) }
    }

    private static func failure(_ file: String, _ verb: String, _ error: any Error) -> DatabaseError {
        StateFile.failure("the memory of runs \(file.printable) cannot be \(verb)", error)
    }
}

extension ScanID {
    fileprivate init?(ifValid text: String) {
        do throws(DatabaseError) { try self.init(text) } catch { return nil }
    }
}
