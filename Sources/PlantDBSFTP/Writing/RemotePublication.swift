import PlantDBCore
import SFTPClient

/// Puts what is staged where it belongs: the only place that changes a scan on a server.
struct RemotePublication: Sendable {
    let scan: ScanID
    let base: ScanRevision?
    let endpoint: SFTPEndpoint
    let options: TransactionOptions

    /// What the target holds, which is what was planned against; nil: nothing, as planned.
    ///
    /// - Throws: ``DatabaseError/Code/conflict``.
    func checkedBase() async throws(DatabaseError) -> ScanManifest? {
        if base == nil {
            let (session, path, container) = try await (
                endpoint.connections.session(), endpoint.path(of: scan),
                scan.container.map { endpoint.path(of: $0) }
            )
            let (found, around) = try await translating("look at scan \(scan)", scan: scan) {
                () async throws(SFTPError) in
                (
                    try await session.attributes(of: path),
                    container == nil ? nil : try await session.attributes(of: container ?? path)
                )
            }
            if container != nil, around?.kind != .directory {
                throw DatabaseError(
                    .conflict, "the timelapse of scan \(scan) is not on the target", scan: scan)
            }
            guard found == nil else {
                let entries = try await translating("look at scan \(scan)", scan: scan) {
                    () async throws(SFTPError) in try await session.entries(ofDirectory: path.parent)
                }
                throw .nameIsTaken(
                    scan, among: entries.compactMap { String(validating: $0.bytes, as: UTF8.self) })
            }
            return nil
        }
        guard let current = try await endpoint.manifest(of: scan, detail: .listing) else {
            throw DatabaseError(
                .conflict, "scan \(scan) has vanished from the target meanwhile; run the same command again",
                scan: scan)
        }
        guard current.revision == base else {
            throw DatabaseError(
                .conflict,
                "somebody changed scan \(scan) on the target meanwhile; run the same command again",
                scan: scan)
        }
        return current
    }

    func publish(
        _ tree: RemoteStagedTree, area: RemoteStagingArea, removals: [ScanPath], attributes: [FileEntry]
    ) async throws(DatabaseError) {
        let session = try await endpoint.connections.session()
        var current = try await checkedBase()
        if let listed = current {
            // By the names under which it is about to be replaced: where the file system takes two spellings for
            // one name, neither is taken for new, and neither is removed because of the other.
            let staged = try ScanManifest(scan: scan, entries: tree.staged)
            current = try listed.respelled(try await endpoint.spellings(of: staged, in: listed))
        }
        var changed: ScanPath?
        do throws(SFTPError) {
            if let current {
                changed = try await update(current, from: tree, area, removals, attributes, session)
            } else {
                try await publishNew(tree, session)
            }
        } catch {
            throw await endpoint.explained(
                .sftp(error, "publish scan \(scan) at \(endpoint.location)", scan: scan))
        }
        if let changed {
            if current?.position(of: changed) == nil, try await !isListed(changed) {
                throw DatabaseError(
                    .alreadyExists,
                    "\(changed) of scan \(scan) and another file that the target has are one name there, since it "
                        + "does not tell upper and lower case or Unicode spellings apart; rename one at the source",
                    scan: scan, path: changed.rawValue)
            }
            throw DatabaseError(
                .conflict,
                "somebody changed \(changed) of scan \(scan) on the target meanwhile; run the same command again",
                scan: scan, path: changed.rawValue)
        }
    }

    /// Whether what is found by a name is listed by it too.
    private func isListed(_ path: ScanPath) async throws(DatabaseError) -> Bool {
        try await endpoint.manifest(of: scan, detail: .listing)?.position(of: path) != nil
    }

    // MARK: A new scan

    private func publishNew(_ tree: RemoteStagedTree, _ session: SFTPSession) async throws(SFTPError) {
        try await session.setAttributes(
            of: tree.staged.filter { $0.kind == .directory }, in: tree.path)
        if options.durability == .always {
            for directory in Set(tree.staged.compactMap(\.path.parent)) {
                try await session.flushDirectory(tree.path.appending(directory.rawValue))
            }
            try await session.flushDirectory(tree.path)
        }
        let path = endpoint.path(of: scan)
        // OpenSSH's server renames a directory only where there is nothing of the new name; rename(2)
        // itself refuses one that holds something.
        try await session.request(.rename(tree.path, to: path))
        if options.durability == .always { try await session.flushDirectory(path.parent) }
    }

