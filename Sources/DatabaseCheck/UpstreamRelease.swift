/// The generations of upstream's releases that read one database differently.
///
/// What each accepts was observed by opening databases with 0.14.5, 0.15.1, 0.16.2 and
/// 0.17.0; the last two behave alike.
public enum UpstreamRelease: String, Sendable, Hashable, Codable, CaseIterable, Comparable,
    CustomStringConvertible
{
    case v014 = "0.14"
    case v015 = "0.15"
    case v016 = "0.16+"

    public var description: String { rawValue }

    public static func < (lhs: Self, rhs: Self) -> Bool { lhs.rawValue < rhs.rawValue }

    /// Whether it lets a scan, fileset or file be created with this id. (It loads any.)
    ///
    /// 0.14 and 0.15: Unicode word characters, `-` and `.`, at most 255. 0.16 and later: an
    /// ASCII letter or digit, then letters, digits, `_` and `-`, at most 128.
    public func canCreate(id: String) -> Bool {
        let scalars = id.unicodeScalars
        switch self {
        case .v014, .v015:
            return !scalars.isEmpty && scalars.count <= 255
                && scalars.allSatisfy {
                    $0.properties.isAlphabetic || $0.properties.numericType != nil || $0 == "_" || $0 == "-"
                        || $0 == "."
                }
        case .v016:
            guard let first = id.utf8.first, first.isLetterOrDigit, id.utf8.count <= 128 else { return false }
            return id.utf8.allSatisfy {
                $0.isLetterOrDigit || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
            }
        }
    }

    /// Whether every generation's REST server accepts this id in a URL.
    public static func canAddress(id: String) -> Bool {
        !id.isEmpty
            && id.utf8.allSatisfy {
                $0.isLetterOrDigit || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
                    || $0 == UInt8(ascii: ".")
            }
    }
}

extension UInt8 {
    fileprivate var isLetterOrDigit: Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self)
            || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self)
            || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self)
    }
}
