import FSDB
import NIOCore
import PlantDBCore

/// The content of one scan in memory: files and directories with bytes, time and mode.
///
/// Tests build one, publish it through an endpoint, read it back and compare. It is also
/// what ``MemoryDatabase`` stores.
public struct SampleTree: Sendable, Equatable {
    public struct Node: Sendable, Equatable {
        public var kind: FileEntry.Kind
        public var content: [UInt8]
        public var modified: ModificationTime
        /// Permission bits.
        public var mode: UInt16

        public init(kind: FileEntry.Kind, content: [UInt8], modified: ModificationTime, mode: UInt16) {
            self.kind = kind
            self.content = content
            self.modified = modified
            self.mode = mode
        }
    }

    public private(set) var nodes: [ScanPath: Node] = [:]

    public init() {}

    /// 2023-11-14 22:13:20.123456789 UTC: the time of what says no other.
    public static let time = ModificationTime(seconds: 1_700_000_000, nanoseconds: 123_456_789)

    public subscript(path: ScanPath) -> Node? { nodes[path] }
    public subscript(path: String) -> Node? {
        // A text that is no valid path names nothing.
        guard let path = try? ScanPath(path) else { return nil }
        return nodes[path]
    }

    /// All paths in ascending bytewise order, so that directories stand before their content.
    public var paths: [ScanPath] { nodes.keys.sorted() }
    public var filePaths: [ScanPath] { paths.filter { nodes[$0]?.kind == .file } }
    public var byteCount: Int { nodes.values.reduce(0) { $0 + $1.content.count } }

    /// Puts a file, and the directories it lies in where they are missing.
    /// - Throws: ``DatabaseError/Code/invalidName``.
    public mutating func file(
        _ path: String, _ content: some Sequence<UInt8>, modified: ModificationTime = Self.time,
        mode: UInt16 = 0o644
    ) throws(DatabaseError) {
        let path = try ScanPath(path)
        set(path, Node(kind: .file, content: Array(content), modified: modified, mode: mode))
    }

    public mutating func file(
        _ path: String, _ text: String, modified: ModificationTime = Self.time, mode: UInt16 = 0o644
    ) throws(DatabaseError) {
        try file(path, Array(text.utf8), modified: modified, mode: mode)
    }

    public mutating func directory(
        _ path: String, modified: ModificationTime = Self.time, mode: UInt16 = 0o755
    ) throws(DatabaseError) {
        let path = try ScanPath(path)
        set(path, Node(kind: .directory, content: [], modified: modified, mode: mode))
    }

    /// Puts a node, and the directories it lies in where they are missing.
    public mutating func set(_ path: ScanPath, _ node: Node) {
        var parent = path.parent
        while let directory = parent, nodes[directory] == nil {
            nodes[directory] = Node(kind: .directory, content: [], modified: Self.time, mode: 0o755)
            parent = directory.parent
        }
        nodes[path] = node
    }

    /// Removes a file, or a directory with all that lies in it. Nothing happens where there
    /// is none.
    public mutating func remove(_ path: ScanPath) {
        nodes = nodes.filter { !$0.key.isWithin(path) }
    }

    public mutating func remove(_ path: String) throws(DatabaseError) { remove(try ScanPath(path)) }

    public func hasChildren(_ directory: ScanPath) -> Bool {
        nodes.keys.contains { $0 != directory && $0.isWithin(directory) }
    }

    public func entry(at path: ScanPath, digest: Bool = false) -> FileEntry? {
        guard let node = nodes[path] else { return nil }
        return FileEntry(
            path: path, kind: node.kind, size: Int64(node.content.count), modified: node.modified,
            mode: node.mode, digest: digest && node.kind == .file ? Digest(of: node.content) : nil)
    }

    public func entries(digests: Bool = false) -> [FileEntry] {
        paths.compactMap { entry(at: $0, digest: digests) }
    }

    /// What a peer that holds this tree says of it.
    public func manifest(of scan: ScanID, digests: Bool = false, skipped: [SkippedEntry] = [])
        throws(DatabaseError) -> ScanManifest
    {
        try ScanManifest(scan: scan, entries: entries(digests: digests), skipped: skipped)
    }

    /// The whole tree, or some paths of it, as a stream of parts in ascending order.
    ///
    /// - Parameters:
    ///   - chunk: the most bytes in one part.
    ///   - announcesDigests: whether each file ends with its digest.
    public func parts(_ only: [ScanPath]? = nil, chunk: Int = 1 << 16, announcesDigests: Bool = true)
        -> ScanPartStream
    {
        var parts: [ScanPart] = []
        for path in only ?? paths {
            guard let node = nodes[path], let entry = entry(at: path) else { continue }
            parts.append(.begin(entry))
            var start = 0
            while start < node.content.count {
                let end = min(node.content.count, start + chunk)
                parts.append(.bytes(ByteBuffer(bytes: node.content[start..<end])))
                start = end
            }
            parts.append(.end(announcesDigests && node.kind == .file ? Digest(of: node.content) : nil))
        }
        return ScanPartStream(replaying: parts)
    }

    /// The same tree with every time rounded down to `precision` nanoseconds.
    public func rounded(to precision: Int64) -> SampleTree {
        var result = self
        for path in nodes.keys { result.nodes[path]?.modified.floor(to: precision) }
        return result
    }
}

extension Digest {
    /// The SHA-256 of `content`.
    public init(of content: [UInt8]) { self = ContentHasher.digest(of: content) }
}

extension ModificationTime {
    /// Rounds down to whole steps of `precision` nanoseconds, as a coarse file system does.
    public mutating func floor(to precision: Int64) {
        guard precision > 1 else { return }
        let remainder = nanoseconds % precision
        nanoseconds -= remainder < 0 ? remainder + precision : remainder
    }

    public func floored(to precision: Int64) -> ModificationTime {
        var time = self
        time.floor(to: precision)
        return time
    }
}
