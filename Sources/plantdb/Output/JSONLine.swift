import PlantDBCore

extension JSONValue {
    /// This value on one line (RFC 8259), keys sorted, without the line's end: equal values
    /// are equal lines. No number may be NaN or infinite.
    var jsonLine: String {
        var text = ""
        writeLine(to: &text)
        return text
    }

    /// Seconds and rates: three decimals at most; `null` where there is no such number.
    static func decimal(_ value: Double) -> JSONValue {
        guard value.isFinite else { return .null }
        // Beyond this, thousandths do not fit; nothing measured here comes near.
        guard abs(value) < 9e12 else { return .number(String(Int64(clamping: value))) }
        let thousandths = Int64((value * 1000).rounded())
        var digits = String(thousandths.magnitude % 1000)
        digits = String(repeating: "0", count: 3 - digits.count) + digits
        while digits.hasSuffix("0") { digits.removeLast() }
        let sign = thousandths < 0 ? "-" : ""
        return .number("\(sign)\(thousandths.magnitude / 1000)\(digits.isEmpty ? "" : "." + digits)")
    }

    static func number(_ value: Int64) -> JSONValue { .number(String(value)) }

    /// `.null` for nil.
    static func optional(_ text: String?) -> JSONValue { text.map(JSONValue.string) ?? .null }

    private func writeLine(to text: inout String) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .number(let spelling): text += spelling
        case .string(let value): Self.quote(value, to: &text)
        case .array(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += "," }
                value.writeLine(to: &text)
            }
            text += "]"
        case .object(let object):
            text += "{"
            for (index, member) in object.members.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { text += "," }
                Self.quote(member.key, to: &text)
                text += ":"
                member.value.writeLine(to: &text)
            }
            text += "}"
        }
    }

    private static func quote(_ value: String, to text: inout String) {
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            // RFC 8259 asks for C0 alone; DEL and C1 would still reach a terminal.
            case "\u{0}"..."\u{1f}", "\u{7f}"..."\u{9f}":
                let hex = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default:
                if let half = HalfSurrogate(scalar) {
                    text += "\\u" + String(half.unit, radix: 16)
                } else {
                    text.unicodeScalars.append(scalar)
                }
            }
        }
        text += "\""
    }
}

extension Int64 {
    /// Saturates; `value` must be finite.
    fileprivate init(clamping value: Double) {
        self = value >= 9.2e18 ? .max : value <= -9.2e18 ? .min : Int64(value)
    }
}
