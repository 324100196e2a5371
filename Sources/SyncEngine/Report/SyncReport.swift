import PlantDBCore

/// What a run did: per scan and in total. A scan's failure is data here, never a throw.
public struct SyncReport: Sendable {
    public var runID: RunID
    /// Scans with work or with something to say, in the order of the plan.
    public var scans: [ScanReport]
    /// What ended the run before all scans were done: a lock, a guard, cancellation.
    public var error: DatabaseError?
    public var notices: [SyncNotice]
    /// Scans that were equal already.
    public var scansUnchanged: Int
    public var seconds: Double

    public init(
        runID: RunID, scans: [ScanReport] = [], error: DatabaseError? = nil, notices: [SyncNotice] = [],
        scansUnchanged: Int = 0, seconds: Double = 0
    ) {
        self.runID = runID
        self.scans = scans
        self.error = error
        self.notices = notices
        self.scansUnchanged = scansUnchanged
        self.seconds = seconds
    }

    public var totals: ScanCounts { scans.reduce(into: ScanCounts()) { $0 += $1.counts } }
    public var scansFailed: Int { scans.reduce(0) { $0 + ($1.outcome.isFailure ? 1 : 0) } }
    public var scansPublished: Int { scans.reduce(0) { $0 + ($1.outcome.isPublished ? 1 : 0) } }
    /// Left alone: `--where` or `--min-age` left them out.
    public var scansNotSelected: Int { notices.reduce(0) { $0 + ($1.kind == .notSelected ? 1 : 0) } }
    /// Published bytes a second.
    public var bytesPerSecond: Double { seconds > 0 ? Double(totals.bytesMoved) / seconds : 0 }

    /// Every error of the run, the one that ended it first.
    public var errors: [DatabaseError] {
        (error.map { [$0] } ?? []) + scans.flatMap(\.errors)
    }
}

public struct ScanReport: Sendable {
    public enum Outcome: String, Sendable, Codable {
        case created
        case updated
        case removed
        case unchanged
        /// Nothing of it was changed on the target.
        case failed
        /// The run ended before its turn, or while it was at work; nothing of it was changed.
        case notDone

        public var isFailure: Bool { self == .failed || self == .notDone }
        public var isPublished: Bool { self == .created || self == .updated || self == .removed }
    }

    public var scan: ScanID?
    public var outcome: Outcome
    public var counts: ScanCounts
    public var errors: [DatabaseError]
    public var skipped: [SkippedEntry]
    public var seconds: Double

    public init(
        scan: ScanID?, outcome: Outcome, counts: ScanCounts = ScanCounts(), errors: [DatabaseError] = [],
        skipped: [SkippedEntry] = [], seconds: Double = 0
    ) {
        self.scan = scan
        self.outcome = outcome
        self.counts = counts
        self.errors = errors
        self.skipped = skipped
        self.seconds = seconds
    }
}

extension ScanReport {
    /// The scan's, or that of a folder whose name no scan can have.
    public var name: String { scan?.rawValue ?? errors.lazy.compactMap(\.path).first ?? "" }
}

extension ScanFailure {
    /// As ``ScanReport/name``.
    public var name: String { scan?.rawValue ?? errors.lazy.compactMap(\.path).first ?? "" }
}

/// Files and bytes of one scan or of all.
public struct ScanCounts: Sendable, Hashable, Codable {
    /// Published.
    public var filesMoved = 0
    public var bytesMoved: Int64 = 0
    public var filesDeleted = 0
    /// Time or mode made equal, no byte moved.
    public var filesTouched = 0
    public var filesUnchanged = 0
    /// Different and left alone: newer at the target, of another kind, or not to be changed.
    public var filesUnresolved = 0
    /// Different and left alone, as an earlier run has told.
    public var filesToldBefore = 0
    /// Left alone because an option asked for it.
    public var filesKept = 0
    /// Symbolic links, special files, invalid names.
    public var filesSkipped = 0
    /// Could not be read, written or verified.
    public var filesFailed = 0
    /// Filesets that only the target has, and what lies in them.
    public var filesetsOfTarget = 0
    public var bytesOfTarget: Int64 = 0

    public init() {}

    public static func += (lhs: inout Self, rhs: Self) {
        lhs.filesMoved += rhs.filesMoved
        lhs.bytesMoved = lhs.bytesMoved.addingSaturated(rhs.bytesMoved)
        lhs.filesDeleted += rhs.filesDeleted
        lhs.filesTouched += rhs.filesTouched
        lhs.filesUnchanged += rhs.filesUnchanged
        lhs.filesUnresolved += rhs.filesUnresolved
        lhs.filesToldBefore += rhs.filesToldBefore
        lhs.filesKept += rhs.filesKept
        lhs.filesetsOfTarget += rhs.filesetsOfTarget
        lhs.bytesOfTarget = lhs.bytesOfTarget.addingSaturated(rhs.bytesOfTarget)
        lhs.filesSkipped += rhs.filesSkipped
        lhs.filesFailed += rhs.filesFailed
    }
}

/// Names one run: in events, locks, staging and trash. Sortable by time.
public struct RunID: Hashable, Sendable, CustomStringConvertible, Codable {
    public let rawValue: String

    public init(rawValue: String) { self.rawValue = rawValue }

    public var description: String { rawValue }
}
