import PlantDBCore
import SFTPClient

/// Where a target on a server keeps what is not published yet, and its trash: `.plantdb-sync` in
/// its root, as on a local disk.
///
/// `.plantdb-sync/staging/‹random›` belongs to one endpoint. What others have left there is
/// removed when the database is locked exclusively, since nobody else is at work then.
struct RemoteStagingArea: Sendable {
    let path: RemotePath
    private let name: String

    static func make(in endpoint: SFTPEndpoint) async throws(DatabaseError) -> RemoteStagingArea {
        let session = try await endpoint.connections.session()
        let name = randomName()
        let root = endpoint.root
        let path = root.appending(DatabaseLayout.staging).appending(name)
        try await endpoint.translatingWrites("prepare \(endpoint.location)") { () async throws(SFTPError) in
            let isPrivate = FileAttributes(permissions: 0o700)
            for attempt in 1...3 {
                do throws(SFTPError) {
                    for directory in [
                        root.appending(DatabaseLayout.work), root.appending(DatabaseLayout.staging), path,
                    ] {
                        try await session.makeDirectoryIfAbsent(directory, isPrivate)
                    }
                    return
                } catch {
                    // Who tries to lock the database cleans up the same directories (``RemoteLockFile``).
                    guard error.code == .status(.noSuchFile), attempt < 3 else { throw error }
                }
            }
        }
        return RemoteStagingArea(path: path, name: name)
    }

    static func reclaim(in endpoint: SFTPEndpoint) async throws(DatabaseError) {
        let session = try await endpoint.connections.session()
        let root = endpoint.root
        try await translating("clean up \(endpoint.location)") { () async throws(SFTPError) in
            do throws(SFTPError) {
                let path = root.appending(DatabaseLayout.staging)
                guard try await session.attributes(of: root.appending(DatabaseLayout.work)) != nil else {
                    return
                }
                // Through a link, what somebody else keeps elsewhere would be removed.
                try await session.requireDirectory(root.appending(DatabaseLayout.work))
                guard try await session.attributes(of: path) != nil else { return }
                try await session.requireDirectory(path)
                for entry in try await session.entries(ofDirectory: path) {
                    let entryPath = path.appending(bytes: entry.bytes)
                    if try await session.kind(of: entry, in: path) == .directory {
                        try await session.removeTree(entryPath)
                    } else {
                        try await session.removeIfThere(entryPath)
                    }
                }
                try await session.removeDirectoryIfEmpty(path)
                try await session.removeDirectoryIfEmpty(root.appending(DatabaseLayout.work))
            } catch { if error.code != .status(.noSuchFile) { throw error } }
        }
    }

    /// A new private directory in it.
    ///
    /// - Parameter name: of a directory that is made in it.
    func makeDirectory(_ session: SFTPSession, holding name: String? = nil) async throws(SFTPError)
        -> RemotePath
    {
        let result = path.appending(randomName())
        var requests = [SFTPRequest.makeDirectory(result, FileAttributes(permissions: 0o700))]
        if let name { requests.append(.makeDirectory(result.appending(name))) }
        let answers = await session.requestInOrder(requests)
        _ = try answers[0].get()
        // A server need not do in order what concerns two files.
        if case .failure(let error)? = answers.dropFirst().first {
            guard error.code == .status(.noSuchFile) else { throw error }
            try await session.request(requests[1])
        }
        return result
    }

    func close(_ endpoint: SFTPEndpoint) async {
        // What cannot be removed now is reclaimed by the next run.
        await endpoint.connections.tidyUp { [path] (session) async throws(SFTPError) in
            try await session.removeTree(path)
            try await session.removeDirectoryIfEmpty(path.parent)
            try await session.removeDirectoryIfEmpty(path.parent.parent)
        }
    }
}

/// 16 letters and digits that nobody can guess.
func randomName() -> String {
    let alphabet = Array("abcdefghijklmnopqrstuvwxyz0123456789")
    var generator = SystemRandomNumberGenerator()
    return String((0..<16).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &generator)] })
}

extension SFTPSession {
    /// - Throws: `unsupported` for what is no directory, a link to one too.
    func requireDirectory(_ path: RemotePath) async throws(SFTPError) {
        guard try await attributes(of: path)?.kind == .directory else {
            throw SFTPError(
                .unsupported, "\(path) on the server is a link, or no directory: it must be one; remove it")
        }
    }

    func makeDirectoryIfAbsent(_ path: RemotePath, _ attributes: FileAttributes = FileAttributes())
        async throws(SFTPError)
    {
        do throws(SFTPError) { try await request(.makeDirectory(path, attributes)) } catch {
            guard case .status = error.code, let found = try await self.attributes(of: path) else {
                throw error
            }
            if found.kind != .directory { try await requireDirectory(path) }
        }
    }

    /// Leaves a directory alone that holds something, or is gone.
    func removeDirectoryIfEmpty(_ path: RemotePath) async throws(SFTPError) {
        do throws(SFTPError) { try await request(.removeDirectory(path)) } catch {
            // Version 3 tells a full directory by the status for everything else.
            guard error.code == .status(.failure) || error.code == .status(.noSuchFile) else { throw error }
        }
    }

    /// Removes a directory and what is in it, however much it is; no link in it is followed.
    ///
    /// - Parameter path: of a directory, and no link to one.
    func removeTree(_ path: RemotePath) async throws(SFTPError) {
        var directories = [path]
        var next = 0
        while next < directories.count {
            let directory = directories[next]
            next += 1
            let entries: [SFTPReply.Name]
            do throws(SFTPError) { entries = try await self.entries(ofDirectory: directory) } catch {
                if error.code == .status(.noSuchFile) { continue }
                throw error
            }
            var files: [SFTPRequest] = []
            for entry in entries {
                let path = directory.appending(bytes: entry.bytes)
                if try await kind(of: entry, in: directory) == .directory {
                    directories.append(path)
                } else {
                    files.append(.remove(path))
                }
            }
            try await requestAll(files)
        }
        for directory in directories.reversed() {
            do throws(SFTPError) { try await request(.removeDirectory(directory)) } catch {
                if error.code != .status(.noSuchFile) { throw error }
            }
        }
    }
}
