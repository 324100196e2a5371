import CPlatform
import Glibc
import PlantDBCore
import Synchronization

/// An open directory, and everything that may be done beneath it.
///
/// All paths are relative to it, are resolved by openat2(2) with RESOLVE_BENEATH and
/// RESOLVE_NO_SYMLINKS (on kernels before 5.6: component by component with O_NOFOLLOW), and
/// so can neither leave it nor follow a link that somebody swaps in. Calls block.
public final class Directory: Sendable {
    let descriptor: CInt
    /// For messages only; never opened again.
    public let path: String

    private init(owning descriptor: CInt, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { close(descriptor) }

    /// Opens a directory by a user's own path, links in it followed.
    /// - Throws: `notFound`, `permissionDenied`, `notADatabase` if it is no directory.
    public static func open(path: String) throws(DatabaseError) -> Directory {
        let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            let error = SystemError()
            if error.number == ENOTDIR {
                throw DatabaseError(.notADatabase, "\(path.printable) is not a directory")
            }
            throw error.error("open the directory \(path)")
        }
        return Directory(owning: descriptor, path: path)
    }

    // MARK: Looking

    /// nil if there is nothing of that name.
    func status(of path: String) throws(DatabaseError) -> FileStatus? {
        do throws(SystemError) {
            return try withParent(of: path) { parent, name throws(SystemError) in
                var status = stat()
                guard fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { throw SystemError() }
                return FileStatus(status)
            }
        } catch {
            if error.number == ENOENT || error.number == ENOTDIR { return nil }
            throw failure(error, "look at", path)
        }
    }

    func status() throws(DatabaseError) -> FileStatus {
        do throws(SystemError) { return try FileStatus.of(descriptor) } catch {
            throw failure(error, "look at", ".")
        }
    }

    struct Entry {
        let name: [UInt8]
        /// nil where the file system does not say without a stat.
        let kind: FileStatus.Kind?

        /// nil if the name is not valid UTF-8.
        var text: String? { String(validating: name, as: UTF8.self) }
    }

    /// Everything in it but `.` and `..`, in ascending bytewise order.
    func entries() throws(DatabaseError) -> [Entry] {
        var entries: [Entry] = []
        do throws(SystemError) {
            try Self.forEachEntry(of: descriptor) { name, kind in
                entries.append(Entry(name: Array(name), kind: kind))
            }
        } catch { throw failure(error, "list", ".") }
        return entries.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    }

    /// Those of its entries that are text.
    func names() throws(DatabaseError) -> [String] { try entries().compactMap(\.text) }

    /// What an entry is, also where the file system tells no kinds; a directory for all one knows where it
    /// cannot be asked for, its name being no text. nil: it has gone meanwhile.
    func kind(of entry: Entry) throws(DatabaseError) -> FileStatus.Kind? {
        if let kind = entry.kind { return kind }
        guard let name = entry.text else { return .directory }
        return try status(of: name)?.kind
    }

    /// Calls `body` for every entry but `.` and `..`, in the directory's own order.
    static func forEachEntry(
        of descriptor: CInt,
        _ body: (UnsafeBufferPointer<UInt8>, FileStatus.Kind?) throws(SystemError) -> Void
    ) throws(SystemError) {
        // A descriptor of its own: the stream owns it, and has its own position.
        let own = plantdb_openat(descriptor, ".", O_RDONLY | O_DIRECTORY, 0)
        guard own >= 0 else { throw SystemError() }
        guard let stream = plantdb_open_stream(own) else {
            let error = SystemError()
            close(own)
            throw error
        }
        defer { plantdb_close_stream(stream) }
        var entry = plantdb_entry()
        while true {
            let result = plantdb_next_entry(stream, &entry)
            if result == 0 { return }
            guard result > 0, let characters = entry.name else { throw SystemError() }
            let name = UnsafeRawBufferPointer(start: characters, count: entry.name_length)
                .assumingMemoryBound(to: UInt8.self)
            let isDot = name.count == 1 && name[0] == UInt8(ascii: ".")
            let isDots = name.count == 2 && name[0] == UInt8(ascii: ".") && name[1] == UInt8(ascii: ".")
            if isDot || isDots { continue }
            let kind: FileStatus.Kind? =
                switch Int(entry.type) {
                case DT_REG: .file
                case DT_DIR: .directory
                case DT_LNK: .symbolicLink
                case DT_UNKNOWN: nil
                default: .special
                }
            try body(name, kind)
        }
    }

