import DatabaseCheck
import PlantDBCore

/// What `plantdb check` says.
enum CheckText {
    /// A line a finding, then which releases would refuse the database, then the totals.
    static func lines(_ report: CheckReport, isQuiet: Bool) -> [String] {
        var lines = report.findings.filter { !isQuiet || $0.severity == .error }.map(line(of:))
        for release in UpstreamRelease.allCases {
            for refusal in report.refusals(by: release) {
                lines.append(
                    "error: PlantDB \(release) refuses this database: \(refusal.scan): \(refusal.reason)")
            }
        }
        if isQuiet { return lines }
        let counts = Finding.Severity.allCases.reversed().map { severity in
            Sizes.count(report.counts[severity] ?? 0, severity.rawValue)
        }
        let opens = UpstreamRelease.allCases.filter { report.refusals(by: $0).isEmpty }
        lines.append(
            "\(Sizes.count(report.scansChecked, "scan")), \(Sizes.count(report.filesChecked, "file")) checked: "
                + counts.joined(separator: ", "))
        lines.append(
            "opens in PlantDB: "
                + (opens.isEmpty ? "no release" : opens.map(\.description).joined(separator: ", ")))
        return lines
    }

    static func line(of finding: Finding) -> String {
        var place = finding.scan ?? ""
        if let path = finding.path { place += (place.isEmpty ? "" : "/") + path }
        return
            "\(finding.severity.rawValue): \(place.isEmpty ? "" : place + ": ")\(finding.message.printable)"
    }

    static func jsonLines(_ report: CheckReport, isQuiet: Bool) -> [String] {
        func event(_ name: String, _ members: [(String, JSONValue)]) -> String {
            JSONValue.object(
                JSONObject([("schema", "plantdb.check/1"), ("event", .string(name))] + members)
            ).jsonLine
        }
        var lines = report.findings.filter { !isQuiet || $0.severity == .error }.map { finding in
            event(
                "finding",
                [
                    ("severity", .string(finding.severity.rawValue)),
                    ("code", .string(finding.code.rawValue)),
                    ("scan", .optional(finding.scan)), ("path", .optional(finding.path)),
                    ("message", .string(finding.message)),
                ])
        }
        for refusal in report.refusals {
            lines.append(
                event(
                    "refusal",
                    [
                        ("release", .string(refusal.release.rawValue)), ("scan", .string(refusal.scan)),
                        ("reason", .string(refusal.reason)),
                    ]))
        }
        let counts = Finding.Severity.allCases.map {
            ($0.rawValue + "s", JSONValue.number(report.counts[$0] ?? 0))
        }
        lines.append(
            event(
                "summary",
                [("scans", .number(report.scansChecked)), ("files", .number(report.filesChecked))] + counts))
        return lines
    }
}
