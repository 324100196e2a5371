/// The path of a file or directory inside a scan, relative, with `/` between components.
///
/// Every component is valid UTF-8, is neither empty nor `.` nor `..`, is at most 255 bytes,
/// and holds no control character, `/`, `\` or NUL; there are at most 16 components. Nothing
/// else can reach a file system call, an archive entry or a peer.
///
/// Comparison and equality are bytewise: two Unicode spellings of one name (NFC, NFD) are
/// two paths, as they are on Linux file systems. (Swift's `String` would call them equal.)
public struct ScanPath: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let rawValue: String

    /// - Throws: ``DatabaseError/Code/invalidName``, saying which rule the name breaks.
    public init(_ rawValue: String) throws(DatabaseError) {
        var text = rawValue
        if let flaw = text.withUTF8({ Self.flaw(in: $0) }) {
            throw DatabaseError(
                .invalidName,
                "“\(rawValue.printable)” cannot be a path in a scan: \(flaw.rawValue); rename the file",
                path: rawValue.printable)
        }
        self.rawValue = text
    }

    /// For paths that are already known to be valid: a part of one, or bytes that
    /// ``flaw(in:)`` has passed.
    init(unchecked rawValue: String) { self.rawValue = rawValue }

    /// Which rule a name breaks.
    enum Flaw: String {
        case empty = "it is empty, absolute, or has an empty component"
        case dots = "it has a “.” or “..” component"
        case characters = "it holds a control character or a backslash"
        case encoding = "it is not valid UTF-8"
        case length = "a component is longer than 255 bytes"
        case depth = "it is more than 16 components deep"
    }

    /// The largest number of components.
    public static let maximumDepth = 16

    static func flaw(in path: UnsafeBufferPointer<UInt8>) -> Flaw? {
        var depth = 0
        var start = 0
        var ascii = true
        var index = 0
        while index <= path.count {
            if index == path.count || path[index] == UInt8(ascii: "/") {
                let length = index - start
                if length == 0 { return .empty }
                if length > 255 { return .length }
                if path[start] == UInt8(ascii: "."),
                    length == 1 || (length == 2 && path[start + 1] == UInt8(ascii: "."))
                {
                    return .dots
                }
                depth += 1
                start = index + 1
            } else {
                let byte = path[index]
                if byte < 0x20 || byte == 0x7f || byte == UInt8(ascii: "\\") { return .characters }
                if byte >= 0x80 { ascii = false }
            }
            index += 1
        }
        if depth > maximumDepth { return .depth }
        if ascii { return nil }
        guard let text = String(validating: path, as: UTF8.self) else { return .encoding }
        return text.unicodeScalars.contains(where: \.isControl) ? .characters : nil
    }

    public var components: [Substring] { rawValue.split(separator: "/") }

    /// The first component.
    public var first: Substring { rawValue.prefix { $0 != "/" } }

    /// The last component.
    public var name: Substring {
        guard let slash = rawValue.utf8.lastIndex(of: UInt8(ascii: "/")) else { return rawValue[...] }
        return rawValue[rawValue.utf8.index(after: slash)...]
    }

    /// The directory it lies in; nil for a path directly in the scan.
    public var parent: ScanPath? {
        guard let slash = rawValue.utf8.lastIndex(of: UInt8(ascii: "/")) else { return nil }
        return ScanPath(unchecked: String(rawValue[..<slash]))
    }

    /// - Throws: ``DatabaseError/Code/invalidName``.
    public func appending(_ name: String) throws(DatabaseError) -> ScanPath {
        try ScanPath(rawValue + "/" + name)
    }

    /// Whether it lies below `directory` (or is it), component by component.
    public func isWithin(_ directory: ScanPath) -> Bool {
        let own = rawValue.utf8
        let other = directory.rawValue.utf8
        guard own.starts(with: other) else { return false }
        return own.count == other.count
            || own[own.index(own.startIndex, offsetBy: other.count)] == UInt8(ascii: "/")
    }

    /// Whether `directory` is the one it lies in; without a copy of either.
    public func isDirectly(in directory: String) -> Bool {
        var (own, other) = (rawValue, directory)
        return own.withUTF8 { own in
            other.withUTF8 { other in
                own.count > other.count && own[other.count] == UInt8(ascii: "/")
                    && own.starts(with: other)
                    && !own[(other.count + 1)...].contains(UInt8(ascii: "/"))
            }
        }
    }

    public var description: String { rawValue }

    public static func == (lhs: Self, rhs: Self) -> Bool {
        lhs.rawValue.utf8.elementsEqual(rhs.rawValue.utf8)
    }

    public static func < (lhs: Self, rhs: Self) -> Bool {
        lhs.rawValue.utf8.lexicographicallyPrecedes(rhs.rawValue.utf8)
    }

    public func hash(into hasher: inout Hasher) {
        var text = rawValue
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }

    /// The index of a scan: `files.json`.
    public static let index = ScanPath(unchecked: "files.json")
    /// The metadata tree: `metadata`.
    public static let metadata = ScanPath(unchecked: "metadata")
    /// The scan's own metadata: `metadata/metadata.json`.
    public static let scanMetadata = ScanPath(unchecked: "metadata/metadata.json")
    /// The metadata of the fileset of images, in which PlantDB 0.14 and 0.15 keep some of the scan's.
    public static let imagesMetadata = ScanPath(unchecked: "metadata/images.json")
    /// What was measured on the plant: `measures.json`.
    public static let measures = ScanPath(unchecked: "measures.json")
    /// The marker of a timelapse container: `timelapse.json`.
    public static let timelapseMarker = ScanPath(unchecked: "timelapse.json")
    /// Upstream's cache of thumbnails inside a scan, which is never synced.
    public static let webcacheName = "webcache"
}
