import HTTPTypes
import Hummingbird
import PlantDBCore

/// Answers the calls of upstream's REST API, releases 0.14 and 0.16, for one database.
struct RestService: Sendable {
    let endpoint: any DatabaseEndpoint
    /// Of the program.
    let version: String
    /// Before every path: empty, or with a slash at its beginning.
    let prefix: String
    /// Of one upload, in bytes.
    let uploadLimit: Int64

    /// Metadata larger than this is refused, in bytes.
    private static let metadataLimit = 16 << 20

    // MARK: The server

    /// Clients tell the generations apart by the key `endpoints`, which only 0.14 has.
    func home(_ dialect: ServedDialect, routes: [String]) -> Response {
        let list = JSONValue.array(routes.map(JSONValue.string))
        return restJSON([
            "name": "PlantDB REST API", "program": "plantdb-swift", "plantdb.server": .string(version),
            "plantdb.commons": .string(version),
            dialect == .root ? "endpoints" : "base endpoints": list,
        ])
    }

    func health() async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            restJSON([
                "status": "healthy", "message": "the database can be read",
                "database": [
                    "location": .string(endpoint.location.description),
                    "scan_count": .number(try await scans().count),
                ],
            ])
        }
    }

    /// Every call reads the database as it is, so there is nothing to do.
    func refresh(_ request: Request) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            if let id = request.query("scan_id") {
                _ = try await manifest(id)
                return restJSON(["message": .string("scan \(id) is up to date")])
            }
            return restJSON([
                "message": .string("the database is up to date: \(try await scans().count) scans")
            ])
        }
    }

    // MARK: Scans

    func scanList(_ request: Request) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            // The first as documented, the second as Python's clients send it.
            guard let text = request.query("filterQuery") ?? request.query("query") else {
                return restJSON(.array(try await scans().map { .string($0.name) }))
            }
            let query = try MetadataQuery(text, isFuzzy: request.query("fuzzy")?.lowercased() == "true")
            var names: [JSONValue] = []
            for scan in try await scans() {
                // nil: it went away meanwhile.
                guard let manifest = try await endpoint.manifest(of: scan, detail: .listing) else { continue }
                if query.matches(try await metadata(at: .scanMetadata, manifest)) {
                    names.append(.string(scan.name))
                }
            }
            return restJSON(.array(names))
        }
    }

    func scanInfo(_ name: String, _ dialect: ServedDialect) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            restJSON(try await info(try await manifest(name), dialect))
        }
    }

    /// A scan that cannot be read is left out by upstream's servers with all the others; here it
    /// stands there with its error.
    func scanInfos(_ dialect: ServedDialect) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            var infos: [JSONValue] = []
            for scan in try await scans() {
                do throws(DatabaseError) {
                    // nil: it went away meanwhile.
                    guard let manifest = try await endpoint.manifest(of: scan, detail: .listing) else {
                        continue
                    }
                    infos.append(try await info(manifest, dialect))
                } catch {
                    guard error.code != .cancelled else { throw error }
                    infos.append(["id": .string(scan.name), "error": .string(error.description)])
                }
            }
            return restJSON(.array(infos))
        }
    }

    func filesets(_ scan: String) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let index = try await index(try await manifest(scan))
            return restJSON(["filesets": .array(index.filesets.map { .string($0.id) })])
        }
    }

    func files(_ scan: String, _ fileset: String) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let (_, fileset) = try await find(scan, fileset)
            return restJSON(["files": .array(fileset.files.map { .string($0.id) })])
        }
    }

    /// - Parameters:
    ///   - fileset: nil: of the scan.
    ///   - file: nil: of the fileset.
    func metadata(
        of scan: String, _ fileset: String? = nil, _ file: String? = nil, for request: Request
    ) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let manifest = try await manifest(scan)
            let path = try await metadataPath(manifest, fileset, file)
            let object = try await metadata(at: path, manifest)
            guard let key = request.query("key") else {
                return restJSON(["metadata": .object(object)])
            }
            return restJSON(["metadata": object[key] ?? .object(JSONObject())])
        }
    }

    // MARK: Content

    func file(at components: [Substring], _ request: Request) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let names = components.compactMap(\.percentDecoded)
            if names.count == components.count, let file = try await file(at: names) {
                return try await file.response(to: request)
            }
            throw DatabaseError(.notFound, "there is no file \(components.joined(separator: "/").printable)")
        }
    }

    /// A file of a scan, also of one in a container. What lies in the root itself is not served,
    /// nor anything by a name that no scan can hold.
    private func file(at names: [String]) async throws(DatabaseError) -> RestFile? {
        for depth in [1, 2] where names.count > depth {
            let scan: ScanID
            let path: ScanPath
            do throws(DatabaseError) {
                scan = try ScanID(names.prefix(depth).joined(separator: "/"))
                path = try ScanPath(names.dropFirst(depth).joined(separator: "/"))
            } catch { return nil }
            // Below a container a name may be that of a file, which is no error here.
            if depth == 2, try await !scans().contains(scan) { continue }
            if let manifest = try await endpoint.manifest(of: scan, detail: .listing), manifest.isOfScan,
                let file = RestFile(path, in: manifest, of: endpoint)
            {
                return file
            }
        }
        return nil
    }

    /// As it is, whatever size is asked for: nothing is resized here.
    func image(_ scan: String, _ fileset: String, _ id: String, _ request: Request) async -> Response {
        await file(scan, fileset, id, request)
    }

    func file(_ scan: String, _ fileset: String, _ id: String, _ request: Request) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let (manifest, found) = try await find(scan, fileset)
            let name = try file(id, in: found, scan).file
            guard let file = RestFile(try ScanPath("\(fileset)/\(name)"), in: manifest, of: endpoint) else {
                throw DatabaseError(.notFound, "\(fileset)/\(name) of scan \(scan) is listed and not there")
            }
            return try await file.response(to: request)
        }
    }

    func archive(_ scan: String, _ dialect: ServedDialect) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let manifest = try await manifest(scan)
            return try await ServedArchive(manifest: manifest, endpoint: endpoint, dialect: dialect)
                .response()
        }
    }

    // MARK: What is there

    private func scans() async throws(DatabaseError) -> [ScanID] {
        try await endpoint.listing().scans.filter { $0.kind == .scan }.map(\.scan)
    }

    /// Upstream names a scan by its own directory, also one in a timelapse container.
    func manifest(_ name: String) async throws(DatabaseError) -> ScanManifest {
        let id = try ScanID(name)
        if let found = try await wholeManifest(id) { return found }
        for scan in try await scans() where scan.container != nil && scan.name == name {
            if let found = try await wholeManifest(scan) { return found }
        }
        throw DatabaseError(.notFound, "there is no scan \(name.printable)", scan: id)
    }

    /// nil for what is no scan.
    private func wholeManifest(_ scan: ScanID) async throws(DatabaseError) -> ScanManifest? {
        guard let manifest = try await endpoint.manifest(of: scan, detail: .listing),
            manifest.entry(at: .index) != nil, manifest.entry(at: .metadata) != nil
        else { return nil }
        return manifest
    }

    func index(_ manifest: ScanManifest) async throws(DatabaseError) -> FileIndex {
        try FileIndex(
            parsing: try await endpoint.contents(of: .index, in: manifest, limit: Self.metadataLimit) ?? [])
    }

    func find(_ scan: String, _ fileset: String) async throws(DatabaseError) -> (
        ScanManifest, IndexedFileset
    ) {
        let manifest = try await manifest(scan)
        return (manifest, try self.fileset(fileset, in: try await index(manifest), scan))
    }

    func fileset(_ id: String, in index: FileIndex, _ scan: String) throws(DatabaseError)
        -> IndexedFileset
    {
        guard let found = index.fileset(id) else {
            throw DatabaseError(.notFound, "scan \(scan) has no fileset \(id.printable)")
        }
        return found
    }

    /// Where the metadata of a scan lie, of a fileset that it lists, or of a file that that lists.
    func metadataPath(_ manifest: ScanManifest, _ fileset: String?, _ file: String?)
        async throws(DatabaseError) -> ScanPath
    {
        guard let fileset else { return .scanMetadata }
        let found = try self.fileset(fileset, in: try await index(manifest), manifest.scan.name)
        guard let file else { return try ScanPath("metadata/\(fileset).json") }
        _ = try self.file(file, in: found, manifest.scan.name)
        return try ScanPath("metadata/\(fileset)/\(file).json")
    }

    func file(_ id: String, in fileset: IndexedFileset, _ scan: String) throws(DatabaseError)
        -> IndexedFile
    {
        guard let found = fileset.file(id) else {
            throw DatabaseError(
                .notFound, "fileset \(fileset.id) of scan \(scan) has no file \(id.printable)")
        }
        return found
    }

    /// Empty where there is none, as upstream has it.
    func metadata(at path: ScanPath, _ manifest: ScanManifest) async throws(DatabaseError)
        -> JSONObject
    {
        guard
            let bytes = try await endpoint.contents(of: path, in: manifest, limit: Self.metadataLimit)
        else { return JSONObject() }
        guard let object = try JSONValue(parsing: bytes).object else {
            throw DatabaseError(.invalidData, "\(path) of scan \(manifest.scan) is no JSON object")
        }
        return object
    }

    private func info(_ manifest: ScanManifest, _ dialect: ServedDialect) async throws(DatabaseError)
        -> JSONValue
    {
        ScanInfo(
            manifest: manifest, index: try await index(manifest),
            metadata: try await metadata(at: .scanMetadata, manifest),
            photos: try await photos(manifest), dialect: dialect, prefix: prefix
        ).json
    }

    /// The metadata of all images in one stream: one call for each would open the scan each time.
    private func photos(_ manifest: ScanManifest) async throws(DatabaseError) -> Set<String> {
        let folder = try ScanPath("metadata/images")
        let positions = manifest.indices.filter {
            let entry = manifest[$0]
            return entry.kind == .file && entry.path.parent == folder && entry.path.name.hasSuffix(".json")
                && entry.size <= Self.metadataLimit
        }
        var photos: Set<String> = []
        var content: [UInt8] = []
        var name = ""
        var parts = try await endpoint.parts(
            of: EntrySelection(manifest: manifest, positions: positions.map { Int32($0) })
        ).makeAsyncIterator()
        while let part = try await parts.next() {
            switch part {
            case .begin(let entry): (name, content) = (String(entry.path.name.dropLast(5)), [])
            case .bytes(let buffer): content.append(contentsOf: buffer.readableBytesView)
            case .end:
                if try JSONValue(parsing: content)["channel"]?.string == "rgb" { photos.insert(name) }
            }
        }
        return photos
    }
}
