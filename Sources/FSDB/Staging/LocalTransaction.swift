import Glibc
import NIOCore
import PlantDBCore

/// One scan on its way into a local database.
actor LocalTransaction: ScanTransaction {
    nonisolated let tree: StagedTree
    private let publication: Publication
    private let area: StagingArea
    private let locks: TransactionLocks
    /// What the target held when staging began.
    private let current: ScanManifest?
    private var removals: [ScanPath] = []
    private var attributes: [FileEntry] = []
    private var isOpen = true

    nonisolated var fileReceiver: (any LocalFileReceiver)? { tree }

    /// Takes over `locks`, also when it throws.
    static func begin(
        on scan: ScanID, replacing base: ScanRevision?, options: TransactionOptions, root: Directory,
        area: StagingArea, locks: TransactionLocks
    ) async throws(DatabaseError) -> LocalTransaction {
        do throws(DatabaseError) {
            return try await BlockingThreads.run(while: "preparing scan \(scan)") {
                () throws(DatabaseError) in
                let publication = Publication(scan: scan, base: base, root: root, options: options)
                let current = try publication.checkBase()
                let staged = try area.makeTree()
                let tree = StagedTree(
                    scan: scan, name: staged.name, directory: staged.directory,
                    verifiesContent: options.verifiesContent)
                return LocalTransaction(
                    tree: tree, publication: publication, area: area, locks: locks, current: current)
            }
        } catch {
            await locks.release()
            throw error
        }
    }

    private init(
        tree: StagedTree, publication: Publication, area: StagingArea, locks: TransactionLocks,
        current: ScanManifest?
    ) {
        self.tree = tree
        self.publication = publication
        self.area = area
        self.locks = locks
        self.current = current
    }

    func receive(_ parts: ScanPartStream, meter: ByteMeter) async throws(DatabaseError) -> ScanManifest {
        try checkOpen()
        return try await PartReceiver(tree: tree, scan: publication.scan).receive(parts, meter: meter)
    }

    func remove(_ paths: [ScanPath]) async throws(DatabaseError) {
        try checkOpen()
        removals += paths
    }

    func setAttributes(_ entries: [FileEntry]) async throws(DatabaseError) {
        try checkOpen()
        attributes += entries
    }

    func commit() async throws(DatabaseError) {
        try checkOpen()
        let (publication, tree, area, current) = (publication, tree, area, current)
        let (locks, removals, attributes) = (locks, removals, attributes)
        // From here on it is not cancelled: half an update is worse than a late one.
        let outcome: Result<Void, DatabaseError> = await Task {
            do throws(DatabaseError) {
                let staged = try await BlockingThreads.run(while: "preparing scan \(publication.scan)") {
                    () throws(DatabaseError) in try publication.prepare(tree, replacing: current)
                }
                try await locks.take()
                try await BlockingThreads.run(while: "publishing scan \(publication.scan)") {
                    () throws(DatabaseError) in
                    try publication.publish(
                        staged, of: tree, in: area, removals: removals, attributes: attributes)
                }
                return .success(())
            } catch { return .failure(error) }
        }.value
        await end()
        try outcome.get()
    }

    func abort() async { await end() }

    private func checkOpen() throws(DatabaseError) {
        guard isOpen else {
            throw DatabaseError(
                .conflict, "the transaction on scan \(publication.scan) has ended", scan: publication.scan)
        }
    }

    private func end() async {
        guard isOpen else { return }
        isOpen = false
        // First: nobody waits for tidying up.
        await locks.release()
        let (area, name) = (area, tree.name)
        await BlockingThreads.runToTheEnd {
            // What cannot be removed now is reclaimed by the next run.
            do throws(DatabaseError) { try area.discard(tree: name) } catch {}
        }
    }
}

/// What a transaction locks: its scan from beginning to end, or both the scan and the database for as long
/// as it publishes.
actor TransactionLocks {
    private let acquireDatabase: @Sendable (Duration) async throws(DatabaseError) -> any DatabaseLock
    private let acquireScan: @Sendable () async throws(DatabaseError) -> ScanLockFile
    private let publishing: PublishingLock
    private let options: TransactionOptions
    private var scan: ScanLockFile?
    private var locksDatabase = false

    init(
        _ options: TransactionOptions, _ publishing: PublishingLock,
        acquireDatabase: @escaping @Sendable (Duration) async throws(DatabaseError) -> any DatabaseLock,
        acquireScan: @escaping @Sendable () async throws(DatabaseError) -> ScanLockFile
    ) {
        self.options = options
        self.publishing = publishing
        self.acquireDatabase = acquireDatabase
        self.acquireScan = acquireScan
    }

    /// Called when a transaction begins.
    func takeWhole() async throws(DatabaseError) {
        if options.locking == .whole { try await take() }
    }

    /// What is not held yet.
    func take() async throws(DatabaseError) {
        if options.locking == .publication, !locksDatabase {
            try await publishing.begin(wait: options.lockWait, acquire: acquireDatabase)
            locksDatabase = true
        }
        if scan == nil { scan = try await acquireScan() }
    }

    func release() async {
        if let scan {
            self.scan = nil
            await BlockingThreads.runToTheEnd { scan.release() }
        }
        if locksDatabase {
            locksDatabase = false
            await publishing.end()
        }
    }
}
