import CPlatform
import Glibc
import PlantDBCore

extension Directory {
    /// The content of a file.
    /// - Parameter limit: in bytes.
    /// - Throws: `notFound`, `invalidData` if the file is larger than `limit` or no regular file.
    public func read(_ path: String, limit: Int = 64 << 20) throws(DatabaseError) -> [UInt8] {
        let descriptor = try open(path, flags: O_RDONLY | O_NONBLOCK)
        defer { close(descriptor) }
        do throws(SystemError) {
            let status = try FileStatus.of(descriptor)
            guard status.kind == .file else { throw SystemError(EISDIR) }
            guard status.size <= Int64(limit) else { throw SystemError(EFBIG) }
            return try Descriptor.readAll(descriptor, expecting: Int(status.size), limit: limit)
        } catch {
            if error.number == EFBIG {
                throw DatabaseError(
                    .invalidData, "\(self.path)/\(path) is larger than \(limit) bytes", path: path)
            }
            throw failure(error, "read", path)
        }
    }

    /// An empty file, where there is none yet.
    func makeFile(_ path: String, flags: CInt = 0) throws(DatabaseError) {
        let descriptor = try open(path, flags: O_WRONLY | O_CREAT | flags, mode: 0o666)
        if let number = WrittenFile.close(descriptor) { throw failure(SystemError(number), "create", path) }
    }

    /// Publishes a small file: readers see the old content or the new, never a part.
    ///
    /// Written and flushed under a private name in `staging`, then renamed. This,
    /// ``LocalTransaction`` and ``ScanWriter`` are the only ways in which content reaches a final name.
    ///
    /// - Parameter staging: a private directory on the same file system.
    public func publish(
        _ bytes: [UInt8], to path: String, staging: Directory, mode: mode_t = 0o666
    ) throws(DatabaseError) {
        let name = "file-" + randomName()
        let descriptor = try staging.open(name, flags: O_WRONLY | O_CREAT | O_EXCL, mode: mode)
        do throws(DatabaseError) {
            do throws(SystemError) {
                try WrittenFile.closing(descriptor, orThrow: SystemError.init) { () throws(SystemError) in
                    try Descriptor.writeAll(descriptor, bytes)
                    guard fsync(descriptor) == 0 else { throw SystemError() }
                }
            } catch { throw failure(error, "write", path) }
            try staging.rename(name, to: self, path, replaces: true)
        } catch {
            try staging.remove(name)
            throw error
        }
    }
}

/// Whole reads and writes on a descriptor: short ones and interruptions are gone on with.
enum Descriptor {
    static func readAll(_ descriptor: CInt, expecting size: Int, limit: Int) throws(SystemError) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(size)
        var buffer = [UInt8](repeating: 0, count: min(max(size + 1, 4096), 1 << 20))
        while true {
            let count = buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemError()
            }
            if count == 0 { return result }
            result.append(contentsOf: buffer[..<count])
            if result.count > limit { throw SystemError(EFBIG) }
        }
    }

    /// From where the one stands to its end, to where the other stands.
    static func copyAll(from source: CInt, to target: CInt) throws(SystemError) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        while true {
            let count = Glibc.read(source, buffer.baseAddress, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemError()
            }
            if count == 0 { return }
            try writeAll(target, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    static func writeAll(_ descriptor: CInt, _ bytes: [UInt8]) throws(SystemError) {
        let error: SystemError? = bytes.withUnsafeBytes { buffer in
            do throws(SystemError) {
                try writeAll(descriptor, buffer)
                return nil
            } catch { return error }
        }
        if let error { throw error }
    }

    static func writeAll(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        var written = 0
        while written < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[written...])
            let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemError()
            }
            written += count
        }
    }
}

/// 16 hexadecimal digits from the system's random source.
func randomName() -> String {
    let digits = String(UInt64.random(in: .min ... .max), radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}
