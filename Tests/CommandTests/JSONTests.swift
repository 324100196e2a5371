import PlantDBCore
import SyncEngine
import Testing

@testable import DatabaseCheck
@testable import plantdb

@Suite struct JSONTests {
    private let events = JSONEvents(schema: JSONEvents.syncSchema, run: "20260101T000000Z-0001")

    @Test func everyEvent() throws {
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
        try Golden.expect(lines.map(\.jsonLine).joined(separator: "\n"), is: "events")
        for line in lines {
            #expect(try JSONValue(parsing: Array(line.jsonLine.utf8)) == line)
            #expect(line["schema"] == "plantdb.sync/1" && line["run"] != nil && line["event"] != nil)
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

    @Test func findings() throws {
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
        let lines =
            CheckText.lines(report, isQuiet: false) + ["--quiet:"] + CheckText.lines(report, isQuiet: true)
            + CheckText.jsonLines(report, isQuiet: false)
        try Golden.expect(lines.joined(separator: "\n"), is: "check")
    }
}

extension JSONValue: ExpressibleByNilLiteral {
    public init(nilLiteral: ()) { self = .null }
}
