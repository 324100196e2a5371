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
    /// The smallest difference of modification times that the peer keeps, in nanoseconds:
    /// 1 for most local file systems, 1,000,000,000 for SFTP, 2,000,000,000 for FAT.
    public var timePrecisionNanoseconds: Int64
    /// The modification times that the peer can keep; what lies outside becomes the nearest.
    public var times: ClosedRange<ModificationTime>
    /// How many scans the peer serves at a time with profit.
    public var concurrentScans: Int
    /// What this peer cannot keep of what is promised elsewhere, a sentence each, said once a run.
    public var weakerGuarantees: [String]
    /// The database does not exist yet: the first lock makes it.
    public var isNew: Bool

    public init(
        writes: Writes = .files, removes: Bool = true,
        keepsEmptyDirectories: Bool = true, provesDigests: Bool = true,
        timePrecisionNanoseconds: Int64 = 1,
        times: ClosedRange<ModificationTime> = .earliest ... .latest, concurrentScans: Int = 1,
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
}

/// How much a manifest is asked to say.
public enum ManifestDetail: Sendable, Hashable {
    /// Paths, sizes, times, modes: what a listing gives.
    case listing
    /// A digest for every file as well; costs a read of every byte that no cache vouches for.
    case digests
}
