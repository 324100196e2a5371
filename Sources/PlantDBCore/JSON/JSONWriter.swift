extension JSONValue {
    /// The text that Python's `json.dump(obj, f, sort_keys=True, indent=4,
    /// separators=(',', ': '))` writes, which is how every upstream release formats
    /// `files.json` and metadata: keys sorted by code point, everything but ASCII escaped,
    /// no final newline. Numbers keep their spelling.
    ///
    /// - Parameters:
    ///   - sortedKeys: false keeps the order of insertion, as upstream does in
    ///     `timelapse.json` and `users.json`.
    ///   - indent: spaces a level.
    public func pythonText(sortedKeys: Bool = true, indent: Int = 4) -> String {
        String(decoding: pythonBytes(sortedKeys: sortedKeys, indent: indent), as: UTF8.self)
    }

    /// ``pythonText(sortedKeys:indent:)`` as bytes; all of them are ASCII.
    public func pythonBytes(sortedKeys: Bool = true, indent: Int = 4) -> [UInt8] {
        var writer = JSONWriter(sortsKeys: sortedKeys, indent: indent)
        writer.write(self, level: 0)
        return writer.output
    }
}

private struct JSONWriter {
    let sortsKeys: Bool
    let indent: Int
    var output: [UInt8] = []

    init(sortsKeys: Bool, indent: Int) {
        self.sortsKeys = sortsKeys
        self.indent = indent
    }

    mutating func write(_ value: JSONValue, level: Int) {
        switch value {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
        case .number(let spelling): output.append(contentsOf: spelling.utf8)
        case .string(let text): write(text)
        case .array(let elements):
            output.append(UInt8(ascii: "["))
            for (position, element) in elements.enumerated() {
                separate(position, level: level + 1)
                write(element, level: level + 1)
            }
            if !elements.isEmpty { breakLine(level: level) }
            output.append(UInt8(ascii: "]"))
        case .object(let object):
            output.append(UInt8(ascii: "{"))
            for (position, member) in ordered(object.members).enumerated() {
                separate(position, level: level + 1)
                write(member.key)
                output.append(UInt8(ascii: ":"))
                output.append(UInt8(ascii: " "))
                write(member.value, level: level + 1)
            }
            if !object.isEmpty { breakLine(level: level) }
            output.append(UInt8(ascii: "}"))
        }
    }

    /// By code point, which in UTF-8 is the order of the bytes.
    private func ordered(_ members: [JSONObject.Member]) -> [JSONObject.Member] {
        guard sortsKeys else { return members }
        return members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    }

    private mutating func separate(_ position: Int, level: Int) {
        if position > 0 { output.append(UInt8(ascii: ",")) }
        breakLine(level: level)
    }

    private mutating func breakLine(level: Int) {
        output.append(UInt8(ascii: "\n"))
        output.append(contentsOf: repeatElement(UInt8(ascii: " "), count: level * indent))
    }

    private mutating func write(_ text: String) {
        output.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": output.append(contentsOf: "\\\"".utf8)
            case "\\": output.append(contentsOf: "\\\\".utf8)
            case "\n": output.append(contentsOf: "\\n".utf8)
            case "\r": output.append(contentsOf: "\\r".utf8)
            case "\t": output.append(contentsOf: "\\t".utf8)
            case "\u{08}": output.append(contentsOf: "\\b".utf8)
            case "\u{0c}": output.append(contentsOf: "\\f".utf8)
            case " "..."~": output.append(UInt8(truncatingIfNeeded: scalar.value))
            default:
                if let half = HalfSurrogate(scalar) {
                    escape(half.unit)
                } else {
                    for unit in String(scalar).utf16 { escape(unit) }
                }
            }
        }
        output.append(UInt8(ascii: "\""))
    }

    private mutating func escape(_ unit: UInt16) {
        output.append(contentsOf: "\\u".utf8)
        for shift: UInt16 in [12, 8, 4, 0] {
            let digit = UInt8(truncatingIfNeeded: unit >> shift & 15)
            output.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }
}
