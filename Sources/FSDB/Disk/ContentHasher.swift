import Glibc
import NIOCore
import PlantDBCore

import struct Crypto.SHA256

/// SHA-256 over bytes as they pass.
public struct ContentHasher: Sendable {
    private var hash = SHA256()

    public init() {}

    public mutating func update(_ bytes: UnsafeRawBufferPointer) { hash.update(bufferPointer: bytes) }

    public mutating func update(_ buffer: ByteBuffer) {
        buffer.withUnsafeReadableBytes { hash.update(bufferPointer: $0) }
    }

    public func finalize() -> Digest { Digest(bytes: Array(hash.finalize())) }

    public static func digest(of bytes: [UInt8]) -> Digest {
        Digest(bytes: Array(SHA256.hash(data: bytes)))
    }

    /// The digest of an open file from its beginning, and how many bytes it had. Blocks;
    /// reads 1 MiB at a time.
    static func digest(of descriptor: CInt) throws(SystemError) -> (digest: Digest, size: Int64) {
        posix_fadvise(descriptor, 0, 0, CInt(POSIX_FADV_SEQUENTIAL))
        var hasher = ContentHasher()
        var size: Int64 = 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        while true {
            let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(size))
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemError()
            }
            if count == 0 { return (hasher.finalize(), size) }
            hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            size += Int64(count)
        }
    }
}
