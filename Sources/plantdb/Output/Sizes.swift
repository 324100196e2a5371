/// Byte counts, counts and rates for people, in SI units (1 kB is 1000 bytes).
enum Sizes {
    private static let units = ["kB", "MB", "GB", "TB", "PB", "EB"]

    /// `0 B`, `999 B`, `1.5 MB`, `123 GB`: one decimal below 100, none from there on.
    static func bytes(_ count: Int64) -> String {
        guard count >= 1000 else { return "\(count) B" }
        var value = Double(count) / 1000
        var unit = 0
        // Rounded before it is judged, so that 999,999 is 1.0 MB and never 1000 kB.
        while value.rounded() >= 1000 && unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        let tenths = Int((value * 10).rounded())
        return tenths < 1000
            ? "\(tenths / 10).\(tenths % 10) \(units[unit])" : "\(Int(value.rounded())) \(units[unit])"
    }

    /// `12.3 MB/s`; `–` for no rate at all.
    static func rate(_ bytesPerSecond: Double) -> String {
        guard bytesPerSecond.isFinite, bytesPerSecond >= 0.5, bytesPerSecond < 9e18 else { return "–" }
        return bytes(Int64(bytesPerSecond.rounded())) + "/s"
    }

    /// `1 file`, `1,489 files`.
    static func count(_ number: Int, _ noun: String, plural: String? = nil) -> String {
        "\(grouped(number)) \(number == 1 ? noun : plural ?? noun + "s")"
    }

    /// `100,000`.
    static func grouped(_ number: Int) -> String {
        let digits = Array(String(number.magnitude))
        var text = number < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0 && (digits.count - index) % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return text
    }
}
