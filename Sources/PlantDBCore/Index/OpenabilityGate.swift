/// What may not be published, since a release of PlantDB that opens the database now could then
/// not open it any more.
///
/// A pure function of one file's path and bytes. Source of the rules: upstream's loaders of 0.14 to
/// 0.17, observed (a `metadata.json`, `measures.json` or metadata of a fileset or file that is valid
/// JSON and no object; an index that cannot be read, or with an entry without a file). JSON that does
/// not parse keeps no release from opening, but for the index: it reads as `{}`.
public enum OpenabilityGate {
    /// Whether the gate has a rule for a file: its content has to be looked at.
    public static func concerns(_ path: ScanPath) -> Bool {
        path == .index || path == .measures || path.isMetadataJSON
    }

    /// Why a file may not be published; nil: nothing is against it.
    ///
    /// - Parameter bytes: the whole file.
    public static func objection(to path: ScanPath, _ bytes: [UInt8]) -> Objection? {
        if path == .index { return objection(toIndex: bytes) }
        guard concerns(path) else { return nil }
        let value: JSONValue
        do throws(DatabaseError) { value = try JSONValue(parsing: bytes) } catch { return nil }
        guard value.object == nil else { return nil }
        return .wrongKind("\(path) must be an object, and is \(value.kindDescription)")
    }

    private static func objection(toIndex bytes: [UInt8]) -> Objection? {
        let index: FileIndex
        do throws(DatabaseError) { index = try FileIndex(parsing: bytes) } catch {
            return .wrongKind("\(ScanPath.index) is not a valid index: \(error.message)")
        }
        for flaw in index.flaws {
            switch flaw.kind {
            case .fileWithoutName:
                let name = flaw.file.map { " “\($0)”" } ?? ""
                return .beingWritten(
                    "\(ScanPath.index) lists a file\(name) of fileset \(flaw.fileset ?? "?") that has no content yet"
                        .printable)
            case .filesetWithoutFiles, .filesNotAList, .filesetNotAnObject, .fileNotAnObject:
                return .wrongKind(
                    "an entry of \(ScanPath.index) is not what PlantDB can read (fileset \(flaw.fileset ?? "?"))"
                        .printable)
            case .filesetWithoutID, .fileWithoutID, .duplicateFileset, .duplicateFile, .unsafeFilesetID,
                .nameWithSubpath, .nameLeavesFileset:
                continue
            }
        }
        return nil
    }

    public enum Objection: Sendable, Hashable {
        /// Of the wrong kind: it has to be repaired.
        case wrongKind(String)
        /// Half made: whoever acquires the scan is not done with it.
        case beingWritten(String)

        public var reason: String {
            switch self {
            case .wrongKind(let reason), .beingWritten(let reason): reason
            }
        }
    }
}

extension ScanPath {
    /// `metadata/….json`: metadata of the scan, of a fileset, or of a file.
    public var isMetadataJSON: Bool { isWithin(.metadata) && rawValue.hasSuffix(".json") }
}
