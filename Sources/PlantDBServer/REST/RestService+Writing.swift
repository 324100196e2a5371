import Glibc
import HTTPTypes
import Hummingbird
import NIOCore
import PlantDBCore
import PlantDBWire
import ZipStream

/// The calls that change the database. Each is one transaction: it is published whole, or not at all.
extension RestService {
    /// How long a call waits for a run of plantdb or for a process of upstream's that holds the database.
    private static let lockWait = Duration.seconds(20)
    private static let jsonLimit = 16 << 20

    // MARK: Archives

    /// A new scan. What an archive would change of one that is there is not guessed: it is refused.
    func uploadArchive(_ name: String, _ request: Request, _ dialect: RestDialect) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let form = try await form(request)
            let scan = try newScan(name, dialect)
            guard try await existing(name) == nil else { throw Self.exists("scan \(name)") }
            guard let part = try await form.nextPart(), part.name == "zip_file", let file = part.fileName,
                file.lowercased().hasSuffix(".zip"), part.contentType == "application/zip"
            else {
                throw DatabaseError(
                    .invalidArgument,
                    "an archive is a form's part zip_file, with a file name in .zip, of type application/zip")
            }
            var limits = ZipLimits()
            limits.totalSize = uploadLimit
            let upload = ArchiveUpload(of: scan, limits: limits) { () async throws(DatabaseError) in
                try await form.nextBytes()
            }
            try await publish(scan, replacing: nil, upload.parts)
            let files = await upload.files
            return restJSON([
                "message": .string("scan \(name) is published, with \(files.count) files"),
                "files": .array(files.map { .string($0.rawValue) }),
            ])
        }
    }

    // MARK: Scans, filesets, files

    /// - Parameter repeats: whether a scan that is there is as good as a new one, as `POST /scans/S` of 0.14 has it.
    func createScan(
        _ name: String?, _ request: Request, _ caller: Caller, _ dialect: RestDialect, repeats: Bool = false
    ) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let body = try await jsonBody(request, isOptional: name != nil)
            let name = try Self.text(name, or: "name", of: body)
            let scan = try newScan(name, dialect)
            let created = restJSON(
                ["message": .string("scan \(name) is created"), "id": .string(name)], .created)
            if try await existing(name) != nil {
                if repeats { return created }
                throw Self.exists("scan \(name)")
            }
            var metadata = try Self.metadata(of: body)
            let now = Self.now
            metadata["owner"] = .string(caller.account ?? "anonymous")
            metadata["created"] = .string(now)
            metadata["last_modified"] = .string(now)
            metadata["created_by"] = .string(caller.account ?? "anonymous")
            try await publish(
                scan, replacing: nil,
                .files(
                    [
                        (.scanMetadata, JSONValue.object(metadata).pythonBytes()),
                        (.index, FileIndex().encoded()),
                    ], directories: [.metadata]))
            return created
        }
    }

    func createFileset(
        _ scan: String?, _ id: String?, _ request: Request, _ dialect: RestDialect
    ) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let body = try await jsonBody(request, isOptional: id != nil)
            let scan = try Self.text(scan, or: "scan_id", of: body)
            let id = try Self.text(id, or: "fileset_id", of: body)
            try Self.checkNewName(id, dialect)
            let manifest = try await manifest(scan)
            var index = try await index(manifest)
            let directory = try ScanPath(id)
            guard index.fileset(id) == nil, manifest.position(of: directory) == nil, directory != .metadata
            else {
                throw Self.exists("fileset \(id) of scan \(scan)")
            }
            index.update(IndexedFileset(id: id))
            var files: [(ScanPath, [UInt8])] = [(.index, index.encoded())]
            let metadata = try Self.metadata(of: body)
            if !metadata.isEmpty {
                files.append((try ScanPath("metadata/\(id).json"), JSONValue.object(metadata).pythonBytes()))
            }
            try await publish(manifest.scan, replacing: manifest, .files(files, directories: [directory]))
            return restJSON(["message": .string("fileset \(id) is created"), "id": .string(id)], .created)
        }
    }

    /// A new file of a fileset, from a form: `file`, `ext`, and `metadata` as JSON if there is any; in the
    /// dialect of 0.14 also `scan_id`, `fileset_id` and `file_id`.
    func createFile(
        _ scan: String?, _ fileset: String?, _ id: String?, _ request: Request, _ dialect: RestDialect
    ) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let form = try await form(request)
            var fields: [String: String] = [:]
            var content: Spool?
            while let part = try await form.nextPart() {
                // Fields may come after the file, so the file is held back.
                if part.name == "file" {
                    let spool = try Spool()
                    while let bytes = try await form.nextBytes() { try await spool.append(bytes) }
                    content = spool
                    continue
                }
                var text = ByteBuffer()
                while var bytes = try await form.nextBytes() {
                    guard text.readableBytes + bytes.readableBytes <= Self.jsonLimit else {
                        throw DatabaseError(.invalidArgument, "the field \(part.name.printable) is too large")
                    }
                    text.writeBuffer(&bytes)
                }
                fields[part.name] = String(buffer: text)
            }
            func field(_ given: String?, _ name: String) throws(DatabaseError) -> String {
                guard let text = given ?? fields[name], !text.isEmpty else {
                    throw DatabaseError(.invalidArgument, "the form has no field \(name)")
                }
                return text
            }
            let scan = try field(scan, "scan_id")
            let fileset = try field(fileset, "fileset_id")
            let id = try field(id, "file_id")
            var ext = try field(nil, "ext")
            if ext.hasPrefix(".") { ext.removeFirst() }
            guard Self.extensions.contains(ext) else {
                throw DatabaseError(
                    .invalidArgument,
                    "files of the extension “\(ext.printable)” are not made: \(Self.extensions.joined(separator: ", ")) are"
                )
            }
            guard let content else { throw DatabaseError(.invalidArgument, "the form has no part file") }
            try Self.checkNewName(id, dialect)
            let (manifest, found) = try await find(scan, fileset)
            let path = try ScanPath("\(fileset)/\(id).\(ext)")
            guard found.file(id) == nil, manifest.position(of: path) == nil else {
                throw Self.exists("file \(id) in fileset \(fileset) of scan \(scan)")
            }
            var index = try await index(manifest)
            var listed = found
            listed.update(IndexedFile(id: id, file: "\(id).\(ext)"))
            index.update(listed)
            var small: [(ScanPath, [UInt8])] = [(.index, index.encoded())]
            if let text = fields["metadata"], !text.isEmpty {
                guard let object = try JSONValue(parsing: Array(text.utf8)).object else {
                    throw DatabaseError(.invalidArgument, "the field metadata is no JSON object")
                }
                small.append(
                    (try ScanPath("metadata/\(fileset)/\(id).json"), JSONValue.object(object).pythonBytes()))
            }
            let folder = try ScanPath("metadata/\(fileset)")
            let needsFolder = small.count > 1 && manifest.position(of: folder) == nil
            try await publish(
                manifest.scan, replacing: manifest,
                .files(small, directories: needsFolder ? [folder] : [])
                    .followed(by: FileEntry(path: path, size: content.size), content.reader(0..<content.size))
            )
            return restJSON(["message": .string("file \(id) is created"), "id": .string(id)], .created)
        }
    }

    /// As upstream has them, in lower case.
    private static let extensions = ["jpg", "jpeg", "png", "tif", "txt", "json", "ply", "yaml", "toml"]

    /// A file by its path, new or in place of another: the raw upload of 0.14.
    func uploadFile(_ scan: String, _ request: Request) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            guard let text = request.headers[.xFilePath], !text.isEmpty else {
                throw DatabaseError(.invalidArgument, "the header X-File-Path is missing")
            }
            guard let size = request.headers[.contentLength].flatMap({ Int64($0) }), size > 0 else {
                throw DatabaseError(.invalidArgument, "the body is empty, or has no Content-Length")
            }
            try await checkSize(request)
            let path = try ScanPath(text)
            guard path != .metadata, !path.components.contains(where: { $0 == ScanPath.webcacheName }) else {
                throw DatabaseError(.invalidArgument, "\(path) is no file of a scan")
            }
            let manifest = try await manifest(scan)
            var missing: [ScanPath] = []
            var parent = path.parent
            while let directory = parent, manifest.position(of: directory) == nil {
                missing.append(directory)
                parent = directory.parent
            }
            let entry = FileEntry(path: path, size: size)
            let body = RequestBytes(request.body)
            // What the index and metadata must be is looked at before they are in place.
            if path == .index || path.isWithin(.metadata) && path.name.hasSuffix(".json") {
                let bytes = try await Self.collect(body)
                if path == .index {
                    _ = try FileIndex(parsing: bytes)
                } else if try JSONValue(parsing: bytes).object == nil {
                    throw DatabaseError(.invalidData, "\(path) must be a JSON object")
                }
                try await publish(
                    manifest.scan, replacing: manifest,
                    .files([(path, bytes)], directories: missing.reversed()))
            } else {
                try await publish(
                    manifest.scan, replacing: manifest,
                    ScanPartStream.files([], directories: missing.reversed())
                        .followed(by: entry) { () async throws(DatabaseError) in try await body.next() })
            }
            return restJSON(["message": .string("\(path) is published")], .created)
        }
    }

    // MARK: Metadata

    /// Merges what is sent into what is there.
    ///
    /// - Parameters:
    ///   - fileset: nil: of the scan.
    ///   - file: nil: of the fileset.
    func setMetadata(
        of scan: String, _ fileset: String? = nil, _ file: String? = nil, from request: Request
    ) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let body = try await jsonBody(request)
            guard body["metadata"]?.object != nil else {
                throw DatabaseError(.invalidArgument, "the body has no object “metadata”")
            }
            var changes = try Self.metadata(of: body)
            let manifest = try await manifest(scan)
            var path = ScanPath.scanMetadata
            var directories: [ScanPath] = []
            if let fileset {
                let found = try self.fileset(fileset, in: try await index(manifest), scan)
                path = try ScanPath("metadata/\(fileset).json")
                if let file {
                    _ = try self.file(file, in: found, scan)
                    path = try ScanPath("metadata/\(fileset)/\(file).json")
                    if let folder = path.parent, manifest.position(of: folder) == nil {
                        directories = [folder]
                    }
                }
            } else {
                // Whose it is and who may write is no metadata to be merged.
                changes["owner"] = nil
                changes["sharing"] = nil
                // Upstream then writes a scan to another place than it reads it from.
                changes["timelapse"] = nil
            }
            var metadata = try await metadata(at: path, manifest)
            metadata.merge(changes)
            if fileset == nil { metadata["last_modified"] = .string(Self.now) }
            try await publish(
                manifest.scan, replacing: manifest,
                .files([(path, JSONValue.object(metadata).pythonBytes())], directories: directories))
            return restJSON(["metadata": .object(metadata)])
        }
    }

    // MARK: Parts of them

    /// One transaction, with the database locked against runs and against processes of upstream's.
    ///
    /// - Parameter base: what the change was made of; nil: there is no such scan yet.
    /// - Throws: `locked`; `conflict` if somebody was faster; what staging throws.
    private func publish(
        _ scan: ScanID, replacing base: ScanManifest?, _ parts: ScanPartStream
    ) async throws(DatabaseError) {
        let lock = try await endpoint.acquireLock(.database, mode: .shared, wait: Self.lockWait)
        let outcome: Result<Void, DatabaseError>
        do throws(DatabaseError) {
            let transaction = try await endpoint.beginTransaction(
                on: scan, replacing: base?.revision, options: TransactionOptions())
            do throws(DatabaseError) {
                _ = try await transaction.receive(parts, meter: ByteMeter())
                try await transaction.commit()
                outcome = .success(())
            } catch {
                await transaction.abort()
                outcome = .failure(error)
            }
        } catch { outcome = .failure(error) }
        await lock.release()
        try outcome.get()
    }

    private func existing(_ name: String) async throws(DatabaseError) -> ScanManifest? {
        do throws(DatabaseError) { return try await manifest(name) } catch {
            guard error.code == .notFound else { throw error }
            return nil
        }
    }

    /// - Throws: `invalidName`.
    private func newScan(_ name: String, _ dialect: RestDialect) throws(DatabaseError) -> ScanID {
        try Self.checkNewName(name, dialect)
        return try ScanID(name)
    }

    /// The rules of 0.16 for its dialect; those of scans on disk for the other.
    private static func checkNewName(_ name: String, _ dialect: RestDialect) throws(DatabaseError) {
        _ = try ScanPath(name)
        let isPlain = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            case UInt8(ascii: "."): dialect == .root
            default: false
            }
        }
        guard isPlain, name.utf8.count <= 128, let first = name.first, first != ".", first != "-",
            dialect == .root || first != "_"
        else {
            throw DatabaseError(
                .invalidName,
                "“\(name.printable)” cannot be a new name here: letters and digits, then also - and _"
                    + (dialect == .root ? " and dots" : "") + ", 128 at most")
        }
    }

    private static func exists(_ what: String) -> DatabaseError {
        DatabaseError(.alreadyExists, "\(what) already exists; nothing was changed")
    }

    /// A form whose file is not larger than may be.
    private func form(_ request: Request) async throws(DatabaseError) -> MultipartReader {
        guard let boundary = MultipartReader.boundary(of: request.headers[.contentType]) else {
            throw DatabaseError(
                .invalidArgument,
                "the body must be multipart/form-data with a boundary, and is "
                    + (request.headers[.contentType] ?? "of no type").printable)
        }
        try await checkSize(request)
        let body = RequestBytes(request.body)
        let limit = uploadLimit
        let counter = ByteMeter()
        return MultipartReader(boundary: boundary) { () async throws(DatabaseError) in
            let bytes = try await body.next()
            counter.add(Int64(bytes?.readableBytes ?? 0))
            guard counter.total <= limit else { throw Self.tooLarge(limit) }
            return bytes
        }
    }

    /// - Throws: `invalidArgument` for more than may be; `noSpace` for more than there is room for.
    private func checkSize(_ request: Request) async throws(DatabaseError) {
        guard let size = request.headers[.contentLength].flatMap({ Int64($0) }) else { return }
        guard size <= uploadLimit else { throw Self.tooLarge(uploadLimit) }
        if let free = try await endpoint.availableBytes(), size > free {
            throw DatabaseError(
                .noSpace, "the server has \(free) bytes free, and the upload has \(size); nothing was changed"
            )
        }
    }

    private static func tooLarge(_ limit: Int64) -> DatabaseError {
        DatabaseError(.invalidArgument, "the upload has more than the \(limit) bytes that this server takes")
    }

    private static func collect(_ body: RequestBytes) async throws(DatabaseError) -> [UInt8] {
        var bytes: [UInt8] = []
        while let more = try await body.next() {
            guard bytes.count + more.readableBytes <= jsonLimit else {
                throw DatabaseError(.invalidArgument, "the body is larger than any such JSON")
            }
            bytes.append(contentsOf: more.readableBytesView)
        }
        return bytes
    }

    /// - Parameter isOptional: whether an empty body is an empty object.
    func jsonBody(_ request: Request, isOptional: Bool = false) async throws(DatabaseError) -> JSONObject {
        let bytes = try await Self.collect(RequestBytes(request.body))
        if bytes.isEmpty, isOptional { return JSONObject() }
        guard request.headers[.contentType]?.lowercased().hasPrefix("application/json") ?? false else {
            throw DatabaseError(.invalidArgument, "the body must be of type application/json")
        }
        guard let object = try JSONValue(parsing: bytes).object else {
            throw DatabaseError(.invalidArgument, "the body must be a JSON object")
        }
        return object
    }

    /// What the path said, or else the body.
    private static func text(_ given: String?, or key: String, of body: JSONObject) throws(DatabaseError)
        -> String
    {
        if let given { return given }
        return try text(key, of: body)
    }

    static func text(_ key: String, of body: JSONObject) throws(DatabaseError) -> String {
        guard let text = body[key]?.string, !text.isEmpty else {
            throw DatabaseError(.invalidArgument, "the body has no text “\(key)”")
        }
        return text
    }

    private static func metadata(of body: JSONObject) throws(DatabaseError) -> JSONObject {
        switch body["metadata"] {
        case nil, .null?: return JSONObject()
        case .object(let object)?: return object
        case let other?:
            throw DatabaseError(
                .invalidArgument, "“metadata” must be an object, and is \(other.kindDescription)")
        }
    }

    /// As upstream writes it: local time without a zone, with microseconds.
    private static var now: String {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        var seconds = time.tv_sec
        var parts = tm()
        localtime_r(&seconds, &parts)
        let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            let count = strftime(buffer.baseAddress, buffer.count, "%Y-%m-%dT%H:%M:%S", &parts)
            return String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
        let fraction = String(time.tv_nsec / 1000)
        return "\(text).\(String(repeating: "0", count: 6 - fraction.count))\(fraction)"
    }
}

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

extension HTTPField.Name {
    fileprivate static let xFilePath = Self("X-File-Path")!  // a valid token
}
