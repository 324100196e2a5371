import NIOCore
import PlantDBCore
import Synchronization
import ZipStream

extension RestEndpoint: ArchiveSource {
    public var archiveSource: (any ArchiveSource)? { self }

    public func archive(of selection: EntrySelection) async throws(DatabaseError) -> ScanArchive? {
        let known = try remembered(selection)
        guard known.isPortable, selection.count == known.manifest.count, !comesSingly(selection, of: known)
        else { return nil }
        let (client, scan) = (client, selection.scan)
        let first = try await client.downloadArchive(of: scan)
        guard let size = first.headers.first(name: "content-length").flatMap({ Int64($0) }) else {
            return nil
        }
        let (begun, metadata) = (Begun(first), Metadata())
        return ScanArchive(
            entries: Array(selection), checksums: known.checksums, size: size,
            scanMetadata: { metadata.content.withLock { $0 } },
            pieces: { meter in
                let passing = PassingArchive(
                    known, from: client, begun.answer.withLock { $0.take() }, size: size, metadata: metadata,
                    meter)
                return { () async throws(DatabaseError) in try await passing.next() }
            })
    }

    /// What the first to pull goes on with; whoever pulls again asks again.
    private final class Begun: Sendable {
        let answer: Mutex<HTTPAnswer?>
        init(_ answer: HTTPAnswer) { self.answer = Mutex(answer) }
    }

    fileprivate final class Metadata: Sendable {
        let content = Mutex<ByteBuffer?>(nil)
    }
}

/// The bytes of an archive as they arrive, read in passing. One task pulls.
private actor PassingArchive {
    private let archive: RestArchive
    private let client: PlantDBRestClient
    private let size: Int64
    private let metadata: RestEndpoint.Metadata
    private let meter: ByteMeter
    private var answer: HTTPAnswer?
    private var reader: ZipReader? = ZipReader()
    private var missing: Set<ScanPath>
    private var scanMetadata = ByteBuffer()
    private var open: ScanPath?
    /// What came, and is not handed on before the next has come.
    private var held: ByteBuffer?

    init(
        _ archive: RestArchive, from client: PlantDBRestClient, _ answer: HTTPAnswer?, size: Int64,
        metadata: RestEndpoint.Metadata, _ meter: ByteMeter
    ) {
        self.archive = archive
        self.client = client
        self.answer = answer
        self.size = size
        self.metadata = metadata
        self.meter = meter
        missing = Set(archive.checksums.keys)
    }

    private var scan: ScanID { archive.manifest.scan }

    func next() async throws(DatabaseError) -> ByteBuffer? {
        while true {
            let stream = try await started()
            guard let bytes = try await stream.next() else {
                try finish()
                return held.take()
            }
            reader?.push(bytes)
            try read()
            let piece = held
            held = bytes
            if let piece { return piece }
        }
    }

    private func started() async throws(DatabaseError) -> HTTPAnswer {
        if let answer { return answer }
        let new = try await client.downloadArchive(of: scan)
        answer = new
        guard new.headers.first(name: "content-length").flatMap({ Int64($0) }) == size else {
            throw DatabaseError(
                .sourceChanged, "scan \(scan) changed at \(client.address) while it was read", scan: scan)
        }
        return new
    }

    private func read() throws(DatabaseError) {
        while let event = try nextEvent() {
            switch event {
            case .begin(let entry):
                let path = try ScanPath(entry.path)
                guard missing.remove(path) != nil else { throw .changed(path, of: scan, "it is new") }
                open = path
                if path == .scanMetadata { scanMetadata.clear() }
            case .data(let bytes):
                if open == .scanMetadata { scanMetadata.writeImmutableBuffer(bytes) }
            case .end(let entry):
                guard let path = open else { continue }
                open = nil
                guard entry.crc32 == archive.checksums[path],
                    entry.size == archive.manifest.entry(at: path)?.size
                else { throw .changed(path, of: scan, "its content is another") }
                meter.add(entry.size ?? 0)
            }
        }
    }

    private func nextEvent() throws(DatabaseError) -> ZipEvent? {
        do throws(ZipError) { return try reader?.next() } catch {
            throw .archive(error, of: scan, at: client.address)
        }
    }

    private func finish() throws(DatabaseError) {
        guard let last = reader.take() else { return }
        do throws(ZipError) { try last.finish() } catch {
            throw .archive(error, of: scan, at: client.address)
        }
        if let path = missing.min() { throw .changed(path, of: scan, "it is gone") }
        let found = scanMetadata
        metadata.content.withLock { $0 = found }
    }
}