    // MARK: Opening

    /// A descriptor that the caller closes.
    func open(_ path: String, flags: CInt, mode: mode_t = 0) throws(DatabaseError) -> CInt {
        do throws(SystemError) { return try openRaw(path, flags: flags, mode: mode) } catch {
            throw failure(error, flags & O_CREAT != 0 ? "create" : "open", path)
        }
    }

    func openRaw(_ path: String, flags: CInt, mode: mode_t = 0) throws(SystemError) -> CInt {
        try Self.open(beneath: descriptor, path, flags: flags, mode: mode)
    }

    public func directory(_ path: String) throws(DatabaseError) -> Directory {
        let opened = try open(path, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        return Directory(owning: opened, path: self.path + "/" + path)
    }

    /// nil if there is nothing of that name.
    public func directoryIfPresent(_ path: String) throws(DatabaseError) -> Directory? {
        do throws(SystemError) {
            let opened = try openRaw(path, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            return Directory(owning: opened, path: self.path + "/" + path)
        } catch {
            if error.number == ENOENT { return nil }
            throw failure(error, "open", path)
        }
    }

    /// Kernels before 5.6, and sandboxes that forbid it, have no openat2.
    private static let lacksOpenat2 = Atomic(false)

    private static func open(
        beneath directory: CInt, _ path: String, flags: CInt, mode: mode_t
    ) throws(SystemError) -> CInt {
        if !lacksOpenat2.load(ordering: .relaxed) {
            let opened = plantdb_open_beneath(directory, path, flags | O_NOFOLLOW, mode)
            if opened >= 0 { return opened }
            let error = SystemError()
            // Some sandboxes answer EPERM to calls that they do not know; whether it is the file that is
            // refused, the older call tells.
            guard error.number == ENOSYS || error.number == EPERM else { throw error }
        }
        let opened = try openByComponents(beneath: directory, path, flags: flags, mode: mode)
        lacksOpenat2.store(true, ordering: .relaxed)
        return opened
    }

    /// The fallback without openat2; its own function so that tests can hold it to the same rules.
    static func openByComponents(
        beneath directory: CInt, _ path: String, flags: CInt, mode: mode_t
    ) throws(SystemError) -> CInt {
        let components = path.split(separator: "/")
        guard let last = components.last, !components.contains(where: { $0 == ".." }) else {
            throw SystemError(EXDEV)
        }
        var current = directory
        defer { if current != directory { close(current) } }
        for component in components.dropLast() {
            let next = plantdb_openat(
                current, String(component), plantdb_o_path | O_DIRECTORY | O_NOFOLLOW, 0)
            guard next >= 0 else { throw SystemError() }
            if current != directory { close(current) }
            current = next
        }
        let opened = plantdb_openat(current, String(last), flags | O_NOFOLLOW, mode)
        guard opened >= 0 else { throw SystemError() }
        return opened
    }

    /// Calls `body` with a descriptor of the directory that holds `path`, and its last component.
    func withParent<Result>(
        of path: String, _ body: (CInt, String) throws(SystemError) -> Result
    ) throws(SystemError) -> Result {
        guard let slash = path.lastIndex(of: "/") else { return try body(descriptor, path) }
        let parent = try openRaw(String(path[..<slash]), flags: plantdb_o_path | O_DIRECTORY)
        defer { close(parent) }
        return try body(parent, String(path[path.index(after: slash)...]))
    }

    // MARK: Changing

    /// - Returns: false if there was a directory of that name already.
    @discardableResult
    public func makeDirectory(_ path: String, mode: mode_t = 0o777) throws(DatabaseError) -> Bool {
        do throws(SystemError) {
            try withParent(of: path) { parent, name throws(SystemError) in
                guard mkdirat(parent, name, mode) == 0 else { throw SystemError() }
            }
            return true
        } catch {
            if error.number == EEXIST, try status(of: path)?.kind == .directory { return false }
            throw creationFailure(error, "make the directory", path)
        }
    }

    /// Makes every directory on the way to `path`, and `path` itself.
    public func makeDirectories(_ path: String, mode: mode_t = 0o777) throws(DatabaseError) {
        var made = ""
        for component in path.split(separator: "/") {
            made += made.isEmpty ? String(component) : "/" + component
            try makeDirectory(made, mode: mode)
        }
    }

    /// Removes a file or an empty directory.
    /// - Returns: false if there was nothing of that name.
    @discardableResult
    public func remove(_ path: String, directory: Bool = false) throws(DatabaseError) -> Bool {
        do throws(SystemError) {
            try withParent(of: path) { parent, name throws(SystemError) in
                guard unlinkat(parent, name, directory ? AT_REMOVEDIR : 0) == 0 else { throw SystemError() }
            }
            return true
        } catch {
            if error.number == ENOENT { return false }
            throw failure(error, "remove", path)
        }
    }

    /// Removes an empty directory; leaves one that is not empty.
    @discardableResult
    func removeIfEmpty(_ path: String) throws(DatabaseError) -> Bool {
        do throws(SystemError) {
            try withParent(of: path) { parent, name throws(SystemError) in
                guard unlinkat(parent, name, AT_REMOVEDIR) == 0 else { throw SystemError() }
            }
            return true
        } catch {
            if [ENOENT, ENOTEMPTY, EEXIST].contains(error.number) { return false }
            throw failure(error, "remove the directory", path)
        }
    }

    /// Removes a directory with all it holds; links in it are removed, not followed.
    public func removeTree(_ path: String) throws(DatabaseError) {
        guard let status = try status(of: path) else { return }
        guard status.kind == .directory else {
            try remove(path)
            return
        }
        try directory(path).removeContents()
        try remove(path, directory: true)
    }

    private func removeContents() throws(DatabaseError) {
        // What is being removed may be write-protected; that of others stays so, and is told below.
        if getuid() != 0, try status().mode & 0o300 != 0o300 { fchmod(descriptor, 0o700) }
        for entry in try entries() {
            var name = entry.name + [0]
            // Names may be of any bytes here, so the calls take them as they are.
            let (isDirectory, number) = name.withUnsafeMutableBytes { bytes -> (Bool, CInt) in
                // Proof: the array holds at least its terminating zero, so it has a base address.
                let characters = bytes.baseAddress!.assumingMemoryBound(to: CChar.self)
                if entry.kind != .directory, unlinkat(descriptor, characters, 0) == 0 { return (false, 0) }
                if entry.kind != .directory, errno != EISDIR { return (false, errno) }
                let opened = plantdb_openat(descriptor, characters, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
                guard opened >= 0 else { return (true, errno) }
                return (true, -opened - 1)
            }
            if isDirectory, number < 0 {
                let child = Directory(
                    owning: -(number + 1), path: path + "/" + String(decoding: entry.name, as: UTF8.self))
                try child.removeContents()
                let removed = name.withUnsafeMutableBytes { bytes in
                    // Proof: as above.
                    unlinkat(
                        descriptor, bytes.baseAddress!.assumingMemoryBound(to: CChar.self), AT_REMOVEDIR)
                }
                guard removed == 0 else {
                    throw failure(SystemError(), "remove", String(decoding: entry.name, as: UTF8.self))
                }
            } else if number != 0, number != ENOENT {
                throw failure(SystemError(number), "remove", String(decoding: entry.name, as: UTF8.self))
            }
        }
    }

    /// Renames within the file system, replacing a file of that name.
    /// - Throws: `alreadyExists` if `replaces` is false and the name is taken.
    public func rename(
        _ path: String, to target: Directory, _ targetPath: String, replaces: Bool
    ) throws(DatabaseError) {
        do throws(SystemError) {
            try withParent(of: path) { from, name throws(SystemError) in
                try target.withParent(of: targetPath) { to, targetName throws(SystemError) in
                    try Self.rename(from: from, name, to: to, targetName, replaces: replaces)
                }
            }
        } catch { throw target.creationFailure(error, "publish", targetPath) }
    }

    /// Moves a directory with all it holds to where nothing is.
    ///
    /// What comes from the lower layer of an overlay cannot be renamed (EXDEV): there, its files are, one by
    /// one, and the index first: without it, it is no scan any more.
    func moveTree(_ path: String, to target: Directory, _ targetPath: String) throws(DatabaseError) {
        do throws(DatabaseError) {
            return try rename(path, to: target, targetPath, replaces: false)
        } catch {
            guard error.code == .unsupported, try status(of: path)?.kind == .directory else { throw error }
        }
        try target.makeDirectory(targetPath)
        do throws(DatabaseError) {
            let (old, new) = (try directory(path), try target.directory(targetPath))
            let index = ScanPath.index.rawValue
            let names = try old.names()
            for name in names.filter({ $0 == index }) + names.filter({ $0 != index }) {
                try old.moveTree(name, to: new, name)
            }
        } catch {
            // Nothing was moved yet, or what was stays in view.
            try target.removeIfEmpty(targetPath)
            throw error
        }
        try remove(path, directory: true)
    }

    static func rename(
        from: CInt, _ name: String, to: CInt, _ targetName: String, replaces: Bool
    ) throws(SystemError) {
        if replaces {
            guard renameat(from, name, to, targetName) == 0 else { throw SystemError() }
            return
        }
        if plantdb_renameat2(from, name, to, targetName, UInt32(PLANTDB_RENAME_NOREPLACE)) == 0 { return }
        let error = SystemError()
        // NFS and some FUSE file systems have no RENAME_NOREPLACE, and sandboxes answer EPERM to what they do
        // not know; there, look first.
        guard [EINVAL, ENOSYS, EPERM].contains(error.number) else { throw error }
        var status = stat()
        guard fstatat(to, targetName, &status, AT_SYMLINK_NOFOLLOW) != 0 else { throw SystemError(EEXIST) }
        guard renameat(from, name, to, targetName) == 0 else { throw SystemError() }
    }

    /// Flushes the directory itself: the names in it.
    func flush() throws(DatabaseError) {
        guard fsync(descriptor) == 0 else { throw failure(SystemError(), "flush", ".") }
    }

    /// Flushes all that is in it: at once, with what else its file system has pending, or one by one.
    func flushContents() throws(DatabaseError) {
        if flushesAtOnce {
            guard plantdb_syncfs(descriptor) == 0 else {
                throw failure(SystemError(), "flush the file system of", ".")
            }
            return
        }
        for entry in try entries() {
            guard let name = entry.text else { continue }
            switch try kind(of: entry) {
            case .directory: try directory(name).flushContents()
            case .file: try flush(file: name)
            case .symbolicLink, .special, nil: break
            }
        }
        try flush()
    }

    /// Whether one syncfs(2) flushes all of it.
    var flushesAtOnce: Bool { FileSystemKind(of: descriptor).syncfsFlushes }

    func flush(file path: String) throws(DatabaseError) {
        let opened = try open(path, flags: O_RDONLY | O_NONBLOCK)
        defer { close(opened) }
        guard fsync(opened) == 0 else { throw failure(SystemError(), "flush", path) }
    }

    /// Of something that was to get a name.
    func creationFailure(_ error: SystemError, _ action: String, _ path: String) -> DatabaseError {
        guard error.mayRefuseName(path) else { return failure(error, action, path) }
        return DatabaseError(
            .invalidName, "cannot \(action) \(self.path.printable)/\(path.printable): \(TargetNames.advice)",
            cause: error.text, path: path.printable)
    }

    func failure(_ error: SystemError, _ action: String, _ path: String) -> DatabaseError {
        error.error("\(action) \(path == "." ? self.path : self.path + "/" + path)", path: path)
    }
}
