import PlantDBCore

/// What was read of a scan's documents on both sides, and what is remembered of it: all that a plan
/// needs beside the two manifests.
public struct ScanFindings: Sendable {
    /// One metadata file that both sides have.
    public enum Metadata: Sendable {
        case sameMeaning
        /// The source's does not parse, or is empty, and the target's does.
        case sourceIsDamaged
        /// The target's does not parse, or is empty, and the source's does.
        case targetIsDamaged
        /// - Parameter merged: by key, the source's values winning; nil unless that was asked for.
        case different(merged: [UInt8]?)
    }

    public var sourceIndex: FileIndex?
    /// nil: there is none, or it cannot be read.
    public var targetIndex: FileIndex?
    /// The target has one, and it cannot be read.
    var targetIndexIsDamaged = false
    /// There is something in it that somebody may want to read.
    var damagedIndexHasText = false
    public var metadata: [ScanPath: Metadata] = [:]
    /// The target has another scan of that name, with the reason; nil: it is the same one.
    public var otherScan: String?
    /// Whom the source's metadata of the scan name, where they come.
    var owner: String?
    var groups: [String] = []
    public var memory: ScanMemory?
    /// Whether runs remember anything of this pair of databases: else nobody knows what they brought.
    public var remembers = false
    /// Whether what this run brings is to be remembered.
    public var keepsMemory = false

    public init(sourceIndex: FileIndex? = nil, targetIndex: FileIndex? = nil) {
        self.sourceIndex = sourceIndex
        self.targetIndex = targetIndex
    }
}

/// What two manifests alone say of a scan: entries that differ, and which documents decide what becomes
/// of them.
public struct ScanDraft: Sendable {
    public let source: ScanManifest
    /// nil: the target does not have the scan.
    public let target: ScanManifest?
    let proofs: Planner.ContentProofs
    /// nil: all directories are kept.
    var heldDirectories: Set<ScanPath>?
    var items: [ScanPlan.PlanItem] = []
    var targetOnly: [FileEntry] = []
    /// Directories of the target that hold something that was not asked for.
    var keptDirectories: Set<ScanPath> = []
    var kindConflicts: Set<ScanPath> = []
    var unchanged = 0
    /// With what lies in them, in bytes.
    var targetOnlyFilesets: [String: Int64] = [:]
    /// First components of the source's paths; made where they count.
    lazy var topsOfSource = Set(source.map { String($0.path.first) })
    /// Whether a file of a fileset was found to be one on both sides.
    var hasCommonContent = false

    init(source: ScanManifest, target: ScanManifest?, proofs: Planner.ContentProofs) {
        self.source = source
        self.target = target
        self.proofs = proofs
    }

    /// Whether everything is equal and nothing would be deleted.
    public var isIdle: Bool { target != nil && items.isEmpty && targetOnly.isEmpty }

    func facts(of item: ScanPlan.PlanItem) -> (source: EntryFacts, target: EntryFacts?) {
        let position = Int(item.position)
        let path = source[position].path
        return (source.facts(at: position), target.flatMap { $0.position(of: path).map($0.facts(at:)) })
    }

    /// Whether nothing but the index differs, and a run before has found that the target's is what it
    /// should be.
    func isProven(by memory: ScanMemory, _ options: SyncOptions) -> Bool {
        guard targetOnly.isEmpty, items.count == 1, let item = items.first,
            source[Int(item.position)].path == .index
        else { return false }
        let (ours, theirs) = facts(of: item)
        return StampPair.proof(ours, theirs, options).map { $0 == memory.provenIndexes } ?? false
    }

    /// That the one is a timelapse and the other a scan, to read.
    var kindsDiffer: String? {
        guard let target else { return nil }
        let isTimelapse = source.position(of: .timelapseMarker) != nil
        guard isTimelapse != (target.position(of: .timelapseMarker) != nil) else { return nil }
        return "one is a timelapse, the other is none"
    }

    /// The metadata files that both sides have and that are not equal.
    ///
    /// - Parameter memory: leaves out what it knows to mean the same, and what it has told.
    func differingMetadata(_ memory: ScanMemory?, settlesTold: Bool) -> [ScanPath] {
        guard target != nil else { return [] }
        return items.compactMap { item in
            let path = source[Int(item.position)].path
            guard item.action.replaces || item.action == .keepTargetNewer || item.action.isHeldBack,
                path.isMetadataJSON
            else {
                return nil
            }
            let (ours, theirs) = facts(of: item)
            let pair = StampPair.hash(path, ours, theirs)
            let isTold = !settlesTold && memory?.settled.contains(pair) ?? false
            return isTold || memory?.settled.contains(~pair) ?? false ? nil : path
        }
    }

    /// The files that would be new or other at the target, and that the gate has a rule for.
    var gated: [ScanPath] {
        items.compactMap { item in
            let path = source[Int(item.position)].path
            return item.action.transfersContent && path != .index && OpenabilityGate.concerns(path)
                ? path : nil
        }
    }

    var changesFiles: Bool {
        !targetOnly.isEmpty || items.contains { $0.action.isWork }
    }
}
