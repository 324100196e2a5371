import Glibc

/// Cuts what arrives into packets: a length of four bytes, and so many bytes
/// (draft-ietf-secsh-filexfer-02, section 3).
///
/// Used by one thread. Memory: a fixed megabyte, whatever the server sends.
struct FrameBuffer: ~Copyable {
    /// What OpenSSH sends at most (its `SFTP_MAX_MSG_LENGTH`); the length is checked before
    /// anything is kept.
    static let largestPacket = 256 << 10

    private let storage: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0

    init(capacity: Int = 1 << 20) {
        storage = .allocate(byteCount: max(capacity, Self.largestPacket + 4), alignment: 16)
    }

    deinit { storage.deallocate() }

    /// Where the next bytes go; never empty once all whole packets were taken.
    mutating func space() -> UnsafeMutableRawBufferPointer {
        if start > 0, storage.count - end < Self.largestPacket {
            storage.copyMemory(from: UnsafeRawBufferPointer(rebasing: storage[start..<end]))
            end -= start
            start = 0
        }
        return UnsafeMutableRawBufferPointer(rebasing: storage[end...])
    }

    mutating func arrived(_ count: Int) { end += count }

    /// The first bytes that arrived, for messages about servers that do not speak SFTP.
    var head: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: storage[start..<min(end, start + 200)])
    }

    /// The next whole packet, valid until the next call of ``space()``; nil: not here yet.
    mutating func next() throws(SFTPError) -> UnsafeRawBufferPointer? {
        guard end - start >= 4 else { return nil }
        let length = Int(
            UInt32(bigEndian: storage.loadUnaligned(fromByteOffset: start, as: UInt32.self)))
        guard (1...Self.largestPacket).contains(length) else {
            throw SFTPError(.protocolViolation, "the server sent a packet of \(length) bytes")
        }
        guard end - start >= 4 + length else { return nil }
        defer { start += 4 + length }
        return UnsafeRawBufferPointer(rebasing: storage[start + 4..<start + 4 + length])
    }
}
