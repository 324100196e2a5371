/// The name of a scan: a directory of the database, or of a timelapse container in it.
///
/// A component is `[A-Za-z0-9_][A-Za-z0-9._-]{0,254}`, and not one of the names that a
/// database reserves (`romidb`, `lock`, `users.json`, `groups.json`). The rule is the
/// intersection of what every upstream release can address over REST; names outside it
/// are refused by name and never rewritten.
///
/// `TL/scan` names a member of the timelapse container `TL` (releases 0.16 and later).
public struct ScanID: Hashable, Sendable, Comparable, CustomStringConvertible, Codable {
    /// `scan` or `container/scan`.
    public let rawValue: String

    /// - Throws: ``DatabaseError/Code/invalidName``.
    public init(_ rawValue: String) throws(DatabaseError) {
        let components = rawValue.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard (1...2).contains(components.count),
            components.allSatisfy({ Self.isValidComponent(Substring($0)) })
        else {
            throw DatabaseError(
                .invalidName,
                "“\(rawValue.printable)” cannot be a scan name: letters, digits, “_”, “-” and “.” "
                    + "only, not starting with “-” or “.”, at most 255 bytes, and not a reserved name; "
                    + "rename the scan")
        }
        self.rawValue = rawValue
    }

    /// The timelapse container, if the scan lies in one.
    public var container: ScanID? {
        guard let slash = rawValue.firstIndex(of: "/") else { return nil }
        return ScanID(unchecked: String(rawValue[..<slash]))
    }

    /// The last component: the directory's own name, and upstream's id of the scan.
    public var name: String {
        guard let slash = rawValue.firstIndex(of: "/") else { return rawValue }
        return String(rawValue[rawValue.index(after: slash)...])
    }

    /// The member `name` of this container.
    /// - Throws: ``DatabaseError/Code/invalidName``.
    public func member(_ name: String) throws(DatabaseError) -> ScanID {
        try ScanID(rawValue + "/" + name)
    }

    public var description: String { rawValue }

    public static func < (lhs: Self, rhs: Self) -> Bool { lhs.rawValue < rhs.rawValue }

    public init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    private init(unchecked rawValue: String) { self.rawValue = rawValue }

    /// Names that mean something else in the root of a database.
    public static let reserved: Set<String> = [
        DatabaseLayout.marker, DatabaseLayout.lock, DatabaseLayout.accounts, DatabaseLayout.groups,
    ]

    static func isValidComponent(_ component: Substring) -> Bool {
        let bytes = component.utf8
        guard let first = bytes.first, bytes.count <= 255 else { return false }
        guard first.isASCIIAlphanumeric || first == UInt8(ascii: "_") else { return false }
        let rest = bytes.dropFirst().allSatisfy {
            $0.isASCIIAlphanumeric || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
                || $0 == UInt8(ascii: ".")
        }
        return rest && !reserved.contains(String(component))
    }
}

extension UInt8 {
    var isASCIIAlphanumeric: Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self)
            || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self)
            || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self)
    }
}