    // MARK: An update

    /// - Returns: a file that is not what was planned against: somebody wrote it a moment ago, it is
    ///   theirs, and nothing after it was done.
    private func update(
        _ current: ScanManifest, from tree: RemoteStagedTree, _ area: RemoteStagingArea,
        _ removals: [ScanPath],
        _ attributes: [FileEntry], _ session: SFTPSession
    ) async throws(SFTPError) -> ScanPath? {
        let target = endpoint.path(of: scan)
        let staged = tree.staged.sorted { $0.path < $1.path }
        for entry in staged where entry.kind == .directory && current.position(of: entry.path) == nil {
            try await session.makeDirectoryIfAbsent(target.appending(entry.path.rawValue))
        }
        var touched: Set<RemotePath> = []
        for phase in PublishingPhase.allCases {
            let files = staged.filter { $0.kind == .file && PublishingPhase(of: $0.path) == phase }
            for entry in files { touched.insert(target.appending(entry.path.rawValue).parent) }
            for batch in files.batches(of: Self.checkedAtATime) {
                if let changed = try await changed(batch.map(\.path), in: current, session) { return changed }
                try await session.requestAll(
                    batch.map {
                        .posixRename(tree.path(of: $0), to: target.appending($0.path.rawValue))
                    })
            }
            if options.durability == .always, phase != .index {
                // The index must not survive a power cut that what it lists does not.
                for directory in touched { try await session.flushDirectory(directory) }
            }
        }
        let setsLinks = session.server.extensions.contains(.lsetstat)
        try await session.requestAll(
            attributes.map { entry in
                let path = target.appending(entry.path.rawValue)
                let values = RemoteStagedTree.attributes(of: entry)
                return setsLinks ? .lsetstat(path, values) : .setstat(path, values)
            })
        if let changed = try await remove(removals, from: target, current, area, session) { return changed }
        if current.losesData(to: staged, removals) {
            // Thumbnails are named by a hash: whose they are cannot be told.
            let cache = target.appending(ScanPath.webcacheName)
            if try await session.attributes(of: cache)?.kind == .directory {
                try await session.removeTree(cache)
            }
        }
        try await session.setAttributes(
            of: staged.filter { $0.kind == .directory && current.position(of: $0.path) == nil }, in: target)
        if options.durability == .always {
            for directory in touched { try await session.flushDirectory(directory) }
            try await session.flushDirectory(target)
        }
        return nil
    }

    /// Few, so that what was looked at is replaced a moment later; and so many that the way there and back
    /// does not count.
    private static let checkedAtATime = 512

    /// The first of these files that is not what the manifest says.
    private func changed(_ paths: [ScanPath], in current: ScanManifest, _ session: SFTPSession)
        async throws(SFTPError) -> ScanPath?
    {
        let target = endpoint.path(of: scan)
        let found = await session.attributes(of: paths.map { target.appending($0.rawValue) })
        for (path, found) in zip(paths, found) {
            let now = try found.get()
            guard let entry = current.entry(at: path) else {
                if now != nil { return path }
                continue
            }
            guard let now, now.kind == .file, now.size == UInt64(entry.size),
                now.times.map({ Int64($0.modified) }) == entry.modified?.seconds
            else { return path }
        }
        return nil
    }

    /// - Returns: as ``update(_:from:_:_:_:_:)``.
    private func remove(
        _ paths: [ScanPath], from target: RemotePath, _ current: ScanManifest, _ area: RemoteStagingArea,
        _ session: SFTPSession
    ) async throws(SFTPError) -> ScanPath? {
        var trash: RemotePath?
        if let name = options.trash { trash = try await self.trash(name, session).appending(scan.rawValue) }
        let files = paths.filter { current.entry(at: $0)?.kind == .file }
        for batch in files.batches(of: Self.checkedAtATime) {
            var requests: [SFTPRequest] = []
            for path in batch {
                let from = target.appending(path.rawValue)
                guard let trash else {
                    requests.append(.remove(from))
                    continue
                }
                let to = trash.appending(path.rawValue)
                try await session.makeDirectories(to.parent, below: endpoint.root)
                requests.append(.posixRename(from, to: to))
            }
            if let changed = try await changed(Array(batch), in: current, session) { return changed }
            try await session.requestAll(requests)
        }
        for path in paths where current.entry(at: path)?.kind == .directory {
            try await session.removeDirectoryIfEmpty(target.appending(path.rawValue))
        }
        return nil
    }

