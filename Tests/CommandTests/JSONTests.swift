import Foundation
import PlantDBCore
import PlantDBTesting
import SyncEngine
import Testing

@testable import DatabaseCheck
@testable import plantdb

@Suite struct JSONTests {
    private let events = JSONEvents(schema: JSONEvents.syncSchema, run: "20260101T000000Z-0001")

    @Test func everyEvent() throws {
        let lines = try samples()
        try Golden.expect(lines.map(\.jsonLine).joined(separator: "\n"), is: "events")
        for line in lines {
            #expect(try JSONValue(parsing: Array(line.jsonLine.utf8)) == line)
            #expect(line["schema"] == "plantdb.sync/1" && line["run"] != nil && line["event"] != nil)
        }
    }

    /// One of every event of `sync` and `diff`.
    private func samples() throws -> [JSONValue] {
        let plan = try Samples.plan()
        let report = try Samples.report()
        let scan = try ScanID("plant_1")
        var lines = [events.plan(plan, source: "/a", target: "/b", isDryRun: false)]
        events.files(of: plan) { lines.append($0) }
        lines += [
            events.waiting("for the locks"), events.scanStarted(scan, files: 3, bytes: 4_600_000),
            events.progress(
                SyncProgress(
                    filesPlanned: 3, bytesPlanned: 4_600_000, bytesStaged: 2_300_000, scansPlanned: 2,
                    seconds: 1.23456, bytesPerSecond: 1_000_000.5, activeScans: [scan])),
            events.retry(
                scan, attempt: 1, after: .milliseconds(500),
                because: DatabaseError(.sourceChanged, "images/0001.jpg changed", scan: scan)),
            events.notice(plan.notices[0]), events.scanFinished(report.scans[1]),
            events.error(report.errors[0]), events.summary(report, exitCode: 3),
            events.summary(of: plan, exitCode: 4),
        ]
        return lines
    }

    // MARK: docs/json-events.md

    @Test(.enabled(if: packageRoot != nil, "docs/json-events.md NOT CHECKED: the package is not there"))
    func everyFieldIsDocumented() throws {
        let document = try EventsDocument()
        for line in try samples() {
            let event = try #require(line["event"]?.string)
            document.expect(line, in: event, except: ["schema", "run", "event"])
        }
        for line in CheckText.jsonLines(Self.checkReport, isQuiet: false) {
            let line = try JSONValue(parsing: Array(line.utf8))
            let event = try #require(line["event"]?.string)
            document.expect(line, in: "check", naming: event, except: ["schema", "event"])
        }
        let manifest = try ScanManifest(scan: try ScanID("plant_1"), entries: [])
        let scan = ScanLine(ScanSummary(scan: manifest.scan, kind: .scan), manifest)
        document.expect(scan.json, in: "scans and locks", except: ["schema"])
        let lock = HeldLock(
            scope: .database, mode: nil, state: .dead, owner: "?", ageSeconds: nil, path: "lock")
        document.expect(LockText.json(of: lock), in: "scans and locks", except: ["schema"])
    }

    @Test(.enabled(if: packageRoot != nil, "docs/json-events.md NOT CHECKED: the package is not there"))
    func everyCodeIsDocumented() throws {
        let document = try EventsDocument()
        for code in DatabaseError.Code.allCases { document.expect(code.rawValue, in: "error") }
        for reason in SkippedEntry.Reason.allCases { document.expect(reason.rawValue, in: "file") }
        for action in PlanAction.allCases { document.expect(JSONEvents.name(of: action), in: "file") }
        for code in Finding.Code.allCases { document.expect(code.rawValue, in: "check") }
        for severity in Finding.Severity.allCases { document.expect(severity.rawValue, in: "check") }
        for release in UpstreamRelease.allCases { document.expect(release.rawValue, in: "check") }
        let outcomes: [ScanReport.Outcome] = [.created, .updated, .removed, .unchanged, .failed, .notDone]
        for outcome in outcomes { document.expect(outcome.rawValue, in: "scanFinished") }
        for kind in [
            SyncNotice.Kind.stray, .notSelected, .nothingSelected, .nothingExcluded, .newTarget,
            .weakerGuarantee, .listedButAbsent, .otherScan, .notBrought, .keptInTrash,
            .unknownAccount,
        ] {
            document.expect(kind.rawValue, in: "notice")
        }
        for state in [HeldLock.State.live, .dead, .debris] {
            document.expect(state.rawValue, in: "scans and locks")
        }
    }

