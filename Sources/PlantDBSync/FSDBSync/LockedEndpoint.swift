import PlantDBCore

/// An endpoint whose database is locked already: a run over it neither waits for that lock nor
/// gives it back.
struct LockedEndpoint: DatabaseEndpoint {
    let endpoint: any DatabaseEndpoint

    var location: DatabaseLocation { endpoint.location }
    var capabilities: EndpointCapabilities { endpoint.capabilities }
    var fileSource: (any LocalFileSource)? { endpoint.fileSource }
    var fileFetcher: (any FileFetcher)? { endpoint.fileFetcher }
    var archiveSource: (any ArchiveSource)? { endpoint.archiveSource }

    func listing() async throws(DatabaseError) -> DatabaseListing { try await endpoint.listing() }

    func manifest(of scan: ScanID, detail: ManifestDetail) async throws(DatabaseError) -> ScanManifest? {
        try await endpoint.manifest(of: scan, detail: detail)
    }

    func parts(of selection: EntrySelection) async throws(DatabaseError) -> ScanPartStream {
        try await endpoint.parts(of: selection)
    }

    func checksums(of selection: EntrySelection) async throws(DatabaseError) -> [UInt32] {
        try await endpoint.checksums(of: selection)
    }

    func beginTransaction(on scan: ScanID, replacing base: ScanRevision?, options: TransactionOptions)
        async throws(DatabaseError) -> any ScanTransaction
    {
        try await endpoint.beginTransaction(on: scan, replacing: base, options: options)
    }

    func removeScan(_ scan: ScanID, replacing base: ScanRevision, options: TransactionOptions)
        async throws(DatabaseError)
    {
        try await endpoint.removeScan(scan, replacing: base, options: options)
    }

    func acquireLock(_ scope: LockScope, mode: LockMode, wait: Duration) async throws(DatabaseError)
        -> any DatabaseLock
    {
        scope == .database ? NoLock() : try await endpoint.acquireLock(scope, mode: mode, wait: wait)
    }

    func availableBytes() async throws(DatabaseError) -> Int64? { try await endpoint.availableBytes() }

    func currentTime() async throws(DatabaseError) -> ModificationTime? { try await endpoint.currentTime() }

    func admit(_ scan: ScanManifest, from source: any ScanSource) async throws(DatabaseError) {
        try await endpoint.admit(scan, from: source)
    }

    func canChange(_ entry: FileEntry) -> Bool { endpoint.canChange(entry) }

    func finds(_ paths: [ScanPath], in scan: ScanID) async throws(DatabaseError) -> [Bool] {
        try await endpoint.finds(paths, in: scan)
    }

    func tellWaits(to listener: @escaping @Sendable (String) -> Void) { endpoint.tellWaits(to: listener) }

    func close() async { await endpoint.close() }
}
