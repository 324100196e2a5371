import NIOCore
import PlantDBCore
import SFTPClient

import struct Crypto.SHA256

/// Writes a stream of parts into a staged tree on a server, and checks each file against its
/// announcement.
struct RemotePartReceiver {
    let tree: RemoteStagedTree

    /// Small files on their way at a time, and what counts as one.
    private static let filesOnTheWay = 32
    private static let smallFile = 256 << 10

    private struct Incoming {
        var entry: FileEntry
        var hasher = SHA256()
        var received: Int64 = 0
        /// Of a small file, until it is whole.
        var buffer = ByteBuffer()
        /// Of a large one.
        var writer: RemoteFileWriter?
    }

    func receive(_ parts: ScanPartStream, meter: ByteMeter) async throws(DatabaseError) -> ScanManifest {
        let session = try await tree.endpoint.connections.session()
        do {
            return try await withThrowingTaskGroup(of: FileEntry.self) { group in
                var builder = ScanManifest.Builder(scan: tree.scan)
                var onTheWay = 0
                var current: Incoming?
                for try await part in parts {
                    switch part {
                    case .begin(let entry):
                        guard current == nil else { throw disorder("a file begins inside another") }
                        try await tree.makeDirectories(
                            [entry.kind == .directory ? entry.path : entry.path.parent].compactMap { $0 },
                            session)
                        var incoming = Incoming(entry: entry)
                        if entry.kind == .file, entry.size > Self.smallFile {
                            incoming.writer = try await RemoteFileWriter.create(entry, in: tree, session)
                        }
                        current = incoming
                    case .bytes(var buffer):
                        guard current != nil, let entry = current?.entry, entry.kind == .file else {
                            throw disorder("bytes outside a file")
                        }
                        current?.received += Int64(buffer.readableBytes)
                        guard (current?.received ?? 0) <= entry.size else {
                            throw mismatch(entry, "more than its \(entry.size) bytes arrived")
                        }
                        buffer.withUnsafeReadableBytes { current?.hasher.update(bufferPointer: $0) }
                        meter.add(Int64(buffer.readableBytes))
                        if let writer = current?.writer {
                            try await writer.write(buffer)
                        } else {
                            current?.buffer.writeBuffer(&buffer)
                        }
                    case .end(let announced):
                        guard let incoming = current else { throw disorder("a file ends that never began") }
                        current = nil
                        var entry = incoming.entry
                        if entry.kind == .directory {
                            tree.note(entry)
                            builder.append(entry)
                            continue
                        }
                        guard incoming.received == entry.size else {
                            throw mismatch(entry, "\(incoming.received) of \(entry.size) bytes arrived")
                        }
                        let digest = Digest(bytes: Array(incoming.hasher.finalize()))
                        if let expected = announced ?? entry.digest, expected != digest {
                            throw mismatch(entry, "its SHA-256 is not the one that was announced")
                        }
                        entry.digest = digest
                        if onTheWay >= Self.filesOnTheWay, let done = try await group.next() {
                            builder.append(done)
                            onTheWay -= 1
                        }
                        onTheWay += 1
                        let (whole, content, writer, tree) = (entry, incoming.buffer, incoming.writer, tree)
                        group.addTask {
                            let writer =
                                if let writer { writer } else {
                                    try await RemoteFileWriter.create(whole, in: tree, session)
                                }
                            if content.readableBytes > 0 { try await writer.write(content) }
                            try await writer.finish()
                            if tree.options.verifiesContent { try await readBack(whole, session) }
                            tree.note(whole)
                            return whole
                        }
                    }
                }
                guard current == nil else { throw disorder("the stream ends inside a file") }
                for try await done in group { builder.append(done) }
                return try builder.build()
            }
        } catch {
            let failure = DatabaseError.wrapping(error, while: "receiving scan \(tree.scan)")
            throw await tree.explained([failure]).first ?? failure
        }
    }

