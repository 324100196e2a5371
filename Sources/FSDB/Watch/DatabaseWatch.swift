// A dispatch source may be used from any thread.
@preconcurrency import Dispatch
import Glibc
import PlantDBCore
import Synchronization

/// Notes when something changes in a database on this machine, by inotify(7).
///
/// Locks, staging and other files of programs (names at the root that begin with a dot, and `lock`) do
/// not count as changes. Not seen are changes that other machines make on a network file system, and
/// those in folders for which the kernel has no watch left, which ``problem`` tells.
public final class DatabaseWatch: Sendable {
    private struct State {
        var folders: [Int32: String] = [:]
        var lastChange: ContinuousClock.Instant?
        var problem: String?
        var isLost = false
    }

    private let descriptor: Int32
    private let root: String
    private let state = Mutex(State())
    private let source: any DispatchSourceRead

    private static let mask = UInt32(
        IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_ATTRIB | IN_ONLYDIR
            | IN_DONT_FOLLOW | IN_EXCL_UNLINK)

    /// Watches the root and every folder in it. Costs a listing of the database, and about 1 kB of the
    /// kernel's memory a folder.
    ///
    /// - Throws: ``PlantDBCore/DatabaseError/Code/notFound`` where there is no folder;
    ///   ``PlantDBCore/DatabaseError/Code/io`` where nothing can be watched.
    public init(path: String) throws(DatabaseError) {
        root = path
        let descriptor = inotify_init1(Int32(IN_NONBLOCK) | Int32(IN_CLOEXEC))
        guard descriptor >= 0 else {
            throw DatabaseError(
                .io,
                "\(path.printable) cannot be watched: no inotify instance is left "
                    + "(sysctl fs.inotify.max_user_instances)", cause: String(cString: strerror(errno)))
        }
        guard inotify_add_watch(descriptor, path, Self.mask) >= 0 else {
            let error = errno
            Glibc.close(descriptor)
            throw DatabaseError(
                error == ENOENT || error == ENOTDIR ? .notFound : .io,
                "\(path.printable) cannot be watched", cause: String(cString: strerror(error)))
        }
        self.descriptor = descriptor
        source = DispatchSource.makeReadSource(
            fileDescriptor: descriptor, queue: DispatchQueue(label: "plantdb.watch"))
        state.withLock { add(path, isRoot: true, to: &$0) }
        source.setEventHandler { [weak self] in self?.read() }
        source.setCancelHandler { _ = Glibc.close(descriptor) }
        source.resume()
    }

    deinit { source.cancel() }

    /// When something changed last, since ``forget()``; nil: nothing did.
    public var lastChange: ContinuousClock.Instant? { state.withLock { $0.lastChange } }

    /// Why changes may be missed, in words; nil: none should be.
    public var problem: String? { state.withLock { $0.problem } }

    /// Whether the root itself went away (removed, unmounted): nothing more is seen then.
    public var isLost: Bool { state.withLock { $0.isLost } }

    public func forget() { state.withLock { $0.lastChange = nil } }

    /// Ends the watch. Idempotent.
    public func close() { source.cancel() }

    /// With every folder in it, however deep.
    private func add(_ path: String, isRoot: Bool, to state: inout State) {
        var open = [(path, isRoot)]
        while let (folder, isRoot) = open.popLast() {
            let watch = inotify_add_watch(descriptor, folder, Self.mask)
            guard watch >= 0 else {
                if errno == ENOSPC {
                    state.problem =
                        "not every folder can be watched (sysctl fs.inotify.max_user_watches); the rest is "
                        + "looked at every 10 minutes"
                    return
                }
                // Gone again, or not to be read: the run itself tells.
                continue
            }
            state.folders[watch] = folder
            guard let stream = opendir(folder) else { continue }
            defer { closedir(stream) }
            while let entry = readdir(stream) {
                guard entry.pointee.d_type == UInt8(DT_DIR) || entry.pointee.d_type == UInt8(DT_UNKNOWN)
                else {
                    continue
                }
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(validatingCString: $0) }
                }
                guard let name, name != ".", name != "..", !(isRoot && Self.isOurs(name)) else { continue }
                open.append((folder + "/" + name, false))
            }
        }
    }

    private static func isOurs(_ name: String) -> Bool { name.hasPrefix(".") || name == DatabaseLayout.lock }

    private func read() {
        // Aligned as struct inotify_event demands; one event with the longest name fits (NAME_MAX + 1).
        let size = 65_536
        let buffer = UnsafeMutableRawPointer.allocate(
            byteCount: size, alignment: MemoryLayout<inotify_event>.alignment)
        defer { buffer.deallocate() }
        while true {
            let count = Glibc.read(descriptor, buffer, size)
            guard count > 0 else { return }
            state.withLock { state in
                var offset = 0
                let header = MemoryLayout<inotify_event>.size
                // Proof: the kernel writes whole events, each a header and `len` bytes of name.
                while offset + header <= count {
                    let event = (buffer + offset).load(as: inotify_event.self)
                    let name = (buffer + offset + header).assumingMemoryBound(to: CChar.self)
                    note(event, name: event.len > 0 ? String(validatingCString: name) : nil, in: &state)
                    offset += header + Int(event.len)
                }
            }
        }
    }

    private func note(_ event: inotify_event, name: String?, in state: inout State) {
        if event.mask & UInt32(IN_Q_OVERFLOW) == 0 {
            guard let folder = state.folders[event.wd] else { return }
            if event.mask & UInt32(IN_IGNORED) != 0 {
                state.folders[event.wd] = nil
                if folder == root {
                    state.isLost = true
                    state.lastChange = .now
                }
                return
            }
            if folder == root, let name, Self.isOurs(name) { return }
            let isFolder = event.mask & UInt32(IN_ISDIR) != 0
            if isFolder, event.mask & UInt32(IN_CREATE | IN_MOVED_TO) != 0, let name {
                add(folder + "/" + name, isRoot: false, to: &state)
            }
        }
        state.lastChange = .now
    }
}
