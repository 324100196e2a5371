/// Spans of time: as people read them, and as they write them on the command line.
enum Durations {
    /// `0.4 s`, `12 s`, `1 min 12 s`, `2 h 5 min`, `3 d 4 h`.
    static func text(seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "–" }
        if seconds < 9.95 {
            let tenths = Int((seconds * 10).rounded())
            return "\(tenths / 10).\(tenths % 10) s"
        }
        let whole = Int(seconds.rounded())
        switch whole {
        case ..<60: return "\(whole) s"
        case ..<3600: return pair(whole / 60, "min", whole % 60, "s")
        case ..<86400: return pair(whole / 3600, "h", whole % 3600 / 60, "min")
        default: return pair(whole / 86400, "d", whole % 86400 / 3600, "h")
        }
    }

    static func text(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        return text(seconds: Double(seconds) + Double(attoseconds) / 1e18)
    }

    private static func pair(_ large: Int, _ largeUnit: String, _ small: Int, _ smallUnit: String) -> String {
        small == 0 ? "\(large) \(largeUnit)" : "\(large) \(largeUnit) \(small) \(smallUnit)"
    }

    /// Reads `90s`, `15m`, `2h`, `1d`, `500ms`, `1.5h` and chains of them (`1h30m`); a bare
    /// `0` too. nil for anything else: a number without a unit says nothing.
    static func parse(_ text: String) -> Duration? {
        if text == "0" { return .zero }
        var rest = Substring(text)
        var total = Duration.zero
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(number.count)
            let unit = rest.prefix { $0.isASCII && $0.isLetter }
            rest = rest.dropFirst(unit.count)
            guard let value = Double(number), value.isFinite, let scale = secondsPerUnit(unit) else {
                return nil
            }
            let seconds = value * scale
            // A thousand years: more is a slip, and keeps the sum within `Duration`.
            guard seconds <= 31_557_600_000 else { return nil }
            total += .seconds(seconds)
        }
        return total
    }

    private static func secondsPerUnit(_ unit: Substring) -> Double? {
        switch unit {
        case "ms": 0.001
        case "s": 1
        case "m", "min": 60
        case "h": 3600
        case "d": 86400
        default: nil
        }
    }
}
