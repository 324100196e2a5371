import HTTPTypes
import Hummingbird
import NIOCore
import PlantDBCore
import PlantDBWire
import ZipStream

/// The calls that bring files: archives, forms, and bodies that are files.
extension RestService {
    // MARK: Archives

    /// A new scan. What an archive would change of one that is there is not guessed: it is refused.
    func uploadArchive(_ name: String, _ request: Request, _ dialect: ServedDialect) async -> Response {
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
                if let bytes = try await form.nextBytes() { return bytes }
                // An archive may be whole in a request that is not.
                while try await form.nextPart() != nil {}
                return nil
            }
            try await publish(scan, replacing: nil, upload.parts)
            let files = await upload.files
            return restJSON([
                "message": .string("scan \(name) is published, with \(files.count) files"),
                "files": .array(files.map { .string($0.rawValue) }),
            ])
        }
    }

    // MARK: Files

    /// A new file of a fileset, from a form: `file`, `ext`, and `metadata` as JSON if there is any; in the
    /// dialect of 0.14 also `scan_id`, `fileset_id` and `file_id`.
    func createFile(
        _ scan: String?, _ fileset: String?, _ id: String?, _ request: Request, _ dialect: ServedDialect
    ) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let form = try await form(request)
            var fields: [String: String] = [:]
            var fieldBytes = 0
            var content: (spool: Spool, type: String?)?
            while let part = try await form.nextPart() {
                // Fields may come after the file, so the file is held back.
                if part.name == "file" {
                    guard content == nil, part.fileName != nil else {
                        throw DatabaseError(
                            .invalidArgument, "the form's part file is no file, or there are two of it")
                    }
                    let spool = try Spool()
                    while let bytes = try await form.nextBytes() { try await spool.append(bytes) }
                    content = (spool, part.contentType)
                    continue
                }
                var text = ByteBuffer()
                while var bytes = try await form.nextBytes() {
                    fieldBytes += bytes.readableBytes
                    guard fieldBytes <= Self.jsonLimit else {
                        throw DatabaseError(
                            .invalidArgument, "the form's fields are too large, up to \(part.name.printable)")
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
            guard let (content, type) = content else {
                throw DatabaseError(.invalidArgument, "the form has no part file")
            }
            if ext != "json" { try Self.refuseMessage(type) }
            try Self.checkNewName(id, dialect)
            let (manifest, found) = try await find(scan, fileset)
            let path = try ScanPath("\(fileset)/\(id).\(ext)")
            guard !path.isReadAtOpening else {
                throw DatabaseError(.invalidArgument, "\(path) is metadata, and no file of a fileset")
            }
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
            try Self.refuseMessage(request.headers[.contentType])
            guard let size = request.headers[.contentLength].flatMap({ Int64($0) }), size > 0 else {
                throw DatabaseError(.invalidArgument, "the body is empty, or has no Content-Length")
            }
            // The client of 0.14 sends such bodies one after the other, and each would become the file.
            guard request.headers[.xChunkSize].flatMap({ Int64($0) }) != size else {
                throw DatabaseError(
                    .invalidArgument,
                    "a chunk of a file is not taken for the file: send it whole, in one request")
            }
            try await checkSize(request)
            let path = try ScanPath(text)
            try path.refuseAsTimelapse()
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
            if path.isReadAtOpening {
                let bytes = try await RequestPass.collect(body, upTo: Self.jsonLimit)
                try path.checkUploaded(bytes, to: manifest.scan)
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

    // MARK: Parts of them

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

    /// Clients of 0.15 and later send an empty JSON object, and not the file that they were given.
    ///
    /// - Throws: `invalidArgument` for a type that says that the body is a message to the server, and no file.
    private static func refuseMessage(_ contentType: String?) throws(DatabaseError) {
        let type = contentType?.prefix { $0 != ";" }.lowercased().filter { $0 != " " } ?? ""
        guard
            type.hasSuffix("/json") || type.hasSuffix("+json") || type.hasPrefix("multipart/")
                || type == "application/x-www-form-urlencoded"
        else { return }
        throw DatabaseError(
            .invalidArgument,
            "a body of type \(type.printable) is no file, and was not stored; send the file's bytes as "
                + "application/octet-stream")
    }

    private static func tooLarge(_ limit: Int64) -> DatabaseError {
        DatabaseError(.invalidArgument, "the upload has more than the \(limit) bytes that this server takes")
    }
}

extension HTTPField.Name {
    fileprivate static let xFilePath = Self("X-File-Path")!  // a valid token
    fileprivate static let xChunkSize = Self("X-Chunk-Size")!  // the same
}

extension ScanPath {
    /// Whether PlantDB reads this file when it opens a database: damaged, it keeps it from opening, or leads it
    /// elsewhere.
    var isReadAtOpening: Bool { OpenabilityGate.concerns(self) }

    /// What nobody but the uploader has looked at: stricter than ``PlantDBCore/OpenabilityGate``, which lets
    /// through what is only without use.
    ///
    /// - Throws: `invalidData` for content with which upstream opens no database, or reads files beyond it.
    func checkUploaded(_ json: [UInt8], to scan: ScanID) throws(DatabaseError) {
        if let objection = OpenabilityGate.objection(to: self, json) {
            throw DatabaseError(
                .invalidData, "a release of PlantDB could not open the database then: \(objection.reason)")
        }
        if self == .index {
            let flaw = try FileIndex(parsing: json).flaws.first {
                $0.kind == .unsafeFilesetID || $0.kind == .nameLeavesFileset
            }
            guard let flaw else { return }
            throw DatabaseError(
                .invalidData,
                "files.json leads out of its scan: \(flaw.file ?? flaw.fileset ?? "")".printable)
        }
        let value = try JSONValue(parsing: json)
        guard self == .scanMetadata else { return }
        let claim: String? =
            switch value["timelapse"]?["id"] {
            case .string("")?, .null?, nil: nil
            case .string(let name)?: name
            case let other?: other.kindDescription
            }
        guard claim == scan.container?.rawValue else {
            throw DatabaseError(
                .invalidData,
                "its “timelapse” names another than the one in which the scan lies, and later releases of PlantDB "
                    + "could not open the database then")
        }
    }

    /// - Throws: `invalidArgument` for the file that would make a timelapse of a scan: its filesets were hidden
    ///   by it, and later releases would not open the database.
    func refuseAsTimelapse() throws(DatabaseError) {
        guard self == .timelapseMarker else { return }
        throw DatabaseError(
            .invalidArgument, "\(self) would make a timelapse of the scan, and hide what is in it")
    }
}
