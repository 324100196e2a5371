import PlantDBCore

/// Whether two scans of one name are one scan.
///
/// What counts is `created` of the scan's metadata, else `acquisition_date` (which is in
/// `metadata/images.json` of scans of PlantDB 0.14 and 0.15); `owner` is a hint only, since it may be
/// given to somebody else.
enum ScanIdentity: Sendable, Equatable {
    case same
    /// With the reason, to read.
    case different(String)
    /// The metadata do not tell; the content has to.
    case unknown

    /// - Parameters: the scan's metadata, and those of its images, as far as they are there and JSON.
    static func compare(_ source: [JSONValue?], _ target: [JSONValue?]) -> ScanIdentity {
        for key in ["created", "acquisition_date"] {
            guard let ours = value(key, source), let theirs = value(key, target) else { continue }
            return ours == theirs
                ? .same
                : .different("\(key) is \(ours) at the source and \(theirs) at the target".printable)
        }
        return .unknown
    }

    private static func value(_ key: String, _ documents: [JSONValue?]) -> String? {
        documents.lazy.compactMap { $0?[key]?.string }.first { !$0.isEmpty }
    }
}
