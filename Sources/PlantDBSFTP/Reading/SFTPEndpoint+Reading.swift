import PlantDBCore
import SFTPClient

extension SFTPEndpoint {
    public func listing() async throws(DatabaseError) -> DatabaseListing {
        guard isThere else { return DatabaseListing(scans: []) }
        let session = try await connections.session()
        let root = root
        return try await translating("list \(location)") { () async throws(SFTPError) in
            var builder = ListingBuilder()
            var directories: [[UInt8]] = []
            for entry in try await session.entries(ofDirectory: root)
            where !ListingBuilder.isPrivate(entry.bytes) {
                switch try await session.kind(of: entry, in: root) {
                case .directory: directories.append(entry.bytes)
                case .symbolicLink: builder.skip(entry.bytes, .symbolicLink)
                case .file, .special, nil: break
                }
            }
            var containers: [(ScanID, RemotePath)] = []
            let found = try await facts(of: directories, in: root, session)
            for (name, facts) in zip(directories, found) {
                switch facts {
                case .success(let facts):
                    if let container = builder.add(directory: name, facts) {
                        containers.append((container, root.appending(bytes: name)))
                    }
                case .failure(let error): builder.skip(name, .unreadable, detail: error.message)
                }
            }
            for (container, path) in containers {
                var members: [[UInt8]] = []
                for entry in try await session.entries(ofDirectory: path) {
                    switch try await session.kind(of: entry, in: path) {
                    case .directory: members.append(entry.bytes)
                    case .symbolicLink:
                        builder.skip(Array((container.rawValue + "/").utf8) + entry.bytes, .symbolicLink)
                    case .file, .special, nil: break
                    }
                }
                for (name, facts) in zip(members, try await facts(of: members, in: path, session)) {
                    switch facts {
                    case .success(let facts): builder.add(member: name, of: container, facts)
                    case .failure(let error):
                        builder.skip(
                            Array((container.rawValue + "/").utf8) + name, .unreadable, detail: error.message)
                    }
                }
            }
            return builder.listing
        }
    }

    /// What lies in each directory; a failure for one that may not be looked into.
    private func facts(of names: [[UInt8]], in parent: RemotePath, _ session: SFTPSession)
        async throws(SFTPError) -> [Result<ListingBuilder.Facts, SFTPError>]
    {
        let results = await concurrently(names, atATime: 32) { name in
            let path = parent.appending(bytes: name)
            do throws(SFTPError) {
                var kinds: [FileAttributes.Kind?] = []
                for found in await session.attributes(
                    of: [ScanPath.metadata, .index, .timelapseMarker].map { path.appending($0.rawValue) })
                { kinds.append(try found.get()?.kind) }
                return Result<ListingBuilder.Facts, SFTPError>.success(
                    ListingBuilder.Facts(
                        hasMetadataDirectory: kinds[0] == .directory, hasIndex: kinds[1] == .file,
                        hasTimelapseMarker: kinds[2] == .file))
            } catch { return .failure(error) }
        }
        for case .failure(let error) in results where error.code != .status(.permissionDenied) { throw error }
        return results
    }

    public func manifest(of scan: ScanID, detail: ManifestDetail) async throws(DatabaseError) -> ScanManifest?
    {
        guard isThere else { return nil }
        let session = try await connections.session()
        let path = path(of: scan)
        let found = await session.attributes(of: [path, path.appending(ScanPath.timelapseMarker.rawValue)])
        let failure = { DatabaseError.sftp($0, "look at scan \(scan) of \(self.location)", scan: scan) }
        guard try found[0].get(or: failure)?.kind == .directory else { return nil }
        let marker = scan.container == nil ? try found[1].get(or: failure) : nil
        let isContainer = marker?.kind == .file
        let manifest = try await RemoteWalk(scan: scan, top: path, session: session, descends: !isContainer)
            .manifest()
        guard detail == .digests else { return manifest }
        return try await digester.addingDigests(to: manifest, at: path, session)
    }
}

extension SFTPSession {
    /// By the listing where it tells, else by asking.
    func kind(of entry: SFTPReply.Name, in directory: RemotePath) async throws(SFTPError) -> FileAttributes
        .Kind?
    {
        if let kind = entry.attributes.kind { return kind }
        return try await attributes(of: directory.appending(bytes: entry.bytes))?.kind
    }
}
