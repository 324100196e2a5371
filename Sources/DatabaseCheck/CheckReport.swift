import PlantDBCore

/// What a check of a database found.
public struct CheckReport: Sendable {
    /// In the order of the listing: what concerns the database first, then scan by scan.
    public var findings: [Finding] = []
    /// What would stop a release from opening the database.
    public var refusals: [Refusal] = []
    public var scansChecked = 0
    public var filesChecked = 0
    /// Findings of each severity, those beyond the limit of one scan included.
    public var counts: [Finding.Severity: Int] = [:]

    /// Why a release would refuse the database; empty: it would open it.
    public func refusals(by release: UpstreamRelease) -> [Refusal] {
        refusals.filter { $0.release == release }
    }

    /// The gravest severity found; nil: nothing was found.
    public var worst: Finding.Severity? { counts.filter { $0.value > 0 }.keys.max() }
}

/// One thing that is wrong, or worth knowing.
public struct Finding: Sendable, Hashable {
    public enum Severity: String, Sendable, Hashable, Codable, CaseIterable, Comparable {
        /// Worth knowing; nothing need be done.
        case note
        /// Something is hidden, or some release or tool stumbles over it.
        case warning
        /// Content is lost or unreadable, or a release refuses the database.
        case error

        private var rank: Int {
            switch self {
            case .note: 0
            case .warning: 1
            case .error: 2
            }
        }

        public static func < (lhs: Self, rhs: Self) -> Bool { lhs.rank < rhs.rank }
    }

    /// The closed list of what can be found.
    public enum Code: String, Sendable, Hashable, Codable, CaseIterable {
        /// `files.json` lists a file that is not there.
        case missingFile
        /// `files.json` lists a fileset whose directory is not there.
        case missingFileset
        /// A file lies in a fileset's directory and is not listed.
        case unlistedFile
        /// A directory of the scan is no fileset of `files.json`.
        case unlistedDirectory
        /// A scan has no `files.json`.
        case missingIndex
        /// `files.json` cannot be read as an index.
        case invalidIndex
        /// An entry of `files.json` is incomplete, doubled, or points elsewhere.
        case indexFlaw
        /// A scan has no `metadata` directory.
        case missingMetadata
        /// A metadata file is not JSON.
        case invalidJSON
        /// A metadata file is JSON, and not an object.
        case wrongShape
        /// A metadata file belongs to nothing that `files.json` lists.
        case orphanedMetadata
        /// The scan has no image, which the servers' scan information and uploads want.
        case noImages
        /// A name that some release cannot create or address, or that cannot be carried.
        case invalidName
        /// A directory of the database that is no scan.
        case strayDirectory
        /// A scan and its timelapse container contradict each other, or a release's rules.
        case timelapse
        /// Metadata name an owner or a group that has no account on this database.
        case unknownAccount
        /// Two scans have one id.
        case duplicateScan
        case symbolicLink
        /// A FIFO, socket or device.
        case specialFile
        /// It could not be read or listed, so what it holds is unknown.
        case unreadable
        /// Older than 1980, which ZIP archives cannot say.
        case oldModificationTime
        /// A JSON file too large to be checked.
        case unchecked
        /// It changed or went away during the check.
        case changedMeanwhile
    }

    public var severity: Severity
    public var code: Code
    /// The scan or directory, as it is named on disk, printable; nil: the database itself.
    public var scan: String?
    /// Relative to the scan, printable.
    public var path: String?
    /// What is wrong, what it leads to, and what to do.
    public var message: String

    public init(
        _ severity: Severity, _ code: Code, scan: String?, path: String? = nil, _ message: String
    ) {
        self.severity = severity
        self.code = code
        self.scan = scan?.printable
        self.path = path?.printable
        self.message = message
    }
}

/// Why one generation of releases would not open the database.
public struct Refusal: Sendable, Hashable {
    public var release: UpstreamRelease
    /// The scan or directory at fault, printable.
    public var scan: String
    public var reason: String

    public init(release: UpstreamRelease, scan: String, reason: String) {
        self.release = release
        self.scan = scan.printable
        self.reason = reason
    }
}
