import PlantDBCore

/// The JSON of one scan. Of most files only the verdict is kept: a scan has one a photo.
struct Documents {
    enum Document {
        case json(JSONValue)
        case invalid(DatabaseError)
    }

    // Proof: a plain name of letters and a dot keeps every rule of ScanPath.
    static let measures = try! ScanPath("measures.json")

    private var kept: [ScanPath: Document] = [:]
    /// Every path that was read, in the order of reading.
    private(set) var paths: [ScanPath] = []
    private(set) var flawed: [(path: ScanPath, document: Document)] = []

    subscript(path: ScanPath) -> Document? { kept[path] }

    mutating func add(_ path: ScanPath, _ content: [UInt8]) {
        paths.append(path)
        let document: Document
        do throws(DatabaseError) { document = .json(try JSONValue(parsing: content)) } catch {
            document = .invalid(error)
        }
        if path == .index || path == .scanMetadata || path == .timelapseMarker { kept[path] = document }
        if case .json(.object) = document { return }
        flawed.append((path, document))
    }
}
