import PlantDBCore
import Synchronization
import ZipStream

/// A database behind one of upstream's own servers, as a side of a synchronisation.
///
/// These servers show a scan only as an archive, tell no time of change that could be trusted,
/// take no locks, and delete nothing. So what a scan holds is read from the directory at its archive's
/// end, files are compared by its CRC-32s, and content comes one by one or by whole archive, whichever
/// waits less for the server's limits.
public final class RestEndpoint: DatabaseEndpoint {
    public let location: DatabaseLocation
    public let capabilities: EndpointCapabilities
    public let client: PlantDBRestClient
    private let known = Mutex(Known())
    /// nil: whoever reads is a guest, or has a token of its own.
    private let login: Login?
    private let session = Mutex<ContinuousClock.Instant?>(nil)
    /// A session lasts an hour; it is made anew before that.
    private static let sessionAge = Duration.seconds(45 * 60)

    private struct Known {
        /// The scans that the server lists, by their ids there; nil: not asked yet.
        var names: Set<String>?
        /// Of the scans whose manifests were asked for.
        var archives: [ScanID: RestArchive] = [:]
    }

    init(client: PlantDBRestClient, login: Login?) {
        self.client = client
        self.login = client.dialect.needsLogin ? login : nil
        let dialect = client.dialect
        location = DatabaseLocation(
            description: client.address.description, identity: client.address.description)
        var capabilities = EndpointCapabilities(
            writes: dialect.replacesFiles ? .files : .newScans, removes: false,
            keepsEmptyDirectories: false, provesDigests: false, concurrentScans: 1...1,
            weakerGuarantees: [
                "PlantDB \(dialect.release) keeps no locks over HTTP, so nothing keeps others from writing "
                    + "meanwhile, and it shows no times; files are compared by size and CRC-32"
            ])
        capabilities.showsFilesCheaply = false
        capabilities.readsImagesMetadata = dialect.generation < .v016
        self.capabilities = capabilities
    }

    public func tellWaits(to listener: @escaping @Sendable (String) -> Void) {
        client.tellWaits(to: listener)
    }

    public func currentTime() async throws(DatabaseError) -> ModificationTime? { client.serverTime }

    // MARK: Source

    public func listing() async throws(DatabaseError) -> DatabaseListing {
        let ids = try await client.listScanNames()
        known.withLock { $0 = Known(names: Set(ids)) }
        var members: [String: ScanID] = [:]
        var listing = DatabaseListing(scans: [])
        for container in try await client.listTimelapses() {
            listing.scans.append(ScanSummary(scan: container.scan, kind: .timelapse))
            for member in container.members { members[member.name] = member }
        }
        for id in Set(ids) {
            // Release 0.14 lists those of hidden directories, which are private to whoever made them.
            guard !id.hasPrefix(".") || id.contains("/") else { continue }
            do throws(DatabaseError) {
                let scan = if let member = members[id] { member } else { try ScanID(id) }
                listing.scans.append(ScanSummary(scan: scan, kind: .scan))
            } catch {
                listing.skipped.append(
                    SkippedEntry(path: id.printable, reason: .invalidName, detail: error.message))
            }
        }
        listing.scans.sort { $0.scan < $1.scan }
        listing.skipped.sort { $0.path < $1.path }
        return listing
    }

    public func manifest(of scan: ScanID, detail: ManifestDetail) async throws(DatabaseError) -> ScanManifest?
    {
        try await archive(of: scan)?.manifest
    }

    /// What the server has of a scan now; nil if it does not list it, or if its folder is gone.
    func archive(of scan: ScanID) async throws(DatabaseError) -> RestArchive? {
        guard try await names().contains(scan.name) else { return try await container(scan) }
        let entries: [ZipEntry]
        do throws(DatabaseError) { entries = try await client.archiveDirectory(of: scan) } catch {
            // Releases from 0.15 on say this also of what they do not want to show.
            guard error.code == .notFound || error.code == .io else { throw error.locating(scan: scan) }
            guard try await names(fresh: true).contains(scan.name) else { return nil }
            throw error.locating(scan: scan)
        }
        // The server still lists a scan whose folder is gone.
        if entries.isEmpty { return nil }
        let archive = try RestArchive(scan: scan, directory: entries)
        known.withLock { $0.archives[scan] = archive }
        return archive
    }

    /// A timelapse has no archive; its marker is all that it has.
    private func container(_ scan: ScanID) async throws(DatabaseError) -> RestArchive? {
        guard scan.container == nil, let bytes = try await client.timelapseMarker(of: scan) else {
            return nil
        }
        var checksum = CRC32()
        checksum.update(bytes)
        let manifest = try ScanManifest(
            scan: scan, entries: [FileEntry(path: .timelapseMarker, size: Int64(bytes.count))])
        let archive = RestArchive(manifest: manifest, checksums: [.timelapseMarker: checksum.value])
        known.withLock { $0.archives[scan] = archive }
        return archive
    }

