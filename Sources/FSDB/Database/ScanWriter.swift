import CPlatform
import Glibc
import PlantDBCore

/// Changes the files of one scan; every content appears whole, by a rename.
struct ScanWriter {
    let directory: Directory
    let staging: Directory

    func publish(_ bytes: [UInt8], to path: String) throws(DatabaseError) {
        let mode = try directory.status(of: path).map { mode_t($0.mode) } ?? 0o666
        try directory.publish(bytes, to: path, staging: staging, mode: mode)
    }

    func publish(_ index: FileIndex) throws(DatabaseError) {
        try publish(index.encoded(), to: ScanPath.index.rawValue)
    }

    /// Writes a metadata file and makes the directories on the way to it.
    func publish(_ object: JSONObject, to path: String) throws(DatabaseError) {
        if let slash = path.lastIndex(of: "/") { try directory.makeDirectories(String(path[..<slash])) }
        try publish(JSONValue.object(object).pythonBytes(), to: path)
    }

    /// Publishes a copy of a file of the user's, of any size.
    func publish(copyOf source: String, to path: String) throws(DatabaseError) {
        let from = Glibc.open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard from >= 0 else { throw SystemError().error("open \(source)") }
        defer { close(from) }
        let name = "file-" + randomName()
        let to = try staging.open(name, flags: O_WRONLY | O_CREAT | O_EXCL, mode: 0o666)
        do throws(DatabaseError) {
            do throws(SystemError) {
                try WrittenFile.closing(to, orThrow: SystemError.init) { () throws(SystemError) in
                    guard try FileStatus.of(from).kind == .file else { throw SystemError(EISDIR) }
                    try Self.copy(from, to)
                    guard fsync(to) == 0 else { throw SystemError() }
                }
            } catch { throw error.error("copy \(source)", path: path) }
            try staging.rename(name, to: directory, path, replaces: true)
        } catch {
            try staging.remove(name)
            throw error
        }
    }

    private static func copy(_ from: CInt, _ to: CInt) throws(SystemError) {
        while true {
            let count = plantdb_copy_file_range(from, to, 1 << 30)
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                // Other file systems, and those that cannot: the offsets stand where it ended.
                guard [EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EPERM].contains(errno) else { throw SystemError() }
                break
            }
        }
        // Some file systems (procfs, FUSE) report 0 though there is more, so always to the end.
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        while true {
            let count = Glibc.read(from, &buffer, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemError()
            }
            if count == 0 { return }
            try Descriptor.writeAll(to, Array(buffer[..<count]))
        }
    }
}
