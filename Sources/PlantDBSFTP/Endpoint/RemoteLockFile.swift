import PlantDBCore
import SFTPClient

/// Makes a lock file that appears whole.
///
/// An empty one is upstream's, and is never taken over; so what is killed, or runs out of space,
/// between creating and writing must leave none. The file is written in the staging area and gets
/// its name by a hard link, which fails where the name is taken.
struct RemoteLockFile {
    let root: RemotePath
    let session: SFTPSession
    let mode: LockMode

    private var area: RemotePath { root.appending(DatabaseLayout.work) }
    private var staging: RemotePath { root.appending(DatabaseLayout.staging) }

    /// Costs five round trips.
    ///
    /// - Throws: `status` if the name is taken, which is left to be looked at, and what else the
    ///   server has against it. Nothing is left behind then.
    func create(_ path: RemotePath, holding content: [UInt8]) async throws(SFTPError) {
        guard session.server.extensions.contains(.hardLink) else {
            return try await writeInPlace(content, path)
        }
        // Whoever holds it may be making its staging area, which must not be cleaned away meanwhile.
        guard try await session.attributes(of: path) == nil else {
            throw SFTPError(.status(.failure), "\(path) is there")
        }
        var attempt = 1
        while true {
            do throws(SFTPError) { return try await link(path, holding: content) } catch {
                // Others clean up the same directories, and may take for a dead process's what is not written.
                guard error.code == .status(.noSuchFile), attempt < 5 else { throw error }
                attempt += 1
            }
        }
    }

    /// Writes it, and gives it its name; directly where the file system has no hard links.
    private func link(_ path: RemotePath, holding content: [UInt8]) async throws(SFTPError) {
        let isPrivate = FileAttributes(permissions: 0o700)
        let made = await session.requestInOrder([
            .makeDirectory(area, isPrivate), .makeDirectory(staging, isPrivate),
        ])
        if case .failure(let error) = made[0] {
            if try await session.attributes(of: area) == nil { throw error }
            // What is there must be a directory, and no link to one elsewhere.
            try await session.requireDirectory(area)
            try await session.makeDirectoryIfAbsent(staging, isPrivate)
            if mode == .shared { try await removeDead() }
        }
        let temporary = staging.appending(Self.prefix + randomName())
        do throws(SFTPError) {
            do throws(SFTPError) { try await write(content, to: temporary) } catch {
                _ = await session.requestInOrder(cleaning(temporary))
                throw error
            }
            _ = try await session.requestInOrder(
                [.hardLink(temporary, to: path)] + cleaning(temporary))[0].get()
        } catch {
            // A file system without hard links, such as FAT.
            guard case .status(let status) = error.code, status != .noSuchFile,
                try await session.attributes(of: path) == nil
            else { throw error }
            return try await writeInPlace(content, path)
        }
    }

    /// Where a file gets no second name.
    private func writeInPlace(_ content: [UInt8], _ path: RemotePath) async throws(SFTPError) {
        if path.parent == area {
            try await session.makeDirectoryIfAbsent(area, FileAttributes(permissions: 0o700))
        }
        try await write(content, to: path)
    }

    private static let prefix = "lock-"

    /// A new file; what cannot be written is removed again.
    private func write(_ content: [UInt8], to path: RemotePath) async throws(SFTPError) {
        let flags: SFTPRequest.OpenFlags = [.write, .create, .exclusive]
        let attributes = FileAttributes(permissions: 0o644)
        guard case .handle(let handle) = try await session.request(.open(path, flags, attributes)) else {
            throw SFTPError(.protocolViolation, "no handle for a new file")
        }
        var requests: [SFTPRequest] = [.write(handle, offset: 0, .init(bytes: content))]
        // A power cut may leave the name without the content.
        if session.server.extensions.contains(.fsync) { requests.append(.fsync(handle)) }
        requests.append(.close(handle))
        for case .failure(let error) in await session.requestInOrder(requests) {
            // It is ours: it was created exclusively. Where even this fails, the connection is gone.
            do throws(SFTPError) { try await session.removeIfThere(path) } catch {}
            throw error
        }
    }

    /// The directories go too, unless somebody else is at work in them. What stays is removed by the next run.
    private func cleaning(_ temporary: RemotePath) -> [SFTPRequest] {
        [.remove(temporary), .removeDirectory(staging), .removeDirectory(area)]
    }

    /// What readers that were killed here have left. (Whoever locks for writing removes everything.)
    private func removeDead() async throws(SFTPError) {
        var unwritten: [RemotePath] = []
        for entry in try await session.entries(ofDirectory: staging)
        where entry.bytes.starts(with: Self.prefix.utf8) {
            let path = staging.appending(bytes: entry.bytes)
            guard try await session.kind(of: entry, in: staging) == .file,
                let content = try await session.contents(of: path, limit: 1 << 16)
            else { continue }
            if let owner = LockOwner(parsing: content) {
                if owner.isProvenDead { try await session.removeIfThere(path) }
            } else {
                unwritten.append(path)
            }
        }
        guard !unwritten.isEmpty else { return }
        // Whoever lives writes it at once. (And once more, should that have taken longer.)
        do { try await Task.sleep(for: Self.writingTime) } catch { return }
        for path in unwritten {
            guard let content = try await session.contents(of: path, limit: 1 << 16),
                LockOwner(parsing: content) == nil
            else { continue }
            try await session.removeIfThere(path)
        }
    }

    /// How long a lock file may take to be written once it is made.
    private static let writingTime = Duration.seconds(1)
}
