import Glibc

/// What comes from tar: views of its own buffer, valid until the next call.
struct BlockBuffer: ~Copyable {
    private static let capacity = 512 << 10

    private let descriptor: CInt
    private let silence: Duration
    private let storage: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0

    init(_ descriptor: CInt, silence: Duration) {
        self.descriptor = descriptor
        self.silence = silence
        storage = .allocate(byteCount: Self.capacity, alignment: 16)
    }

    deinit { storage.deallocate() }

    mutating func block() throws(SFTPError) -> UnsafeRawBufferPointer { try take(TarHeader.blockSize) }

    /// - Parameter count: no more than the capacity.
    mutating func take(_ count: Int) throws(SFTPError) -> UnsafeRawBufferPointer {
        while end - start < count { try fill(for: count) }
        let result = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(storage)[start..<start + count])
        start += count
        return result
    }

    mutating func skip(_ count: UInt64) throws(SFTPError) {
        var rest = count
        while rest > 0 {
            let step = Int(min(rest, 64 << 10))
            _ = try take(step)
            rest -= UInt64(step)
        }
    }

    private mutating func fill(for count: Int) throws(SFTPError) {
        if start + count > storage.count {
            let rest = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(storage)[start..<end])
            // memmove(3): the two may overlap.
            storage.copyMemory(from: rest)
            end -= start
            start = 0
        }
        guard try Descriptors.waitForInput(descriptor, until: .now + silence) else {
            throw SFTPError(.connectionLost, "tar on the server did not answer for \(silence)")
        }
        let count = try Descriptors.read(
            descriptor, into: UnsafeMutableRawBufferPointer(rebasing: storage[end...]))
        guard count > 0 else { throw SFTPError(.connectionLost, "tar on the server ended") }
        end += count
    }
}
