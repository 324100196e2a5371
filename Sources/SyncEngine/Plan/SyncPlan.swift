import PlantDBCore

/// What a run would do, complete: a dry run prints it, a run carries it out, and both show
/// the same lines.
public struct SyncPlan: Sendable {
    /// In the order of work: containers before their members, names ascending.
    public var scans: [ScanPlan]
    /// Scans of the target that go, as a whole. Containers after their members.
    public var removedScans: [ScanRemoval]
    /// Scans that only the target has, would go, and are left alone: they hold what no run brought.
    public var heldScans: [ScanRemoval] = []
    /// Scans that could not be planned at all; each is a failure of the run.
    public var failures: [ScanFailure]
    /// What was left out and why, to read.
    public var notices: [SyncNotice]
    /// Files that the target holds in the selected scans, for the deletion guard.
    public var targetFileCount: Int

    public var filesToTransfer: Int { scans.reduce(0) { $0 + $1.filesToTransfer } }
    public var bytesToTransfer: Int64 { scans.reduce(0) { $0.addingSaturated($1.bytesToTransfer) } }
    /// Including those of removed scans.
    public var filesToDelete: Int {
        scans.reduce(0) { $0 + $1.filesToDelete } + removedScans.reduce(0) { $0 + $1.fileCount }
    }
    /// Whether a run would change nothing.
    public var isEmpty: Bool { removedScans.isEmpty && scans.allSatisfy { !$0.hasWork } }
    /// Whether nothing differs: empty, nothing unresolved, nothing failed.
    public var isInSync: Bool {
        isEmpty && failures.isEmpty && heldScans.isEmpty
            && scans.allSatisfy {
                $0.unresolvedCount + $0.toldBeforeCount == 0 && $0.isComplete && $0.heldBack.isEmpty
            }
    }

    /// What would fail: scans that could not be planned, or that are known in part only.
    public var errors: [DatabaseError] {
        failures.flatMap { failure in failure.errors.map { $0.locating(scan: failure.scan) } }
            + scans.flatMap { $0.hiddenContent + $0.heldBack }
    }

    /// Why a run with these options would not carry it out: it deletes more than is allowed.
    ///
    /// - Returns: ``DatabaseError/Code/deletionGuard``; nil: nothing is against it.
    public func deletionRefusal(_ options: SyncOptions) -> DatabaseError? {
        guard case .delete(let limit) = options.deletion, filesToDelete > 0 else { return nil }
        let allowed: Int
        let text: String
        switch limit {
        case .files(let count): (allowed, text) = (count, "\(count) files")
        case .percent(let percent):
            allowed = Int(Double(targetFileCount) * percent / 100)
            text = "\(percent.formattedShort) % of the target's \(targetFileCount) files"
        }
        guard filesToDelete > allowed else { return nil }
        return DatabaseError(
            .deletionGuard,
            "the run would delete \(filesToDelete) files, and \(text) are allowed; nothing was changed. "
                + "Look at them with --dry-run --itemize, then raise --max-delete if it is right")
    }
}

extension Double {
    /// Without a fraction where there is none.
    fileprivate var formattedShort: String { self == rounded() ? String(Int(self)) : String(self) }
}

/// What a run would do to one scan.
public struct ScanPlan: Sendable {
    public var scan: ScanID
    /// nil: the scan is new at the target.
    public var base: ScanRevision?
    /// The source's manifest, which ``items`` point into. Emptied of entries where there is
    /// nothing to do, so that a plan costs what it would do.
    public var source: ScanManifest
    public var items: [PlanItem]
    /// Paths that go from the target, deepest first; directories among them go if empty.
    public var deletions: [Deletion]
    /// Whether what goes or is replaced is kept in the trash though nobody asked for it: nobody knows that a run
    /// brought it, or what it said.
    public var keepsWhatGoes = false
    /// What only the target has, would be deleted, and is left alone since no run brought it.
    public var heldDeletions: [Deletion] = []
    /// Content that the plan makes itself: merged indexes and metadata. Everything else is the source's.
    public var made: [ScanPath: [UInt8]] = [:]
    /// The target has another scan of this name; nothing of either is touched.
    public var isOtherScan: String?
    /// The scan of the target that goes into the trash in the moment in which this one comes.
    public var displaced: ScanRemoval?
    /// Of ``items``, the differences that an earlier run has told and that are as they were.
    public var toldBefore: Set<Int32> = []
    /// Filesets that only the target has.
    public var targetOnlyFilesets: [String] = []
    /// What lies in them, in bytes.
    public var targetOnlyBytes: Int64 = 0
    /// What is to be remembered of the scan when it is done; nil: nothing new.
    public var memory: ScanMemory.Draft?
    /// Files that are equal on both sides.
    public var unchangedCount: Int
    /// What the source holds but does not carry.
    public var skipped: [SkippedEntry]
    /// False where something of the source could not be read: deletion is off, and the run
    /// does not end with exit code 0.
    public var isComplete: Bool

    /// One entry of the source, and what becomes of it.
    public struct PlanItem: Sendable, Hashable {
        public var position: Int32
        public var action: PlanAction

        public init(position: Int32, action: PlanAction) {
            self.position = position
            self.action = action
        }
    }

