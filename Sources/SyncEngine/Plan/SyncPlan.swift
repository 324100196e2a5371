import PlantDBCore

/// What a run would do, complete: a dry run prints it, a run carries it out, and both show
/// the same lines.
public struct SyncPlan: Sendable {
    /// In the order of work: containers before their members, names ascending.
    public var scans: [ScanPlan]
    /// Scans of the target that go, as a whole. Containers after their members.
    public var removedScans: [ScanRemoval]
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
        isEmpty && failures.isEmpty && scans.allSatisfy { $0.unresolvedCount == 0 && $0.isComplete }
    }

    /// What would fail: scans that could not be planned, or that are known in part only.
    public var errors: [DatabaseError] {
        failures.flatMap { failure in failure.errors.map { $0.locating(scan: failure.scan) } }
            + scans.flatMap(\.hiddenContent)
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
    /// A merged `files.json`, when only some filesets are carried; nil: carried as it is.
    public var mergedIndex: [UInt8]?
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

        public init(path: ScanPath, kind: FileEntry.Kind, size: Int64) {
            self.path = path
            self.kind = kind
            self.size = size
        }
    }

    public func entry(of item: PlanItem) -> FileEntry { source[Int(item.position)] }
    public func facts(of item: PlanItem) -> EntryFacts { source.facts(at: Int(item.position)) }

    public var isNew: Bool { base == nil }
    public var hasWork: Bool {
        isNew || !deletions.isEmpty || items.contains { $0.action.isWork }
    }
    public var filesToTransfer: Int {
        items.reduce(0) { $0 + ($1.action.transfersContent && facts(of: $1).kind == .file ? 1 : 0) }
    }
    public var bytesToTransfer: Int64 {
        items.reduce(0) { total, item in
            guard item.action.transfersContent else { return total }
            let isMerged = mergedIndex != nil && entry(of: item).path == .index
            return total.addingSaturated(isMerged ? Int64(mergedIndex?.count ?? 0) : facts(of: item).size)
        }
    }
    public var filesToDelete: Int { deletions.reduce(0) { $0 + ($1.kind == .file ? 1 : 0) } }
    /// Files that differ and are left as they are although no option asked for it.
    public var unresolvedCount: Int { items.reduce(0) { $0 + ($1.action.isUnresolved ? 1 : 0) } }
}

/// What becomes of one entry, and why. A closed list: the itemised output, the JSON events
/// and the engine all read this and nothing else.
public enum PlanAction: UInt8, Sendable, Hashable, CaseIterable {
    /// The target does not have it.
    case createFile
    case createDirectory
    /// It differs in size.
    case replaceSizeDiffers
    /// Same size, newer at the source.
    case replaceSourceNewer
    /// Same size, other content (by digest).
    case replaceContentDiffers
    /// Same size, and a side proves neither time nor digest: copied, never assumed equal.
    case replaceUnproven
    /// Same content; time or mode are made equal, no byte moves.
    case updateAttributes
    /// Same size, newer at the target: different, and left alone. `--checksum` settles it.
    case keepTargetNewer
    /// Different, and left alone because `--update` or `--ignore-existing` asked for it.
    case keepByOption
    /// A file on one side, a directory on the other: left alone.
    case keepKindDiffers
    /// The target cannot do it (a release that cannot replace files): left alone, said by name.
    case keepUnsupported

    public var transfersContent: Bool {
        switch self {
        case .createFile, .replaceSizeDiffers, .replaceSourceNewer, .replaceContentDiffers,
            .replaceUnproven:
            true
        case .createDirectory, .updateAttributes, .keepTargetNewer, .keepByOption, .keepKindDiffers,
            .keepUnsupported:
            false
        }
    }

    /// Whether a run does anything for it.
    public var isWork: Bool {
        transfersContent || self == .createDirectory || self == .updateAttributes
    }

    /// Different after the run, although no option asked for that.
    public var isUnresolved: Bool {
        self == .keepTargetNewer || self == .keepKindDiffers || self == .keepUnsupported
    }

    /// For people, in the itemised list.
    public var explanation: String {
        switch self {
        case .createFile, .createDirectory: "new"
        case .replaceSizeDiffers: "size differs"
        case .replaceSourceNewer: "source is newer"
        case .replaceContentDiffers: "content differs"
        case .replaceUnproven: "cannot be proven equal"
        case .updateAttributes: "time or mode differs"
        case .keepTargetNewer: "different, target is newer; left alone (--checksum settles it)"
        case .keepByOption: "different; left alone as asked"
        case .keepKindDiffers: "a file on one side, a directory on the other; left alone"
        case .keepUnsupported: "different, and the target cannot change it"
        }
    }
}

/// A scan of the target that the source does not have.
public struct ScanRemoval: Sendable {
    public var scan: ScanID
    public var base: ScanRevision
    public var fileCount: Int
    public var byteCount: Int64

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
