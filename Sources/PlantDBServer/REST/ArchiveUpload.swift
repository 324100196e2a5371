import NIOCore
import PlantDBCore
import PlantDBWire
import ZipStream

/// The files of a scan out of the archive that is uploaded, as it arrives. One task pulls.
///
/// Takes the flat layout and the one with the scan's folder around all. Refused, before anything is
/// visible, are archives that ``ZipStream/ZipReader`` refuses, names that no scan can hold, and what would
/// keep a release of PlantDB from opening the database afterwards.
actor ArchiveUpload {
    private let scan: ScanID
    private let pull: @Sendable () async throws(DatabaseError) -> ByteBuffer?
    /// nil after its end.
    private var reader: ZipReader?
    /// Of the 0.14 layout, with its slash; nil: no entry has come yet.
    private var top: String?
    private var directories: Set<ScanPath> = []
    private var ready: [ScanPart] = []
    private var open: OpenFile?
    /// The content of a file that was held back, whose beginning is in `ready`.
    private var replay: (@Sendable () async throws(DatabaseError) -> ByteBuffer?)?
    private var hasEnded = false
    /// In the order of the archive.
    private(set) var files: [ScanPath] = []

    private struct OpenFile {
        var entry: FileEntry
        /// Where the archive says the size after the content.
        var spool: Spool?
        /// The bytes of JSON that is looked at.
        var json: [UInt8]?
    }

    /// JSON larger than this is refused, in bytes.
    private static let jsonLimit = 16 << 20

    init(
        of scan: ScanID, limits: ZipLimits,
        pull: @escaping @Sendable () async throws(DatabaseError) -> ByteBuffer?
    ) {
        self.scan = scan
        self.pull = pull
        reader = ZipReader(limits: limits)
    }

    nonisolated var parts: ScanPartStream {
        ScanPartStream { () async throws(DatabaseError) in try await self.next() }
    }

    private func next() async throws(DatabaseError) -> ScanPart? {
        while true {
            if !ready.isEmpty { return ready.removeFirst() }
            if let replay {
                if let bytes = try await replay() { return .bytes(bytes) }
                self.replay = nil
                return .end(nil)
            }
            if hasEnded { return nil }
            if let event = try nextEvent() {
                try await take(event)
            } else if let bytes = try await pull() {
                reader?.push(bytes)
            } else {
                try finish()
            }
        }
    }

    private func nextEvent() throws(DatabaseError) -> ZipEvent? {
        do throws(ZipError) { return try reader?.next() } catch { throw refusal(error) }
    }

    private func take(_ event: ZipEvent) async throws(DatabaseError) {
        switch event {
        case .begin(let entry): try begin(entry)
        case .data(let bytes):
            guard open != nil else { return }
            if let json = open?.json {
                guard json.count + bytes.readableBytes <= Self.jsonLimit else {
                    throw invalid("\(open?.entry.path.rawValue ?? "") is larger than any such file")
                }
                open?.json?.append(contentsOf: bytes.readableBytesView)
            }
            if let spool = open?.spool { try await spool.append(bytes) } else { ready.append(.bytes(bytes)) }
        case .end(let zipped):
            guard var file = open else { return }
            open = nil
            if let json = file.json { try check(json, at: file.entry.path) }
            if let spool = file.spool {
                file.entry.size = zipped.size ?? spool.size
                ready.append(.begin(file.entry))
                replay = spool.reader(0..<spool.size)
            } else {
                ready.append(.end(nil))
            }
        }
    }

    private func begin(_ entry: ZipEntry) throws(DatabaseError) {
        let folder = scan.name + "/"
        let isTop = entry.path == scan.name && entry.isDirectory
        if top == nil { top = isTop || entry.path.hasPrefix(folder) ? folder : "" }
        guard let top else { return }
        if isTop && !top.isEmpty { return }
        guard entry.path.hasPrefix(top) else {
            throw invalid("some of its files lie in the folder \(scan.name) and others beside it")
        }
        let path = try ScanPath(String(entry.path.dropFirst(top.count)))
        try path.refuseAsTimelapse()
        guard !path.components.contains(where: { $0 == ScanPath.webcacheName }) else { return }
        addDirectories(entry.isDirectory ? path : path.parent)
        guard !entry.isDirectory else { return }
        files.append(path)
        let file = FileEntry(
            path: path, size: entry.size ?? 0,
            modified: entry.modified.map { ModificationTime(seconds: $0) })
        open = OpenFile(
            entry: file, spool: entry.size == nil ? try Spool() : nil, json: path.isReadAtOpening ? [] : nil)
        if entry.size != nil { ready.append(.begin(file)) }
    }

    /// The outermost first.
    private func addDirectories(_ directory: ScanPath?) {
        var missing: [ScanPath] = []
        var next = directory
        while let path = next, directories.insert(path).inserted {
            missing.append(path)
            next = path.parent
        }
        for path in missing.reversed() {
            ready += [.begin(FileEntry(path: path, kind: .directory, size: 0)), .end(nil)]
        }
    }

    private func check(_ json: [UInt8], at path: ScanPath) throws(DatabaseError) {
        do throws(DatabaseError) { try path.checkUploaded(json, to: scan) } catch {
            throw invalid("of \(path), \(error.message)")
        }
    }

    private func finish() throws(DatabaseError) {
        hasEnded = true
        do throws(ZipError) { try reader.take()?.finish() } catch { throw refusal(error) }
        guard files.contains(.index) else { throw invalid("it has no files.json, so it is no scan") }
        // Without it upstream takes the folder for no scan.
        addDirectories(.metadata)
    }

    private func refusal(_ error: ZipError) -> DatabaseError { invalid(error.message) }

    private func invalid(_ what: String) -> DatabaseError {
        DatabaseError(
            .invalidData, "the archive of scan \(scan) is refused, and nothing of it was kept: \(what)",
            scan: scan)
    }
}
