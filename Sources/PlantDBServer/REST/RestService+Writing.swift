import Glibc
import Hummingbird
import PlantDBCore

/// The calls that change the database. Each is one transaction: it is published whole, or not at all.
extension RestService {
    /// How long a call waits for a run of plantdb or for a process of upstream's that holds the database.
    private static let lockWait = Duration.seconds(20)
    static let jsonLimit = 16 << 20

    // MARK: Scans and filesets

    /// - Parameter repeats: whether a scan that is there is as good as a new one, as `POST /scans/S` of 0.14 has it.
    func createScan(
        _ name: String?, _ request: Request, _ caller: Caller, _ dialect: ServedDialect, repeats: Bool = false
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
            // It would say that the scan lies elsewhere, and later releases would not open the database.
            metadata["timelapse"] = nil
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
        _ scan: String?, _ id: String?, _ request: Request, _ dialect: ServedDialect
    ) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let body = try await jsonBody(request, isOptional: id != nil)
            let scan = try Self.text(scan, or: "scan_id", of: body)
            let id = try Self.text(id, or: "fileset_id", of: body)
            try Self.checkNewName(id, dialect)
            let manifest = try await manifest(scan)
            var index = try await index(manifest)
            let directory = try ScanPath(id)
            guard index.fileset(id) == nil, manifest.position(of: directory) == nil,
                directory != .metadata, id != ScanPath.webcacheName
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
            let path = try await metadataPath(manifest, fileset, file)
            var directories: [ScanPath] = []
            if let folder = path.parent, manifest.position(of: folder) == nil { directories = [folder] }
            if fileset == nil {
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
    func publish(
        _ scan: ScanID, replacing base: ScanManifest?, _ parts: ScanPartStream
    ) async throws(DatabaseError) {
        let lock = try await endpoint.acquireLock(.database, mode: .shared, wait: Self.lockWait)
        let outcome: Result<Void, DatabaseError>
        do throws(DatabaseError) {
            let transaction = try await endpoint.beginTransaction(
                on: scan, replacing: base?.revision, options: TransactionOptions(lockWait: Self.lockWait))
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

    func existing(_ name: String) async throws(DatabaseError) -> ScanManifest? {
        do throws(DatabaseError) { return try await manifest(name) } catch {
            guard error.code == .notFound else { throw error }
            return nil
        }
    }

    /// - Throws: `invalidName`.
    func newScan(_ name: String, _ dialect: ServedDialect) throws(DatabaseError) -> ScanID {
        try Self.checkNewName(name, dialect)
        return try ScanID(name)
    }

    /// The rules of 0.16 for its dialect; those of scans on disk for the other.
    static func checkNewName(_ name: String, _ dialect: ServedDialect) throws(DatabaseError) {
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

    static func exists(_ what: String) -> DatabaseError {
        DatabaseError(.alreadyExists, "\(what) already exists; nothing was changed")
    }
    /// - Parameter isOptional: whether an empty body is an empty object.
    func jsonBody(_ request: Request, isOptional: Bool = false, upTo limit: Int = jsonLimit)
        async throws(DatabaseError) -> JSONObject
    {
        let bytes = try await RequestPass.collect(RequestBytes(request.body), upTo: limit)
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
        let time = WallClock.now
        var seconds = time_t(time.seconds)
        var parts = tm()
        localtime_r(&seconds, &parts)
        let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            let count = strftime(buffer.baseAddress, buffer.count, "%Y-%m-%dT%H:%M:%S", &parts)
            return String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
        let fraction = String(time.subsecondNanoseconds / 1000)
        return "\(text).\(String(repeating: "0", count: 6 - fraction.count))\(fraction)"
    }
}
