import NIOCore
import PlantDBCore
import SFTPClient

/// What a target on a server keeps of what runs removed or replaced, in the layout of a local one:
/// `.plantdb-sync/trash/‹run›`, whole scans by their names, single files in `.files`. Nothing in it is ever
/// replaced.
struct RemoteTrash: Sendable {
    let root: RemotePath
    let run: String
    let session: SFTPSession

    /// Of the run, with the directory of the timelapse that the scan lies in.
    private func directory(for scan: ScanID) async throws(SFTPError) -> RemotePath {
        let paths = [DatabaseLayout.work, DatabaseLayout.trash, DatabaseLayout.trash + "/" + run]
            .map { root.appending($0) }
        for path in paths {
            // One by one: a link in the place of any would lead out of the database.
            try await session.makeDirectoryIfAbsent(path, FileAttributes(permissions: 0o700))
        }
        if let container = scan.container {
            try await session.makeDirectoryIfAbsent(paths[2].appending(container.rawValue))
        }
        return paths[2]
    }

    /// Where a whole scan is to be kept: nothing is there.
    func place(for scan: ScanID) async throws(SFTPError) -> RemotePath {
        let path = try await directory(for: scan).appending(scan.rawValue)
        guard try await session.attributes(of: path) != nil else { return path }
        return RemotePath(bytes: path.bytes + Array(("." + randomName()).utf8))
    }

    /// Keeps a whole scan. A timelapse, whose scans went before it, comes to them.
    func take(_ scan: ScanID, at path: RemotePath) async throws(SFTPError) {
        let members = try await directory(for: scan).appending(scan.rawValue)
        let holdsMembers: Bool
        if scan.container == nil, try await session.attributes(of: members)?.kind == .directory {
            let found = await session.attributes(
                of: [
                    members.appending(ScanPath.index.rawValue),
                    members.appending(ScanPath.timelapseMarker.rawValue),
                ])
            let (index, marker) = (try found[0].get(), try found[1].get())
            holdsMembers = index == nil && marker == nil
        } else {
            holdsMembers = false
        }
        guard holdsMembers else {
            try await session.request(.rename(path, to: try await place(for: scan)))
            return
        }
        for entry in try await session.entries(ofDirectory: path) {
            try await session.request(
                .rename(path.appending(bytes: entry.bytes), to: members.appending(bytes: entry.bytes)))
        }
        try await session.request(.removeDirectory(path))
    }

    /// Where single files of the scan are kept.
    func files(of scan: ScanID) async throws(SFTPError) -> RemotePath {
        let path = try await directory(for: scan).appending(DatabaseLayout.trashedFiles)
            .appending(scan.rawValue)
        try await session.makeDirectories(path, below: root)
        return path
    }

    /// Makes the directories in which these files of a scan are kept.
    func makeParents(of files: [ScanPath], in kept: RemotePath) async throws(SFTPError) {
        for parent in Set(files.compactMap(\.parent)).sorted() {
            try await session.makeDirectories(kept.appending(parent.rawValue), below: root)
        }
    }

    /// Keeps files that are about to be replaced. Their names stay: each file gets a second one, or is
    /// copied where the server gives it none.
    func keep(_ files: [ScanPath], of scan: RemotePath, in kept: RemotePath) async throws(SFTPError) {
        guard session.server.extensions.contains(.hardLink) else {
            for file in files { try await copy(file, of: scan, in: kept) }
            return
        }
        let answers = await session.requestInOrder(
            files.map { .hardLink(scan.appending($0.rawValue), to: kept.appending($0.rawValue)) })
        for (file, answer) in zip(files, answers) {
            guard case .failure(let error) = answer else { continue }
            guard case .status = error.code else { throw error }
            // Version 3 has one status for a name that is taken and for a file system without links.
            try await copy(file, of: scan, in: kept)
        }
    }

    /// Keeps files that go.
    func move(_ files: [ScanPath], from scan: RemotePath, to kept: RemotePath) async throws(SFTPError) {
        let answers = await session.requestInOrder(
            files.map { .rename(scan.appending($0.rawValue), to: kept.appending($0.rawValue)) })
        for (file, answer) in zip(files, answers) {
            guard case .failure(let error) = answer else { continue }
            guard try await session.attributes(of: kept.appending(file.rawValue)) != nil else { throw error }
            try await session.request(.remove(scan.appending(file.rawValue)))
        }
    }

    private func copy(_ file: ScanPath, of scan: RemotePath, in kept: RemotePath) async throws(SFTPError) {
        let (from, to) = (scan.appending(file.rawValue), kept.appending(file.rawValue))
        guard try await session.attributes(of: to) == nil,
            let attributes = try await session.attributes(of: from)
        else { return }
        guard case .handle(let source) = try await session.request(.open(from, .read)) else {
            throw SFTPError(.protocolViolation, "no handle for a file")
        }
        do throws(SFTPError) {
            try await copy(source, to: to, attributes)
        } catch {
            _ = await session.requestInOrder([.close(source), .remove(to)])
            throw error
        }
        try await session.request(.close(source))
    }

    private func copy(_ source: RemoteHandle, to path: RemotePath, _ attributes: FileAttributes)
        async throws(SFTPError)
    {
        let opened = try await session.request(
            .open(path, [.write, .create, .exclusive], FileAttributes(permissions: 0o600)))
        guard case .handle(let copy) = opened else {
            throw SFTPError(.protocolViolation, "no handle for a new file")
        }
        do throws(SFTPError) {
            if session.server.extensions.contains(.copyData) {
                try await session.request(.copyData(source, offset: 0, length: 0, to: copy, toOffset: 0))
            } else {
                try await pass(source, to: copy)
            }
            let kept = FileAttributes(
                permissions: attributes.permissions.map { $0 & 0o7777 }, times: attributes.times)
            try await session.request(.fsetstat(copy, kept))
        } catch {
            // What it was given up for is told.
            _ = await session.requestInOrder([.close(copy)])
            throw error
        }
        try await session.request(.close(copy))
    }

    /// Through this machine, a piece at a time: for servers that cannot copy, on file systems without links.
    private func pass(_ source: RemoteHandle, to copy: RemoteHandle) async throws(SFTPError) {
        let length = UInt32(
            min(session.server.readBytes(upTo: 128 << 10), session.server.writeBytes(upTo: 128 << 10)))
        var offset: UInt64 = 0
        while true {
            let answer: SFTPReply
            do throws(SFTPError) {
                answer = try await session.request(.read(source, offset: offset, length: length))
            } catch {
                if error.code == .status(.endOfFile) { return }
                throw error
            }
            guard case .data(let bytes) = answer, !bytes.isEmpty else {
                throw SFTPError(.protocolViolation, "no bytes, and no end of the file")
            }
            try await session.request(.write(copy, offset: offset, ByteBuffer(bytes: bytes)))
            offset += UInt64(bytes.count)
        }
    }
}