    @Test func textIsQuotedAndKeysAreSorted() {
        let value: JSONValue = ["b": "a\"\\\n\u{1}\u{7f}\u{9b}ä", "a": [nil, true, 1]]
        #expect(value.jsonLine == #"{"a":[null,true,1],"b":"a\"\\\n\u0001\u007f\u009bä"}"#)
    }

    @Test(
        arguments: [
            (0, "0"), (1.5, "1.5"), (1.2344, "1.234"), (-0.25, "-0.25"), (0.0004, "0"),
            (1e15, "1000000000000000"),
            (1e300, "9223372036854775807"), (.nan, "null"), (.infinity, "null"),
        ] as [(Double, String)])
    func decimals(_ value: Double, _ text: String) {
        #expect(JSONValue.decimal(value).jsonLine == text)
    }

    private static let checkReport: CheckReport = {
        var report = CheckReport()
        report.findings = [
            Finding(
                .error, .missingFile, scan: "plant_1", path: "images/a.jpg",
                "files.json lists it, and it is not there"),
            Finding(.note, .symbolicLink, scan: nil, "a link"),
        ]
        report.counts = [.error: 1, .note: 1]
        report.refusals = [Refusal(release: .v016, scan: "notes", reason: "it is no scan")]
        report.scansChecked = 1
        report.filesChecked = 3
        return report
    }()

    @Test func findings() throws {
        let report = Self.checkReport
        let lines =
            CheckText.lines(report, isQuiet: false) + ["--quiet:"] + CheckText.lines(report, isQuiet: true)
            + CheckText.jsonLines(report, isQuiet: false)
        try Golden.expect(lines.joined(separator: "\n"), is: "check")
    }
}

extension JSONValue: ExpressibleByNilLiteral {
    public init(nilLiteral: ()) { self = .null }
}

/// `docs/json-events.md`, by its headings.
private struct EventsDocument {
    /// A heading that names several events is there under each of them.
    private var sections: [String: String] = [:]
    private let whole: String

    init() throws {
        let path = try #require(packageRoot) + "/docs/json-events.md"
        whole = try String(contentsOfFile: path, encoding: .utf8)
        var names: [String] = []
        for line in whole.split(separator: "\n") {
            if line.hasPrefix("##") {
                let heading = line.drop { $0 == "#" || $0 == " " }
                names = [String(heading)] + heading.split(separator: ", ").map(String.init)
            } else if !line.hasPrefix("{") {
                for name in Set(names) { sections[name, default: ""] += line + "\n" }
            }
        }
    }

    /// Expects that the section of that heading has the text as a name.
    func expect(_ name: String, in heading: String, sourceLocation: SourceLocation = #_sourceLocation) {
        guard let section = sections[heading] else {
            Issue.record("no section “\(heading)”", sourceLocation: sourceLocation)
            return
        }
        #expect(
            section.contains("`\(name)`"), "“\(heading)” does not name \(name)",
            sourceLocation: sourceLocation)
    }

    /// Expects that the section names every field of an object, and that what is in the fields
    /// is named somewhere.
    func expect(_ object: JSONValue, in heading: String, naming event: String? = nil, except common: [String])
    {
        if let event { expect(event, in: heading) }
        for member in object.object?.members ?? [] where !common.contains(member.key) {
            expect(member.key, in: heading)
            expectNested(member.value)
        }
    }

    private func expectNested(_ value: JSONValue) {
        for element in value.array ?? [] { expectNested(element) }
        for member in value.object?.members ?? [] {
            #expect(whole.contains("`\(member.key)`"), "\(member.key) is named nowhere")
            expectNested(member.value)
        }
    }
}
