/// One unit of synchronisation as a listing shows it.
public struct ScanSummary: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        case scan
        /// A timelapse container (releases 0.16 and later): its own files are its marker,
        /// `timelapse.json`, and what lies beside it; its members are scans of their own.
        case timelapse
        /// A directory that is not a scan, and why. It is listed so that nobody wonders
        /// where it went, and never carried.
        case stray(reason: String)
    }

    public var scan: ScanID
    public var kind: Kind

    public init(scan: ScanID, kind: Kind) {
        self.scan = scan
        self.kind = kind
    }
}

/// What a database holds, as one listing saw it.
public struct DatabaseListing: Sendable {
    /// In ascending order; a container stands before its members.
    public var scans: [ScanSummary]
    /// Directories whose names cannot be scan names, and things that could not be listed.
    public var skipped: [SkippedEntry]

    public init(scans: [ScanSummary], skipped: [SkippedEntry] = []) {
        self.scans = scans
        self.skipped = skipped
    }
}
