import PlantDBCore
import SFTPClient
import Synchronization

/// One scan on its way into a database on a server.
actor SFTPTransaction: ScanTransaction {
    nonisolated let tree: RemoteStagedTree
    private let publication: RemotePublication
    private let stagingPath: RemotePath
    private let endpoint: SFTPEndpoint
    private let options: TransactionOptions
    private var removals: [ScanPath] = []
    private var attributes: [FileEntry] = []
    private var isOpen = true

    nonisolated var fileSender: (any FileSender)? { tree }

    static func begin(
        on scan: ScanID, replacing base: ScanRevision?, options: TransactionOptions, endpoint: SFTPEndpoint,
        area: RemoteStagingArea
    ) async throws(DatabaseError) -> SFTPTransaction {
        let publication = RemotePublication(scan: scan, base: base, endpoint: endpoint, options: options)
        let current = try await publication.checkedBase()
        let session = try await endpoint.connections.session()
        let staging = try await endpoint.translatingWrites(
            "prepare scan \(scan) at \(endpoint.location)", scan: scan
        ) {
            () async throws(SFTPError) in
            try await area.makeDirectory(session, holding: "tree")
        }
        let tree = RemoteStagedTree(
            scan: scan, path: staging.appending("tree"), endpoint: endpoint, replacing: current,
            options: options)
        return SFTPTransaction(
            tree: tree, publication: publication, stagingPath: staging, endpoint: endpoint, options: options)
    }

    private init(
        tree: RemoteStagedTree, publication: RemotePublication, stagingPath: RemotePath,
        endpoint: SFTPEndpoint, options: TransactionOptions
    ) {
        self.tree = tree
        self.publication = publication
        self.stagingPath = stagingPath
        self.endpoint = endpoint
        self.options = options
    }

    func receive(_ parts: ScanPartStream, meter: ByteMeter) async throws(DatabaseError) -> ScanManifest {
        try checkOpen()
        return try await RemotePartReceiver(tree: tree).receive(parts, meter: meter)
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
        let (publication, tree, removals, attributes) = (publication, tree, removals, attributes)
        let (endpoint, options) = (endpoint, options)
        // From here on it is not cancelled: half an update is worse than a late one.
        let outcome: Result<Void, DatabaseError> = await Task {
            do throws(DatabaseError) {
                try await endpoint.lockedForPublishing(publication.scan, options) {
                    () async throws(DatabaseError) in
                    try await publication.publish(tree, removals: removals, attributes: attributes)
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
        let (endpoint, path) = (endpoint, stagingPath)
        await Task {
            do {
                let session = try await endpoint.connections.session()
                // Of a new scan nothing is left in it.
                do throws(SFTPError) { try await session.request(.removeDirectory(path)) } catch {
                    try await session.removeTree(path)
                }
            } catch {
                // What cannot be removed now is reclaimed by the next run.
            }
        }.value
    }
}
