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

    /// Reads `500k`, `10M`, `1.5G`, and `10Mi` in powers of 1024, with or without a `B` behind them; nil
    /// for anything else: a number without a unit says nothing.
    static func parse(_ text: String) -> Int64? {
        let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let scale: Double
        var unit = text.dropFirst(number.count).lowercased()
        if unit.count > 1, unit.last == "b" { unit.removeLast() }
        switch unit {
        case "k": scale = 1e3
        case "m": scale = 1e6
        case "g": scale = 1e9
        case "ki": scale = 1024
        case "mi": scale = 1_048_576
        case "gi": scale = 1_073_741_824
        default: return nil
        }
        guard let value = Double(number), value.isFinite, value * scale < 1e15 else { return nil }
        return Int64((value * scale).rounded())
    }

    /// `12.3 MB/s`; `–` for no rate at all.
    static func rate(_ bytesPerSecond: Double) -> String {
        guard bytesPerSecond.isFinite, bytesPerSecond >= 0.5, bytesPerSecond < 9e18 else { return "–" }
        return bytes(Int64(bytesPerSecond.rounded())) + "/s"
    }

    /// `1 file`, `1,489 files`.
    static func count(_ number: Int, _ noun: String) -> String {
        "\(grouped(number)) \(number == 1 ? noun : noun + "s")"
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
