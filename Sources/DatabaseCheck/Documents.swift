import PlantDBCore

/// The JSON of one scan. Of most files only the verdict is kept: a scan has one a photo.
struct Documents {
    enum Document {
        case json(JSONValue)
        case invalid(DatabaseError)
        /// Text that releases fail to decode, before they look for JSON in it.
        case notUTF8
    }

    private var kept: [ScanPath: Document] = [:]
    /// Every path that was read, in the order of reading.
    private(set) var paths: [ScanPath] = []
    private(set) var flawed: [(path: ScanPath, document: Document)] = []

    subscript(path: ScanPath) -> Document? { kept[path] }

    mutating func add(_ path: ScanPath, _ content: [UInt8]) {
        paths.append(path)
        let document: Document
        do throws(DatabaseError) { document = .json(try JSONValue(parsing: content)) } catch {
            document = String(validating: content, as: UTF8.self) == nil ? .notUTF8 : .invalid(error)
        }
        if path == .index || path == .scanMetadata || path == .timelapseMarker { kept[path] = document }
        if case .json(.object) = document { return }
        flawed.append((path, document))
    }
}

extension JSONValue {
    /// Whether Python takes it for true: upstream decides so whether an id is there.
    var isTruthy: Bool {
        switch self {
        case .null: false
        case .bool(let value): value
        case .number: double != 0
        case .string(let text): !text.isEmpty
        case .array(let elements): !elements.isEmpty
        case .object(let object): object.count > 0
        }
    }
}
