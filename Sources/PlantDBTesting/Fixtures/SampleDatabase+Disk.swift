import Glibc
import PlantDBCore

extension SampleDatabase {
    /// Writes the database into a folder, which is made with its marker `romidb` where it is
    /// missing; scans that lie there already are written over, nothing is removed.
    /// - Throws: ``DatabaseError/Code/io``.
    public func write(to folder: String) throws(DatabaseError) {
        try makeFolder(folder)
        try writeFile(folder + "/romidb", [])
        for (scan, tree) in scans.sorted(by: { $0.key < $1.key }) {
            if let container = scan.container { try makeFolder(folder + "/" + container.rawValue) }
            try tree.write(to: folder + "/" + scan.rawValue)
        }
    }
}

extension SampleTree {
    /// Writes the tree into a folder, with its times and modes.
    /// - Throws: ``DatabaseError/Code/io``.
    public func write(to folder: String) throws(DatabaseError) {
        try makeFolder(folder)
        for path in paths {
            guard let node = self[path] else { continue }
            let place = folder + "/" + path.rawValue
            if node.kind == .directory { try makeFolder(place) } else { try writeFile(place, node.content) }
        }
        // Deepest first, since writing into a directory changes its time, and its mode may
        // forbid it.
        for path in paths.reversed() {
            guard let node = self[path] else { continue }
            let place = folder + "/" + path.rawValue
            guard chmod(place, mode_t(node.mode)) == 0 else { throw posixError("set the mode of \(place)") }
            try setModificationTime(place, node.modified)
        }
    }

    /// Reads a folder as a tree; symbolic links and special files are left out.
    /// - Throws: ``DatabaseError/Code/io``, ``DatabaseError/Code/invalidName``.
    public init(readingFrom folder: String) throws(DatabaseError) {
        self.init()
        let snapshot = try treeSnapshot(folder, hashesContent: false, includesDirectoryTimes: true)
        for (name, item) in snapshot.items where name != "." {
            guard let time = item.modified else { continue }
            let path = try ScanPath(name)
            switch item.kind {
            case "directory":
                set(path, Node(kind: .directory, content: [], modified: time, mode: item.mode))
            case "file":
                set(
                    path,
                    Node(
                        kind: .file, content: try bytesOnDisk(folder + "/" + name), modified: time,
                        mode: item.mode))
            default: break
            }
        }
    }
}

/// Makes a folder (not those it lies in); nothing happens where it is there.
func makeFolder(_ path: String) throws(DatabaseError) {
    guard mkdir(path, 0o755) == 0 || errno == EEXIST else { throw posixError("make \(path)") }
}

/// Writes a file, whole, in place. For fixtures: nothing is staged or flushed.
public func writeFile(_ path: String, _ content: [UInt8]) throws(DatabaseError) {
    let descriptor = creat(path, 0o644)
    guard descriptor >= 0 else { throw posixError("create \(path)") }
    defer { close(descriptor) }
    var rest = content[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        guard count >= 0 else { throw posixError("write \(path)") }
        rest = rest.dropFirst(count)
    }
}

/// Sets a file's modification time; its access time stays.
public func setModificationTime(_ path: String, _ time: ModificationTime) throws(DatabaseError) {
    // UTIME_OMIT of utimensat(2), a macro that Swift does not import.
    let omit = (1 << 30) - 2
    let times = [
        timespec(tv_sec: 0, tv_nsec: omit),
        timespec(tv_sec: Int(time.seconds), tv_nsec: Int(time.subsecondNanoseconds)),
    ]
    guard utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0 else {
        throw posixError("set the time of \(path)")
    }
}
