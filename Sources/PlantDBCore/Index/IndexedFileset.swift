/// A fileset as the index lists it.
public struct IndexedFileset: Sendable, Hashable {
    /// The name of its directory in the scan.
    public let id: String
    /// Everything but `id` and `files`.
    var unknown: JSONObject
    var items: [IndexItem<IndexedFile>]

    public init(id: String, files: [IndexedFile] = []) {
        self.id = id
        unknown = [:]
        items = files.map { .entry($0) }
    }

    /// nil if it has no `id` or no list `files`: upstream drops it.
    init?(_ value: JSONValue) {
        guard case .object(var object) = value, let id = object["id"]?.string,
            let elements = object["files"]?.array
        else { return nil }
        self.id = id
        object["id"] = nil
        object["files"] = nil
        unknown = object
        items = elements.map { element in IndexedFile(element).map { .entry($0) } ?? .unusable(element) }
    }

    /// The files that can be used, in the order of the index.
    public var files: [IndexedFile] { items.compactMap(\.entry) }

    /// The file with an id; the last of several, as upstream has it.
    public func file(_ id: String) -> IndexedFile? {
        items.last { $0.entry?.id.isExactly(id) == true }?.entry
    }

    /// Replaces the file with the same id, or appends it.
    public mutating func update(_ file: IndexedFile) {
        if let position = items.lastIndex(where: { $0.entry?.id.isExactly(file.id) == true }) {
            items[position] = .entry(file)
        } else {
            items.append(.entry(file))
        }
    }

    /// Removes every file with this id.
    public mutating func remove(file id: String) {
        items.removeAll { $0.entry?.id.isExactly(id) == true }
    }

    var json: JSONValue {
        var object = unknown
        object["id"] = .string(id)
        object["files"] = .array(items.map { $0.json(\.json) })
        return .object(object)
    }

    static func flaw(of value: JSONValue) -> IndexFlaw.Kind {
        guard let object = value.object else { return .filesetNotAnObject }
        if object["id"]?.string == nil { return .filesetWithoutID }
        return object["files"] == nil ? .filesetWithoutFiles : .filesNotAList
    }

    func flaws(position: Int) -> [IndexFlaw] {
        var flaws: [IndexFlaw] = []
        var seen: Set<ExactText> = []
        func add(_ kind: IndexFlaw.Kind, _ filePosition: Int, _ file: String?) {
            flaws.append(
                IndexFlaw(kind, position: position, fileset: id, filePosition: filePosition, file: file))
        }
        for (filePosition, item) in items.enumerated() {
            switch item {
            case .unusable(let value):
                add(IndexedFile.flaw(of: value), filePosition, value["id"]?.string ?? value["file"]?.string)
            case .entry(let file):
                if !seen.insert(ExactText(file.id)).inserted { add(.duplicateFile, filePosition, file.id) }
                let components = file.file.split(separator: "/", omittingEmptySubsequences: false)
                if components.contains("..") || file.file.hasPrefix("/") {
                    add(.nameLeavesFileset, filePosition, file.file)
                } else if !file.file.isPlainName {
                    add(.nameWithSubpath, filePosition, file.file)
                }
            }
        }
        return flaws
    }
}

/// A file as the index lists it.
public struct IndexedFile: Sendable, Hashable {
    /// Upstream's id of the file: normally its name without the extension.
    public let id: String
    /// Its name in the directory of the fileset.
    public let file: String
    /// Everything but `id` and `file`.
    var unknown: JSONObject

    public init(id: String, file: String) {
        self.id = id
        self.file = file
        unknown = [:]
    }

    /// nil if it has no `id` or no `file`: upstream drops it, or refuses the database.
    init?(_ value: JSONValue) {
        guard case .object(var object) = value, let id = object["id"]?.string,
            let file = object["file"]?.string
        else { return nil }
        self.id = id
        self.file = file
        object["id"] = nil
        object["file"] = nil
        unknown = object
    }

    var json: JSONValue {
        var object = unknown
        object["id"] = .string(id)
        object["file"] = .string(file)
        return .object(object)
    }

    static func flaw(of value: JSONValue) -> IndexFlaw.Kind {
        guard let object = value.object else { return .fileNotAnObject }
        return object["id"]?.string == nil ? .fileWithoutID : .fileWithoutName
    }
}

/// Something in an index that can be read and is wrong all the same.
public struct IndexFlaw: Sendable, Hashable {
    public enum Kind: String, Sendable, Hashable, CaseIterable, Codable {
        case filesetNotAnObject
        case filesetWithoutID
        case filesetWithoutFiles
        case filesNotAList
        case fileNotAnObject
        case fileWithoutID
        /// No key `file`.
        case fileWithoutName
        case duplicateFileset
        case duplicateFile
        /// The id of a fileset is no name of a directory in the scan.
        case unsafeFilesetID
        /// `file` names something in a subdirectory.
        case nameWithSubpath
        /// `file` is absolute or has a `..`.
        case nameLeavesFileset
    }

    public var kind: Kind
    /// Where the fileset stands in `filesets`, from 0.
    public var filesetPosition: Int
    public var fileset: String?
    /// Where the file stands in `files`, from 0.
    public var filePosition: Int?
    /// The file's id or name, as far as it has one.
    public var file: String?

    init(
        _ kind: Kind, position: Int, fileset: String?, filePosition: Int? = nil, file: String? = nil
    ) {
        self.kind = kind
        self.filesetPosition = position
        self.fileset = fileset
        self.filePosition = filePosition
        self.file = file
    }
}
