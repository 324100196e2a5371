import PlantDBCore

/// How the REST server of one PlantDB release is spoken to: which path means what, and how often it
/// may be asked.
///
/// Observed on releases 0.14.5, 0.15.1, 0.16.2 and 0.17.0; see docs/interop.md.
public struct RestDialect: Sendable, Hashable {
    /// Releases that speak alike.
    public enum Generation: String, Sendable, Hashable, CaseIterable, Comparable {
        case v014 = "0.14"
        case v015 = "0.15"
        /// 0.16 and later, below `api/v1`.
        case v016 = "0.16+"

        public static func < (lhs: Self, rhs: Self) -> Bool { lhs.rawValue < rhs.rawValue }
    }

    public let generation: Generation
    /// As the server says it: "0.17.0", or "unknown".
    public let release: String
    /// Before every path: empty, or `api/v1/`.
    public let base: String

    public init(generation: Generation, release: String, base: String? = nil) {
        self.generation = generation
        self.release = release
        self.base = base ?? (generation == .v016 ? Self.versionedBase : "")
    }

    public static let versionedBase = "api/v1/"

    /// Reads a server's home page.
    ///
    /// - Parameters:
    ///   - home: its JSON.
    ///   - isVersioned: whether it was found below `api/v1`.
    /// - Returns: nil if that is no PlantDB server.
    public init?(home: JSONValue, isVersioned: Bool, base: String? = nil) {
        guard home["name"]?.string == "PlantDB REST API" else { return nil }
        let release =
            home["plantdb.server"]?.string ?? home["plantdb"]?["server"]?.string ?? "unknown"
        let generation: Generation =
            isVersioned ? .v016 : home["authentication endpoints"] != nil ? .v015 : .v014
        self.init(generation: generation, release: release.printable, base: base)
    }

    /// Whether writing needs a login.
    public var needsLogin: Bool { generation != .v014 }
    /// Whether a file that is there can be given other content.
    public var replacesFiles: Bool { generation != .v016 }

    // MARK: Routes

    /// What a server is asked for. Scans by their ids in its list.
    public enum Route: Sendable, Hashable {
        case home, health, scans, scansInfo
        case scan(String)
        /// A file by its path below the database's root.
        case file(String)
        case rawUpload(scan: String)
        case archive(String)
        /// nil: all scans.
        case refresh(scan: String?)
        case login, logout, tokenValidation, createAPIToken
        case timelapses
        case timelapseScans(String)
    }

    /// Below the server's prefix, not percent-encoded, without a slash at its beginning; nil: this
    /// release does not have it.
    public func path(of route: Route) -> String? {
        let isNew = generation == .v016
        let rest: String? =
            switch route {
            case .home: ""
            case .health: "health"
            case .scans: "scans"
            case .scansInfo: isNew ? "scans/info" : "scans_info"
            case .scan(let id): (generation == .v015 ? "scan/" : "scans/") + id
            case .file(let path): (isNew ? "assets/files/" : "files/") + path
            case .rawUpload(let id): isNew ? nil : "files/" + id
            case .archive(let id): (isNew ? "assets/archive/" : "archive/") + id
            case .refresh: "refresh"
            case .login: isNew ? "auth/login" : "login"
            case .logout: needsLogin ? (isNew ? "auth/logout" : "logout") : nil
            case .tokenValidation: needsLogin ? (isNew ? "auth/token/validation" : "token-validation") : nil
            case .createAPIToken:
                needsLogin ? (isNew ? "auth/token/create-api-token" : "create-api-token") : nil
            case .timelapses: isNew ? "timelapses" : nil
            case .timelapseScans(let id): isNew ? "timelapses/\(id)/scans" : nil
            }
        return rest.map { base + $0 }
    }

    // MARK: Scans

    /// Whether a new scan like this can be made by an archive.
    ///
    /// - Throws: `invalidName`, `unsupported`, saying which rule of the release it breaks.
    public func admit(_ scan: ScanManifest) throws(DatabaseError) {
        guard scan.scan.container == nil, scan.position(of: .timelapseMarker) == nil else {
            throw refusalOfTimelapse(scan.scan)
        }
        if generation == .v016 {
            let name = scan.scan.name.utf8
            let isPlain = name.allSatisfy { $0 != UInt8(ascii: ".") } && name.first != UInt8(ascii: "_")
            guard isPlain, name.count <= 128 else {
                throw DatabaseError(
                    .invalidName,
                    "PlantDB \(release) makes no scan \(scan.scan): there names hold no dots, begin with a letter or "
                        + "a digit, and have 128 characters at most; rename the scan", scan: scan.scan)
            }
        }
        guard scan.position(of: .index) != nil else {
            throw DatabaseError(
                .unsupported, "PlantDB \(release) makes no scan of what has no files.json", scan: scan.scan)
        }
        guard generation > .v014 else { return }
        for entry in scan where entry.kind == .file {
            let depth = entry.path.components.count - 1
            guard depth > (entry.path.rawValue.contains("metadata") ? 3 : 2) else { continue }
            throw DatabaseError(
                .unsupported,
                "PlantDB \(release) takes no file as deep as \(entry.path) of scan \(scan.scan) over HTTP",
                scan: scan.scan, path: entry.path.rawValue)
        }
    }

    public func refusalOfTimelapse(_ scan: ScanID) -> DatabaseError {
        DatabaseError(
            .unsupported,
            "scan \(scan) belongs to a timelapse, which PlantDB \(release) cannot be given over HTTP; carry it "
                + "where the database is, or over ssh://", scan: scan)
    }

    // MARK: Limits

    /// Requests that are counted together.
    public enum Pace: String, Sendable, Hashable, CaseIterable {
        case archiveReads, archiveWrites, files, rawUploads, lists, infos, scansInfo, refreshOne,
            refreshAll, logins, others

        /// Requests a minute from one address; the same in all releases.
        public var perMinute: Int {
            switch self {
            case .archiveReads, .archiveWrites: 5
            case .files, .infos, .scansInfo, .others: 120
            case .rawUploads, .lists: 30
            case .refreshOne: 60
            case .refreshAll: 12
            case .logins: 20
            }
        }

        /// "an archive may be read 5 times a minute": what a wait is for.
        public var description: String {
            switch self {
            case .archiveReads: "archive downloads"
            case .archiveWrites: "archive uploads"
            case .files: "file downloads"
            case .rawUploads: "file uploads"
            case .lists, .infos, .scansInfo, .others: "requests"
            case .refreshOne, .refreshAll: "refreshes"
            case .logins: "logins"
            }
        }
    }

    /// What a request counts as.
    public static func pace(of route: Route, isWrite: Bool) -> Pace {
        switch route {
        case .archive: isWrite ? .archiveWrites : .archiveReads
        case .file: .files
        case .rawUpload: .rawUploads
        case .scans, .timelapses, .timelapseScans: .lists
        case .scan: .infos
        case .scansInfo: .scansInfo
        case .refresh(let scan): scan == nil ? .refreshAll : .refreshOne
        case .login: .logins
        case .home, .health, .logout, .tokenValidation, .createAPIToken: .others
        }
    }
}
