import NIOCore
import PlantDBCore
import ZipStream

/// Files of a scan out of its archive, as it arrives. One task pulls.
actor RestArchiveParts {
    private let client: PlantDBRestClient
    private let archive: RestArchive
    private var directories: ArraySlice<FileEntry>
    private var wanted: [ScanPath: FileEntry]
    private var endsDirectory = false
    private var answer: HTTPAnswer?
    /// nil after its end.
    private var reader: ZipReader?
    private var open: FileEntry?
    private var hasEnded = false

    private var scan: ScanID { archive.manifest.scan }

    init(_ entries: [FileEntry], of archive: RestArchive, from client: PlantDBRestClient) {
        directories = entries.filter { $0.kind == .directory }[...]
        wanted = [:]
        for entry in entries where entry.kind == .file { wanted[entry.path] = entry }
        self.archive = archive
        self.client = client
        reader = ZipReader()
    }

    func next() async throws(DatabaseError) -> ScanPart? {
        if endsDirectory {
            endsDirectory = false
            return .end(nil)
        }
        if let directory = directories.popFirst() {
            endsDirectory = true
            return .begin(directory)
        }
        if hasEnded { return nil }
        while true {
            if let part = try await nextInArchive() { return part }
            let stream: HTTPAnswer
            if let answer {
                stream = answer
            } else {
                stream = try await client.downloadArchive(of: scan)
                answer = stream
            }
            guard let bytes = try await stream.next() else {
                try finish()
                return nil
            }
            reader?.push(bytes)
        }
    }

    /// nil: more bytes are needed.
    private func nextInArchive() async throws(DatabaseError) -> ScanPart? {
        while let event = try nextEvent() {
            switch event {
            case .begin(let entry):
                guard !entry.isDirectory, let text = RestArchive.path(entry.path, below: archive.top) else {
                    continue
                }
                let path = try ScanPath(text)
                guard let file = wanted.removeValue(forKey: path) else { continue }
                open = file
                return .begin(file)
            case .data(let bytes):
                if open != nil { return .bytes(bytes) }
            case .end(let entry):
                guard let file = open else { continue }
                open = nil
                guard entry.size == file.size, entry.crc32 == archive.checksums[file.path] else {
                    throw .changed(file.path, of: scan, "its content is another")
                }
                return .end(nil)
            }
        }
        return nil
    }

    private func nextEvent() throws(DatabaseError) -> ZipEvent? {
        do throws(ZipError) { return try reader?.next() } catch {
            throw .archive(error, of: scan, at: client.address)
        }
    }

    private func finish() throws(DatabaseError) {
        hasEnded = true
        do throws(ZipError) { try reader.take()?.finish() } catch {
            throw .archive(error, of: scan, at: client.address)
        }
        if let path = wanted.keys.min() { throw .changed(path, of: scan, "it is gone") }
    }
}