    private func readBack(_ entry: FileEntry, _ session: SFTPSession) async throws(DatabaseError) {
        var hasher = SHA256()
        let reader = RemoteFileReader(
            session: session, path: tree.path(of: entry), entry: entry, scan: tree.scan)
        while let buffer = try await reader.next() {
            buffer.withUnsafeReadableBytes { hasher.update(bufferPointer: $0) }
        }
        guard Digest(bytes: Array(hasher.finalize())) == entry.digest else {
            throw mismatch(entry, "reading it back gave other bytes than were sent")
        }
    }

    private func mismatch(_ entry: FileEntry, _ how: String) -> DatabaseError {
        DatabaseError(
            .verificationFailed,
            "\(entry.path) of scan \(tree.scan) was not published: \(how); run the same command again",
            scan: tree.scan, path: entry.path.rawValue)
    }

    private func disorder(_ how: String) -> DatabaseError {
        DatabaseError(.verificationFailed, "scan \(tree.scan) arrived out of order: \(how)", scan: tree.scan)
    }
}

/// Writes one staged file in order, with several requests on their way.
actor RemoteFileWriter {
    private static let chunk = 128 << 10
    private static let bytesOnTheWay = 4 << 20

    private let entry: FileEntry
    private let tree: RemoteStagedTree
    private let session: SFTPSession
    private let handle: RemoteHandle
    private var offset: UInt64 = 0
    private var pending: [(bytes: Int, task: Task<SFTPError?, Never>)] = []
    private var pendingBytes = 0

    static func create(_ entry: FileEntry, in tree: RemoteStagedTree, _ session: SFTPSession)
        async throws(DatabaseError) -> RemoteFileWriter
    {
        do throws(SFTPError) {
            let request = SFTPRequest.open(
                tree.path(of: entry), [.write, .create, .exclusive],
                FileAttributes(permissions: entry.mode.map { UInt32($0) }))
            guard case .handle(let handle) = try await session.request(request) else {
                throw SFTPError(.protocolViolation, "no handle for a new file")
            }
            return RemoteFileWriter(entry, tree, session, handle)
        } catch { throw tree.failure(error, entry) }
    }

    private init(_ entry: FileEntry, _ tree: RemoteStagedTree, _ session: SFTPSession, _ handle: RemoteHandle)
    {
        self.entry = entry
        self.tree = tree
        self.session = session
        self.handle = handle
    }

    func write(_ buffer: ByteBuffer) async throws(DatabaseError) {
        var rest = buffer
        let limit = min(Self.chunk, session.server.writeBytes(upTo: Self.chunk))
        while let part = rest.readSlice(length: min(limit, rest.readableBytes)), part.readableBytes > 0 {
            let request = SFTPRequest.write(handle, offset: offset, part)
            offset += UInt64(part.readableBytes)
            pendingBytes += part.readableBytes
            let session = session
            pending.append(
                (
                    part.readableBytes,
                    Task {
                        do throws(SFTPError) { try await session.request(request) } catch { return error }
                        return nil
                    }
                ))
            while pendingBytes > Self.bytesOnTheWay { try await settleFirst() }
        }
    }

    private func settleFirst() async throws(DatabaseError) {
        guard !pending.isEmpty else { return }
        let first = pending.removeFirst()
        let failure = await first.task.value
        pendingBytes -= first.bytes
        if let failure { throw tree.failure(failure, entry) }
    }

    /// All bytes are acknowledged, the attributes set, the size is right, the file is closed.
    func finish() async throws(DatabaseError) {
        while !pending.isEmpty { try await settleFirst() }
        do throws(SFTPError) {
            var requests = [SFTPRequest.fsetstat(handle, RemoteStagedTree.attributes(of: entry))]
            if tree.isFlushed(entry.path, session) { requests.append(.fsync(handle)) }
            requests += [.fstat(handle), .close(handle)]
            for answer in await session.requestInOrder(requests) {
                if case .attributes(let attributes) = try answer.get(), let size = attributes.size,
                    size != UInt64(entry.size)
                {
                    throw SFTPError(.status(.failure), "\(size) of \(entry.size) bytes arrived")
                }
            }
        } catch { throw tree.failure(error, entry) }
    }
}
