import CPlatform
import NIOCore
import PlantDBCore

/// One frame of a stream of files or entries.
///
/// A frame is its type (1 byte), the length of its payload (4 bytes, big endian), the CRC-32C
/// of type, length and payload (4 bytes), and the payload. TCP's own checksum misses one
/// damaged packet in some ten thousand, and proxies rewrite what they like; a damaged stream
/// ends in an error, never in a damaged file. A stream ends with ``end(count:)``: one without
/// is cut.
public enum PeerFrame: Sendable {
    /// An entry of a manifest, or the beginning of a file whose bytes follow.
    case entry(FileEntry)
    /// What lies there and is not carried.
    case skipped(SkippedEntry)
    case bytes(ByteBuffer)
    /// The end of the file that began last, with its digest if the sender knows it.
    case fileEnd(Digest?)
    /// The file that began last, or the whole stream, failed at the sender.
    case failed(DatabaseError)
    /// The end of the stream, and how many entries were in it.
    case end(count: UInt64)

    /// The longest payload; senders make frames of bytes of ``chunkBytes``.
    public static let maximumPayload = 1 << 20
    public static let chunkBytes = 512 << 10
    static let headerLength = 9

    enum Kind: UInt8 {
        case entry = 1
        case skipped = 2
        case bytes = 3
        case fileEnd = 4
        case failed = 5
        case end = 6
    }
}

/// Turns frames into bytes.
public enum PeerFrameEncoder {
    public static func encode(_ frame: PeerFrame, into buffer: inout ByteBuffer) {
        switch frame {
        case .entry(let entry): encode(.entry, into: &buffer) { $0.writeEntry(entry) }
        case .skipped(let entry):
            encode(.skipped, into: &buffer) { $0.writeBytes(PeerJSON.skipped(entry).pythonBytes()) }
        case .bytes(let content): encode(.bytes, into: &buffer) { $0.writeImmutableBuffer(content) }
        case .fileEnd(let digest):
            encode(.fileEnd, into: &buffer) { if let digest { $0.writeBytes(digest.bytes) } }
        case .failed(let error):
            encode(.failed, into: &buffer) { $0.writeBytes(PeerJSON.error(error).pythonBytes()) }
        case .end(let count): encode(.end, into: &buffer) { $0.writeInteger(count) }
        }
    }

    /// A frame of the bytes that `fill` puts into the space it is handed: nothing is copied.
    ///
    /// - Returns: what `fill` returned, the number of bytes; no frame is made for 0 or less.
    static func encodeBytes(
        _ length: Int, into buffer: inout ByteBuffer, fill: (UnsafeMutableRawBufferPointer) -> Int
    ) -> Int {
        let before = buffer.writerIndex
        var filled = 0
        encode(.bytes, into: &buffer) { buffer in
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: length) { space in
                filled = fill(UnsafeMutableRawBufferPointer(rebasing: space[..<length]))
                return max(0, filled)
            }
        }
        if filled <= 0 { buffer.moveWriterIndex(to: before) }
        return filled
    }

    private static func encode(
        _ kind: PeerFrame.Kind, into buffer: inout ByteBuffer, payload: (inout ByteBuffer) -> Void
    ) {
        let start = buffer.writerIndex
        buffer.writeInteger(kind.rawValue)
        buffer.writeInteger(UInt32(0))
        buffer.writeInteger(UInt32(0))
        let content = buffer.writerIndex
        payload(&buffer)
        let length = buffer.writerIndex - content
        precondition(length <= PeerFrame.maximumPayload, "a frame holds 1 MiB at most; cut it")
        buffer.setInteger(UInt32(length), at: start + 1)
        // Not by views: they hold the storage, and the next line would copy all of it.
        let checksum = buffer.withUnsafeReadableBytes { bytes in
            let frame = bytes.dropFirst(start - buffer.readerIndex)
            return CRC32C.of(
                frame.dropFirst(PeerFrame.headerLength),
                after: CRC32C.of(frame.prefix(PeerFrame.headerLength - 4)))
        }
        buffer.setInteger(checksum, at: start + 5)
    }
}

/// Turns bytes, cut anywhere, into frames. The bytes of files come as they arrive, uncopied, in
/// pieces that need not be frames: a frame's checksum is known at its end, and a damaged one
/// throws before its file can end. Memory: one frame that is not of bytes.
public struct PeerFrameDecoder: Sendable {
    private var buffer = ByteBuffer()
    private var isEnded = false
    private var entryCount: UInt64 = 0
    /// The frame of bytes that is arriving.
    private var arriving: (remaining: Int, checksum: UInt32, expected: UInt32)?

    public init() {}

    public mutating func feed(_ bytes: ByteBuffer) {
        if buffer.readableBytes == 0 {
            buffer = bytes
        } else {
            buffer.discardReadBytes()
            buffer.writeImmutableBuffer(bytes)
        }
    }

