import PlantDBCore

/// Collects what the check of one scan finds, at most so many findings of one code, so that
/// a scan of a million unlisted files is one line and not a million.
struct FindingLog: Sendable {
    let scan: String
    /// Findings of one code before the rest is only counted.
    let limit: Int
    private(set) var findings: [Finding] = []
    private(set) var refusals: [Refusal] = []
    private(set) var counts: [Finding.Severity: Int] = [:]
    private var seen: [Finding.Code: Int] = [:]
    private var severities: [Finding.Code: Finding.Severity] = [:]

    init(scan: String, limit: Int) {
        self.scan = scan
        self.limit = limit
    }

    mutating func add(
        _ severity: Finding.Severity, _ code: Finding.Code, path: String? = nil, _ message: String
    ) {
        counts[severity, default: 0] += 1
        seen[code, default: 0] += 1
        severities[code] = max(severity, severities[code] ?? .note)
        if seen[code, default: 0] <= limit {
            findings.append(Finding(severity, code, scan: scan, path: path, message))
        }
    }

    mutating func refuse(_ releases: [UpstreamRelease], _ reason: String) {
        // The others do not look into a timelapse container.
        let isMember = scan.utf8.contains(UInt8(ascii: "/"))
        for release in releases where !isMember || release == .v016 {
            let refusal = Refusal(release: release, scan: scan, reason: reason)
            if !refusals.contains(refusal) { refusals.append(refusal) }
        }
    }

    /// Adds a line for what was only counted, and hands everything over.
    mutating func finish(into report: inout CheckReport) {
        for code in Finding.Code.allCases {
            guard let count = seen[code], count > limit else { continue }
            findings.append(
                Finding(
                    severities[code] ?? .note, code, scan: scan,
                    "and \(count - limit) more of this kind in the scan"))
        }
        report.findings.append(contentsOf: findings)
        report.refusals.append(contentsOf: refusals)
        report.counts.merge(counts) { $0 + $1 }
    }
}
