import Glibc
import PlantDBCore

/// A folder of its own for one test, removed with all that lies in it when the value goes.
public final class TemporaryDirectory: Sendable {
    /// Absolute, without a trailing slash.
    public let path: String

    /// - Parameter parent: where it lies; nil: `TMPDIR`, or the system's folder for that.
    /// - Throws: ``DatabaseError/Code/io``.
    public init(in parent: String? = nil) throws(DatabaseError) {
        let parent = parent ?? getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/plantdb-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw posixError("make a folder in \(parent)") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        // Nobody is left to tell of a failure here; tests that care call `remove()`.
        try? remove()
    }

    /// The path of `name` in the folder.
    public func appending(_ name: String) -> String { path + "/" + name }

    /// Removes the folder now. Idempotent.
    public func remove() throws(DatabaseError) { try removeTree(path) }
}

/// Removes a file or a folder with all that lies in it, following no symbolic link. Nothing
/// happens where there is nothing.
public func removeTree(_ path: String) throws(DatabaseError) { try removeTree(RawPath(path)) }

private func removeTree(_ path: RawPath) throws(DatabaseError) {
    var status = stat()
    guard lstat(path.bytes, &status) == 0 else {
        if errno == ENOENT { return }
        throw posixError("look at \(path)")
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
        guard unlink(path.bytes) == 0 else { throw posixError("remove \(path)") }
        return
    }
    // A folder that a test made unreadable is still ours to remove.
    if status.st_mode & 0o700 != 0o700 { chmod(path.bytes, 0o700) }
    for child in try path.children() { try removeTree(child) }
    guard rmdir(path.bytes) == 0 else { throw posixError("remove \(path)") }
}

/// A path on disk as its bytes, since names need not be UTF-8.
struct RawPath: Sendable, Hashable, CustomStringConvertible {
    /// Ended by NUL.
    let bytes: [CChar]

    init(_ path: String) { bytes = Array(path.utf8CString) }

    private init(bytes: [CChar]) { self.bytes = bytes }

    /// Printable; bytes that are not UTF-8 are shown as the replacement character.
    var description: String {
        String(decoding: bytes.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self).printable
    }

    /// What lies in this folder, but `.` and `..`, in ascending bytewise order.
    func children() throws(DatabaseError) -> [RawPath] {
        guard let stream = opendir(bytes) else { throw posixError("list \(self)") }
        defer { closedir(stream) }
        var names: [[CChar]] = []
        errno = 0
        while let entry = readdir(stream) {
            // `d_name` is a stored field of a C struct, and readdir(3) ends it with NUL.
            let offset = MemoryLayout<dirent>.offset(of: \.d_name)!
            let start = UnsafeRawPointer(entry).advanced(by: offset).assumingMemoryBound(to: CChar.self)
            let name = Array(UnsafeBufferPointer(start: start, count: strlen(start) + 1))
            if name != [46, 0] && name != [46, 46, 0] { names.append(name) }
            errno = 0
        }
        guard errno == 0 else { throw posixError("list \(self)") }
        names.sort { first, second in
            first.lexicographicallyPrecedes(second) { UInt8(bitPattern: $0) < UInt8(bitPattern: $1) }
        }
        return names.map { RawPath(bytes: bytes.dropLast() + [47] + $0) }
    }
}

/// The error of the system call that has just failed.
func posixError(_ action: String) -> DatabaseError {
    DatabaseError(.io, "could not \(action)", cause: String(cString: strerror(errno)))
}
