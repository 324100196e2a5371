import PlantDBCore
import SyncEngine
import Testing

@testable import plantdb

@Suite struct ProgressBarTests {
    private func progress(published: Int64 = 250, staged: Int64 = 500, finished: Int = 1, rate: Double = 50)
        throws -> SyncProgress
    {
        SyncProgress(
            filesPlanned: 10, bytesPlanned: 1000, bytesStaged: staged, filesPublished: 2,
            bytesPublished: published, scansPlanned: 4, scansFinished: finished, seconds: 5,
            bytesPerSecond: rate, activeScans: [try ScanID("plant_1"), try ScanID("plant_2")])
    }

    @Test func twoTones() throws {
        let line = ProgressBar(glyphs: .ascii).line(try progress(), columns: 120)
        #expect(
            line
                == "[##########++++++++++....................]  25 %  250 B of 1.0 kB  50 B/s  10 s left  plant_1 +1"
        )
        #expect(
            ProgressBar(glyphs: .unicode).line(try progress(), columns: 120).hasPrefix(
                "[██████████▒▒▒▒▒▒▒▒▒▒····"))
    }

    @Test func neverWiderThanTheTerminal() throws {
        for columns in 0...200 {
            let line = ProgressBar(glyphs: .unicode).line(try progress(), columns: columns)
            #expect(line.count <= max(0, columns - 1), "\(columns) columns")
        }
    }

    @Test func dropsTheLeastWorthFirst() throws {
        let bar = ProgressBar(glyphs: .ascii)
        #expect(
            bar.line(try progress(), columns: 58)
                == "[###+++.......]  25 %  250 B of 1.0 kB  50 B/s  10 s left")
        #expect(bar.line(try progress(), columns: 38) == "[###+++......]  25 %  250 B of 1.0 kB")
        #expect(bar.line(try progress(), columns: 10) == " 25 %")
    }

    @Test func never100PercentBeforeTheEnd() throws {
        let bar = ProgressBar(glyphs: .ascii)
        let almost = try progress(published: 1000, staged: 1000, finished: 3)
        #expect(bar.line(almost, columns: 80).contains(" 99 %"))
        #expect(ProgressBar.plainLine(almost).contains("99 %"))
        #expect(
            bar.line(try progress(published: 1000, staged: 1000, finished: 4), columns: 80).contains("100 %"))
    }

    @Test func plainLine() throws {
        #expect(
            ProgressBar.plainLine(try progress())
                == "progress: 25 %, 250 B of 1.0 kB published, 50 % staged, 50 B/s, 10 s left, 1 of 4 scans done"
        )
    }

    @Test func noRateNoEstimate() throws {
        let line = ProgressBar(glyphs: .ascii).line(try progress(rate: 0), columns: 120)
        #expect(!line.contains("left") && !line.contains("/s"))
    }
}
