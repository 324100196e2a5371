import NIOCore
import PlantDBCore
import PlantDBWire
import Synchronization
import ZipStream

/// One scan on its way to a server of upstream's: held in a file here until the commit, then sent.
///
/// A new scan goes as one archive; that of another server is handed on without being held. Files of
/// a scan that is there go one by one, data first, then metadata, then `files.json`. What the server
/// has afterwards is compared by size and CRC-32.
actor RestTransaction: ScanTransaction {
    private let endpoint: RestEndpoint
    private let scan: ScanID
    private let isNew: Bool
    /// nil: nothing was to be held yet.
    private var spool: Spool?
    private var zip = ZipWriter()
    private var staged: [StagedFile] = []
    /// Release 0.14 makes up its own of a new scan.
    private var scanMetadata: ByteBuffer?
    /// What is handed on instead of the spool.
    private var passing: (archive: ScanArchive, meter: ByteMeter)?
    private var isOver = false

    private struct StagedFile {
        let path: ScanPath
        let size: Int64
        /// In the spool, of what is sent by itself.
        let range: Range<Int64>
        let checksum: UInt32
    }

    init(endpoint: RestEndpoint, scan: ScanID, isNew: Bool) {
        self.endpoint = endpoint
        self.scan = scan
        self.isNew = isNew
    }

    private func spooled() throws(DatabaseError) -> Spool {
        if let spool { return spool }
        let new = try Spool()
        spool = new
        return new
    }

    // MARK: Staging

    func receive(_ parts: ScanPartStream, meter: ByteMeter) async throws(DatabaseError) -> ScanManifest {
        let spool = try spooled()
        var entries: [FileEntry] = []
        var open: (entry: FileEntry, start: Int64, size: Int64, checksum: CRC32)?
        var stream = parts.makeAsyncIterator()
        while let part = try await stream.next() {
            switch part {
            case .begin(let entry):
                entries.append(entry)
                guard entry.kind == .file else { continue }
                open = (entry, spool.size, 0, CRC32())
                if isNew {
                    try await spool.append(
                        try zipping { (zip) throws(ZipError) in
                            try zip.begin(
                                entry.path.rawValue, size: entry.size, modified: entry.modified?.seconds ?? 0,
                                method: entry.path.isCompressed ? .stored : .deflated)
                        })
                }
            case .bytes(let bytes):
                guard let (entry, start, size, sum) = open else { continue }
                var checksum = sum
                checksum.update(bytes.readableBytesView)
                open = (entry, start, size + Int64(bytes.readableBytes), checksum)
                meter.add(Int64(bytes.readableBytes))
                if isNew {
                    for piece in try zipping({ (zip) throws(ZipError) in try zip.write(bytes) }) {
                        try await spool.append(piece)
                    }
                    if entry.path == .scanMetadata {
                        scanMetadata = (scanMetadata ?? ByteBuffer()).appending(bytes)
                    }
                } else {
                    try await spool.append(bytes)
                }
            case .end:
                guard let (entry, start, size, checksum) = open else { continue }
                open = nil
                guard size == entry.size else {
                    throw .changed(entry.path, of: scan, "it has \(size) bytes, not \(entry.size)")
                }
                if isNew {
                    try await spool.append(try zipping { (zip) throws(ZipError) in try zip.end() })
                }
                staged.append(
                    StagedFile(
                        path: entry.path, size: size, range: start..<spool.size, checksum: checksum.value))
            }
        }
        return try ScanManifest(scan: scan, entries: entries)
    }

    nonisolated var archiveReceiver: (any ArchiveReceiver)? { isNew ? self : nil }

    private func zipping<Value>(_ body: (inout ZipWriter) throws(ZipError) -> Value) throws(DatabaseError)
        -> Value
    {
        do throws(ZipError) { return try body(&zip) } catch {
            throw DatabaseError(
                .invalidData, "scan \(scan) cannot be put into an archive", cause: error.message, scan: scan)
        }
    }

    func remove(_ paths: [ScanPath]) async throws(DatabaseError) {
        guard let path = paths.first else { return }
        throw DatabaseError(
            .unsupported, "\(endpoint.location) cannot remove \(path) of scan \(scan)", scan: scan)
    }

    func setAttributes(_ entries: [FileEntry]) async throws(DatabaseError) {
        guard let entry = entries.first else { return }
        throw DatabaseError(
            .unsupported, "\(endpoint.location) cannot set the time of \(entry.path) of scan \(scan)",
            scan: scan)
    }

    // MARK: Publishing

    func commit() async throws(DatabaseError) {
        isOver = true
        try await endpoint.renewLogin()
        if isNew { try await create() } else { try await update() }
        try await verify()
    }

    func abort() async { isOver = true }

    private func create() async throws(DatabaseError) {
        let client = endpoint.client
        if try await endpoint.names(fresh: true).contains(scan.name) {
            // Perhaps only in its memory: a scan whose folder is gone, or was never complete.
            try await client.refresh()
            guard try await !endpoint.names(fresh: true).contains(scan.name) else {
                throw DatabaseError(
                    .conflict,
                    "scan \(scan) was made at \(endpoint.location) meanwhile; run the same command again",
                    scan: scan)
            }
        }
        endpoint.forgetNames()
        if let (archive, meter) = passing {
            try await client.uploadArchive(of: scan, size: archive.size) { archive.pieces(meter) }
            scanMetadata = archive.scanMetadata()
        } else {
            try await sendSpool()
        }
        guard client.dialect.generation == .v014 else { return }
        // From here on it is not cancelled: the scan is there.
        let (scan, metadata) = (scan, scanMetadata)
        try await Task { () -> Result<Void, DatabaseError> in
            do throws(DatabaseError) {
                if let metadata, metadata.readableBytes > 0 {
                    try await client.uploadFile(.scanMetadata, of: scan, size: Int64(metadata.readableBytes))
                    {
                        let once = Once(metadata)
                        return { () async throws(DatabaseError) in once.take() }
                    }
                }
                try await client.refresh(scan)
                return .success(())
            } catch { return .failure(error) }
        }.value.get()
    }

    private func sendSpool() async throws(DatabaseError) {
        let spool = try spooled()
        // Later releases want to see both of these; an archive with one of them alone breaks them.
        let tops = Set(staged.compactMap { $0.path.components.count == 2 ? $0.path.first : nil })
        if !tops.isSuperset(of: ["images", "metadata"]) {
            for folder in ["images/", "metadata/"] {
                try await spool.append(
                    try zipping { (zip) throws(ZipError) in
                        try zip.begin(folder, size: 0, modified: 0, method: .stored)
                    })
                try await spool.append(try zipping { (zip) throws(ZipError) in try zip.end() })
            }
        }
        try await spool.append(try zipping { (zip) throws(ZipError) in try zip.finish() })
        let size = spool.size
        try await endpoint.client.uploadArchive(of: scan, size: size) { spool.reader(0..<size) }
    }

    /// Ends between two files if its task is cancelled; the next run goes on from there.
    private func update() async throws(DatabaseError) {
        let (client, spool) = (endpoint.client, try spooled())
        let order = staged.sorted { ($0.path.publishingRank, $0.path) < ($1.path.publishingRank, $1.path) }
        for file in order {
            try await client.uploadFile(file.path, of: scan, size: file.size) { spool.reader(file.range) }
        }
        try await client.refresh(scan)
    }

    private func verify() async throws(DatabaseError) {
        let archive = try await endpoint.archive(of: scan)
        let damaged = staged.filter { file in
            archive?.checksums[file.path] != file.checksum
                || archive?.manifest.entry(at: file.path)?.size != file.size
        }
        guard let first = damaged.map(\.path).min() else { return }
        throw DatabaseError(
            .verificationFailed,
            "\(endpoint.location) has another \(first) of scan \(scan) than was sent"
                + (damaged.count > 1 ? ", and \(damaged.count - 1) other files" : "")
                + "; somebody may be writing there. Run the same command again", scan: scan,
            path: first.rawValue)
    }
}

