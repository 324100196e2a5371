import FSDB
import NIOCore
import PlantDBCore

/// One scan on its way into a ``MemoryDatabase``.
actor MemoryTransaction: ScanTransaction {
    private enum Phase {
        case open
        case failed(DatabaseError)
        case over
    }

    private let endpoint: MemoryEndpoint
    private let scan: ScanID
    private let base: ScanRevision?
    private let options: TransactionOptions
    private let lock: MemoryLock
    private var phase = Phase.open
    private var staged = SampleTree()
    private var removals: [ScanPath] = []
    private var attributes: [FileEntry] = []

    init(
        endpoint: MemoryEndpoint, scan: ScanID, base: ScanRevision?, options: TransactionOptions,
        lock: MemoryLock
    ) {
        self.endpoint = endpoint
        self.scan = scan
        self.base = base
        self.options = options
        self.lock = lock
    }

    func receive(_ parts: ScanPartStream, meter: ByteMeter) async throws(DatabaseError) -> ScanManifest {
        try checkOpen()
        do throws(DatabaseError) {
            return try await stage(parts, meter: meter)
        } catch {
            phase = .failed(error)
            throw error
        }
    }

    private func stage(_ parts: ScanPartStream, meter: ByteMeter) async throws(DatabaseError)
        -> ScanManifest
    {
        var received: [FileEntry] = []
        var current: (entry: FileEntry, content: [UInt8])?
        var iterator = parts.makeAsyncIterator()
        while let part = try await iterator.next() {
            try DatabaseError.checkCancellation(while: "receiving scan \(scan)")
            switch part {
            case .begin(let entry):
                if let open = current { throw unfinished(open.entry) }
                current = (entry, [])
            case .bytes(let buffer):
                guard current != nil else { throw disordered() }
                current?.content.append(contentsOf: buffer.readableBytesView)
                meter.add(Int64(buffer.readableBytes))
            case .end(let digest):
                guard let (entry, content) = current else { throw disordered() }
                received.append(try finish(entry, content, announced: digest))
                current = nil
            }
        }
        if let open = current { throw unfinished(open.entry) }
        return try ScanManifest(scan: scan, entries: received)
    }

    private func finish(_ entry: FileEntry, _ content: [UInt8], announced: Digest?) throws(DatabaseError)
        -> FileEntry
    {
        let isFile = entry.kind == .file
        guard Int64(content.count) == entry.size || (!isFile && content.isEmpty) else {
            throw mismatch(entry, "it has \(content.count) bytes instead of \(entry.size)")
        }
        let digest = isFile ? ContentHasher.digest(of: content) : nil
        for claim in [announced, entry.digest] {
            if let claim, claim != digest { throw mismatch(entry, "its SHA-256 is another") }
        }
        guard endpoint.database.listed(entry.path, in: staged) == entry.path else {
            throw DatabaseError(
                .alreadyExists, "\(entry.path) and another entry of scan \(scan) are one name", scan: scan,
                path: entry.path.rawValue)
        }
        let precision = endpoint.capabilities.timePrecisionNanoseconds
        let node = SampleTree.Node(
            kind: entry.kind, content: content,
            modified: (entry.modified ?? endpoint.now()).floored(to: precision),
            mode: entry.mode ?? (isFile ? 0o644 : 0o755))
        staged.set(entry.path, node)
        return FileEntry(
            path: entry.path, kind: entry.kind, size: Int64(content.count), modified: node.modified,
            mode: node.mode, digest: digest)
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
        do throws(DatabaseError) {
            try DatabaseError.checkCancellation(while: "publishing scan \(scan)")
            try endpoint.checkBase(scan, base)
        } catch {
            phase = .failed(error)
            throw error
        }
        if base == nil { publishNew() } else { publishUpdate() }
        await end()
    }

    func abort() async { await end() }

    private func end() async {
        if case .over = phase { return }
        phase = .over
        staged = SampleTree()
        endpoint.database.state.withLock { $0.openTransactions -= 1 }
        await lock.release()
    }

    private func publishNew() {
        var tree = staged
        for entry in attributes { apply(entry, to: &tree) }
        for path in removals { tree.remove(path) }
        endpoint.database.publish(.scan(scan)) { $0.scans[scan] = MemoryDatabase.StoredScan(tree: tree) }
    }

    /// Data, then metadata, then the index, then removals: at every instant the index lists
    /// what is there.
    private func publishUpdate() {
        let database = endpoint.database
        let before = database.tree(of: scan) ?? SampleTree()
        let inOrder = staged.paths.sorted { (Self.rank($0), $0) < (Self.rank($1), $1) }
        var published: Set<ScanPath> = []
        for stagedPath in inOrder {
            guard let node = staged[stagedPath] else { continue }
            let path = database.listed(stagedPath, in: before)
            published.insert(path)
            if node.kind == .directory, database.tree(of: scan)?[path] != nil { continue }
            database.publish(node.kind == .file ? .file(scan, path) : .directory(scan, path)) {
                $0.scans[scan]?.tree.set(path, node)
            }
        }
        for entry in attributes {
            database.publish(.attributes(scan, entry.path)) { state in
                if var tree = state.scans[scan]?.tree {
                    apply(entry, to: &tree)
                    state.scans[scan]?.tree = tree
                }
            }
        }
        for path in removals {
            let listed = database.listed(path, in: before)
            // What was just published is not removed by another of its names.
            if staged[path] != nil || !published.contains(listed) { publishRemoval(listed) }
        }
    }

    private func publishRemoval(_ path: ScanPath) {
        guard let tree = endpoint.database.tree(of: scan), let node = tree[path] else { return }
        // Somebody put something into a directory meanwhile: it stays.
        if node.kind == .directory && tree.hasChildren(path) { return }
        endpoint.database.publish(.removal(scan, path)) { state in
            state.scans[scan]?.tree.remove(path)
            if let trash = options.trash {
                state.trash[trash, default: [:]][scan, default: SampleTree()].set(path, node)
            }
        }
    }

    private func apply(_ entry: FileEntry, to tree: inout SampleTree) {
        guard var node = tree[entry.path], node.kind == entry.kind else { return }
        if let time = entry.modified {
            node.modified = time.floored(to: endpoint.capabilities.timePrecisionNanoseconds)
        }
        if let mode = entry.mode { node.mode = mode }
        tree.set(entry.path, node)
    }

    /// Directories first, since what lies in them needs them.
    private static func rank(_ path: ScanPath) -> Int {
        if path == .index || path == .timelapseMarker { return 2 }
        return path.isWithin(.metadata) ? 1 : 0
    }

    private func checkOpen() throws(DatabaseError) {
        switch phase {
        case .open: return
        case .failed(let error): throw error
        case .over:
            throw DatabaseError(.invalidArgument, "the transaction on scan \(scan) is over", scan: scan)
        }
    }

    private func mismatch(_ entry: FileEntry, _ what: String) -> DatabaseError {
        DatabaseError(
            .verificationFailed, "\(entry.path) of scan \(scan) did not arrive as announced: \(what)",
            scan: scan, path: entry.path.rawValue)
    }

    private func unfinished(_ entry: FileEntry) -> DatabaseError { mismatch(entry, "the stream ended in it") }

    private func disordered() -> DatabaseError {
        DatabaseError(.invalidData, "parts of scan \(scan) came out of order", scan: scan)
    }
}
