import Glibc
import NIOCore
import PlantDBCore

/// One scan on its way into a local database.
actor LocalTransaction: ScanTransaction {
    nonisolated let tree: StagedTree
    private let publication: Publication
    private let area: StagingArea
    private let stagingName: String
    private let lock: ScanLockFile
    private var removals: [ScanPath] = []
    private var attributes: [FileEntry] = []
    private var isOpen = true

    nonisolated var fileReceiver: (any LocalFileReceiver)? { tree }

    /// Takes over `lock`, also when it throws.
    static func begin(
        on scan: ScanID, replacing base: ScanRevision?, options: TransactionOptions, root: Directory,
        area: StagingArea, lock: ScanLockFile
    ) async throws(DatabaseError) -> LocalTransaction {
        do throws(DatabaseError) {
            return try await BlockingThreads.run(while: "preparing scan \(scan)") {
                () throws(DatabaseError) in
                let publication = Publication(scan: scan, base: base, root: root, options: options)
                try publication.checkBase()
                let (name, directory) = try area.makeDirectory()
                // The tree becomes the scan's own directory, so it has the mode of one.
                try directory.makeDirectory("tree")
                let tree = StagedTree(
                    scan: scan, directory: try directory.directory("tree"),
                    verifiesContent: options.verifiesContent)
                return LocalTransaction(
                    tree: tree, publication: publication, area: area, stagingName: name, lock: lock)
            }
        } catch {
            await BlockingThreads.runToTheEnd { lock.release() }
            throw error
        }
    }

    private init(
        tree: StagedTree, publication: Publication, area: StagingArea, stagingName: String, lock: ScanLockFile
    ) {
        self.tree = tree
        self.publication = publication
        self.area = area
        self.stagingName = stagingName
        self.lock = lock
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
        let publication = publication
        let tree = tree
        let area = area
        let staged = stagingName
        let removals = removals
        let attributes = attributes
        // From here on it is not cancelled: half an update is worse than a late one.
        let outcome = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Void, DatabaseError>, Never>) in
            Task {
                await BlockingThreads.runToTheEnd {
                    do throws(DatabaseError) {
                        try publication.publish(
                            tree, named: staged + "/tree", in: area, removals: removals,
                            attributes: attributes)
                        continuation.resume(returning: .success(()))
                    } catch { continuation.resume(returning: .failure(error)) }
                }
            }
        }
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
        let area = area
        let name = stagingName
        let lock = lock
        await BlockingThreads.runToTheEnd {
            // What cannot be removed now is reclaimed by the next run.
            do throws(DatabaseError) { try area.directory.removeTree(name) } catch {}
            lock.release()
        }
    }
}
