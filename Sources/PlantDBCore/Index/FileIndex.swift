/// The index of a scan, `files.json`: which filesets it has and which files lie in them.
///
/// Reads what upstream's loaders read and keeps what it does not understand: unknown keys
/// stay in their objects, entries that cannot be used stay in their lists, and
/// ``encoded()`` writes them all. What is wrong with an index, though it can be read, is in
/// ``flaws``.
public struct FileIndex: Sendable, Hashable {
    /// Everything but `filesets`.
    var unknown: JSONObject
    var items: [IndexItem<IndexedFileset>]

    /// An index without filesets, as a new scan has it.
    public init(filesets: [IndexedFileset] = []) {
        unknown = [:]
        items = filesets.map { .entry($0) }
    }

    /// - Throws: ``DatabaseError/Code/invalidData`` if it is not JSON, not an object, or has
    ///   no list `filesets`: with such an index no release shows the scan.
    public init(parsing bytes: [UInt8]) throws(DatabaseError) {
        try self.init(JSONValue(parsing: bytes))
    }

    /// - Throws: ``DatabaseError/Code/invalidData`` as ``init(parsing:)``.
    public init(_ value: JSONValue) throws(DatabaseError) {
        guard case .object(var object) = value else {
            throw DatabaseError(
                .invalidData, "an index must be an object, and this is \(value.kindDescription)")
        }
        guard let list = object["filesets"] else {
            throw DatabaseError(.invalidData, "the index has no key “filesets”")
        }
        guard case .array(let elements) = list else {
            throw DatabaseError(
                .invalidData, "“filesets” of an index must be a list, and this is \(list.kindDescription)")
        }
        object["filesets"] = nil
        unknown = object
        items = elements.map { element in IndexedFileset(element).map { .entry($0) } ?? .unusable(element) }
    }

    /// The filesets that can be used, in the order of the index.
    public var filesets: [IndexedFileset] { items.compactMap(\.entry) }

    /// The fileset with an id; the last of several, as upstream has it.
    public func fileset(_ id: String) -> IndexedFileset? {
        items.last { $0.entry?.id.isExactly(id) == true }?.entry
    }

    /// Replaces the fileset with the same id, or appends it.
    public mutating func update(_ fileset: IndexedFileset) {
        if let position = items.lastIndex(where: { $0.entry?.id.isExactly(fileset.id) == true }) {
            items[position] = .entry(fileset)
        } else {
            items.append(.entry(fileset))
        }
    }

    /// Removes every fileset with this id.
    public mutating func remove(fileset id: String) {
        items.removeAll { $0.entry?.id.isExactly(id) == true }
    }

    /// The bytes of `files.json` as upstream formats it.
    public func encoded() -> [UInt8] { json.pythonBytes() }

    /// The whole index, with all that was not understood.
    public var json: JSONValue {
        var object = unknown
        object["filesets"] = .array(items.map { $0.json(\.json) })
        return .object(object)
    }

    /// What upstream would drop, refuse or misread, in the order of the index.
    public var flaws: [IndexFlaw] {
        var flaws: [IndexFlaw] = []
        var seen: Set<ExactText> = []
        for (position, item) in items.enumerated() {
            switch item {
            case .unusable(let value):
                flaws.append(
                    IndexFlaw(
                        IndexedFileset.flaw(of: value), position: position, fileset: value["id"]?.string))
            case .entry(let fileset):
                if !seen.insert(ExactText(fileset.id)).inserted {
                    flaws.append(IndexFlaw(.duplicateFileset, position: position, fileset: fileset.id))
                }
                if !fileset.id.isPlainName {
                    flaws.append(IndexFlaw(.unsafeFilesetID, position: position, fileset: fileset.id))
                }
                flaws.append(contentsOf: fileset.flaws(position: position))
            }
        }
        return flaws
    }
}

/// An element of a list in an index: understood, or kept as it is.
enum IndexItem<Entry: Sendable & Hashable>: Sendable, Hashable {
    case entry(Entry)
    case unusable(JSONValue)

    var entry: Entry? {
        if case .entry(let entry) = self { entry } else { nil }
    }

    func json(_ ofEntry: (Entry) -> JSONValue) -> JSONValue {
        switch self {
        case .entry(let entry): ofEntry(entry)
        case .unusable(let value): value
        }
    }
}

extension String {
    func isExactly(_ other: String) -> Bool { utf8.elementsEqual(other.utf8) }

    /// Whether it names something directly in a directory.
    var isPlainName: Bool { !isEmpty && self != "." && self != ".." && !utf8.contains(UInt8(ascii: "/")) }
}
