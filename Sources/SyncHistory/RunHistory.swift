import FoundationEssentials
import GRDB
import Glibc
import PlantDBCore
import SyncEngine

// GRDB has one of this name too.
import struct PlantDBCore.DatabaseError

/// The runs of this user on this machine, and the report of each, in one SQLite file.
///
/// Any number of processes may use one file at once: each call is one transaction, and waits up to
/// 10 s for those of others. What it keeps is bounded: ``maximumRuns`` runs and
/// ``maximumReportBytes`` of reports; beginning a run removes the oldest ones beyond that.
public final class RunHistory: Sendable {
    public static let maximumRuns = 1000
    public static let maximumReportBytes = 64 << 20
    private static let schema = 1

    private let queue: DatabaseQueue
    private let file: String

    /// Opens the history, and makes it where there is none.
    ///
    /// - Throws: ``PlantDBCore/DatabaseError/Code/unsupported`` for the file of a later release,
    ///   else ``PlantDBCore/DatabaseError/Code/io``.
    public init(file: String) throws(DatabaseError) {
        self.file = file
        do {
            queue = try StateFile.open(file)
            try queue.write { database in
                let found = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
                guard found <= Self.schema else {
                    throw DatabaseError(
                        .unsupported,
                        "the history \(file.printable) was written by a later release; update this one")
                }
                // The number orders the runs as they began, whatever the clock did.
                try database.execute(
                    sql: """
                        CREATE TABLE IF NOT EXISTS run (number INTEGER PRIMARY KEY AUTOINCREMENT,
                        id TEXT NOT NULL UNIQUE, source TEXT NOT NULL, target TEXT NOT NULL,
                        owner BLOB NOT NULL, begun INTEGER NOT NULL, ended INTEGER, exitCode INTEGER,
                        scans INTEGER, files INTEGER, bytes INTEGER, report TEXT,
                        reportBytes INTEGER NOT NULL DEFAULT 0);
                        PRAGMA user_version = \(Self.schema)
                        """)
            }
        } catch { throw Self.failure(file, "opened", error) }
    }

    /// Where the command keeps it: in `$PLANTDB_STATE`, else `$XDG_STATE_HOME/plantdb`, else
    /// `~/.local/state/plantdb` (XDG Base Directory Specification 0.8). nil if `PLANTDB_STATE` is
    /// empty, which keeps no history, or if there is no home.
    public static func file(in environment: [String: String] = ProcessInfo.processInfo.environment)
        -> String?
    {
        if let state = environment["PLANTDB_STATE"] {
            return state.isEmpty ? nil : state + "/history.sqlite"
        }
        // The specification: a relative path is to be ignored.
        if let state = environment["XDG_STATE_HOME"], state.hasPrefix("/") {
            return state + "/plantdb/history.sqlite"
        }
        guard let home = environment["HOME"], home.hasPrefix("/") else { return nil }
        return home + "/.local/state/plantdb/history.sqlite"
    }

    // MARK: Writing

    /// Notes that this process begins a run. Passwords in the locations are left out.
    ///
    /// - Throws: ``PlantDBCore/DatabaseError/Code/io``.
    public func begin(_ run: RunID, source: String, target: String) throws(DatabaseError) {
        let owner = LockOwner.current(mode: .shared, holdsFlock: false)
        try write { database in
            try database.execute(
                sql: "INSERT INTO run (id, source, target, owner, begun) VALUES (?, ?, ?, ?, ?)",
                arguments: [
                    run.rawValue, source.withoutSecrets, target.withoutSecrets,
                    Data(owner.encoded()), Self.now,
                ])
            try database.execute(
                sql: """
                    DELETE FROM run WHERE number IN (SELECT number FROM (SELECT number,
                    row_number() OVER (ORDER BY number DESC) AS place,
                    sum(reportBytes) OVER (ORDER BY number DESC) AS total FROM run)
                    WHERE place > ? OR total > ?)
                    """,
                arguments: [Self.maximumRuns, Self.maximumReportBytes])
        }
    }

