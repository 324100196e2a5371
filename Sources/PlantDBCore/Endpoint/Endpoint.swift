/// A database that can be read, wherever it is.
///
/// Every call throws `DatabaseError` and nothing else. A missing answer is never an empty
/// one: what could not be listed is an error or a ``SkippedEntry``. All calls may be made
/// concurrently, and end early with ``DatabaseError/Code/cancelled`` when their task is.
public protocol ScanSource: Sendable {
    /// All scans. Throws when listing fails; an unreachable peer is never an empty one.
    func listing() async throws(DatabaseError) -> DatabaseListing
    /// What the peer holds of one scan; nil if it holds no such scan or container.
    /// `detail` is a wish; the manifest says what the peer could prove.
    func manifest(of scan: ScanID, detail: ManifestDetail) async throws(DatabaseError) -> ScanManifest?
    /// The selected entries in the peer's cheapest order; a fresh stream a call, so a retry
    /// calls again. Throws ``DatabaseError/Code/sourceChanged`` where an entry is no longer
    /// what its manifest says.
    func parts(of selection: EntrySelection) async throws(DatabaseError) -> ScanPartStream
    /// The CRC-32 (that of ZIP, ISO 3309) of each selected entry, in their order; 0 for
    /// directories. It decides whether files are equal where one side keeps no times. Reads
    /// every byte, unless the peer knows better.
    func checksums(of selection: EntrySelection) async throws(DatabaseError) -> [UInt32]
    /// The fast path: descriptors to read. nil where the peer has none.
    var fileSource: (any LocalFileSource)? { get }
    /// The fast path into files of this machine. nil where the peer has none.
    var fileFetcher: (any FileFetcher)? { get }
    /// The fast path of whole scans as archives. nil where the peer has none.
    var archiveSource: (any ArchiveSource)? { get }
}

/// A database that can be written.
public protocol ScanTarget: Sendable {
    /// Whether a scan like this can be made here: asked while planning, before anything is sent.
    ///
    /// - Throws: ``DatabaseError/Code/unsupported``, ``DatabaseError/Code/invalidName``, saying why it
    ///   cannot.
    func admit(_ scan: ScanManifest, from source: any ScanSource) async throws(DatabaseError)
    /// Whether a scan that is there can get this file, new or in place of another.
    func canChange(_ entry: FileEntry) -> Bool
    /// At which of these paths the scan has something, whatever the name that a listing shows for it: where
    /// upper and lower case or Unicode spellings are not told apart, what is stored by one name is found by
    /// another. In the order of `paths`.
    func finds(_ paths: [ScanPath], in scan: ScanID) async throws(DatabaseError) -> [Bool]
    /// Opens staging for a scan, and locks it where `options` say so.
    ///
    /// - Parameter base: the revision that the plan was made against; nil: the scan must not
    ///   exist, or is the one that ``TransactionOptions/displaced`` names.
    /// - Throws: ``DatabaseError/Code/conflict`` if the target is no longer `base`,
    ///   ``DatabaseError/Code/locked`` if somebody else holds the scan.
    func beginTransaction(
        on scan: ScanID, replacing base: ScanRevision?, options: TransactionOptions
    ) async throws(DatabaseError) -> any ScanTransaction
    /// Removes a whole scan (or an empty container): it disappears at once, by one rename,
    /// and is then deleted, or kept in the trash where `options` ask for it.
    /// - Throws: as `beginTransaction`.
    func removeScan(_ scan: ScanID, replacing base: ScanRevision, options: TransactionOptions)
        async throws(DatabaseError)
}

/// One scan on its way into a target: staged, checked, then published.
///
/// Until ``commit()`` nothing of it is visible. A transaction that is neither committed nor
/// aborted (the process died) leaves its staging, which the next run reclaims.
public protocol ScanTransaction: Sendable {
    /// Stages; returns what was durably written, with size and digest computed by the receiver.
    /// - Throws: ``DatabaseError/Code/verificationFailed`` if the bytes are not as announced.
    func receive(_ parts: ScanPartStream, meter: ByteMeter) async throws(DatabaseError) -> ScanManifest
    /// Marks files for removal at commit, after everything else is published.
    func remove(_ paths: [ScanPath]) async throws(DatabaseError)
    /// Marks files and directories whose time and mode become those of `entries` at commit.
    func setAttributes(_ entries: [FileEntry]) async throws(DatabaseError)
    /// Publishes: a new scan by one rename; otherwise data, then metadata, then `files.json`,
    /// removals last. Once begun it is not cancelled.
    /// - Throws: ``DatabaseError/Code/conflict`` if somebody changed the scan meanwhile.
    func commit() async throws(DatabaseError)
    /// Drops what is staged and unlocks. Idempotent; a no-op after `commit`. Runs to its end
    /// even in a cancelled task.
    func abort() async
    /// The fast path: staged files written through descriptors. nil where there is none.
    var fileReceiver: (any LocalFileReceiver)? { get }
    /// The fast path from files of this machine. nil where there is none.
    var fileSender: (any FileSender)? { get }
    /// The fast path of a whole scan as an archive. nil where there is none.
    var archiveReceiver: (any ArchiveReceiver)? { get }
}