    public struct Deletion: Sendable, Hashable {
        public var path: ScanPath
        public var kind: FileEntry.Kind
        public var size: Int64
        /// For what is left alone: an earlier run has said so.
        public var isTold = false

        public init(path: ScanPath, kind: FileEntry.Kind, size: Int64) {
            self.path = path
            self.kind = kind
            self.size = size
        }
    }

    /// As it will be published.
    public func entry(of item: PlanItem) -> FileEntry {
        var entry = source[Int(item.position)]
        if let made = made[entry.path] { entry.size = Int64(made.count) }
        return entry
    }
    public func facts(of item: PlanItem) -> EntryFacts { source.facts(at: Int(item.position)) }

    public var isNew: Bool { base == nil }
    public var hasWork: Bool {
        isOtherScan == nil && (isNew || !deletions.isEmpty || items.contains { $0.action.isWork })
    }
    public var filesToTransfer: Int {
        items.reduce(0) { $0 + ($1.action.transfersContent && facts(of: $1).kind == .file ? 1 : 0) }
    }
    public var bytesToTransfer: Int64 {
        items.reduce(0) { total, item in
            guard item.action.transfersContent else { return total }
            return total.addingSaturated(made.isEmpty ? facts(of: item).size : entry(of: item).size)
        }
    }
    public var filesToDelete: Int { deletions.reduce(0) { $0 + ($1.kind == .file ? 1 : 0) } }
    /// What differs and is left as it is although no option asked for it, but for what was told before.
    public var unresolvedCount: Int {
        items.reduce(isOtherScan == nil ? 0 : 1) {
            $0 + ($1.action.isUnresolved && !toldBefore.contains($1.position) ? 1 : 0)
        } + heldDeletions.reduce(0) { $0 + ($1.isTold ? 0 : 1) }
    }
    /// What differs as an earlier run has told.
    public var toldBeforeCount: Int {
        toldBefore.count + heldDeletions.reduce(0) { $0 + ($1.isTold ? 1 : 0) }
    }
    /// Files that are damaged at the source and held back, each a failure.
    public var heldBack: [DatabaseError] {
        items.filter(\.action.isHeldBack).map { item in
            let path = entry(of: item).path
            let isEmpty = item.action == .keepSourceEmpty
            return DatabaseError(
                .invalidData,
                "\(path) of scan \(scan) is \(isEmpty ? "empty" : "empty or no JSON") at the source, as a power cut "
                    + "leaves files; the target's good one was kept. Repair it at the source, or copy the "
                    + "target's back\(isEmpty ? ", or carry it with --checksum" : "")", scan: scan,
                path: path.rawValue)
        }
    }
}

/// A scan of the target that the source does not have.
public struct ScanRemoval: Sendable {
    public var scan: ScanID
    public var base: ScanRevision
    public var fileCount: Int
    public var byteCount: Int64
    /// Whether it goes into the trash though nobody asked for it: nobody knows that a run brought it.
    public var isKept = false

    public init(scan: ScanID, base: ScanRevision, fileCount: Int, byteCount: Int64) {
        self.scan = scan
        self.base = base
        self.fileCount = fileCount
        self.byteCount = byteCount
    }
}

public struct ScanFailure: Sendable {
    public var scan: ScanID?
    public var errors: [DatabaseError]

    public init(scan: ScanID?, errors: [DatabaseError]) {
        self.scan = scan
        self.errors = errors
    }
}

/// Something that is no failure, and worth a line.
public struct SyncNotice: Sendable, Hashable {
    public enum Kind: String, Sendable, Codable {
        /// A directory that is not a scan.
        case stray
        /// A scan left out by `--where` or `--min-age`.
        case notSelected
        /// `--where` left out every scan.
        case nothingSelected
        /// A pattern of `--exclude-fileset` fits none.
        case nothingExcluded
        /// The target's database did not exist, and is made.
        case newTarget
        /// A guarantee that one side cannot give.
        case weakerGuarantee
        /// The index lists files that the source does not have.
        case listedButAbsent
        /// The target has another scan of that name.
        case otherScan
        /// Only the target has it, and no run brought it.
        case notBrought
        /// It goes into the trash, since nobody knows whether a run brought it.
        case keptInTrash
        /// Scans name an owner or a group that the target does not have.
        case unknownAccount
    }

    public var kind: Kind
    public var scan: String?
    public var message: String

    public init(kind: Kind, scan: String?, message: String) {
        self.kind = kind
        self.scan = scan
        self.message = message
    }
}

extension ScanPlan {
    /// What keeps the scan from being published: known in part only, it would look whole.
    public var hiddenContent: [DatabaseError] {
        skipped.filter(\.hidesContent).map { $0.error(in: scan) }
    }
}

extension SkippedEntry {
    /// As a failure of the run, for what could not be read or named.
    fileprivate func error(in scan: ScanID) -> DatabaseError {
        let detail = detail.map { ": \($0)" } ?? ""
        return DatabaseError(
            reason == .unreadable ? .permissionDenied : .invalidName,
            "\(path) of scan \(scan) \(reason == .unreadable ? "could not be read" : "has a name that cannot be carried")\(detail)",
            scan: scan, path: path)
    }
}
