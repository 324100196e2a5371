import PlantDBCore
import SyncEngine
import Testing

@testable import plantdb

@Suite struct ListTests {
    @Test func itemizedList() throws {
        var lines: [String] = []
        ItemizedLine.lines(of: try Samples.plan(), showsEqual: false) { lines.append($0) }
        try Golden.expect(lines.joined(separator: "\n"), is: "itemized")
    }

    @Test func itemizedListWithWhatIsEqual() throws {
        var lines: [String] = []
        ItemizedLine.lines(of: try Samples.plan(), showsEqual: true) { lines.append($0) }
        try Golden.expect(lines.joined(separator: "\n"), is: "itemized-verbose")
    }

    @Test func everyLineIsOneLineWithoutControlCharacters() throws {
        for showsEqual in [false, true] {
            ItemizedLine.lines(of: try Samples.plan(), showsEqual: showsEqual) { line in
                #expect(line == line.printable)
            }
        }
    }

    @Test func differences() throws {
        var lines: [String] = []
        DiffLine.lines(of: try Samples.plan()) { lines.append($0) }
        try Golden.expect(lines.joined(separator: "\n"), is: "diff")
    }

    @Test func report() throws {
        let report = try Samples.report()
        let lines = ReportText.lines(report, verbose: false) + ReportText.errorLines(report)
        try Golden.expect(lines.joined(separator: "\n"), is: "report")
    }

    @Test func verboseReport() throws {
        let report = try Samples.report()
        try Golden.expect(
            ReportText.lines(report, verbose: true).joined(separator: "\n"), is: "report-verbose")
    }

    @Test func summaryOfADryRun() throws {
        let plan = try Samples.plan()
        let lines = ReportText.scanLines(of: plan) + ReportText.summary(of: plan, verbose: false)
        try Golden.expect(lines.joined(separator: "\n"), is: "dry-run")
    }

    @Test func anErrorNamesItsPlaceOnce() throws {
        var error = DatabaseError(.io, "cannot write images/a.jpg of scan plant_1", cause: "EIO")
        error.scan = try ScanID("plant_1")
        error.path = "images/a.jpg"
        #expect(ReportText.line(of: error) == "error: cannot write images/a.jpg of scan plant_1 (EIO)")
        error.message = "cannot write"
        #expect(ReportText.line(of: error) == "error: plant_1/images/a.jpg: cannot write (EIO)")
        #expect(ReportText.line(of: DatabaseError(.io, "no")) == "error: no")
    }

    @Test func locks() throws {
        let locks = [
            HeldLock(
                scope: .scan(try ScanID("plant_1")), mode: .shared, state: .live,
                owner: "upstream, process 7",
                ageSeconds: 72, path: ".locks/plant_1.lock"),
            HeldLock(
                scope: .database, mode: nil, state: .dead, owner: "unknown\u{7}", ageSeconds: nil,
                path: "lock"),
        ]
        let lines = LockText.lines(locks) + locks.map { LockText.json(of: $0).jsonLine }
        try Golden.expect(lines.joined(separator: "\n"), is: "locks")
    }

    @Test func tableRows() {
        var table = TextTable([.right, .left, .left])
        table.add("1", "a", "x")
        table.add("100", "abc", "")
        #expect(table.lines == ["  1  a    x", "100  abc"])
    }

    @Test func namesOfAList() {
        #expect(
            ScanNames.parse("plant_1\n\n# a comment\n  plant_2 \r\nseries_*") == [
                "plant_1", "plant_2", "series_*",
            ])
        #expect(ScanNames.parse("\n# nothing\n") == [])
    }
}