    /// - Returns: nil: more bytes are needed.
    /// - Throws: `invalidData` for what no sender of ours writes; `verificationFailed` for
    ///   damaged frames.
    public mutating func next() throws(DatabaseError) -> PeerFrame? {
        if arriving != nil { return try nextPiece() }
        guard buffer.readableBytes >= PeerFrame.headerLength else { return nil }
        guard !isEnded else { throw Self.invalid("there are bytes after its end") }
        let start = buffer.readerIndex
        guard let code: UInt8 = buffer.getInteger(at: start),
            let length: UInt32 = buffer.getInteger(at: start + 1),
            let checksum: UInt32 = buffer.getInteger(at: start + 5),
            let head = buffer.viewBytes(at: start, length: 5)
        else { return nil }
        guard let kind = PeerFrame.Kind(rawValue: code), length <= PeerFrame.maximumPayload else {
            throw Self.invalid("it holds a frame of type \(code) and \(length) bytes")
        }
        if kind == .bytes {
            guard length > 0 else { throw Self.invalid("it holds an empty frame of bytes") }
            arriving = (Int(length), CRC32C.of(head), checksum)
            buffer.moveReaderIndex(forwardBy: PeerFrame.headerLength)
            return try nextPiece()
        }
        guard buffer.readableBytes >= PeerFrame.headerLength + Int(length) else { return nil }
        buffer.moveReaderIndex(forwardBy: PeerFrame.headerLength)
        guard let payload = buffer.readSlice(length: Int(length)) else { return nil }
        guard CRC32C.of(payload.readableBytesView, after: CRC32C.of(head)) == checksum else {
            throw Self.damaged
        }
        return try frame(kind, payload)
    }

    private mutating func nextPiece() throws(DatabaseError) -> PeerFrame? {
        guard var frame = arriving, buffer.readableBytes > 0,
            let piece = buffer.readSlice(length: min(frame.remaining, buffer.readableBytes))
        else { return nil }
        frame.remaining -= piece.readableBytes
        frame.checksum = CRC32C.of(piece.readableBytesView, after: frame.checksum)
        arriving = frame.remaining > 0 ? frame : nil
        guard frame.remaining > 0 || frame.checksum == frame.expected else { throw Self.damaged }
        return .bytes(piece)
    }

    /// Call it when the stream is over.
    /// - Throws: `unreachable` if it is cut.
    public func finish() throws(DatabaseError) {
        guard isEnded, buffer.readableBytes == 0 else {
            throw DatabaseError(.unreachable, "the connection was cut before everything had arrived")
        }
    }

    private mutating func frame(_ kind: PeerFrame.Kind, _ payload: ByteBuffer) throws(DatabaseError)
        -> PeerFrame
    {
        var payload = payload
        switch kind {
        case .entry:
            entryCount += 1
            guard let entry = try payload.readEntry(), payload.readableBytes == 0 else {
                throw Self.invalid("an entry is cut")
            }
            return .entry(entry)
        case .skipped: return .skipped(try PeerJSON.skipped(JSONValue(parsing: Array(buffer: payload))))
        case .bytes: return .bytes(payload)
        case .fileEnd:
            if payload.readableBytes == 0 { return .fileEnd(nil) }
            guard payload.readableBytes == Digest.byteCount else { throw Self.invalid("a digest is cut") }
            return .fileEnd(Digest(bytes: Array(buffer: payload)))
        case .failed: return .failed(try PeerJSON.error(JSONValue(parsing: Array(buffer: payload))))
        case .end:
            guard let count: UInt64 = payload.readInteger(), count == entryCount, payload.readableBytes == 0
            else { throw Self.invalid("entries are missing") }
            isEnded = true
            return .end(count: count)
        }
    }

    static func invalid(_ reason: String) -> DatabaseError {
        DatabaseError(.invalidData, "the other side sent a stream that is not one of ours: \(reason)")
    }

    private static var damaged: DatabaseError {
        DatabaseError(
            .verificationFailed, "what arrived is damaged: a checksum differs; run the same command again")
    }
}

enum CRC32C {
    static func of(_ bytes: ByteBufferView, after checksum: UInt32 = 0) -> UInt32 {
        bytes.withUnsafeBytes { plantdb_crc32c(checksum, $0.baseAddress, $0.count) }
    }

    static func of(_ bytes: Slice<UnsafeRawBufferPointer>, after checksum: UInt32 = 0) -> UInt32 {
        let bytes = UnsafeRawBufferPointer(rebasing: bytes)
        return plantdb_crc32c(checksum, bytes.baseAddress, bytes.count)
    }
}

extension ByteBuffer {
    /// Kind (1), size (8), modification time in nanoseconds (8; the least for none), mode (2;
    /// the greatest for none), whether a digest follows (1), the digest, and the path.
    mutating func writeEntry(_ entry: FileEntry) {
        writeInteger(entry.kind.rawValue)
        writeInteger(entry.size)
        writeInteger(entry.modified?.nanoseconds ?? .min)
        writeInteger(entry.mode ?? .max)
        writeInteger(UInt8(entry.digest == nil ? 0 : 1))
        if let digest = entry.digest { writeBytes(digest.bytes) }
        writeString(entry.path.rawValue)
    }

    /// The rest of the buffer as an entry; nil if it is none.
    /// - Throws: `invalidName` for a path that no database may hold.
    mutating func readEntry() throws(DatabaseError) -> FileEntry? {
        guard let kindCode: UInt8 = readInteger(), let kind = FileEntry.Kind(rawValue: kindCode),
            let size: Int64 = readInteger(), size >= 0, let modified: Int64 = readInteger(),
            let mode: UInt16 = readInteger(), let hasDigest: UInt8 = readInteger(), hasDigest <= 1
        else { return nil }
        var digest: Digest?
        if hasDigest == 1 {
            guard let bytes = readBytes(length: Digest.byteCount) else { return nil }
            digest = Digest(bytes: bytes)
        }
        guard let name = String(validating: readableBytesView, as: UTF8.self) else { return nil }
        moveReaderIndex(to: writerIndex)
        return FileEntry(
            path: try ScanPath(name), kind: kind, size: size,
            modified: modified == .min ? nil : ModificationTime(nanoseconds: modified),
            mode: mode == .max ? nil : mode, digest: digest)
    }
}
