import PlantDBCore
import SFTPClient

/// Where a target on a server keeps what is not published yet, and its trash: `.plantdb-sync` in
/// its root, as on a local disk.
///
/// `.plantdb-sync/staging/‹random›` belongs to one endpoint. What others have left there is
/// removed when the database is locked exclusively, since nobody else is at work then.
struct RemoteStagingArea: Sendable {
    static let directoryName = ".plantdb-sync"
    private static let staging = directoryName + "/staging"

    let path: RemotePath
    private let name: String

    static func make(in endpoint: SFTPEndpoint) async throws(DatabaseError) -> RemoteStagingArea {
        let session = try await endpoint.connections.session()
        let name = randomName()
        let root = endpoint.root
        let path = root.appending(staging).appending(name)
        try await translating("prepare \(endpoint.location)") { () async throws(SFTPError) in
            let isPrivate = FileAttributes(permissions: 0o700)
            for directory in [root.appending(directoryName), root.appending(staging), path] {
                try await session.makeDirectoryIfAbsent(directory, isPrivate)
            }
        }
        return RemoteStagingArea(path: path, name: name)
    }

    static func reclaim(in endpoint: SFTPEndpoint) async throws(DatabaseError) {
        let session = try await endpoint.connections.session()
        let root = endpoint.root
        try await translating("clean up \(endpoint.location)") { () async throws(SFTPError) in
            do throws(SFTPError) {
                let path = root.appending(staging)
                for entry in try await session.entries(ofDirectory: path) {
                    try await session.removeTree(path.appending(bytes: entry.bytes))
                }
                try await session.removeDirectoryIfEmpty(path)
                try await session.removeDirectoryIfEmpty(root.appending(directoryName))
            } catch { if error.code != .status(.noSuchFile) { throw error } }
        }
    }

    /// A new private directory in it.
    func makeDirectory(_ session: SFTPSession) async throws(SFTPError) -> RemotePath {
        let result = path.appending(randomName())
        try await session.request(.makeDirectory(result, FileAttributes(permissions: 0o700)))
        return result
    }

    func close(_ endpoint: SFTPEndpoint) async {
        do {
            let session = try await endpoint.connections.session()
            try await session.removeTree(path)
            try await session.removeDirectoryIfEmpty(path.parent)
            try await session.removeDirectoryIfEmpty(path.parent.parent)
        } catch {
            // Left for the next run, which reclaims it.
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
    func makeDirectoryIfAbsent(_ path: RemotePath, _ attributes: FileAttributes = FileAttributes())
        async throws(SFTPError)
    {
        do throws(SFTPError) { try await request(.makeDirectory(path, attributes)) } catch {
            guard case .status = error.code, try await self.attributes(of: path)?.kind == .directory else {
                throw error
            }
        }
    }

    /// Leaves a directory alone that holds something, or is gone.
    func removeDirectoryIfEmpty(_ path: RemotePath) async throws(SFTPError) {
        do throws(SFTPError) { try await request(.removeDirectory(path)) } catch {
            // Version 3 tells a full directory by the status for everything else.
            guard error.code == .status(.failure) || error.code == .status(.noSuchFile) else { throw error }
        }
    }

    /// Removes what is there, however much it is; no link is followed.
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