    /// Notes how a run ended.
    ///
    /// - Parameter report: the summary of docs/json-events.md, on one line.
    /// - Throws: ``PlantDBCore/DatabaseError/Code/notFound`` if it was not begun, or was removed
    ///   because ``maximumRuns`` began since; else ``PlantDBCore/DatabaseError/Code/io``.
    public func finish(_ run: RunID, _ outcome: RecordedRun.Outcome, report: String) throws(DatabaseError) {
        let changed = try write { database in
            try database.execute(
                sql: """
                    UPDATE run SET ended = ?, exitCode = ?, scans = ?, files = ?, bytes = ?, report = ?,
                    reportBytes = ? WHERE id = ?
                    """,
                arguments: [
                    Self.now, outcome.exitCode, outcome.scansPublished, outcome.filesMoved,
                    outcome.bytesMoved, report, report.utf8.count, run.rawValue,
                ])
            return database.changesCount
        }
        if changed == 0 { throw noRun(run) }
    }

    /// Takes a run out again. One that is not there is fine.
    ///
    /// - Throws: ``PlantDBCore/DatabaseError/Code/io``.
    public func forget(_ run: RunID) throws(DatabaseError) {
        try write { database in
            try database.execute(sql: "DELETE FROM run WHERE id = ?", arguments: [run.rawValue])
        }
    }

    // MARK: Reading

    /// The last runs, the newest first. Reads no report.
    ///
    /// - Throws: ``PlantDBCore/DatabaseError/Code/io``.
    public func list(last count: Int = maximumRuns) throws(DatabaseError) -> [RecordedRun] {
        try read { database in
            try Row.fetchAll(
                database, sql: "SELECT \(Self.columns) FROM run ORDER BY number DESC LIMIT ?",
                arguments: [max(0, count)]
            ).map(Self.recordedRun)
        }
    }

    /// One run and its report as ``finish(_:_:report:)`` got it; nil while it has not finished.
    ///
    /// - Throws: ``PlantDBCore/DatabaseError/Code/notFound``, else
    ///   ``PlantDBCore/DatabaseError/Code/io``.
    public func report(of run: RunID) throws(DatabaseError) -> (run: RecordedRun, report: String?) {
        let found = try read { database -> (run: RecordedRun, report: String?)? in
            guard
                let row = try Row.fetchOne(
                    database, sql: "SELECT \(Self.columns), report FROM run WHERE id = ?",
                    arguments: [run.rawValue])
            else { return nil }
            return (
                Self.recordedRun(row), String.fromDatabaseValue(row["report"] as DatabaseValue)
            )
        }
        guard let found else { throw noRun(run) }
        return found
    }

    private static let columns = "id, source, target, owner, begun, ended, exitCode, scans, files, bytes"

    /// What is damaged reads as nothing: GRDB's own subscripts end the program.
    private static func recordedRun(_ row: Row) -> RecordedRun {
        func value<Value: DatabaseValueConvertible>(_ column: String) -> Value? {
            Value.fromDatabaseValue(row[column] as DatabaseValue)
        }
        let ended: Int64? = value("ended")
        let state: RecordedRun.State
        if ended != nil {
            state = .finished(
                RecordedRun.Outcome(
                    exitCode: value("exitCode") ?? 0, scansPublished: value("scans") ?? 0,
                    filesMoved: value("files") ?? 0, bytesMoved: value("bytes") ?? 0))
        } else {
            let owner: Data = value("owner") ?? Data()
            let isDead = LockOwner(parsing: Array(owner))?.isProvenDead ?? false
            state = isDead ? .unfinished : .running
        }
        return RecordedRun(
            run: RunID(rawValue: value("id") ?? "?"), source: value("source") ?? "?",
            target: value("target") ?? "?", begun: ModificationTime(nanoseconds: value("begun") ?? 0),
            ended: ended.map(ModificationTime.init(nanoseconds:)), state: state)
    }

    // MARK: Parts of them

    private static var now: Int64 { WallClock.now.nanoseconds }

    private func read<Value>(_ body: (Database) throws -> Value) throws(DatabaseError) -> Value {
        do { return try queue.read(body) } catch { throw Self.failure(file, "read", error) }
    }

    private func write<Value>(_ body: (Database) throws -> Value) throws(DatabaseError) -> Value {
        do { return try queue.write(body) } catch { throw Self.failure(file, "written", error) }
    }

    private func noRun(_ run: RunID) -> DatabaseError {
        DatabaseError(
            .notFound,
            "the history \(file.printable) has no run \(run.rawValue.printable); plantdb history lists them")
    }

    private static func failure(_ file: String, _ verb: String, _ error: any Error) -> DatabaseError {
        StateFile.failure("the history \(file.printable) cannot be \(verb)", error)
    }
}
