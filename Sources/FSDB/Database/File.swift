import PlantDBCore

/// A file of a fileset.
///
/// A handle: it holds no data, and stays valid after ``FSDB/reload()``.
public struct File: Sendable {
    public let fileset: Fileset
    /// Upstream's id: normally the file's name without its extension.
    public let id: String

    private var database: FSDB { fileset.scan.database }
    private var scanID: ScanID { fileset.scan.scanID }

    /// Its name in the fileset's directory; nil while it has no content.
    /// - Throws: `notFound`, `invalidData`, `io`.
    public var filename: String? {
        get throws(DatabaseError) {
            try pathInScan.map { String($0.rawValue.dropFirst(fileset.id.count + 1)) }
        }
    }

    /// Where it lies; nil while it has no content.
    /// - Throws: `notFound`, `invalidData`, `io`.
    public var path: String? {
        get throws(DatabaseError) { try pathInScan.map { "\(fileset.scan.path)/\($0)" } }
    }

    private var pathInScan: ScanPath? {
        get throws(DatabaseError) {
            try database.read(scanID) { (directory, scan) throws(DatabaseError) in
                try scan.filePath(id, of: try scan.fileset(fileset.id, in: directory), in: directory)
            }
        }
    }

    // MARK: Content

    /// The whole content.
    /// - Throws: `notFound` if it is not there or has no content yet; `io`.
    public func read() throws(DatabaseError) -> [UInt8] {
        try database.read(scanID) { (directory, scan) throws(DatabaseError) in
            let fileset = try scan.fileset(self.fileset.id, in: directory)
            guard let path = try scan.filePath(id, of: fileset, in: directory) else {
                throw DatabaseError(
                    .notFound, "the file “\(id)” of \(self.fileset.path.printable) has no content yet")
            }
            return try directory.read(path.rawValue, limit: .max)
        }
    }

    /// The whole content as text.
    /// - Throws: `invalidData` if it is not UTF-8; else as ``read()``.
    public func readText() throws(DatabaseError) -> String {
        guard let text = String(validating: try read(), as: UTF8.self) else {
            throw DatabaseError(
                .invalidData, "the file “\(id)” of \(fileset.path.printable) is not text in UTF-8",
                scan: scanID)
        }
        return text
    }

    /// Writes the content to `<id>.<ext>` and lists the file in the index. Readers see the
    /// old content or the new, never a part.
    ///
    /// - Parameter ext: with or without its dot; nil: the file keeps its name, and a new one
    ///   has no extension.
    /// - Throws: `alreadyExists` if another file of the fileset has the name, `noSpace`, `io`.
    public func write(_ bytes: [UInt8], ext: String? = nil) throws(DatabaseError) {
        try publish(ext: ext) { (writer, path) throws(DatabaseError) in try writer.publish(bytes, to: path) }
    }

    /// Writes text in UTF-8; else as the other `write`.
    public func write(_ text: String, ext: String? = nil) throws(DatabaseError) {
        try write(Array(text.utf8), ext: ext)
    }

    /// Copies a file from anywhere to `<id>.<its extension>` and lists it in the index.
    /// Costs no memory, whatever its size.
    /// - Throws: `notFound` if there is no file at `path`; else as `write`.
    public func importFile(from path: String) throws(DatabaseError) {
        let name = path.split(separator: "/").last ?? ""
        let ext = name.lastIndex(of: ".").map { name[name.index(after: $0)...] } ?? ""
        // The name of a hidden file is no extension.
        let isHidden = name.dropLast(ext.count) == "."
        try publish(ext: isHidden ? "" : String(ext)) { (writer, target) throws(DatabaseError) in
            try writer.publish(copyOf: path, to: target)
        }
    }

    private func publish(
        ext: String?, _ publishContent: (ScanWriter, String) throws(DatabaseError) -> Void
    ) throws(DatabaseError) {
        try database.change(scanID) { (writer, scan) throws(DatabaseError) in
            var indexed = try scan.fileset(fileset.id, in: writer.directory)
            let old = try scan.filePath(id, of: indexed, in: writer.directory)
            var name = id
            if let ext {
                let ext = ext.hasPrefix(".") ? String(ext.dropFirst()) : ext
                if !ext.isEmpty { name += "." + ext }
            } else if let old {
                name = String(old.rawValue.dropFirst(fileset.id.count + 1))
            }
            let path = try ScanPath("\(fileset.id)/\(name)")
            if path != old {
                try Scan.checkID(name, of: "file")
                let taken = indexed.files.first {
                    ExactText($0.file) == ExactText(name) && ExactText($0.id) != ExactText(id)
                }
                if let taken {
                    throw DatabaseError(
                        .alreadyExists,
                        "“\(name)” in \(fileset.path.printable) is the file “\(taken.id.printable)”",
                        path: path.rawValue)
                }
            }
            try publishContent(writer, path.rawValue)
            scan.pending[fileset.id]?.remove(id)
            if path == old { return }
            indexed.update(IndexedFile(id: id, file: name))
            scan.index.update(indexed)
            try writer.publish(scan.index)
            if let old { try writer.directory.remove(old.rawValue) }
        }
    }

    // MARK: Metadata

    /// `metadata/<fileset>/<file>.json`; empty if there is none.
    /// - Throws: `invalidData` if it is no JSON object.
    public var metadata: JSONObject {
        get throws(DatabaseError) {
            try database.metadata(Self.metadataPath(id, fileset: fileset.id), of: scanID)
        }
    }

    /// nil if there is no such key.
    public func getMetadata(_ key: String) throws(DatabaseError) -> JSONValue? { try metadata[key] }

    public func setMetadata(_ key: String, _ value: JSONValue) throws(DatabaseError) {
        try setMetadata([key: value])
    }

    /// Sets these keys; the others stay.
    public func setMetadata(_ values: JSONObject) throws(DatabaseError) {
        try database.setMetadata(values, Self.metadataPath(id, fileset: fileset.id), of: scanID)
    }

    static func metadataPath(_ id: String, fileset: String) -> String {
        "\(ScanPath.metadata)/\(fileset)/\(id).json"
    }
}