extension RestTransaction: ArchiveReceiver {
    func receive(_ archive: ScanArchive, meter: ByteMeter) async throws(DatabaseError) {
        passing = (archive, meter)
        for entry in archive.entries where entry.kind == .file {
            staged.append(
                StagedFile(
                    path: entry.path, size: entry.size, range: 0..<0,
                    checksum: archive.checksums[entry.path] ?? 0))
        }
    }
}

/// A body of one piece.
private final class Once: Sendable {
    private let piece: Mutex<ByteBuffer?>
    init(_ piece: ByteBuffer) { self.piece = Mutex(piece) }
    func take() -> ByteBuffer? { piece.withLock { $0.take() } }
}

extension ByteBuffer {
    fileprivate func appending(_ other: ByteBuffer) -> ByteBuffer {
        var result = self
        result.writeImmutableBuffer(other)
        return result
    }
}

extension ScanPath {
    /// Data, then metadata, then the index that lists it.
    fileprivate var publishingRank: Int { self == .index ? 2 : first == "metadata" ? 1 : 0 }

    /// Whether its content is compressed already.
    fileprivate var isCompressed: Bool {
        guard let dot = name.lastIndex(of: ".") else { return false }
        return ["jpg", "jpeg", "png", "gz", "zip", "webp", "mp4", "npz", "xz", "bz2", "zst"].contains(
            name[name.index(after: dot)...].lowercased())
    }
}
