/// Sorts the directories of a database's root into scans, timelapse containers and strays, for
/// every way to list them.
///
/// What upstream's loader takes for a scan: a directory that holds the directory `metadata` and
/// the file `files.json`; of release 0.16 and later also those in a directory with
/// `timelapse.json`.
public struct ListingBuilder: Sendable {
    /// What lies in a directory.
    public struct Facts: Sendable, Hashable {
        public var hasMetadataDirectory: Bool
        public var hasIndex: Bool
        public var hasTimelapseMarker: Bool

        public init(hasMetadataDirectory: Bool, hasIndex: Bool, hasTimelapseMarker: Bool) {
            self.hasMetadataDirectory = hasMetadataDirectory
            self.hasIndex = hasIndex
            self.hasTimelapseMarker = hasTimelapseMarker
        }

        /// nil if it is a scan.
        public var whyNotAScan: String? {
            switch (hasMetadataDirectory, hasIndex) {
            case (true, true): nil
            case (true, false): "it has no files.json"
            case (false, true): "it has no metadata directory"
            case (false, false): "it has neither files.json nor a metadata directory"
            }
        }
    }

    private var found = DatabaseListing(scans: [])

    /// In the order of the names, whatever order they came in.
    public var listing: DatabaseListing {
        DatabaseListing(
            scans: found.scans.sorted { $0.scan < $1.scan },
            skipped: found.skipped.sorted { $0.path < $1.path })
    }

    public init() {}

    /// Directories with a leading dot are private to whoever made them.
    public static func isPrivate(_ name: some Collection<UInt8>) -> Bool { name.first == UInt8(ascii: ".") }

    public mutating func skip(
        _ name: some Collection<UInt8>, _ reason: SkippedEntry.Reason, detail: String? = nil
    ) {
        found.skipped.append(
            SkippedEntry(
                path: String(decoding: name, as: UTF8.self).printable, reason: reason, detail: detail))
    }

    /// - Returns: the container, if it is one: its members are to be added.
    public mutating func add(directory name: [UInt8], _ facts: Facts) -> ScanID? {
        guard let text = String(validating: name, as: UTF8.self) else {
            skip(name, .invalidName, detail: "not valid UTF-8")
            return nil
        }
        let reason = facts.hasTimelapseMarker ? nil : facts.whyNotAScan
        let scan: ScanID
        do throws(DatabaseError) { scan = try ScanID(text) } catch {
            skip(name, reason == nil ? .invalidName : .notAScan, detail: reason ?? error.message)
            return nil
        }
        let kind: ScanSummary.Kind =
            facts.hasTimelapseMarker ? .timelapse : reason.map { .stray(reason: $0) } ?? .scan
        found.scans.append(ScanSummary(scan: scan, kind: kind))
        return facts.hasTimelapseMarker ? scan : nil
    }

    public mutating func add(member name: [UInt8], of container: ScanID, _ facts: Facts) {
        let path = Array((container.rawValue + "/").utf8) + name
        let reason = facts.whyNotAScan
        guard let text = String(validating: name, as: UTF8.self) else {
            return skip(path, .invalidName, detail: "not valid UTF-8")
        }
        do throws(DatabaseError) {
            let scan = try container.member(text)
            found.scans.append(ScanSummary(scan: scan, kind: reason.map { .stray(reason: $0) } ?? .scan))
        } catch { skip(path, reason == nil ? .invalidName : .notAScan, detail: reason ?? error.message) }
    }
}
