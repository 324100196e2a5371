import PlantDBCore

/// What was read of a scan.
struct LoadedScan: Sendable {
    var index: FileIndex
    /// Metadata files by their path in the scan.
    var documents: [String: JSONObject] = [:]
    /// Files that were created and have no content yet, by fileset. They are not in the
    /// index: 0.14 refuses a database whose index has an entry without a file.
    var pending: [String: Set<String>] = [:]
    /// A change failed on its way: only ``pending`` is still true.
    var isOutdated = false

    static let measuresPath = "measures.json"

    /// - Throws: `notFound` if the directory is no scan, naming what is missing; `invalidData`.
    init(loading directory: Directory) throws(DatabaseError) {
        guard try directory.status(of: ScanPath.metadata.rawValue)?.kind == .directory else {
            throw DatabaseError(
                .notFound,
                "\(directory.path.printable) is not a scan: it has no directory “\(ScanPath.metadata)”")
        }
        let bytes: [UInt8]
        do throws(DatabaseError) { bytes = try directory.read(ScanPath.index.rawValue) } catch {
            guard error.code == .notFound else { throw error }
            throw DatabaseError(
                .notFound, "\(directory.path.printable) is not a scan: it has no “\(ScanPath.index)”")
        }
        do throws(DatabaseError) { index = try FileIndex(parsing: bytes) } catch {
            throw Self.located(error, ScanPath.index.rawValue, in: directory)
        }
    }

    // MARK: Filesets and files

    /// Those that are listed and there, as upstream shows them: of several with one id the
    /// last, at the place of the first.
    func filesetIDs(in directory: Directory) throws(DatabaseError) -> [String] {
        var ids: [String] = []
        var seen: Set<ExactText> = []
        for fileset in index.filesets where seen.insert(ExactText(fileset.id)).inserted {
            if try isThere(fileset, in: directory) { ids.append(fileset.id) }
        }
        return ids
    }

    /// - Throws: `notFound`.
    func fileset(_ id: String, in directory: Directory) throws(DatabaseError) -> IndexedFileset {
        guard let fileset = index.fileset(id) else {
            throw DatabaseError(
                .notFound, "\(directory.path.printable) has no fileset “\(id.printable)”", path: id.printable)
        }
        guard try isThere(fileset, in: directory) else {
            throw DatabaseError(
                .notFound,
                "\(directory.path.printable) lists the fileset “\(id.printable)”, and its directory is not there",
                path: id.printable)
        }
        return fileset
    }

    /// Ids of the files that are listed and there, then of those without content.
    func fileIDs(of fileset: IndexedFileset, in directory: Directory) throws(DatabaseError) -> [String] {
        // A kind that the file system does not say is taken for a file.
        let entries = try directory.directory(fileset.id).entries().filter { ($0.kind ?? .file) == .file }
        let names = Set(entries.map(\.name))
        var last: [ExactText: IndexedFile] = [:]
        for file in fileset.files { last[ExactText(file.id)] = file }
        var ids: [String] = []
        for file in fileset.files {
            guard let file = last.removeValue(forKey: ExactText(file.id)) else { continue }
            var isThere = names.contains(Array(file.file.utf8))
            if !isThere, let path = Self.path(of: file, in: fileset), path.components.count > 2 {
                isThere = try directory.status(of: path.rawValue)?.kind == .file
            }
            if isThere { ids.append(file.id) }
        }
        return ids + (pending[fileset.id] ?? []).sorted()
    }

    /// The path in the scan of a listed file that is there; nil if it has no content yet.
    /// - Throws: `notFound`.
    func filePath(_ id: String, of fileset: IndexedFileset, in directory: Directory) throws(DatabaseError)
        -> ScanPath?
    {
        if let file = fileset.file(id) {
            if let path = Self.path(of: file, in: fileset),
                try directory.status(of: path.rawValue)?.kind == .file
            {
                return path
            }
            throw DatabaseError(
                .notFound,
                "\(directory.path.printable) lists the file “\(id.printable)”, and “\(file.file.printable)” is "
                    + "not there", path: "\(fileset.id)/\(file.file)".printable)
        }
        if pending[fileset.id]?.contains(id) == true { return nil }
        throw DatabaseError(
            .notFound, "\(directory.path.printable)/\(fileset.id) has no file “\(id.printable)”",
            path: fileset.id.printable)
    }

    private func isThere(_ fileset: IndexedFileset, in directory: Directory) throws(DatabaseError) -> Bool {
        // An id that leads elsewhere is never followed; the check of a database names it.
        guard let path = Self.path(fileset.id), path.components.count == 1 else { return false }
        return try directory.status(of: path.rawValue)?.kind == .directory
    }

    /// nil where a path leads out of the fileset, or is none.
    private static func path(of file: IndexedFile, in fileset: IndexedFileset) -> ScanPath? {
        path("\(fileset.id)/\(file.file)")
    }

    private static func path(_ text: String) -> ScanPath? {
        do throws(DatabaseError) { return try ScanPath(text) } catch { return nil }
    }

    // MARK: JSON

    /// An object in the scan; empty if there is no such file.
    /// - Throws: `invalidData` if it is no JSON or no object.
    mutating func document(_ path: String, in directory: Directory) throws(DatabaseError) -> JSONObject {
        if let known = documents[path] { return known }
        let object = try Self.readDocument(path, in: directory)
        documents[path] = object
        return object
    }

    static func readDocument(_ path: String, in directory: Directory) throws(DatabaseError) -> JSONObject {
        let bytes: [UInt8]
        do throws(DatabaseError) { bytes = try directory.read(path) } catch {
            if error.code == .notFound { return [:] }
            throw error
        }
        do throws(DatabaseError) {
            let value = try JSONValue(parsing: bytes)
            guard let object = value.object else {
                throw DatabaseError(.invalidData, "it should be an object and is \(value.kindDescription)")
            }
            return object
        } catch { throw located(error, path, in: directory) }
    }

    private static func located(_ error: DatabaseError, _ path: String, in directory: Directory)
        -> DatabaseError
    {
        var error = error
        error.message = "\(directory.path.printable)/\(path.printable) cannot be used: \(error.message)"
        error.path = path.printable
        return error
    }
}
