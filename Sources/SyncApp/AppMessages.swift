import PlantDBCore
import SyncEngine
import SyncHistory

/// Which of the two databases.
enum SideName: String, Codable, Sendable, CaseIterable {
    case source, target
}

/// What the page sends: how to reach a database. Secrets stay in the process and are in no answer.
struct ConnectMessage: Decodable, Sendable {
    var side: SideName
    var location: String
    var user: String?
    var password: String?
    var token: String?
    var identity: String?
    var acceptNewHostKey: Bool?
}

/// A database that was looked at, by a name that nothing else ever has.
struct TestedMessage: Codable, Sendable {
    var database: String
    var facts: SideFacts
}

/// What was found behind a location.
struct SideFacts: Codable, Sendable {
    /// As the process shows it, without secrets.
    var location: String
    var scans: Int
    /// Directories that are no scans, and why.
    var strays: [String]
    /// Who holds the database or scans of it.
    var locks: [String]
    var freeBytes: Int64?
    var notes: [String]
}

struct CompareMessage: Codable, Sendable {
    /// As ``TestedMessage`` names them.
    var source: String
    var target: String
    /// The comparison that the page shows until now.
    var replaces: String?
    var checksum: Bool
    /// Also what only the target has counts as a difference, to be deleted.
    var delete: Bool

    var options: SyncOptions {
        var options = SyncOptions()
        if checksum { options.comparison = .checksum }
        // The limit is given with the job, when the list was seen.
        if delete { options.deletion = .delete(limit: .percent(100)) }
        options.allowsEmptySource = true
        return options
    }
}

struct JobMessage: Decodable, Sendable {
    /// The one that the page shows: its two databases are synchronised, by what was compared there.
    var comparison: String
    /// Empty: all.
    var scans: [String]
    /// Read back what was written.
    var verify: Bool
    /// How many files may be deleted: those that were shown; nil: none.
    var deleteFiles: Int?
    /// nil: as fast as it goes.
    var bytesPerSecond: Int64?

    func options(comparing: CompareMessage) -> SyncOptions {
        var options = SyncOptions()
        options.selection.scans = scans
        if let bytesPerSecond, bytesPerSecond > 0 { options.bytesPerSecond = bytesPerSecond }
        if comparing.checksum { options.comparison = .checksum }
        if verify { options.verification = .full }
        if let deleteFiles { options.deletion = .delete(limit: .files(deleteFiles)) }
        return options
    }
}

struct ScansMessage: Decodable, Sendable {
    var comparison: String
    var scans: [String]
}

struct FolderMessage: Decodable, Sendable {
    var path: String
}

struct TokenMessage: Decodable, Sendable {
    var token: String
}

/// A scan on both sides, as a row of the table.
struct ComparisonRow: Codable, Sendable {
    enum State: String, Codable, Sendable {
        case sourceOnly, targetOnly, same, different, locked, incomplete
    }

    var scan: String
    var state: State
    var files: Int?
    var moveFiles: Int
    var moveBytes: Int64
    var deleteFiles: Int
    /// Different and left alone.
    var unresolved: Int
    var message: String?
}

/// A file of a plan.
struct PlanRow: Codable, Sendable {
    var path: String
    var action: String
    var reason: String
    var size: Int64
}

/// What is read of a scan when its row is looked at.
struct ScanDetails: Codable, Sendable {
    var scan: String
    var files: Int
    var bytes: Int64
    /// Of the newest file, in seconds since 1970.
    var modified: Int64?
    var species: String?
    var hasImage: Bool
}

/// A run that waits, is at work, or is over.
struct JobSummary: Codable, Sendable {
    enum State: String, Codable, Sendable {
        case queued, running, finished, failed, cancelled

        var isOver: Bool { self != .queued && self != .running }
    }

    var id: String
    var state: State
    var source: String
    var target: String
    /// What was asked for, in words.
    var title: String
    var percent = 0.0
    var filesPlanned = 0
    var filesPublished = 0
    var bytesPlanned: Int64 = 0
    var bytesStaged: Int64 = 0
    var bytesPerSecond = 0.0
    var secondsRemaining: Double?
    var scansPlanned = 0
    var scansFinished = 0
    var scansFailed = 0
    /// What it waits for.
    var waiting: String?
    var error: String?
    /// Seconds since 1970.
    var started: Int64?
    var ended: Int64?
}

/// A scan of a job.
struct JobScan: Codable, Sendable {
    var scan: String
    /// `running`, `retrying`, or how it ended.
    var state: String
    var files: Int
    var bytes: Int64
    var errors: [String]
}

/// What an event of the stream holds.
struct Update: Codable, Sendable {
    struct JobChange: Codable, Sendable {
        var job: JobSummary
        /// Those that changed since the last event.
        var scans: [JobScan]
    }

    struct ComparisonState: Codable, Sendable {
        var isReady: Bool
        var error: String?
    }

    /// All that are kept, by their names; a page looks at its own.
    var comparisons: [String: ComparisonState]
    var jobs: [JobChange]
}

/// A comparison that is ready, and what was found on both sides when it was made.
struct ComparisonMessage: Codable, Sendable {
    var source: SideFacts
    var target: SideFacts
    var rows: [ComparisonRow]
}

/// A run of the history.
struct HistoryRow: Codable, Sendable {
    var run: String
    var source: String
    var target: String
    /// `running`, `unfinished` or `finished`.
    var state: String
    var exitCode: Int?
    var scans: Int?
    var files: Int?
    var bytes: Int64?
    /// Seconds since 1970.
    var begun: Int64
    var seconds: Double?

    init(_ run: RecordedRun) {
        self.run = run.run.rawValue
        source = run.source
        target = run.target
        begun = run.begun.nanoseconds / 1_000_000_000
        seconds = run.seconds
        switch run.state {
        case .running: state = "running"
        case .unfinished: state = "unfinished"
        case .finished(let outcome):
            state = "finished"
            exitCode = Int(outcome.exitCode)
            scans = outcome.scansPublished
            files = outcome.filesMoved
            bytes = outcome.bytesMoved
        }
    }
}
