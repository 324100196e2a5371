import Glibc
import PlantDBCore

/// What lies in a folder, down to bytes, times and modes: for “nothing changed” assertions.
public struct TreeSnapshot: Sendable, Equatable {
    public struct Item: Sendable, Hashable {
        /// `file`, `directory`, `link` or `special`.
        public var kind: String
        public var size: Int64
        /// Of the content; nil for anything but files, and where it was not asked for.
        public var digest: Digest?
        /// Where a symbolic link points to.
        public var destination: String?
        public var mode: UInt16
        /// nil for directories, whose times change with what is made and removed in them,
        /// unless they were asked for.
        public var modified: ModificationTime?
        public var inode: UInt64
    }

    /// By path relative to the folder; the folder itself is `.`.
    public var items: [String: Item]

    public init(items: [String: Item]) { self.items = items }

    /// What differs from `other`, one line a difference, to read in a failed assertion.
    public func differences(from other: TreeSnapshot, ignoringInodes: Bool = true) -> [String] {
        var lines: [String] = []
        for path in Set(items.keys).union(other.items.keys).sorted() {
            switch (other.items[path], items[path]) {
            case (nil, let item?): lines.append("+ \(path) (\(item.kind), \(item.size) bytes)")
            case (let item?, nil): lines.append("- \(path) (\(item.kind), \(item.size) bytes)")
            case (var before?, var after?):
                if ignoringInodes {
                    before.inode = 0
                    after.inode = 0
                }
                if before != after { lines.append("~ \(path): \(before) → \(after)") }
            case (nil, nil): break
            }
        }
        return lines
    }

    /// Without the items at and below the given paths.
    public func without(_ paths: String...) -> TreeSnapshot {
        TreeSnapshot(
            items: items.filter { path, _ in
                !paths.contains { path == $0 || path.hasPrefix($0 + "/") }
            })
    }

    /// The regular files, by path.
    public var files: [String: Item] { items.filter { $0.value.kind == "file" } }
}

/// Takes a snapshot of a folder, following no symbolic link.
///
/// - Parameters:
///   - hashesContent: whether the bytes count; reads every file.
///   - includesDirectoryTimes: whether the times of directories count.
/// - Throws: ``DatabaseError/Code/io`` if anything in it cannot be read.
public func treeSnapshot(_ path: String, hashesContent: Bool = true, includesDirectoryTimes: Bool = false)
    throws(DatabaseError) -> TreeSnapshot
{
    var items: [String: TreeSnapshot.Item] = [:]
    var pending = [(RawPath(path), ".")]
    while let (current, name) = pending.popLast() {
        var status = stat()
        guard lstat(current.bytes, &status) == 0 else { throw posixError("look at \(current)") }
        var item = TreeSnapshot.Item(
            kind: "special", size: 0, digest: nil, destination: nil,
            mode: UInt16(truncatingIfNeeded: status.st_mode & 0o7777),
            modified: ModificationTime(
                seconds: Int64(status.st_mtim.tv_sec), nanoseconds: Int64(status.st_mtim.tv_nsec)),
            inode: UInt64(status.st_ino))
        switch status.st_mode & S_IFMT {
        case S_IFDIR:
            item.kind = "directory"
            if !includesDirectoryTimes { item.modified = nil }
            let prefix = current.description.utf8.count + 1
            for child in try current.children() {
                let own = String(decoding: child.description.utf8.dropFirst(prefix), as: UTF8.self)
                pending.append((child, name == "." ? own : name + "/" + own))
            }
        case S_IFREG:
            item.kind = "file"
            item.size = Int64(status.st_size)
            if hashesContent { item.digest = Digest(of: try bytes(of: current)) }
        case S_IFLNK:
            item.kind = "link"
            var target = [CChar](repeating: 0, count: 4097)
            let count = readlink(current.bytes, &target, 4096)
            guard count >= 0 else { throw posixError("read the link \(current)") }
            item.destination = String(
                decoding: target.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        default: break
        }
        items[name] = item
    }
    return TreeSnapshot(items: items)
}

/// The content of a file on disk, whole.
/// - Throws: ``DatabaseError/Code/io``.
public func bytesOnDisk(_ path: String) throws(DatabaseError) -> [UInt8] { try bytes(of: RawPath(path)) }

private func bytes(of path: RawPath) throws(DatabaseError) -> [UInt8] {
    let descriptor = open(path.bytes, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { throw posixError("open \(path)") }
    defer { close(descriptor) }
    var result: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(descriptor, &chunk, chunk.count)
        if count < 0 && errno == EINTR { continue }
        guard count >= 0 else { throw posixError("read \(path)") }
        if count == 0 { return result }
        result.append(contentsOf: chunk[..<count])
    }
}

/// Where two databases differ, in kinds, modes, bytes and times, those in whole seconds, as SFTP
/// keeps them; the first few.
public func databaseDifferences(_ source: String, _ target: String) throws(DatabaseError) -> [String] {
    func content(_ path: String) throws(DatabaseError) -> [String: [String]] {
        try treeSnapshot(path).without("romidb").items.compactMapValues { item in
            item.kind == "file"
                ? [String(item.mode), String(item.modified?.seconds ?? 0), item.digest.map { "\($0)" } ?? ""]
                : [item.kind]
        }
    }
    let (one, two) = (try content(source), try content(target))
    return Set(one.keys).union(two.keys).filter { one[$0] != two[$0] }.sorted().prefix(5).map {
        "\($0): \(one[$0] ?? []) is \(two[$0] ?? [])"
    }
}
