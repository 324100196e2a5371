import CPlatform
import Glibc

/// What comes from tar: views of its own buffer, valid until the next call.
struct BlockBuffer: ~Copyable {
    private static let capacity = 512 << 10

    private let descriptor: CInt
    private let silence: Duration
    private let silent: SFTPError.Code
    private let storage: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0
    /// The kernel moves bytes from a pipe to files of most kinds, and need not show them to us.
    private var canSplice = true

    /// - Parameters:
    ///   - silence: how long nothing may come.
    ///   - silent: what that is called.
    init(_ descriptor: CInt, silence: Duration, called silent: SFTPError.Code) {
        self.descriptor = descriptor
        self.silence = silence
        self.silent = silent
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

    /// Writes the next bytes to a local file, where that stands.
    ///
    /// - Returns: how many: one at least, and no more than wanted.
    /// - Throws: `local` where the file cannot be written: nothing was taken then.
    mutating func move(upTo wanted: UInt64, to file: CInt) throws(SFTPError) -> Int {
        if start == end, canSplice {
            try wait()
            let count = plantdb_splice(descriptor, file, Int(min(wanted, UInt64(Self.spliceSize))))
            if count > 0 { return count }
            if count == 0 { throw Self.ended }
            // Not every file system has it; and what is wrong otherwise, write(2) says too.
            if errno != EINTR { canSplice = false }
        }
        if start == end { try fill(for: 1) }
        let count = Int(min(wanted, UInt64(end - start)))
        while true {
            let written = write(file, storage.baseAddress?.advanced(by: start), count)
            if written > 0 {
                start += written
                return written
            }
            if written < 0, errno == EINTR { continue }
            let number = written < 0 ? errno : ENOSPC
            throw SFTPError(.local, "cannot write: \(String(cString: strerror(number)))", systemError: number)
        }
    }

    private static let spliceSize = 1 << 20

    private func wait() throws(SFTPError) {
        guard try Descriptors.waitForInput(descriptor, until: .now + silence) else {
            throw SFTPError(silent, "tar on the server did not answer for \(silence)")
        }
    }

    private static let ended = SFTPError(.connectionLost, "tar on the server ended")

    private mutating func fill(for count: Int) throws(SFTPError) {
        if start + count > storage.count {
            let rest = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(storage)[start..<end])
            // memmove(3): the two may overlap.
            storage.copyMemory(from: rest)
            end -= start
            start = 0
        }
        try wait()
        let count = try Descriptors.read(
            descriptor, into: UnsafeMutableRawBufferPointer(rebasing: storage[end...]))
        guard count > 0 else { throw Self.ended }
        end += count
    }
}