    func names(fresh: Bool = false) async throws(DatabaseError) -> Set<String> {
        if !fresh, let names = known.withLock({ $0.names }) { return names }
        let names = Set(try await client.listScanNames())
        known.withLock { $0.names = names }
        return names
    }

    func forgetNames() { known.withLock { $0.names = nil } }

    public func checksums(of selection: EntrySelection) async throws(DatabaseError) -> [UInt32] {
        let archive = try remembered(selection)
        return selection.map { archive.checksums[$0.path] ?? 0 }
    }

    func remembered(_ selection: EntrySelection) throws(DatabaseError) -> RestArchive {
        let archive = known.withLock { $0.archives[selection.scan] }
        guard let archive, selection.allSatisfy({ archive.manifest.position(of: $0.path) != nil }) else {
            throw DatabaseError(
                .sourceChanged, "scan \(selection.scan) is no longer what it was", scan: selection.scan)
        }
        return archive
    }

    /// More files than this are never asked for one by one.
    private static let mostSingleFiles = 24

    /// Whether that waits less for the server's limits than its archive does.
    func comesSingly(_ selection: EntrySelection, of archive: RestArchive) -> Bool {
        let count = selection.reduce(0) { $0 + ($1.kind == .file ? 1 : 0) }
        return count <= Self.mostSingleFiles
            && (client.pace.delay(of: count, .files) <= client.pace.delay(of: 1, .archiveReads)
                || archive.manifest.position(of: .timelapseMarker) != nil)
    }

    public func parts(of selection: EntrySelection) async throws(DatabaseError) -> ScanPartStream {
        let archive = try remembered(selection)
        let entries = Array(selection)
        if comesSingly(selection, of: archive) {
            let parts = RestFileParts(
                entries, of: selection.scan, checksums: archive.checksums, from: client)
            return ScanPartStream { () async throws(DatabaseError) in try await parts.next() }
        }
        let parts = RestArchiveParts(entries, of: archive, from: client)
        return ScanPartStream { () async throws(DatabaseError) in try await parts.next() }
    }

    // MARK: Target

    public func beginTransaction(
        on scan: ScanID, replacing base: ScanRevision?, options: TransactionOptions
    ) async throws(DatabaseError) -> any ScanTransaction {
        if let base {
            guard let now = try await archive(of: scan)?.manifest.revision, now == base else {
                throw DatabaseError(
                    .conflict,
                    "scan \(scan) was changed at \(location) meanwhile; run the same command again",
                    scan: scan)
            }
        }
        return RestTransaction(endpoint: self, scan: scan, isNew: base == nil)
    }

    public func admit(_ scan: ScanManifest, from source: any ScanSource) async throws(DatabaseError) {
        try client.dialect.admit(scan)
        guard client.dialect.generation == .v016,
            let bytes = try await source.contents(of: .scanMetadata, in: scan)
        else { return }
        let metadata: JSONValue
        // Upstream reads what is no JSON as no metadata.
        do throws(DatabaseError) { metadata = try JSONValue(parsing: bytes) } catch { return }
        if metadata["timelapse"]?["id"] != nil { throw client.dialect.refusalOfTimelapse(scan.scan) }
    }

    public func canChange(_ entry: FileEntry) -> Bool {
        entry.kind == .directory || PlantDBRestClient.canUpload(entry.path, size: entry.size)
    }

    public func removeScan(_ scan: ScanID, replacing base: ScanRevision, options: TransactionOptions)
        async throws(DatabaseError)
    {
        throw DatabaseError(
            .unsupported, "\(location) cannot remove scans over HTTP; remove \(scan) where the database is",
            scan: scan)
    }

    public func acquireLock(_ scope: LockScope, mode: LockMode, wait: Duration) async throws(DatabaseError)
        -> any DatabaseLock
    {
        if mode == .exclusive { try await logIn() }
        return NoLock()
    }

    // MARK: Login

    /// Before anything is written.
    private func logIn() async throws(DatabaseError) {
        guard client.dialect.needsLogin, session.withLock({ $0 }) == nil else { return }
        if let login {
            try await client.login(login)
            session.withLock { $0 = .now }
        } else if !client.hasToken {
            throw DatabaseError(
                .authentication,
                "\(location) is PlantDB \(client.dialect.release), where writing needs an account that may create "
                    + "scans: give --user with --password-file or --ask-pass, or --token-file")
        }
    }

    /// Before the session is over.
    func renewLogin() async throws(DatabaseError) {
        guard let login, let start = session.withLock({ $0 }), .now - start > Self.sessionAge else { return }
        try await client.logout()
        try await client.login(login)
        session.withLock { $0 = .now }
    }

    public func close() async {
        let isLoggedIn = session.withLock { start in
            defer { start = nil }
            return start != nil
        }
        if isLoggedIn {
            // Also in a cancelled task: it has a task of its own.
            await Task { [client] in
                do { try await client.logout() } catch {
                    // The session ends by itself within the hour.
                }
            }.value
        }
        await client.close()
    }
}