/// How a transaction publishes.
public struct TransactionOptions: Sendable, Hashable {
    public enum Durability: String, Sendable, Hashable, CaseIterable {
        /// Nothing is flushed.
        case never
        /// What replaces something is on disk before it replaces it; new files are not
        /// flushed one by one. After a power cut the same run finds and repairs what the
        /// file system lost.
        case auto
        /// What is reported done is on disk: content, names and directories.
        case always
    }

    public var durability: Durability
    /// Where what is removed or replaced goes instead of being lost: the name of a directory in
    /// the target's trash. What is replaced is kept before it is, so that its name is never absent.
    /// nil: it is lost.
    public var trash: String?
    /// The state of another scan of that name, which goes into the trash in the moment in which the new one
    /// comes. It needs ``trash``.
    public var displaced: ScanRevision?
    /// For how long the target is locked against others.
    public var locking: Locking
    /// Read back what was staged and compare it with what was sent.
    public var verifiesContent: Bool
    /// How long to wait for whoever holds the scan.
    public var lockWait: Duration

    public enum Locking: String, Sendable, Hashable, CaseIterable {
        /// The scan, from the beginning of its transaction to its end. The database is locked by the caller.
        case whole
        /// The scan and the database, for as long as it takes to look once more and to publish.
        case publication
    }

    public init(
        durability: Durability = .auto, trash: String? = nil, displaced: ScanRevision? = nil,
        locking: Locking = .whole, verifiesContent: Bool = false, lockWait: Duration = .zero
    ) {
        self.durability = durability
        self.trash = trash
        self.displaced = displaced
        self.locking = locking
        self.verifiesContent = verifiesContent
        self.lockWait = lockWait
    }
}

/// A database that can be a side of a synchronisation.
public protocol DatabaseEndpoint: ScanSource, ScanTarget {
    var location: DatabaseLocation { get }
    /// Probed once when the endpoint is opened, then fixed.
    var capabilities: EndpointCapabilities { get }
    /// - Parameter wait: how long to wait for whoever holds it.
    /// - Throws: ``DatabaseError/Code/locked``, naming host, process and age where the lock
    ///   tells them.
    func acquireLock(_ scope: LockScope, mode: LockMode, wait: Duration) async throws(DatabaseError)
        -> any DatabaseLock
    /// Bytes that can still be written; nil where the peer does not say, or where writing may
    /// cost less than its size (file systems that share extents).
    func availableBytes() async throws(DatabaseError) -> Int64?
    /// The time by the clock of the peer's machine, which also dates its files, to a second or so; nil where
    /// the peer does not tell. How long ago something changed there is known by no other clock.
    func currentTime() async throws(DatabaseError) -> ModificationTime?
    /// Who wants to know what this endpoint waits for (a server's rate limit, not a lock): "12 s for …".
    /// The last one counts.
    func tellWaits(to listener: @escaping @Sendable (String) -> Void)
    /// Ends connections and removes what the endpoint kept for itself. Idempotent.
    func close() async
}

extension ScanSource {
    public var fileSource: (any LocalFileSource)? { nil }
    public var fileFetcher: (any FileFetcher)? { nil }
    public var archiveSource: (any ArchiveSource)? { nil }
}

extension ScanTarget {
    public func admit(_ scan: ScanManifest, from source: any ScanSource) async throws(DatabaseError) {}
    public func canChange(_ entry: FileEntry) -> Bool { true }
    /// For peers that tell all names apart, or do not say.
    public func finds(_ paths: [ScanPath], in scan: ScanID) async throws(DatabaseError) -> [Bool] {
        paths.map { _ in false }
    }

    /// Under which names of `listed`, a manifest of ours, there is something that `other` names and `listed`
    /// does not.
    package func spellings(of other: ScanManifest, in listed: ScanManifest) async throws(DatabaseError)
        -> [PathSpelling]
    {
        let possible = listed.possibleSpellings(of: other)
        if possible.isEmpty { return [] }
        let found = try await finds(possible.map(\.other), in: listed.scan)
        return zip(possible, found).filter(\.1).map(\.0)
    }
}

extension DatabaseEndpoint {
    public func availableBytes() async throws(DatabaseError) -> Int64? { nil }
    public func tellWaits(to listener: @escaping @Sendable (String) -> Void) {}
}

extension ScanTransaction {
    public var fileReceiver: (any LocalFileReceiver)? { nil }
    public var fileSender: (any FileSender)? { nil }
    public var archiveReceiver: (any ArchiveReceiver)? { nil }
}
