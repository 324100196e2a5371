import PlantDBCore

/// A scan of a database: a directory with filesets, metadata and an index, `files.json`.
///
/// A handle: it holds no data, and stays valid after ``FSDB/reload()``.
public struct Scan: Sendable {
    public let database: FSDB
    /// `scan`, or `container/scan` for a member of a timelapse.
    public let scanID: ScanID

    public var id: String { scanID.rawValue }

    /// Its directory.
    public var path: String { database.path + "/" + scanID.rawValue }

    // MARK: Filesets

    /// Ids of the filesets that are listed and there, in the order of the index.
    /// - Throws: `notFound`, `invalidData` if the index cannot be read, `io`.
    public func listFilesets() throws(DatabaseError) -> [String] {
        try database.read(scanID) { (directory, scan) throws(DatabaseError) in
            try scan.filesetIDs(in: directory)
        }
    }

    public func getFilesets() throws(DatabaseError) -> [Fileset] {
        try listFilesets().map { Fileset(scan: self, id: $0) }
    }

    /// - Throws: `notFound` if it is not listed or its directory is not there.
    public func getFileset(_ id: String) throws(DatabaseError) -> Fileset {
        try database.read(scanID) { (directory, scan) throws(DatabaseError) in
            _ = try scan.fileset(id, in: directory)
        }
        return Fileset(scan: self, id: id)
    }

    public func filesetExists(_ id: String) throws(DatabaseError) -> Bool {
        try listFilesets().contains { ExactText($0) == ExactText(id) }
    }

    /// Makes the directory, writes the metadata if there is any, and lists it in the index.
    /// - Throws: `alreadyExists`, `invalidName`.
    @discardableResult
    public func createFileset(_ id: String, metadata: JSONObject = [:]) throws(DatabaseError) -> Fileset {
        try Self.checkFilesetID(id)
        try database.change(scanID) { (writer, scan) throws(DatabaseError) in
            guard scan.index.fileset(id) == nil else {
                throw DatabaseError(
                    .alreadyExists, "scan \(scanID) has a fileset “\(id)” already", path: id)
            }
            try writer.directory.makeDirectory(id)
            if !metadata.isEmpty { try writer.publish(metadata, to: Fileset.metadataPath(id)) }
            scan.index.update(IndexedFileset(id: id))
            try writer.publish(scan.index)
        }
        return Fileset(scan: self, id: id)
    }

    /// Takes it out of the index, then deletes its files and metadata.
    /// - Throws: `notFound`.
    public func deleteFileset(_ id: String) throws(DatabaseError) {
        try database.change(scanID) { (writer, scan) throws(DatabaseError) in
            guard scan.index.fileset(id) != nil else {
                throw DatabaseError(.notFound, "scan \(scanID) has no fileset “\(id.printable)”")
            }
            try Self.checkFilesetID(id)
            scan.index.remove(fileset: id)
            scan.pending[id] = nil
            try writer.publish(scan.index)
            try writer.directory.removeTree(id)
            try writer.directory.removeTree("\(ScanPath.metadata)/\(id)")
            try writer.directory.removeTree(Fileset.metadataPath(id))
        }
    }

    // MARK: Metadata

    /// `metadata/metadata.json`; empty if there is none.
    /// - Throws: `invalidData` if it is no JSON object.
    public var metadata: JSONObject {
        get throws(DatabaseError) {
            try database.metadata(ScanPath.scanMetadata.rawValue, of: scanID)
        }
    }

    /// nil if there is no such key.
    public func getMetadata(_ key: String) throws(DatabaseError) -> JSONValue? { try metadata[key] }

    /// - Throws: `invalidArgument` if it would move the scan into or out of a timelapse.
    public func setMetadata(_ key: String, _ value: JSONValue) throws(DatabaseError) {
        try setMetadata([key: value])
    }

    /// Sets these keys; the others stay.
    /// - Throws: `invalidArgument` if it would move the scan into or out of a timelapse.
    public func setMetadata(_ values: JSONObject) throws(DatabaseError) {
        if let timelapse = values["timelapse"] { try scanID.checkTimelapse(timelapse) }
        try database.setMetadata(values, ScanPath.scanMetadata.rawValue, of: scanID)
    }

    /// Measured angles and internodes, from `measures.json`; empty if there are none.
    /// - Throws: `invalidData` if it is no JSON object.
    public var measures: JSONObject {
        get throws(DatabaseError) { try database.metadata(LoadedScan.measuresPath, of: scanID) }
    }

    /// `angles` or `internodes`; nil if there is no such key.
    public func getMeasures(_ key: String) throws(DatabaseError) -> JSONValue? { try measures[key] }

    /// Names that mean something else in a scan; a fileset `metadata` would share its
    /// metadata file with the scan.
    private static let reservedFilesetIDs: Set<String> = [
        ScanPath.metadata.rawValue, ScanPath.webcacheName, ScanPath.index.rawValue,
        ScanPath.timelapseMarker.rawValue, LoadedScan.measuresPath,
    ]

    private static func checkFilesetID(_ id: String) throws(DatabaseError) {
        try checkID(id, of: "fileset")
        guard !reservedFilesetIDs.contains(id) else {
            throw DatabaseError(.invalidName, "“\(id)” means something else in a scan; take another name")
        }
    }

    /// The rule of a scan's name holds for all ids.
    static func checkID(_ id: String, of what: String) throws(DatabaseError) {
        do throws(DatabaseError) {
            if try ScanID(id).container == nil { return }
        } catch {}
        throw DatabaseError(
            .invalidName,
            "“\(id.printable)” cannot be the name of a \(what): letters, digits, “_”, “-” and “.” only, not "
                + "starting with “-” or “.”, at most 255 bytes, and not a reserved name")
    }
}

extension ScanID {
    /// Releases 0.16 and later compute where a scan lies from `timelapse.id` of its metadata,
    /// and cannot open a database in which it lies elsewhere.
    func checkTimelapse(_ value: JSONValue) throws(DatabaseError) {
        if value["id"]?.string == container?.rawValue { return }
        throw DatabaseError(
            .invalidArgument,
            "“timelapse” of scan \(self) must name the container in which the scan lies"
                + (container.map { ", \($0)" } ?? "; it lies in none"), scan: self)
    }
}

extension FSDB {
    func metadata(_ path: String, of scan: ScanID) throws(DatabaseError) -> JSONObject {
        try read(scan) { (directory, loaded) throws(DatabaseError) in
            try loaded.document(path, in: directory)
        }
    }

    func setMetadata(_ values: JSONObject, _ path: String, of scan: ScanID) throws(DatabaseError) {
        try change(scan) { (writer, loaded) throws(DatabaseError) in
            var object = try loaded.document(path, in: writer.directory)
            object.merge(values)
            try writer.publish(object, to: path)
            loaded.documents[path] = object
        }
    }
}
