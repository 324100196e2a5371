import PlantDBCore

/// A fileset of a scan: a directory with files that are listed in the scan's index.
///
/// A handle: it holds no data, and stays valid after ``FSDB/reload()``.
public struct Fileset: Sendable {
    public let scan: Scan
    /// The name of its directory.
    public let id: String

    /// Its directory.
    public var path: String { scan.path + "/" + id }

    private var database: FSDB { scan.database }

    // MARK: Files

    /// Ids of the files that are listed and there, in the order of the index, then of those
    /// that were created and have no content yet.
    /// - Throws: `notFound`, `invalidData`, `io`.
    public func listFiles() throws(DatabaseError) -> [String] {
        try database.read(scan.scanID) { (directory, scan) throws(DatabaseError) in
            try scan.fileIDs(of: try scan.fileset(id, in: directory), in: directory)
        }
    }

    public func getFiles() throws(DatabaseError) -> [File] {
        try listFiles().map { File(fileset: self, id: $0) }
    }

    /// - Throws: `notFound` if it is not listed or not there.
    public func getFile(_ id: String) throws(DatabaseError) -> File {
        try database.read(scan.scanID) { (directory, scan) throws(DatabaseError) in
            _ = try scan.filePath(id, of: try scan.fileset(self.id, in: directory), in: directory)
        }
        return File(fileset: self, id: id)
    }

    public func fileExists(_ id: String) throws(DatabaseError) -> Bool {
        try listFiles().contains { ExactText($0) == ExactText(id) }
    }

    /// A new file, to be given content by ``File/write(_:ext:)-(Array<UInt8>,_)`` or
    /// ``File/importFile(from:)``, and listed in the index then. Until then this ``FSDB`` alone
    /// knows it, until it is reloaded: an entry without a file stops releases of 0.14.
    /// - Throws: `alreadyExists`, `invalidName`.
    @discardableResult
    public func createFile(_ id: String, metadata: JSONObject = [:]) throws(DatabaseError) -> File {
        try Scan.checkID(id, of: "file")
        try database.change(scan.scanID) { (writer, scan) throws(DatabaseError) in
            let fileset = try scan.fileset(self.id, in: writer.directory)
            guard fileset.file(id) == nil, scan.pending[self.id]?.contains(id) != true else {
                throw DatabaseError(
                    .alreadyExists, "the fileset \(path.printable) has a file “\(id)” already",
                    path: "\(self.id)/\(id)")
            }
            let metadataPath = File.metadataPath(id, fileset: self.id)
            if metadata.isEmpty {
                // An earlier file of that name may have left its own.
                try writer.directory.remove(metadataPath)
            } else {
                try writer.publish(metadata, to: metadataPath)
            }
            scan.documents[metadataPath] = metadata
            scan.pending[self.id, default: []].insert(id)
        }
        return File(fileset: self, id: id)
    }

    /// Takes it out of the index, then deletes it and its metadata.
    /// - Throws: `notFound`.
    public func deleteFile(_ id: String) throws(DatabaseError) {
        try database.change(scan.scanID) { (writer, scan) throws(DatabaseError) in
            var fileset = try scan.fileset(self.id, in: writer.directory)
            let path = try scan.filePath(id, of: fileset, in: writer.directory)
            scan.pending[self.id]?.remove(id)
            if let path {
                fileset.remove(file: id)
                scan.index.update(fileset)
                try writer.publish(scan.index)
                try writer.directory.remove(path.rawValue)
            }
            let metadataPath = File.metadataPath(id, fileset: self.id)
            try writer.directory.remove(metadataPath)
            scan.documents[metadataPath] = nil
        }
    }

    // MARK: Metadata

    /// `metadata/<fileset>.json`; empty if there is none.
    /// - Throws: `invalidData` if it is no JSON object.
    public var metadata: JSONObject {
        get throws(DatabaseError) { try database.metadata(Self.metadataPath(id), of: scan.scanID) }
    }

    /// nil if there is no such key.
    public func getMetadata(_ key: String) throws(DatabaseError) -> JSONValue? { try metadata[key] }

    public func setMetadata(_ key: String, _ value: JSONValue) throws(DatabaseError) {
        try setMetadata([key: value])
    }

    /// Sets these keys; the others stay.
    public func setMetadata(_ values: JSONObject) throws(DatabaseError) {
        try database.setMetadata(values, Self.metadataPath(id), of: scan.scanID)
    }

    static func metadataPath(_ id: String) -> String { "\(ScanPath.metadata)/\(id).json" }
}
