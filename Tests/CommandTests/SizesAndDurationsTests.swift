import Testing

@testable import plantdb

@Suite struct SizesAndDurationsTests {
    @Test(
        arguments: [
            (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1049, "1.0 kB"), (1050, "1.1 kB"),
            (1500, "1.5 kB"),
            (99_949, "99.9 kB"), (99_950, "100 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"),
            (1_500_000, "1.5 MB"), (123_456_789, "123 MB"), (1_090_000_000, "1.1 GB"), (.max, "9.2 EB"),
        ] as [(Int64, String)])
    func bytesForPeople(_ count: Int64, _ text: String) {
        #expect(Sizes.bytes(count) == text)
    }

    @Test func ratesThatAreNone() {
        #expect(Sizes.rate(0) == "–")
        #expect(Sizes.rate(.nan) == "–")
        #expect(Sizes.rate(.infinity) == "–")
        #expect(Sizes.rate(12_300_000) == "12.3 MB/s")
    }

    @Test func countsAndTheirNouns() {
        #expect(Sizes.count(1, "file") == "1 file")
        #expect(Sizes.count(0, "file") == "0 files")
        #expect(Sizes.count(100_000, "file") == "100,000 files")
        #expect(Sizes.grouped(-1_234_567) == "-1,234,567")
    }

    @Test(
        arguments: [
            (0, "0.0 s"), (0.42, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"),
            (72, "1 min 12 s"), (3599.7, "1 h"), (7500, "2 h 5 min"), (273_600, "3 d 4 h"), (.infinity, "–"),
        ] as [(Double, String)])
    func durationsForPeople(_ seconds: Double, _ text: String) {
        #expect(Durations.text(seconds: seconds) == text)
    }

    @Test(
        arguments: [
            ("90s", .seconds(90)), ("15m", .seconds(900)), ("2h", .seconds(7200)), ("1d", .seconds(86400)),
            ("500ms", .milliseconds(500)), ("1h30m", .seconds(5400)), ("1.5h", .seconds(5400)), ("0", .zero),
            ("", nil), ("90", nil), ("s", nil), ("-5s", nil), ("1w", nil), ("1 h", nil), ("nan", nil),
            ("1e3s", nil), ("٣s", nil), ("99999999999d", nil),
        ] as [(String, Duration?)])
    func durationsAsTheyAreWritten(_ text: String, _ duration: Duration?) {
        #expect(Durations.parse(text) == duration)
    }
}
