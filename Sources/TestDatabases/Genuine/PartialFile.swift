import Crypto
import Glibc
import PlantDBCore
import Synchronization

/// A download under way: `‹archive›.part` in the cache folder, flocked, so that two runs do
/// not write into one file. What it holds when a run ends early is where the next goes on.
final class PartialFile: Sendable {
    let path: String
    private let descriptor: CInt
    private let isClosed = Atomic(false)

    /// - Throws: `locked` while another process downloads the same archive.
    init(_ path: String) throws(DatabaseError) {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .system("write \(path)", path: path) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let number = errno
            close(descriptor)
            if number != EWOULDBLOCK { throw .system("lock \(path)", number: number, path: path) }
            throw DatabaseError(
                .locked, "another process is downloading \(path.printable); wait for it, or end it")
        }
    }

    deinit { if !isClosed.load(ordering: .relaxed) { close(descriptor) } }

    func size() throws(DatabaseError) -> Int64 {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .system("read \(path)", path: path) }
        return Int64(status.st_size)
    }

    func truncate() throws(DatabaseError) {
        guard ftruncate(descriptor, 0) == 0 else { throw .system("write \(path)", path: path) }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(DatabaseError) {
        var offset = offset
        var rest = bytes
        while let start = rest.baseAddress, !rest.isEmpty {
            let count = pwrite(descriptor, start, rest.count, off_t(offset))
            if count < 0 {
                if errno == EINTR { continue }
                throw .system("write \(path)", path: path)
            }
            offset += Int64(count)
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// The finished file under its name; nothing is written to it any more.
    func publish(as name: String) throws(DatabaseError) {
        guard fsync(descriptor) == 0 else { throw .system("write \(path)", path: path) }
        isClosed.store(true, ordering: .relaxed)
        if let number = WrittenFile.close(descriptor) {
            throw .system("write \(path)", number: number, path: path)
        }
        guard rename(path, name) == 0 else { throw .system("rename \(path)", path: path) }
    }

    /// The MD5 sum of a file, 32 hexadecimal digits; costs reading it.
    static func md5(of path: String) throws(DatabaseError) -> String {
        let action = "read \(path)"
        let file = try OpenFile(path, O_RDONLY, action: action)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
        defer { buffer.deallocate() }
        var hash = Insecure.MD5()
        while true {
            try DatabaseError.checkCancellation(while: "checking \(path)")
            let count = try file.read(into: buffer, action: action)
            if count == 0 { break }
            hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        return hash.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
