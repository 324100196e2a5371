import PlantDBCore

/// What a synchronisation is asked to do. The defaults are the documented behaviour: copy
/// what is absent, differs in size, or is newer at the source; delete nothing.
public struct SyncOptions: Sendable {
    /// How two files are found to differ.
    public enum Comparison: String, Sendable, CaseIterable {
        /// Size, or a modification time that is newer at the source.
        case sizeAndTime
        /// Size, or SHA-256. Times only decide nothing; they are corrected where they differ.
        case checksum
        case sizeOnly
    }

    /// What happens to files that the target has already.
    public enum ExistingFiles: String, Sendable, CaseIterable {
        case replaceChanged
        /// Skip those that are newer at the target (`--update`).
        case keepNewer
        /// Skip them all (`--ignore-existing`).
        case keepAll
    }

    /// How many files may be deleted before the guard stops the run.
    public enum DeletionLimit: Sendable, Hashable {
        case files(Int)
        /// Of the files that the target holds in the selected scans.
        case percent(Double)
    }

    public enum Deletion: Sendable, Hashable {
        case never
        case delete(limit: DeletionLimit)
    }

    /// How what was written is checked before it is published.
    public enum Verification: String, Sendable, CaseIterable {
        /// The way's own checks: sizes always, digests where bytes pass through this process,
        /// the kernel's word for a kernel copy; the source must not have changed meanwhile.
        case auto
        /// Also: what was staged is read back and compared with the source by SHA-256.
        case full
        case none
    }

    public var comparison: Comparison = .sizeAndTime
    public var existing: ExistingFiles = .replaceChanged
    /// Replace also what is newer at the target, or was changed there since the last run.
    public var overwritesNewer = false
    /// Times that differ by no more than this are equal, in nanoseconds.
    public var modifyWindowNanoseconds: Int64 = 0
    public var deletion: Deletion = .never
    /// Also delete what only the target has and no run brought there.
    public var deletesUnknown = false
    /// What becomes of metadata that differ in meaning and are not older at the target.
    public enum Metadata: String, Sendable, CaseIterable {
        /// The target's are left alone, and told.
        case keep
        /// The source's replace them.
        case source
        /// The source's keys win, and the target's others stay.
        case merge
    }

    public var metadata: Metadata = .keep
    /// Put another scan of the same name that the target has into its trash, and make the source's.
    public var displacesOtherScans = false
    /// Keep what is deleted or replaced in the target's trash.
    public var usesTrash = false
    public var verification: Verification = .auto
    public var durability: TransactionOptions.Durability = .auto
    public var selection = ScanSelection()
    /// Scans at work at a time; nil: by ``EndpointCapabilities/concurrentScans(with:)``.
    public var transfers: Int?
    /// How fast content may move, all scans together, on the mean; nil: as fast as it goes. Listings, and
    /// the digests of ``Comparison/checksum``, are not counted.
    public var bytesPerSecond: Int64?
    /// How often a scan is tried again after a passing failure (unreachable, source changed).
    public var retries = 2
    /// How long to wait before the first retry of a scan; doubled with each further one, up to
    /// a minute.
    public var retryDelay = Duration.milliseconds(500)
    /// How long to wait for a lock of somebody else.
    public var lockWait: Duration = .zero
    /// For how long both databases are locked against others.
    public enum Locking: String, Sendable, CaseIterable {
        /// The target while something is published, the source not at all: what is read is compared with what
        /// was listed. Runs into one target exclude one another.
        case publication
        /// Both, from the beginning of a run to its end.
        case whole
        /// By the caller, who holds the locks of ``whole``.
        case held
    }

    public var locking = Locking.whole
    /// Off for a source that cannot be written and is to be locked as a whole; nobody then keeps writers away
    /// from it.
    public var locksSource = true
    /// For a comparison: a scan may be asked for that only the target has.
    public var selectsFromBothSides = false
    /// Go on with a source that has no scans at all.
    public var allowsEmptySource = false

    public init() {}
}

/// Which scans, and what of them.
public struct ScanSelection: Sendable, Hashable {
    /// Names or globs (`*`, `?`, `[a-z]`); empty: all scans. A name without glob characters
    /// must exist at the source, and a glob must match something there.
    public var scans: [String] = []
    /// Names or globs of filesets; empty: all filesets.
    public var filesets: [String] = []
    public var excludedFilesets: [String] = []
    /// Conditions on the scan's metadata, all of which must hold: `key=value`, the key with
    /// dots into nested objects (`object.species=Arabidopsis`).
    public var metadata: [MetadataCondition] = []
    /// Leave a scan alone if anything in it changed less than this ago.
    public var minimumAge: Duration?

    public init() {}

    /// Whether only some filesets are wanted, so that indexes are merged instead of carried.
    public var selectsFilesets: Bool { !filesets.isEmpty || !excludedFilesets.isEmpty }

    public func includes(fileset: String) -> Bool {
        (filesets.isEmpty || filesets.contains { Glob($0).matches(fileset) })
            && !excludedFilesets.contains { Glob($0).matches(fileset) }
    }
}

/// `key=value` on a scan's metadata.
public struct MetadataCondition: Sendable, Hashable {
    /// Dots separate the keys of nested objects.
    public var key: String
    /// Compared with a string's text, or with the JSON spelling of a number, boolean or null.
    public var value: String

    public init(key: String, value: String) {
        self.key = key
        self.value = value
    }
}
