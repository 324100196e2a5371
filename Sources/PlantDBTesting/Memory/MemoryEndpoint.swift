import NIOCore
import PlantDBCore
import Synchronization

/// An endpoint over a ``MemoryDatabase``, which behaves as every endpoint must, and whose
/// capabilities can be chosen: what a test needs to see how others cope with a weak peer.
public final class MemoryEndpoint: DatabaseEndpoint, LockInspecting {
    /// In which order ``parts(of:)`` hands out entries; a peer may have any.
    public enum PartOrder: Sendable, Hashable {
        case ascending
        case descending
        case shuffled(seed: UInt64)
    }

    public let database: MemoryDatabase
    public let location: DatabaseLocation
    public let capabilities: EndpointCapabilities
    public let partOrder: PartOrder
    /// The most bytes in one part.
    public let chunkSize: Int
    /// What a file gets whose entry carries no time.
    let now: @Sendable () -> ModificationTime
    let owner: String
    private let freeBytes: Int64?
    private let clock: @Sendable () -> ModificationTime?
    private let isClosed = Atomic(false)
    private static let connections = Atomic(0)

    /// - Parameters:
    ///   - name: what messages call it.
    ///   - capabilities: kept to: times are rounded down to the precision, digests are given
    ///     only where they are promised, writes are refused that it has not.
    ///   - now: the time of files whose entries carry none.
    ///   - availableBytes: what it says can still be written; more is taken all the same.
    ///   - clock: of its machine, unless that is this one; it may not tell.
    public init(
        _ database: MemoryDatabase = MemoryDatabase(), name: String = "memory",
        capabilities: EndpointCapabilities = EndpointCapabilities(concurrentScans: 2...8),
        partOrder: PartOrder = .ascending, chunkSize: Int = 1 << 16,
        now: @escaping @Sendable () -> ModificationTime = { SampleTree.time },
        availableBytes: Int64? = nil,
        clock: (@Sendable () -> ModificationTime?)? = nil
    ) {
        self.database = database
        // Two endpoints of one database are one place, and the object says which.
        location = DatabaseLocation(
            description: name, identity: "memory:\(UInt(bitPattern: ObjectIdentifier(database).hashValue))")
        self.capabilities = capabilities
        self.partOrder = partOrder
        self.chunkSize = max(1, chunkSize)
        self.now = now
        freeBytes = availableBytes
        self.clock = clock ?? { WallClock.now }
        let number = Self.connections.add(1, ordering: .relaxed).newValue
        owner = "\(name) connection \(number)"
    }

    public func listing() async throws(DatabaseError) -> DatabaseListing {
        try checkOpen("list the scans")
        return database.state.withLock { state in
            let scans = state.scans.keys.sorted().compactMap { scan in
                state.kind(of: scan).map { ScanSummary(scan: scan, kind: $0) }
            }
            return DatabaseListing(scans: scans, skipped: state.skipped)
        }
    }

    public func manifest(of scan: ScanID, detail: ManifestDetail) async throws(DatabaseError)
        -> ScanManifest?
    {
        try checkOpen("look at scan \(scan)")
        let listed = database.listed(scan)
        guard let stored = database.state.withLock({ $0.scans[listed] }) else { return nil }
        return try manifest(of: scan, stored, detail: detail)
    }

    public func finds(_ paths: [ScanPath], in scan: ScanID) async throws(DatabaseError) -> [Bool] {
        try checkOpen("look into scan \(scan)")
        let tree = database.tree(of: database.listed(scan)) ?? SampleTree()
        return paths.map { tree[database.listed($0, in: tree)] != nil }
    }

    func manifest(of scan: ScanID, _ stored: MemoryDatabase.StoredScan, detail: ManifestDetail)
        throws(DatabaseError) -> ScanManifest
    {
        let wantsDigests = detail == .digests && capabilities.provesDigests
        var entries: [FileEntry] = []
        for path in stored.tree.paths {
            let provesDigest = wantsDigests && !stored.unreadable.contains(path)
            guard var entry = stored.tree.entry(at: path, digest: provesDigest) else { continue }
            entry.modified?.floor(to: capabilities.timePrecisionNanoseconds)
            entries.append(entry)
        }
        return try ScanManifest(scan: scan, entries: entries, skipped: stored.skipped)
    }

    public func parts(of selection: EntrySelection) async throws(DatabaseError) -> ScanPartStream {
        try checkOpen("read scan \(selection.scan)")
        var order = Array(selection)
        switch partOrder {
        case .ascending: break
        case .descending: order.reverse()
        case .shuffled(let seed):
            var generator = SplitMix64(seed: seed)
            order.shuffle(using: &generator)
        }
        let cursor = MemoryPartCursor(endpoint: self, scan: selection.scan, entries: order)
        return ScanPartStream { () async throws(DatabaseError) in
            try DatabaseError.checkCancellation(while: "reading scan \(cursor.scan)")
            return try cursor.next()
        }
    }

    public func beginTransaction(
        on scan: ScanID, replacing base: ScanRevision?, options: TransactionOptions
    ) async throws(DatabaseError) -> any ScanTransaction {
        try checkOpen("write scan \(scan)")
        let scan = database.listed(scan)
        try checkWritable(scan, isNew: base == nil)
        let lock: MemoryLock? =
            options.locking == .whole
            ? try await takeLock(.scan(scan), mode: .exclusive, wait: .zero) : nil
        do throws(DatabaseError) {
            try checkBase(scan, base, options)
        } catch {
            await lock?.release()
            throw error
        }
        database.state.withLock { $0.openTransactions += 1 }
        return MemoryTransaction(endpoint: self, scan: scan, base: base, options: options, lock: lock)
    }

