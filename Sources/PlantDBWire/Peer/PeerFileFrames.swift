import NIOCore
import PlantDBCore
import Synchronization

/// Files of this machine as a stream of frames, read on a thread that may block.
///
/// One call at a time; ask for the next buffer while the last one is on its way, and reading
/// and sending overlap.
public final class PeerFileFrames: Sendable {
    private let reader: Mutex<PeerFileReader>
    private let meter: ByteMeter?

    /// - Parameter meter: counts the buffers as they are handed out.
    public init(
        _ selection: EntrySelection, from files: any LocalScanFiles, offset: Int64 = 0,
        meter: ByteMeter? = nil
    ) {
        reader = Mutex(PeerFileReader(selection, from: files, offset: offset))
        self.meter = meter
    }

    /// nil after the last one.
    /// - Throws: `cancelled`.
    public func next() async throws(DatabaseError) -> ByteBuffer? {
        try DatabaseError.checkCancellation(while: "reading files")
        let buffer = try await Threads.run { () throws(DatabaseError) in
            self.reader.withLock { $0.next() }
        }
        if let buffer { meter?.add(Int64(buffer.readableBytes)) }
        return buffer
    }
}

/// A stream of frames on its way into staged files of this machine, written on a thread that
/// may block. One call at a time.
public final class PeerStagedFrames: Sendable {
    private let writer: Mutex<PeerFileWriter>

    /// - Parameter passesGate: whether what ``PlantDBCore/OpenabilityGate`` objects to ends the stream.
    public init(_ receiver: any LocalFileReceiver, scan: ScanID, meter: ByteMeter, passesGate: Bool = false) {
        writer = Mutex(PeerFileWriter(receiver, scan: scan, meter: meter, passesGate: passesGate))
    }

    public func write(_ bytes: ByteBuffer) async throws(DatabaseError) {
        try await Threads.run { () throws(DatabaseError) in
            try self.writer.withLock { (writer) throws(DatabaseError) in try writer.write(bytes) }
        }
    }

    /// - Throws: `unreachable` if the stream was cut.
    public func finish() async throws(DatabaseError) {
        try writer.withLock { (writer) throws(DatabaseError) in try writer.finish() }
    }

    /// How far the stream came: entries done with, and the bytes of the one after them.
    public var progress: (entriesDone: Int, bytesOfNext: Int64) {
        writer.withLock { ($0.entriesDone, $0.interrupted?.received ?? 0) }
    }

    /// After a cut: another stream follows, from where ``progress`` says.
    public func resume() { writer.withLock { $0.resume() } }

    public var outcome: LocalCopyOutcome { writer.withLock { $0.outcome } }
    public var staged: [FileEntry] { writer.withLock { $0.staged } }
}

/// The general way: frames of a stream of parts, and parts of a stream of frames.
public enum PeerParts {
    /// Buffers of some 64 KiB; `send` is awaited for each.
    ///
    /// A failure of the source is sent as its frame, and ends the stream without its end.
    public static func send(
        _ parts: ScanPartStream, count: Int, to send: (ByteBuffer) async throws -> Void
    ) async throws {
        var buffer = ByteBuffer()
        do throws(DatabaseError) {
            var iterator = parts.makeAsyncIterator()
            while let part = try await iterator.next() {
                switch part {
                case .begin(let entry): PeerFrameEncoder.encode(.entry(entry), into: &buffer)
                case .bytes(var content):
                    while let piece = content.readSlice(
                        length: min(content.readableBytes, PeerFrame.chunkBytes)), piece.readableBytes > 0
                    {
                        PeerFrameEncoder.encode(.bytes(piece), into: &buffer)
                    }
                case .end(let digest): PeerFrameEncoder.encode(.fileEnd(digest), into: &buffer)
                }
                guard buffer.readableBytes >= 64 << 10 else { continue }
                do { try await send(buffer) } catch { throw DatabaseError.wrapping(error, while: "sending") }
                buffer = ByteBuffer()
            }
            PeerFrameEncoder.encode(.end(count: UInt64(count)), into: &buffer)
        } catch { PeerFrameEncoder.encode(.failed(error), into: &buffer) }
        try await send(buffer)
    }

    /// - Parameter pull: the next bytes; nil at their end.
    public static func stream(
        pull: @escaping @Sendable () async throws(DatabaseError) -> ByteBuffer?
    ) -> ScanPartStream {
        let state = Parts(pull: pull)
        return ScanPartStream { () async throws(DatabaseError) in try await state.next() }
    }

    private actor Parts {
        private let pull: @Sendable () async throws(DatabaseError) -> ByteBuffer?
        private var decoder = PeerFrameDecoder()

        init(pull: @escaping @Sendable () async throws(DatabaseError) -> ByteBuffer?) { self.pull = pull }

        func next() async throws(DatabaseError) -> ScanPart? {
            while true {
                switch try decoder.next() {
                case .entry(let entry): return .begin(entry)
                case .bytes(let content): return .bytes(content)
                case .fileEnd(let digest): return .end(digest)
                case .failed(let error): throw error
                case .skipped: throw PeerFrameDecoder.invalid("it holds no files")
                case .end: continue
                case nil:
                    guard let bytes = try await pull() else {
                        try decoder.finish()
                        return nil
                    }
                    decoder.feed(bytes)
                }
            }
        }
    }
}

/// Manifests as frames.
public enum PeerManifest {
    /// Buffers of some 256 KiB.
    public static func frames(of manifest: ScanManifest) -> [ByteBuffer] {
        var buffers: [ByteBuffer] = []
        var buffer = ByteBuffer()
        func flush(atLeast size: Int) {
            guard buffer.readableBytes >= size else { return }
            buffers.append(buffer)
            buffer = ByteBuffer()
        }
        for entry in manifest {
            PeerFrameEncoder.encode(.entry(entry), into: &buffer)
            flush(atLeast: 256 << 10)
        }
        for skipped in manifest.skipped {
            PeerFrameEncoder.encode(.skipped(skipped), into: &buffer)
            flush(atLeast: 256 << 10)
        }
        PeerFrameEncoder.encode(.end(count: UInt64(manifest.count)), into: &buffer)
        flush(atLeast: 0)
        return buffers
    }

    /// Takes the frames of a manifest in.
    public struct Parser: Sendable {
        private var decoder = PeerFrameDecoder()
        private var builder: ScanManifest.Builder

        public init(scan: ScanID) { builder = ScanManifest.Builder(scan: scan) }

        public mutating func feed(_ bytes: ByteBuffer) throws(DatabaseError) {
            decoder.feed(bytes)
            while let frame = try decoder.next() {
                switch frame {
                case .entry(let entry): builder.append(entry)
                case .skipped(let entry): builder.skip(entry)
                case .failed(let error): throw error
                case .end: break
                case .bytes, .fileEnd: throw PeerFrameDecoder.invalid("it is no manifest")
                }
            }
        }

        /// - Throws: `unreachable` if it was cut.
        public consuming func finish() throws(DatabaseError) -> ScanManifest {
            try decoder.finish()
            return try builder.build()
        }
    }
}
