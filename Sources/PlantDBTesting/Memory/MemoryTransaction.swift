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
    private var lock: MemoryLock?
    private var phase = Phase.open
    private var staged = SampleTree()
    private var removals: [ScanPath] = []
    private var attributes: [FileEntry] = []

    init(
        endpoint: MemoryEndpoint, scan: ScanID, base: ScanRevision?, options: TransactionOptions,
        lock: MemoryLock?
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
            if lock == nil {
                lock = try await endpoint.takeLock(.scan(scan), mode: .exclusive, wait: options.lockWait)
            }
            try endpoint.checkBase(scan, base, options)
        } catch {
            phase = .failed(error)
            throw error
        }
        if base == nil { publishNew() } else { try publishUpdate() }
        await end()
    }

    func abort() async { await end() }

    private func end() async {
        if case .over = phase { return }
        phase = .over
        staged = SampleTree()
        endpoint.database.state.withLock { $0.openTransactions -= 1 }
        await lock?.release()
    }

    private func publishNew() {
        var tree = staged
        for entry in attributes { apply(entry, to: &tree) }
        for path in removals { tree.remove(path) }
        endpoint.database.publish(.scan(scan)) { state in
            if options.displaced != nil, let trash = options.trash {
                state.trash[trash, default: [:]][scan] = state.scans[scan]?.tree
            }
            state.scans[scan] = MemoryDatabase.StoredScan(tree: tree)
        }
    }

    private func publishUpdate() throws(DatabaseError) {
        let database = endpoint.database
        guard let current = try database.tree(of: scan)?.manifest(of: scan) else { return }
        let listed = { (path: ScanPath) in
            database.listed(path, in: database.tree(of: self.scan) ?? SampleTree())
        }
        let found = staged.paths.filter { listed($0) != $0 }
        let update = ScanUpdate(
            of: try current.respelled(
                current.possibleSpellings(of: try staged.manifest(of: scan)).filter {
                    found.contains($0.other)
                }),
            with: staged.paths.compactMap { staged.entry(at: $0, digest: false) }, removals: removals,
            attributes: attributes)
        for entry in update.newDirectories { place(entry.path, .directory(scan, listed(entry.path))) }
        for (_, files) in update.placements {
            for file in files {
                if let old = file.old { keep(listed(old.path)) }
                place(file.path, .file(scan, listed(file.path)))
            }
        }
        for entry in update.attributes {
            database.publish(.attributes(scan, entry.path)) { state in
                if var tree = state.scans[scan]?.tree {
                    apply(entry, to: &tree)
                    state.scans[scan]?.tree = tree
                }
            }
        }
        for path in update.removals.map(\.path) + update.removedDirectories {
            let path = listed(path)
            guard let tree = database.tree(of: scan), let node = tree[path] else { continue }
            // Somebody put something into a directory meanwhile: it stays.
            if node.kind == .directory && tree.hasChildren(path) { continue }
            if node.kind == .file { keep(path) }
            database.publish(.removal(scan, path)) { $0.scans[scan]?.tree.remove(path) }
        }
    }

    private func place(_ path: ScanPath, _ event: MemoryDatabase.PublishStep) {
        guard let node = staged[path] else { return }
        endpoint.database.publish(event) { state in
            guard let tree = state.scans[scan]?.tree else { return }
            state.scans[scan]?.tree.set(endpoint.database.listed(path, in: tree), node)
        }
    }

    /// What is there goes into the trash.
    private func keep(_ path: ScanPath) {
        guard let trash = options.trash else { return }
        endpoint.database.state.withLock { state in
            guard let node = state.scans[scan]?.tree[path],
                state.trash[trash]?[scan]?[path] == nil
            else { return }
            state.trash[trash, default: [:]][scan, default: SampleTree()].set(path, node)
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