    public func removeScan(_ scan: ScanID, replacing base: ScanRevision, options: TransactionOptions)
        async throws(DatabaseError)
    {
        try checkOpen("remove scan \(scan)")
        let scan = database.listed(scan)
        try checkWritable(scan, isNew: false)
        let lock = try await takeLock(.scan(scan), mode: .exclusive, wait: .zero)
        do throws(DatabaseError) {
            try checkBase(scan, base, options)
            if database.state.withLock({ $0.scans.keys.contains { $0.container == scan } }) {
                throw DatabaseError(
                    .conflict, "timelapse \(scan) still holds scans; remove them first", scan: scan)
            }
        } catch {
            await lock.release()
            throw error
        }
        database.publish(.scanRemoval(scan)) { state in
            let removed = state.scans.removeValue(forKey: scan)
            if let trash = options.trash { state.trash[trash, default: [:]][scan] = removed?.tree }
        }
        await lock.release()
    }

    public func availableBytes() async throws(DatabaseError) -> Int64? { freeBytes }

    public func currentTime() async throws(DatabaseError) -> ModificationTime? { clock() }

    public func close() async { isClosed.store(true, ordering: .relaxed) }

    func checkOpen(_ action: String) throws(DatabaseError) {
        try DatabaseError.checkCancellation(while: "trying to \(action)")
        if isClosed.load(ordering: .relaxed) {
            throw DatabaseError(.unreachable, "could not \(action): the endpoint \(location) is closed")
        }
    }

    private func checkWritable(_ scan: ScanID, isNew: Bool) throws(DatabaseError) {
        switch capabilities.writes {
        case .files: return
        case .newScans where isNew: return
        case .newScans:
            throw DatabaseError(.unsupported, "\(location) cannot change scan \(scan)", scan: scan)
        case .none:
            throw DatabaseError(.unsupported, "\(location) cannot be written", scan: scan)
        }
    }

    /// - Throws: ``DatabaseError/Code/conflict`` if the scan is no longer `base`.
    func checkBase(_ scan: ScanID, _ base: ScanRevision?, _ options: TransactionOptions) throws(DatabaseError)
    {
        let base = base ?? options.displaced
        let (stored, container) = database.state.withLock { state in
            (state.scans[scan], scan.container.map { state.kind(of: $0) })
        }
        if base == nil {
            // A member needs its container; anything at the name itself is in the way.
            if stored != nil { throw conflict(scan, "is there already") }
            if let container, container != .timelapse { throw conflict(scan, "has no timelapse to lie in") }
            return
        }
        guard let stored else { throw conflict(scan, "is gone") }
        if try manifest(of: scan, stored, detail: .listing).revision != base {
            throw conflict(scan, "has changed")
        }
    }

    private func conflict(_ scan: ScanID, _ what: String) -> DatabaseError {
        DatabaseError(
            .conflict, "scan \(scan) of \(location) \(what) since it was planned; run again", scan: scan)
    }
}

/// Reads entries chunk by chunk from what the database holds at each instant, as a file
/// system does, and refuses to mix two states of one file.
private final class MemoryPartCursor: Sendable {
    private struct Position: Sendable {
        var index = 0
        var offset: Int?
    }

    let scan: ScanID
    private let endpoint: MemoryEndpoint
    private let entries: [FileEntry]
    private let position = Mutex(Position())

    init(endpoint: MemoryEndpoint, scan: ScanID, entries: [FileEntry]) {
        self.endpoint = endpoint
        self.scan = scan
        self.entries = entries
    }

    func next() throws(DatabaseError) -> ScanPart? {
        try position.withLock { position throws(DatabaseError) in
            guard position.index < entries.count else { return nil }
            let entry = entries[position.index]
            let node = try current(entry)
            guard let offset = position.offset else {
                position.offset = 0
                return .begin(entry)
            }
            if offset < node.content.count {
                let end = min(node.content.count, offset + endpoint.chunkSize)
                position.offset = end
                return .bytes(ByteBuffer(bytes: node.content[offset..<end]))
            }
            position.index += 1
            position.offset = nil
            let provesDigest = entry.kind == .file && endpoint.capabilities.provesDigests
            return .end(provesDigest ? Digest(of: node.content) : nil)
        }
    }

    /// - Throws: ``DatabaseError/Code/sourceChanged`` if the file is not what its entry says,
    ///   ``DatabaseError/Code/permissionDenied`` if it cannot be read.
    private func current(_ entry: FileEntry) throws(DatabaseError) -> SampleTree.Node {
        let database = endpoint.database
        let listed = database.listed(scan)
        let stored = database.state.withLock { $0.scans[listed] }
        if stored?.unreadable.contains(entry.path) == true {
            throw DatabaseError(
                .permissionDenied, "could not read \(entry.path) of scan \(scan): it is not readable",
                scan: scan, path: entry.path.rawValue)
        }
        let precision = endpoint.capabilities.timePrecisionNanoseconds
        guard let tree = stored?.tree, let node = tree[database.listed(entry.path, in: tree)],
            node.kind == entry.kind,
            node.kind == .directory
                || (Int64(node.content.count) == entry.size
                    && (entry.modified == nil || node.modified.floored(to: precision) == entry.modified))
        else {
            throw DatabaseError(
                .sourceChanged, "\(entry.path) of scan \(scan) changed while it was read; run again",
                scan: scan, path: entry.path.rawValue)
        }
        return node
    }
}
