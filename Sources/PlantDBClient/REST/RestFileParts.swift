import NIOCore
import PlantDBCore

/// Files of a scan, each by a request of its own. One task pulls.
actor RestFileParts {
    private let client: PlantDBRestClient
    private let scan: ScanID
    private let checksums: [ScanPath: UInt32]
    private var left: ArraySlice<FileEntry>
    private var open: OpenFile?
    private var endsDirectory = false

    private struct OpenFile {
        let entry: FileEntry
        let answer: HTTPAnswer
        var size: Int64 = 0
        var checksum = CRC32()
    }

    init(
        _ entries: [FileEntry], of scan: ScanID, checksums: [ScanPath: UInt32], from client: PlantDBRestClient
    ) {
        left = entries[...]
        self.scan = scan
        self.checksums = checksums
        self.client = client
    }

    func next() async throws(DatabaseError) -> ScanPart? {
        if endsDirectory {
            endsDirectory = false
            return .end(nil)
        }
        if var file = open {
            guard let bytes = try await file.answer.next() else {
                try confirm(file)
                open = nil
                return .end(nil)
            }
            file.size += Int64(bytes.readableBytes)
            file.checksum.update(bytes.readableBytesView)
            open = file
            return .bytes(bytes)
        }
        guard let entry = left.popFirst() else { return nil }
        guard entry.kind == .file else {
            endsDirectory = true
            return .begin(entry)
        }
        let answer = try await client.send(.GET, .file("\(scan)/\(entry.path)"))
        if answer.status == 404 {
            _ = try await answer.collect(upTo: 1 << 20)
            throw .changed(entry.path, of: scan, "it is gone")
        }
        try await client.check(answer, doing: "send \(entry.path) of scan \(scan)")
        open = OpenFile(entry: entry, answer: answer)
        return .begin(entry)
    }

    private func confirm(_ file: OpenFile) throws(DatabaseError) {
        let path = file.entry.path
        guard file.size == file.entry.size, checksums[path] ?? file.checksum.value == file.checksum.value
        else { throw .changed(path, of: scan, "its content is another") }
    }
}

extension DatabaseError {
    static func changed(_ path: ScanPath, of scan: ScanID, _ how: String) -> DatabaseError {
        DatabaseError(
            .sourceChanged, "\(path) of scan \(scan) changed while it was read: \(how)", scan: scan,
            path: path.rawValue)
    }
}
