import CZlib
import NIOCore

/// zlib's raw DEFLATE (RFC 1951), both ways, and its memory.
final class DeflateStream {
    enum Direction { case compress, expand }

    private let stream: UnsafeMutablePointer<z_stream>
    private let direction: Direction

    init(_ direction: Direction) throws(ZipError) {
        self.direction = direction
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        let size = CInt(MemoryLayout<z_stream>.size)
        let status =
            direction == .compress
            ? deflateInit2_(
                stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
                size)
            : inflateInit2_(stream, -MAX_WBITS, ZLIB_VERSION, size)
        guard status == Z_OK else {
            stream.deallocate()
            throw ZipError(.tooLarge, "no memory for compression")
        }
    }

    deinit {
        _ = direction == .compress ? deflateEnd(stream) : inflateEnd(stream)
        stream.deallocate()
    }

    /// Takes from `input` and makes at most `limit` bytes.
    ///
    /// - Parameter isLast: no more input follows (compressing only).
    /// - Returns: what was made, and whether the stream is at its end.
    func process(_ input: inout ByteBuffer, isLast: Bool = false, limit: Int = 256 << 10) throws(ZipError)
        -> (output: ByteBuffer, isOver: Bool)
    {
        var output = ByteBuffer()
        var status = Z_OK
        var taken = 0
        let available = min(input.readableBytes, Int(CInt.max))
        output.writeWithUnsafeMutableBytes(minimumWritableBytes: limit) { space in
            input.withUnsafeReadableBytes { bytes in
                // zlib does not write to its input; its declaration is older than const.
                stream.pointee.next_in = UnsafeMutablePointer(
                    mutating: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
                stream.pointee.avail_in = UInt32(available)
                stream.pointee.next_out = space.baseAddress?.assumingMemoryBound(to: UInt8.self)
                stream.pointee.avail_out = UInt32(limit)
                status =
                    direction == .compress
                    ? deflate(stream, isLast ? Z_FINISH : Z_NO_FLUSH) : inflate(stream, Z_NO_FLUSH)
                taken = available - Int(stream.pointee.avail_in)
            }
            return limit - Int(stream.pointee.avail_out)
        }
        input.moveReaderIndex(forwardBy: taken)
        // Z_BUF_ERROR: nothing could be done with so little input or room.
        guard [Z_OK, Z_STREAM_END, Z_BUF_ERROR].contains(status) else {
            throw ZipError(.corrupt, "compressed data is damaged")
        }
        return (output, status == Z_STREAM_END)
    }
}

/// CRC-32 as ZIP has it (APPNOTE 6.3.10, 4.4.7), of bytes that come in pieces.
struct RunningCRC32 {
    private(set) var value: UInt32 = 0

    mutating func update(_ buffer: ByteBuffer) {
        buffer.withUnsafeReadableBytes { bytes in
            guard let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
            value = UInt32(truncatingIfNeeded: crc32_z(UInt(value), start, bytes.count))
        }
    }
}
