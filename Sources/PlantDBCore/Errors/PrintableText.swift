extension String {
    /// Text from outside (a file name, a peer's words) made safe for a terminal and a log:
    /// control characters (C0, C1, DEL) appear as `\xNN`, so that no name can move the
    /// cursor or forge a line.
    public var printable: String {
        var needsEscape = false
        for scalar in unicodeScalars where scalar.isControl {
            needsEscape = true
            break
        }
        guard needsEscape else { return self }
        var result = ""
        for scalar in unicodeScalars {
            if let half = HalfSurrogate(scalar) {
                result += "\\u" + String(half.unit, radix: 16)
            } else if scalar.isControl {
                let hex = String(scalar.value, radix: 16)
                result += "\\x" + (hex.count < 2 ? "0" + hex : hex)
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

extension Unicode.Scalar {
    /// C0, DEL or C1, or half a surrogate pair.
    var isControl: Bool { value < 0x20 || (0x7f...0x9f).contains(value) || HalfSurrogate(self) != nil }
}
