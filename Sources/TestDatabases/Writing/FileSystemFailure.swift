import Glibc
import PlantDBCore

extension DatabaseError {
    /// A failed system call as an error; call it before anything else can change `errno`.
    ///
    /// - Parameter action: as in “cannot ‹action›”.
    static func system(_ action: String, number: CInt = errno, path: String? = nil) -> DatabaseError {
        let code: Code =
            switch number {
            case ENOENT: .notFound
            case EEXIST, ENOTEMPTY: .alreadyExists
            case EACCES, EPERM, EROFS: .permissionDenied
            case ENOSPC, EDQUOT, EFBIG: .noSpace
            case ENAMETOOLONG, EILSEQ: .invalidName
            default: .io
            }
        return DatabaseError(
            code, "cannot \(action.printable)", cause: strerror(number).map { String(cString: $0) },
            path: path?.printable)
    }
}

/// A file descriptor that closes itself; one that was written is closed by ``close(action:)``.
struct OpenFile: ~Copyable {
    let descriptor: CInt

    /// open(2) with `O_CLOEXEC`.
    init(_ path: String, _ flags: CInt, mode: mode_t = 0o666, action: String) throws(DatabaseError) {
        descriptor = open(path, flags | O_CLOEXEC, mode)
        if descriptor < 0 { throw .system(action, path: path) }
    }

    deinit { _ = Glibc.close(descriptor) }

    /// Says whether what was written is stored.
    consuming func close(action: String) throws(DatabaseError) {
        let descriptor = descriptor
        discard self
        if let number = WrittenFile.close(descriptor) { throw .system(action, number: number) }
    }

    func write(_ bytes: UnsafeRawBufferPointer, action: String) throws(DatabaseError) {
        var rest = bytes
        while let start = rest.baseAddress, !rest.isEmpty {
            let count = Glibc.write(descriptor, start, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw .system(action)
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// The next bytes, as many as fit; 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer, action: String) throws(DatabaseError) -> Int {
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            if errno != EINTR { throw .system(action) }
        }
    }

    func status(action: String) throws(DatabaseError) -> stat {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .system(action) }
        return status
    }

    func setModified(_ time: ModificationTime, action: String) throws(DatabaseError) {
        var times = [timespec(time), timespec(time)]
        guard futimens(descriptor, &times) == 0 else { throw .system(action) }
    }
}

extension timespec {
    init(_ time: ModificationTime) {
        self.init(tv_sec: Int(time.seconds), tv_nsec: Int(time.subsecondNanoseconds))
    }
}

extension stat {
    var isDirectory: Bool { st_mode & S_IFMT == S_IFDIR }
    var isRegularFile: Bool { st_mode & S_IFMT == S_IFREG }
    var modified: ModificationTime {
        ModificationTime(seconds: Int64(st_mtim.tv_sec), nanoseconds: Int64(st_mtim.tv_nsec))
    }
}

/// Paths in the file system.
enum FileSystem {
    /// lstat(2); nil if there is nothing.
    static func status(_ path: String) throws(DatabaseError) -> stat? {
        var status = stat()
        if lstat(path, &status) == 0 { return status }
        if errno == ENOENT { return nil }
        throw .system("look at \(path)", path: path)
    }

    /// stat(2), which follows links; nil if there is nothing.
    static func statusFollowing(_ path: String) throws(DatabaseError) -> stat? {
        var status = stat()
        if stat(path, &status) == 0 { return status }
        if errno == ENOENT || errno == ENOTDIR { return nil }
        throw .system("look at \(path)", path: path)
    }

    /// The names in a directory, sorted, without `.` and `..`.
    ///
    /// - Throws: `invalidName` if one is not UTF-8.
    static func names(in path: String) throws(DatabaseError) -> [String] {
        guard let stream = opendir(path) else { throw .system("list \(path)", path: path) }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw .system("list \(path)", path: path) }
                return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(validating: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let name else {
                throw DatabaseError(
                    .invalidName, "\(path.printable) holds a name that is not UTF-8; rename it")
            }
            if name != ".", name != ".." { names.append(name) }
        }
    }

    /// mkdir(2), of the parents too; what is there already is left alone.
    static func makeDirectories(_ path: String) throws(DatabaseError) {
        if path.isEmpty || path == "/" { return }
        if mkdir(path, 0o777) == 0 || errno == EEXIST { return }
        guard errno == ENOENT else { throw .system("create the folder \(path)", path: path) }
        guard let slash = path.dropLast().lastIndex(of: "/") else {
            throw .system("create the folder \(path)", path: path)
        }
        try makeDirectories(String(path[..<slash]))
        if mkdir(path, 0o777) != 0, errno != EEXIST { throw .system("create the folder \(path)", path: path) }
    }

    /// Removes a tree that we have made; links in it are removed, not followed.
    static func removeTree(_ path: String) throws(DatabaseError) {
        guard let status = try status(path) else { return }
        if status.isDirectory {
            for name in try names(in: path) { try removeTree(path + "/" + name) }
            if rmdir(path) != 0, errno != ENOENT { throw .system("remove \(path)", path: path) }
        } else if unlink(path) != 0, errno != ENOENT {
            throw .system("remove \(path)", path: path)
        }
    }
}