    /// The directory in the trash for one run.
    private func trash(_ name: String, _ session: SFTPSession) async throws(SFTPError) -> RemotePath {
        let paths = [DatabaseLayout.work, DatabaseLayout.trash, DatabaseLayout.trash + "/" + name]
            .map { endpoint.root.appending($0) }
        for path in paths {
            // One by one: a link in the place of any would lead out of the database.
            try await session.makeDirectoryIfAbsent(path, FileAttributes(permissions: 0o700))
        }
        return paths[2]
    }

    // MARK: A whole scan

    func removeScan(area: RemoteStagingArea) async throws(DatabaseError) {
        guard let current = try await checkedBase() else { return }
        let session = try await endpoint.connections.session()
        if current.position(of: .timelapseMarker) != nil { try await refuseMembers(session) }
        do throws(SFTPError) {
            let from = endpoint.path(of: scan)
            if let name = options.trash {
                let trash = try await trash(name, session)
                var to = trash.appending(scan.rawValue)
                try await session.makeDirectories(to.parent, below: endpoint.root)
                // Files of the scan may be there already, from the same run.
                if try await session.attributes(of: to) != nil {
                    to = trash.appending(scan.rawValue + "." + randomName())
                }
                try await session.request(.rename(from, to: to))
            } else {
                let removed = try await area.makeDirectory(session).appending("removed")
                try await session.request(.rename(from, to: removed))
                try await session.removeTree(removed.parent)
            }
            if options.durability == .always { try await session.flushDirectory(from.parent) }
        } catch {
            throw DatabaseError.sftp(error, "remove scan \(scan) from \(endpoint.location)", scan: scan)
        }
    }

    private func refuseMembers(_ session: SFTPSession) async throws(DatabaseError) {
        let path = endpoint.path(of: scan)
        let members = try await translating("look at scan \(scan)", scan: scan) {
            () async throws(SFTPError) in
            var members = 0
            for entry in try await session.entries(ofDirectory: path)
            where try await session.kind(of: entry, in: path) == .directory { members += 1 }
            return members
        }
        guard members == 0 else {
            throw DatabaseError(
                .conflict, "the timelapse container \(scan) still holds \(members) directories",
                scan: scan)
        }
    }
}

extension Array {
    fileprivate func batches(of count: Int) -> [ArraySlice<Element>] {
        stride(from: 0, to: self.count, by: count).map { self[$0..<Swift.min($0 + count, self.count)] }
    }
}

extension SFTPSession {
    /// Once all is in them, since adding to a directory changes its time; deepest first, since a mode may
    /// shut those in it away.
    fileprivate func setAttributes(of directories: [FileEntry], in tree: RemotePath) async throws(SFTPError) {
        let requests = directories.sorted { $0.path > $1.path }.map {
            SFTPRequest.setstat(tree.appending($0.path.rawValue), RemoteStagedTree.attributes(of: $0))
        }
        for answer in await requestInOrder(requests) { _ = try answer.get() }
    }

    /// OpenSSH's server opens a directory for reading, and flushes it, like a file.
    func flushDirectory(_ path: RemotePath) async throws(SFTPError) {
        guard server.extensions.contains(.fsync) else { return }
        guard case .handle(let handle) = try await request(.open(path, .read)) else { return }
        do throws(SFTPError) { try await request(.fsync(handle)) } catch {
            try await request(.close(handle))
            throw error
        }
        try await request(.close(handle))
    }

    /// The directory and those around it, up to `root`, which is there.
    func makeDirectories(
        _ path: RemotePath, below root: RemotePath, _ attributes: FileAttributes = FileAttributes()
    )
        async throws(SFTPError)
    {
        if path == root || path.bytes.count <= root.bytes.count { return }
        do throws(SFTPError) { try await makeDirectoryIfAbsent(path, attributes) } catch {
            guard error.code == .status(.noSuchFile) else { throw error }
            try await makeDirectories(path.parent, below: root, attributes)
            try await makeDirectoryIfAbsent(path, attributes)
        }
    }
}
