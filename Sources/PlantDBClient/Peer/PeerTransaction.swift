import NIOCore
import PlantDBCore
import PlantDBWire
import Synchronization

/// One scan on its way into a database behind a `plantdb serve`.
final class PeerTransaction: ScanTransaction {
    private let endpoint: PeerEndpoint
    private let scan: ScanID
    private let path: String
    private let isOver = Mutex(false)

    init(endpoint: PeerEndpoint, scan: ScanID, id: String) {
        self.endpoint = endpoint
        self.scan = scan
        path = "/transactions/\(id)"
    }

    func receive(_ parts: ScanPartStream, meter: ByteMeter) async throws(DatabaseError) -> ScanManifest {
        let frames = EncodedParts(parts, meter: meter)
        let staged = try await put(checksDigests: true) { () async throws(DatabaseError) in
            try await frames.next()
        }
        if let failure = staged.failures.first { throw failure }
        return try ScanManifest(scan: scan, entries: staged.entries)
    }

    func remove(_ paths: [ScanPath]) async throws(DatabaseError) {
        guard !paths.isEmpty else { return }
        _ = try await endpoint.call(.POST, path + "/remove", PeerEntry.encoded(paths))
    }

    func setAttributes(_ entries: [FileEntry]) async throws(DatabaseError) {
        guard !entries.isEmpty else { return }
        _ = try await endpoint.call(.POST, path + "/attributes", PeerEntry.encoded(entries))
    }

    /// Asked again where the answer was lost: the server goes on meanwhile, and remembers it.
    func commit() async throws(DatabaseError) {
        let (endpoint, path) = (endpoint, path)
        // A task of its own: once begun it is not cancelled.
        let outcome = await Task { () -> Result<Void, DatabaseError> in
            var attempts = 0
            while true {
                do throws(DatabaseError) {
                    _ = try await endpoint.call(.POST, path + "/commit", isPatient: true)
                    return .success(())
                } catch {
                    attempts += 1
                    guard error.code == .unreachable, attempts < 4 else { return .failure(error) }
                    // Not cancelled by anybody, so it only ends early if the process does.
                    do { try await Task.sleep(for: .seconds(attempts)) } catch {
                        return .failure(.cancelledWait)
                    }
                }
            }
        }.value
        isOver.withLock { $0 = true }
        try outcome.get()
    }

    func abort() async {
        let first = isOver.withLock { over in
            defer { over = true }
            return !over
        }
        guard first else { return }
        await Task { [endpoint, path] in
            do { _ = try await endpoint.call(.DELETE, path) } catch {
                // The server drops it by itself when its lease ends.
            }
        }.value
    }

    // MARK: Frames

    private func put(
        checksDigests: Bool, _ pull: @escaping @Sendable () async throws(DatabaseError) -> ByteBuffer?
    ) async throws(DatabaseError) -> (entries: [FileEntry], failures: [DatabaseError]) {
        let answer = try await endpoint.transport.send(
            .PUT, PeerProtocol.base + path + "/parts", query: [("digests", checksDigests ? "1" : "0")],
            body: .stream(pull, length: nil, type: PeerProtocol.framesType))
        try await endpoint.check(answer)
        var decoder = PeerFrameDecoder()
        var entries: [FileEntry] = []
        var failures: [DatabaseError] = []
        while let bytes = try await answer.next() {
            decoder.feed(bytes)
            while let frame = try decoder.next() {
                switch frame {
                case .entry(let entry): entries.append(entry)
                case .failed(let error): failures.append(error)
                case .skipped, .bytes, .fileEnd, .end: break
                }
            }
        }
        try decoder.finish()
        return (entries, failures)
    }
}

extension PeerTransaction: FileSender {
    var fileSender: (any FileSender)? { self }

    func send(_ selection: EntrySelection, from files: any LocalScanFiles, meter: ByteMeter)
        async throws(DatabaseError) -> LocalCopyOutcome
    {
        let frames = PeerFileFrames(selection, from: files, meter: meter)
        let ahead = ReadAhead(frames)
        let staged = try await put(checksDigests: false) { () async throws(DatabaseError) in
            try await ahead.next()
        }
        let stagedFiles = staged.entries.filter { $0.kind == .file }
        return LocalCopyOutcome(
            filesStaged: stagedFiles.count, bytesStaged: stagedFiles.reduce(0) { $0 + $1.size },
            failures: staged.failures)
    }
}

/// Reads the next buffer while the last one is sent. One task pulls.
private actor ReadAhead {
    private let frames: PeerFileFrames
    private var upcoming: Task<ByteBuffer?, any Error>?

    init(_ frames: PeerFileFrames) { self.frames = frames }

    func next() async throws(DatabaseError) -> ByteBuffer? {
        let frames = frames
        do {
            let current = if let upcoming { try await upcoming.value } else { try await frames.next() }
            upcoming = current == nil ? nil : Task { try await frames.next() }
            return current
        } catch { throw .wrapping(error, while: "reading files") }
    }
}

/// A stream of parts as frames, a buffer of some 64 KiB at a time. One task pulls.
private actor EncodedParts {
    /// Its iterators share one source, so a new one goes on where the last one was.
    private let parts: ScanPartStream
    private let meter: ByteMeter
    private var count: UInt64 = 0
    private var hasEnded = false

    init(_ parts: ScanPartStream, meter: ByteMeter) {
        self.parts = parts
        self.meter = meter
    }

    func next() async throws(DatabaseError) -> ByteBuffer? {
        guard !hasEnded else { return nil }
        var buffer = ByteBuffer()
        var iterator = parts.makeAsyncIterator()
        while buffer.readableBytes < 64 << 10 {
            guard let part = try await iterator.next() else {
                PeerFrameEncoder.encode(.end(count: count), into: &buffer)
                hasEnded = true
                break
            }
            switch part {
            case .begin(let entry):
                count += 1
                PeerFrameEncoder.encode(.entry(entry), into: &buffer)
            case .bytes(var content):
                meter.add(Int64(content.readableBytes))
                while content.readableBytes > 0,
                    let piece = content.readSlice(length: min(content.readableBytes, PeerFrame.chunkBytes))
                {
                    PeerFrameEncoder.encode(.bytes(piece), into: &buffer)
                }
            case .end(let digest): PeerFrameEncoder.encode(.fileEnd(digest), into: &buffer)
            }
        }
        return buffer
    }
}

extension DatabaseError {
    fileprivate static var cancelledWait: DatabaseError {
        DatabaseError(.cancelled, "cancelled while waiting to ask for the outcome of a commit")
    }

    /// An answer whose status says that it failed, and whose body does not say why.
    static func status(_ status: Int, of server: String) -> DatabaseError {
        switch status {
        case 401:
            DatabaseError(
                .authentication, "\(server) wants to know who you are: give --token-file")
        case 403: DatabaseError(.permissionDenied, "\(server) does not allow this to whoever you are")
        case 404: DatabaseError(.notFound, "\(server) does not know what it was asked for")
        case 413: .tooLarge("\(server) refused what was sent", cause: "status 413")
        case 429, 502, 503, 504:
            DatabaseError(.unreachable, "\(server) is busy or half there (status \(status)); try again later")
        case 507: DatabaseError(.noSpace, "\(server) has no space left")
        default: DatabaseError(.io, "\(server) failed (status \(status)); its log says why")
        }
    }
}
