import PlantDBCore
import SFTPClient

/// Puts what is staged where it belongs: the only place that changes a scan on a server.
struct RemotePublication: Sendable {
    let scan: ScanID
    let base: ScanRevision?
    let endpoint: SFTPEndpoint
    let options: TransactionOptions

    /// What the target holds, which is what was planned against; nil: nothing, as planned, or another scan
    /// that is displaced.
    ///
    /// - Throws: ``DatabaseError/Code/conflict``.
    func checkedBase() async throws(DatabaseError) -> ScanManifest? {
        guard let expected = base ?? options.displaced else {
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
        guard current.revision == expected else {
            throw DatabaseError(
                .conflict,
                "somebody changed scan \(scan) on the target meanwhile; run the same command again",
                scan: scan)
        }
        return base == nil ? nil : current
    }

    func publish(
        _ tree: RemoteStagedTree, removals: [ScanPath], attributes: [FileEntry]
    ) async throws(DatabaseError) {
        let session = try await endpoint.connections.session()
        var update: ScanUpdate?
        if let listed = try await checkedBase() {
            // By the names under which it is about to be replaced: where the file system takes two spellings for
            // one name, neither is taken for new, and neither is removed because of the other.
            let staged = try ScanManifest(scan: scan, entries: tree.staged)
            update = ScanUpdate(
                of: try listed.respelled(try await endpoint.spellings(of: staged, in: listed)),
                with: staged, removals: removals, attributes: attributes)
        }
        var changed: ScanUpdate.Placement?
        do throws(SFTPError) {
            if let update {
                changed = try await carryOut(update, from: tree, session)
            } else {
                try await publishNew(tree, session)
            }
        } catch {
            throw await endpoint.explained(
                .sftp(error, "publish scan \(scan) at \(endpoint.location)", scan: scan))
        }
        if let changed {
            let path = changed.path
            if changed.old == nil, try await !isListed(path) {
                throw DatabaseError(
                    .alreadyExists,
                    "\(path) of scan \(scan) and another file that the target has are one name there, since it "
                        + "does not tell upper and lower case or Unicode spellings apart; rename one at the source",
                    scan: scan, path: path.rawValue)
            }
            throw DatabaseError(
                .conflict,
                "somebody changed \(path) of scan \(scan) on the target meanwhile; run the same command again",
                scan: scan, path: path.rawValue)
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
        if options.displaced != nil {
            try await displace(path, by: tree.path, session)
        } else {
            // OpenSSH's server renames a directory only where there is nothing of the new name; rename(2)
            // itself refuses one that holds something.
            try await session.request(.rename(tree.path, to: path))
        }
        if options.durability == .always { try await session.flushDirectory(path.parent) }
    }

    /// Two names cannot change places over SFTP: the two renames follow one another at once, and where the
    /// second fails the first is taken back.
    private func displace(_ path: RemotePath, by tree: RemotePath, _ session: SFTPSession)
        async throws(SFTPError)
    {
        guard let trash = trash(session) else {
            throw SFTPError(.invalidArgument, "nothing says where scan \(scan) is to be kept")
        }
        let kept = try await trash.place(for: scan)
        let answers = await session.requestInOrder([.rename(path, to: kept), .rename(tree, to: path)])
        _ = try answers[0].get()
        if case .failure(let error) = answers[1] {
            try await session.request(.rename(kept, to: path))
            throw error
        }
    }

    private func trash(_ session: SFTPSession) -> RemoteTrash? {
        options.trash.map { RemoteTrash(root: endpoint.root, run: $0, session: session) }
    }

    // MARK: An update

    /// - Returns: a file that is not what was planned against: somebody wrote it a moment ago, it is
    ///   theirs, and nothing after it was done.
    private func carryOut(_ update: ScanUpdate, from tree: RemoteStagedTree, _ session: SFTPSession)
        async throws(SFTPError) -> ScanUpdate.Placement?
    {
        let target = endpoint.path(of: scan)
        let trash = trash(session)
        let superseded = update.superseded.map(\.path)
        var kept: RemotePath?
        if let trash, !superseded.isEmpty {
            let files = try await trash.files(of: scan)
            try await trash.makeParents(of: superseded, in: files)
            // All of it before anything is replaced: where it cannot be kept, nothing is.
            let replaced = update.placements.flatMap { $0.files.compactMap(\.old?.path) }
            for batch in replaced.batches(of: Self.checkedAtATime) {
                try await trash.keep(Array(batch), of: target, in: files)
            }
            kept = files
        }
        for entry in update.newDirectories {
            try await session.makeDirectoryIfAbsent(target.appending(entry.path.rawValue))
        }
        var touched: Set<RemotePath> = []
        for (phase, files) in update.placements {
            for file in files { touched.insert(target.appending(file.path.rawValue).parent) }
            for batch in files.batches(of: Self.checkedAtATime) {
                if let changed = try await changed(batch, session) { return changed }
                try await session.requestAll(
                    batch.map {
                        .posixRename(
                            tree.path.appending($0.path.rawValue), to: target.appending($0.path.rawValue))
                    })
            }
            if options.durability == .always, phase != .index {
                // The index must not survive a power cut that what it lists does not.
                for directory in touched { try await session.flushDirectory(directory) }
            }
        }
        let setsLinks = session.server.extensions.contains(.lsetstat)
        try await session.requestAll(
            update.attributes.map { entry in
                let path = target.appending(entry.path.rawValue)
                let values = RemoteStagedTree.attributes(of: entry)
                return setsLinks ? .lsetstat(path, values) : .setstat(path, values)
            })
        for batch in update.removals.batches(of: Self.checkedAtATime) {
            let going = batch.map { ScanUpdate.Placement(path: $0.path, old: $0) }
            if let changed = try await changed(going[...], session) { return changed }
            if let trash, let kept {
                try await trash.move(batch.map(\.path), from: target, to: kept)
            } else {
                try await session.requestAll(batch.map { .remove(target.appending($0.path.rawValue)) })
            }
        }
        for path in update.removedDirectories {
            try await session.removeDirectoryIfEmpty(target.appending(path.rawValue))
        }
        if update.removesCaches {
            let cache = target.appending(ScanPath.webcacheName)
            if try await session.attributes(of: cache)?.kind == .directory {
                try await session.removeTree(cache)
            }
        }
        try await session.setAttributes(of: update.newDirectories, in: target)
        if options.durability == .always {
            for directory in touched { try await session.flushDirectory(directory) }
            try await session.flushDirectory(target)
        }
        return nil
    }

    /// Few, so that what was looked at is replaced a moment later; and so many that the way there and back
    /// does not count.
    private static let checkedAtATime = 512

    /// The first of these files that is not what was planned against.
    private func changed(_ files: ArraySlice<ScanUpdate.Placement>, _ session: SFTPSession)
        async throws(SFTPError) -> ScanUpdate.Placement?
    {
        let target = endpoint.path(of: scan)
        let found = await session.attributes(of: files.map { target.appending($0.path.rawValue) })
        for (file, found) in zip(files, found) {
            let now = try found.get()
            guard let old = file.old else {
                if now != nil { return file }
                continue
            }
            guard let now, now.kind == .file, now.size == UInt64(old.size),
                now.times.map({ Int64($0.modified) }) == old.modified?.seconds
            else { return file }
        }
        return nil
    }

    // MARK: A whole scan

    func removeScan(area: RemoteStagingArea) async throws(DatabaseError) {
        guard let current = try await checkedBase() else { return }
        let session = try await endpoint.connections.session()
        if current.position(of: .timelapseMarker) != nil { try await refuseMembers(session) }
        do throws(SFTPError) {
            let from = endpoint.path(of: scan)
            if let trash = trash(session) {
                try await trash.take(scan, at: from)
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
