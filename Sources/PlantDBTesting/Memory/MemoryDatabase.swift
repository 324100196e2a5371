import PlantDBCore
import Synchronization

/// A database in memory: what ``MemoryEndpoint``s of a test read and write.
///
/// Tests look into it and change it behind the endpoints' backs, at any time, from any
/// thread. It outlives its endpoints, so that a second one sees what a first one left.
public final class MemoryDatabase: Sendable {
    /// What becomes visible at one instant.
    public enum PublishStep: Sendable, Hashable {
        /// A new scan, whole.
        case scan(ScanID)
        case file(ScanID, ScanPath)
        case directory(ScanID, ScanPath)
        case attributes(ScanID, ScanPath)
        case removal(ScanID, ScanPath)
        case scanRemoval(ScanID)
    }

    struct StoredScan: Sendable {
        var tree = SampleTree()
        var skipped: [SkippedEntry] = []
        var unreadable: Set<ScanPath> = []
    }

    struct State: Sendable {
        var scans: [ScanID: StoredScan] = [:]
        var trash: [String: [ScanID: SampleTree]] = [:]
        var skipped: [SkippedEntry] = []
        var locks = MemoryLockTable()
        var openTransactions = 0
        var journal: [PublishStep] = []
        var onPublish: (@Sendable (PublishStep) -> Void)?
    }

    let state: Mutex<State>
    private let foldsNames: Bool

    /// - Parameter foldsNames: whether names that differ in upper and lower case or in Unicode spelling only
    ///   are one name, which is listed as it was first written: as exFAT, SMB and macOS have it.
    public init(_ sample: SampleDatabase = SampleDatabase(), foldsNames: Bool = false) {
        self.foldsNames = foldsNames
        state = Mutex(State(scans: sample.scans.mapValues { StoredScan(tree: $0) }))
    }

    // MARK: Looking into it

    /// Everything it holds now, but what lies in the trash.
    public var content: SampleDatabase {
        SampleDatabase(scans: state.withLock { $0.scans.mapValues(\.tree) })
    }

    public func tree(of scan: ScanID) -> SampleTree? { state.withLock { $0.scans[scan]?.tree } }

    /// What became visible, in that order, since the database was made.
    public var journal: [PublishStep] { state.withLock { $0.journal } }

    /// The trees that lie in the trash `name`, by the scan that they were part of.
    public func trash(_ name: String) -> [ScanID: SampleTree] { state.withLock { $0.trash[name] ?? [:] } }

    /// Transactions that are neither committed nor aborted: the debris of a run that is over.
    public var openTransactionCount: Int { state.withLock { $0.openTransactions } }

    public var heldLockCount: Int { state.withLock { $0.locks.records.count } }

    // MARK: Changing it behind the endpoints' backs

    /// Puts a scan, or removes it where `tree` is nil.
    public func set(_ scan: ScanID, to tree: SampleTree?) {
        state.withLock { $0.scans[scan] = tree.map { StoredScan(tree: $0) } }
    }

    /// Changes one scan; an empty one is made where there is none.
    public func edit<Failure>(_ scan: ScanID, _ change: (inout SampleTree) throws(Failure) -> Void)
        throws(Failure)
    {
        try state.withLock { state throws(Failure) in
            var tree = state.scans[scan]?.tree ?? SampleTree()
            try change(&tree)
            state.scans[scan, default: StoredScan()].tree = tree
        }
    }

    /// What manifests of `scan` report as skipped.
    public func setSkipped(_ entries: [SkippedEntry], in scan: ScanID) {
        state.withLock { $0.scans[scan]?.skipped = entries }
    }

    /// What listings report as skipped.
    public func setSkippedInListing(_ entries: [SkippedEntry]) { state.withLock { $0.skipped = entries } }

    /// Files that are listed and cannot be read, as files of somebody else are.
    public func setUnreadable(_ paths: [ScanPath], in scan: ScanID) {
        state.withLock { $0.scans[scan]?.unreadable = Set(paths) }
    }

    /// Called at every instant at which something has become visible, in order, from the
    /// committing task. The closure may look into the database.
    public func onPublish(_ hook: (@Sendable (PublishStep) -> Void)?) {
        state.withLock { $0.onPublish = hook }
    }

    // MARK: For endpoints

    /// The name by which a scan is listed.
    func listed(_ scan: ScanID) -> ScanID {
        guard foldsNames else { return scan }
        return state.withLock { state in
            if state.scans[scan] != nil { return scan }
            return state.scans.keys.first { $0.rawValue.folded == scan.rawValue.folded } ?? scan
        }
    }

    /// The path by which an entry is listed, or would be.
    func listed(_ path: ScanPath, in tree: SampleTree) -> ScanPath {
        guard foldsNames, tree[path] == nil else { return path }
        if let found = tree.nodes.keys.first(where: { $0.rawValue.folded == path.rawValue.folded }) {
            return found
        }
        guard let parent = path.parent else { return path }
        // Of two valid paths: valid.
        return (try? listed(parent, in: tree).appending(String(path.name))) ?? path
    }

    /// Makes one step visible, then tells.
    func publish(_ step: PublishStep, _ change: (inout State) -> Void) {
        let hook = state.withLock { state in
            change(&state)
            state.journal.append(step)
            return state.onPublish
        }
        hook?(step)
    }
}

extension MemoryDatabase.State {
    func kind(of scan: ScanID) -> ScanSummary.Kind? {
        guard let tree = scans[scan]?.tree else { return nil }
        if scan.container == nil && tree[.timelapseMarker]?.kind == .file { return .timelapse }
        guard tree[.metadata]?.kind == .directory else { return .stray(reason: "it has no folder metadata") }
        guard tree[.index]?.kind == .file else { return .stray(reason: "it has no files.json") }
        return .scan
    }
}
