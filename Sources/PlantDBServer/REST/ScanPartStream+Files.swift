import NIOCore
import PlantDBCore

extension ScanPartStream {
    /// Directories, then small files at hand.
    static func files(_ files: [(path: ScanPath, bytes: [UInt8])], directories: [ScanPath] = [])
        -> ScanPartStream
    {
        var parts: [ScanPart] = []
        for path in directories {
            parts += [.begin(FileEntry(path: path, kind: .directory, size: 0)), .end(nil)]
        }
        for (path, bytes) in files {
            parts.append(.begin(FileEntry(path: path, size: Int64(bytes.count))))
            if !bytes.isEmpty { parts.append(.bytes(ByteBuffer(bytes: bytes))) }
            parts.append(.end(nil))
        }
        let list = PartList(parts)
        return ScanPartStream { () async throws(DatabaseError) in await list.next() }
    }

    /// The same, and then one more file.
    func followed(
        by entry: FileEntry, _ content: @escaping @Sendable () async throws(DatabaseError) -> ByteBuffer?
    ) -> ScanPartStream {
        let sequence = FileAfter(first: self, entry: entry, content: content)
        return ScanPartStream { () async throws(DatabaseError) in try await sequence.next() }
    }

    private actor PartList {
        private var parts: ArraySlice<ScanPart>
        init(_ parts: [ScanPart]) { self.parts = parts[...] }
        func next() -> ScanPart? { parts.popFirst() }
    }

    private actor FileAfter {
        private enum Stage { case first, begin, content, over }
        private let first: ScanPartStream
        private let entry: FileEntry
        private let content: @Sendable () async throws(DatabaseError) -> ByteBuffer?
        private var stage = Stage.first

        init(
            first: ScanPartStream, entry: FileEntry,
            content: @escaping @Sendable () async throws(DatabaseError) -> ByteBuffer?
        ) { (self.first, self.entry, self.content) = (first, entry, content) }

        func next() async throws(DatabaseError) -> ScanPart? {
            if stage == .first {
                var iterator = first.makeAsyncIterator()
                if let part = try await iterator.next(isolation: self) { return part }
                stage = .begin
            }
            switch stage {
            case .first, .over: return nil
            case .begin:
                stage = .content
                return .begin(entry)
            case .content:
                if let bytes = try await content() { return .bytes(bytes) }
                stage = .over
                return .end(nil)
            }
        }
    }
}
