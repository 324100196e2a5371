import Foundation
import Glibc
import NIOCore
import PlantDBCore
import Synchronization

/// A file of this machine that has no name: what is held back until it may be passed on, of any size. It goes
/// with the last reference to it.
public final class Spool: Sendable {
    private let descriptor: CInt
    private let end = Mutex<Int64>(0)
    private static let pieceSize = 256 << 10

    /// In the directory for temporary files (`TMPDIR`).
    /// - Throws: `io`, `noSpace`.
    public init() throws(DatabaseError) {
        let path = NSTemporaryDirectory() + "/plantdb-upload-\(UInt64.random(in: .min ... .max))"
        descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.failure("make") }
        unlink(path)
    }

    deinit { close(descriptor) }

    /// In bytes.
    public var size: Int64 { end.withLock { $0 } }

    /// Appends; one task at a time.
    public func append(_ bytes: ByteBuffer) async throws(DatabaseError) {
        guard bytes.readableBytes > 0 else { return }
        let (descriptor, start) = (descriptor, size)
        try await Threads.run { () throws(DatabaseError) in
            var written = 0
            while written < bytes.readableBytes {
                let count = bytes.withUnsafeReadableBytes {
                    let rest = UnsafeRawBufferPointer(rebasing: $0[written...])
                    return pwrite(descriptor, rest.baseAddress, rest.count, off_t(start) + written)
                }
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw Self.failure("write") }
                written += count
            }
        }
        end.withLock { $0 = start + Int64(bytes.readableBytes) }
    }

    /// Reads a range from its beginning, a piece a call. One task pulls.
    public func reader(_ range: Range<Int64>) -> @Sendable () async throws(DatabaseError) -> ByteBuffer? {
        let reader = Reader(spool: self, position: range.lowerBound, end: range.upperBound)
        return { () async throws(DatabaseError) in try await reader.next() }
    }

    private actor Reader {
        let spool: Spool
        var position: Int64
        let end: Int64

        init(spool: Spool, position: Int64, end: Int64) {
            (self.spool, self.position, self.end) = (spool, position, end)
        }

        func next() async throws(DatabaseError) -> ByteBuffer? {
            guard position < end else { return nil }
            let (descriptor, position) = (spool.descriptor, position)
            let wanted = Int(min(end - position, Int64(Spool.pieceSize)))
            let piece = try await Threads.run { () throws(DatabaseError) in
                var buffer = ByteBufferAllocator().buffer(capacity: wanted)
                let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { space in
                    max(0, pread(descriptor, space.baseAddress, wanted, off_t(position)))
                }
                guard count > 0 else { throw Spool.failure("read") }
                return buffer
            }
            self.position += Int64(piece.readableBytes)
            return piece
        }
    }

    private static func failure(_ what: String) -> DatabaseError {
        let number = errno
        return DatabaseError(
            number == ENOSPC || number == EDQUOT ? .noSpace : .io,
            "cannot \(what) a temporary file in \(NSTemporaryDirectory()), where scans are held until they are "
                + "passed on; set TMPDIR to a directory with space for the largest one",
            cause: String(cString: strerror(number)))
    }
}
