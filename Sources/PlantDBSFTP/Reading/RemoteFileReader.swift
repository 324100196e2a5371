import NIOCore
import PlantDBCore
import SFTPClient

/// Reads one file in order, with several requests on their way.
actor RemoteFileReader {
    private static let chunk = 64 << 10
    /// 2 MiB: what one SSH channel lets through a round trip.
    private static let depth = 32

    private let session: SFTPSession
    private let path: RemotePath
    private let entry: FileEntry
    private let scan: ScanID
    private var handle: RemoteHandle?
    private var asked: Int64 = 0
    private var pending: [Task<Result<[UInt8], SFTPError>, Never>] = []
    private var hasEnded = false

    init(session: SFTPSession, path: RemotePath, entry: FileEntry, scan: ScanID) {
        self.session = session
        self.path = path
        self.entry = entry
        self.scan = scan
    }

    /// The next bytes; nil after the last, when the file was found to be what its entry says.
    ///
    /// - Throws: ``DatabaseError/Code/sourceChanged`` if it is not.
    func next() async throws(DatabaseError) -> ByteBuffer? {
        if hasEnded { return nil }
        do throws(DatabaseError) {
            try DatabaseError.checkCancellation(while: "reading \(entry.path)")
            let handle = try await opened()
            while pending.count < Self.depth, asked < entry.size { ask(handle) }
            guard !pending.isEmpty else {
                hasEnded = true
                try await confirm(handle)
                await close()
                return nil
            }
            let bytes = try await pending.removeFirst().value.get(or: { failure($0) })
            return ByteBuffer(bytes: bytes)
        } catch {
            hasEnded = true
            await close()
            throw error
        }
    }

    private func opened() async throws(DatabaseError) -> RemoteHandle {
        if let handle { return handle }
        do throws(SFTPError) {
            guard case .handle(let handle) = try await session.request(.open(path, .read)) else {
                throw SFTPError(.protocolViolation, "no handle for a file")
            }
            self.handle = handle
            return handle
        } catch { throw failure(error) }
    }

    private func ask(_ handle: RemoteHandle) {
        let offset = asked
        let length = min(
            Int64(min(Self.chunk, session.server.readBytes(upTo: Self.chunk))), entry.size - offset)
        asked += length
        let session = session
        pending.append(
            Task {
                do throws(SFTPError) {
                    var bytes: [UInt8] = []
                    // Answers may come short.
                    while Int64(bytes.count) < length {
                        let request = SFTPRequest.read(
                            handle, offset: UInt64(offset) + UInt64(bytes.count),
                            length: UInt32(length - Int64(bytes.count)))
                        guard case .data(let more) = try await session.request(request), !more.isEmpty else {
                            throw SFTPError(.protocolViolation, "no data for a read")
                        }
                        bytes += more
                    }
                    return .success(bytes)
                } catch { return .failure(error) }
            })
    }

    private func confirm(_ handle: RemoteHandle) async throws(DatabaseError) {
        let attributes: FileAttributes
        do throws(SFTPError) {
            guard case .attributes(let found) = try await session.request(.fstat(handle)) else { return }
            attributes = found
        } catch { throw failure(error) }
        try Self.confirm(entry, attributes, scan: scan)
    }

    /// Whether the server's file still is what its entry says.
    static func confirm(_ entry: FileEntry, _ attributes: FileAttributes, scan: ScanID) throws(DatabaseError)
    {
        let how: String
        if let size = attributes.size, Int64(clamping: size) != entry.size {
            how = "its size was \(entry.size) and is \(size) bytes"
        } else if let times = attributes.times, let modified = entry.modified,
            Int64(times.modified) != modified.seconds
        {
            how = "its modification time is another"
        } else {
            return
        }
        throw DatabaseError(
            .sourceChanged, "\(entry.path) of scan \(scan) changed while it was read: \(how)", scan: scan,
            path: entry.path.rawValue)
    }

    private func failure(_ error: SFTPError) -> DatabaseError { .reading(error, entry, scan) }

    private func close() async {
        for task in pending { task.cancel() }
        pending = []
        guard let handle else { return }
        self.handle = nil
        do throws(SFTPError) { try await session.request(.close(handle)) } catch {
            // Gone with its connection.
        }
    }
}

extension DatabaseError {
    /// A failure to read a file of the source.
    static func reading(_ error: SFTPError, _ entry: FileEntry, _ scan: ScanID) -> DatabaseError {
        switch error.code {
        case .status(.endOfFile), .status(.noSuchFile):
            DatabaseError(
                .sourceChanged,
                "\(entry.path) of scan \(scan) changed while it was read: it is shorter, or gone",
                scan: scan, path: entry.path.rawValue)
        default: .sftp(error, "read \(entry.path) of scan \(scan)", scan: scan, path: entry.path.rawValue)
        }
    }
}

extension Result where Failure == SFTPError {
    func get(or failure: (SFTPError) -> DatabaseError) throws(DatabaseError) -> Success {
        switch self {
        case .success(let value): return value
        case .failure(let error): throw failure(error)
        }
    }
}
