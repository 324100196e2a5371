/// What a peer can do, as data: probed once when the endpoint is opened, then fixed.
public struct EndpointCapabilities: Sendable, Hashable {
    public enum Writes: Sendable, Hashable {
        case none
        /// New scans only; what exists cannot be changed.
        case newScans
        /// Any file.
        case files
    }

    public var writes: Writes
    /// Whether files and scans can be removed.
    public var removes: Bool
    /// Whether directories without files in them are kept.
    public var keepsEmptyDirectories: Bool
    /// Whether ``ManifestDetail/digests`` is answered.
    public var provesDigests: Bool
    /// Whether the release that keeps the database reads some of a scan's metadata from `metadata/images.json`,
    /// as 0.14 and 0.15 do. A folder does not tell; its accounts may.
    public var readsImagesMetadata = false
    /// Whether a few small files of a scan can be read without asking for all of it.
    public var showsFilesCheaply = true
    /// The smallest difference of modification times that the peer keeps, in nanoseconds:
    /// 1 for most local file systems, 1,000,000,000 for SFTP, 2,000,000,000 for FAT.
    public var timePrecisionNanoseconds: Int64
    /// The modification times that the peer can keep; what lies outside becomes the nearest.
    public var times: ClosedRange<ModificationTime>
    /// How many scans the peer serves at a time: from what hides the time that its answers take, to what
    /// it bears.
    public var concurrentScans: ClosedRange<Int>
    /// What this peer cannot keep of what is promised elsewhere, a sentence each, said once a run.
    public var weakerGuarantees: [String]
    /// The database does not exist yet: the first lock makes it.
    public var isNew: Bool

    public init(
        writes: Writes = .files, removes: Bool = true,
        keepsEmptyDirectories: Bool = true, provesDigests: Bool = true,
        timePrecisionNanoseconds: Int64 = 1,
        times: ClosedRange<ModificationTime> = .earliest ... .latest,
        concurrentScans: ClosedRange<Int> = 1...1,
        weakerGuarantees: [String] = [], isNew: Bool = false
    ) {
        self.writes = writes
        self.removes = removes
        self.keepsEmptyDirectories = keepsEmptyDirectories
        self.provesDigests = provesDigests
        self.timePrecisionNanoseconds = timePrecisionNanoseconds
        self.times = times
        self.concurrentScans = concurrentScans
        self.weakerGuarantees = weakerGuarantees
        self.isNew = isNew
    }

    /// With times as coarse as those of a scan that the peer holds: what a file system keeps of them cannot be
    /// told by its kind, and is not tried out where nothing is to be written.
    public func keepingTimes(as scan: ScanManifest?) -> EndpointCapabilities {
        var capabilities = self
        if let scan {
            capabilities.timePrecisionNanoseconds = max(timePrecisionNanoseconds, scan.shownTimePrecision)
        }
        return capabilities
    }

    /// How many scans are at work at a time between two peers: as many as the slower one to answer wants,
    /// unless one of them does not bear it.
    public func concurrentScans(with other: EndpointCapabilities) -> Int {
        min(
            max(concurrentScans.lowerBound, other.concurrentScans.lowerBound), concurrentScans.upperBound,
            other.concurrentScans.upperBound)
    }

    /// How many scans a peer serves at a time, by how long an answer takes. A scan asks and waits a dozen
    /// times before it is published: what is near is busy with two, on a long way others use the time.
    public static func concurrentScans(roundTrip: Duration) -> ClosedRange<Int> {
        isFar(roundTrip: roundTrip) ? 8...8 : 2...8
    }

    /// Whether waiting for answers counts more than what is done for them.
    public static func isFar(roundTrip: Duration) -> Bool { roundTrip > .milliseconds(10) }
}

/// How much a manifest is asked to say.
public enum ManifestDetail: Sendable, Hashable {
    /// Paths, sizes, times, modes: what a listing gives.
    case listing
    /// A digest for every file as well; costs a read of every byte that no cache vouches for.
    case digests
}
