import PlantDBCore

/// Looks a database over, wherever it is, and says what is wrong with it and which upstream
/// releases would refuse to open it. Reads only.
///
/// It looks at scans and at what stands between them, and where the database tells them at the names of
/// its accounts; not at hidden directories, not at what lies behind symbolic links, and not at the
/// accounts themselves and at locks, over which a release can stumble too.
///
/// Costs one listing of every scan and a read of its JSON files, one stream a scan.
public struct DatabaseChecker: Sendable {
    private let source: any ScanSource
    private let concurrentScans: Int
    private let findingLimit: Int

    /// JSON files larger than this are not read, in bytes.
    static let jsonLimit: Int64 = 64 << 20

    /// - Parameters:
    ///   - concurrentScans: how many scans are looked at in one moment.
    ///   - findingLimit: findings of one code in one scan before the rest is only counted.
    public init(source: any ScanSource, concurrentScans: Int = 4, findingLimit: Int = 100) {
        self.source = source
        self.concurrentScans = max(1, concurrentScans)
        self.findingLimit = max(1, findingLimit)
    }

    /// Checks the scans, containers and stray directories that are selected.
    ///
    /// What cannot be read inside the database is a finding. Cancelling ends it early with
    /// `cancelled`.
    ///
    /// - Throws: what listing throws, and `unreachable`, `authentication` or `cancelled` of
    ///   any scan: then nothing can be said of the database.
    public func run(selecting isSelected: (ScanID) -> Bool = { _ in true }) async throws(DatabaseError)
        -> CheckReport
    {
        let listing = try await source.listing()
        var report = CheckReport()
        for entry in listing.skipped { Self.note(entry, into: &report, limit: findingLimit) }
        let selected = listing.scans.filter { isSelected($0.scan) }
        let outcomes = try await outcomes(of: selected)
        let claims = zip(selected, outcomes).compactMap { summary, outcome in
            outcome.accounts.map { (scan: summary.scan, claim: $0) }
        }
        try await AccountCheck(source: source).run(claims, into: &report)
        var logs = outcomes.map(\.log)
        TimelapseCheck(scans: selected, timelapses: outcomes.map(\.timelapse)).run(into: &logs)
        for position in logs.indices { logs[position].finish(into: &report) }
        report.scansChecked = selected.count { $0.kind == .scan }
        report.filesChecked = outcomes.reduce(0) { $0 + $1.fileCount }
        return report
    }

    private func outcomes(of scans: [ScanSummary]) async throws(DatabaseError) -> [ScanOutcome] {
        let source = source
        let limit = findingLimit
        let workers = concurrentScans
        do {
            return try await withThrowingTaskGroup(of: (Int, ScanOutcome).self) { group in
                var outcomes: [ScanOutcome?] = Array(repeating: nil, count: scans.count)
                var next = 0
                func addTask() {
                    guard next < scans.count else { return }
                    let position = next
                    next += 1
                    group.addTask {
                        let check = ScanCheck(summary: scans[position], source: source, findingLimit: limit)
                        return (position, try await check.run())
                    }
                }
                for _ in 0..<workers { addTask() }
                while let (position, outcome) = try await group.next() {
                    outcomes[position] = outcome
                    addTask()
                }
                return outcomes.compactMap(\.self)
            }
        } catch { throw .wrapping(error, while: "checking the database") }
    }

    /// What the listing of the root could not take for a scan.
    private static func note(_ entry: SkippedEntry, into report: inout CheckReport, limit: Int) {
        var log = FindingLog(scan: entry.path, limit: limit)
        let detail = entry.detail.map { " (\($0))" } ?? ""
        switch entry.reason {
        case .invalidName:
            log.add(
                .warning, .invalidName,
                "its name cannot be that of a scan\(detail), so it is never synced, and the REST servers "
                    + "cannot address it; rename it with letters, digits, “_” and “-”")
        case .notAScan:
            StrayDirectory(name: entry.path, reason: entry.detail ?? "a scan has other content")
                .report(to: &log)
        case .unreadable:
            log.add(
                .error, .unreadable,
                "it cannot be listed\(detail), so nobody knows what it holds; check owner and permissions")
        case .symbolicLink:
            log.add(
                .warning, .symbolicLink,
                "it is a symbolic link, which is not followed and not synced, and if it leads to a directory, "
                    + "0.16 and later refuse to open the database; put the directory itself here")
        case .specialFile:
            log.add(.warning, .specialFile, "it is neither a file nor a directory; remove it")
        }
        log.finish(into: &report)
    }
}

/// What came of one scan, container or stray directory.
struct ScanOutcome: Sendable {
    var log: FindingLog
    var fileCount = 0
    /// What the scan's metadata says about its timelapse; nil: unknown.
    var timelapse: TimelapseClaim?
    /// What its metadata says about accounts; nil: unknown.
    var accounts: AccountCheck.Claim?
}

/// What the metadata of a scan says about the timelapse that it is part of.
enum TimelapseClaim: Sendable, Hashable {
    case none
    case member(of: String)
    /// It names one by something that is no text.
    case unusable
}
