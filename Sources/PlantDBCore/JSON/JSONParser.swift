extension JSONValue {
    /// How deep arrays and objects may lie in each other.
    public static let maximumDepth = 512

    /// Reads what Python's `json.load` reads from a UTF-8 file: RFC 8259, and `NaN`,
    /// `Infinity` and `-Infinity` as numbers; of several members with one key the last wins.
    ///
    /// Costs O(n) time and memory.
    ///
    /// - Throws: ``DatabaseError/Code/invalidData``, with line and column, if it is not JSON
    ///   in UTF-8, begins with a byte order mark (upstream's loader fails on it too), lies
    ///   deeper than ``maximumDepth``, or holds a character that stands for half a surrogate pair here
    ///   (``HalfSurrogate``).
    public init(parsing bytes: some Collection<UInt8>) throws(DatabaseError) {
        var parser = JSONParser(bytes: Array(bytes))
        self = try parser.document()
    }
}

private struct JSONParser {
    let bytes: [UInt8]
    var position = 0
    var depth = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() throws(DatabaseError) -> JSONValue {
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) {
            throw failure("it begins with a byte order mark; save it without one", at: 0)
        }
        if let place = HalfSurrogate.position(in: bytes) { throw failure(HalfSurrogate.refusal, at: place) }
        skipSpace()
        if position == bytes.count {
            throw failure(bytes.isEmpty ? "it is empty" : "there is nothing but space", at: position)
        }
        let value = try value()
        skipSpace()
        if position < bytes.count { throw failure("there is more after the end of the value", at: position) }
        return value
    }

    mutating func value() throws(DatabaseError) -> JSONValue {
        guard let byte = current else { throw failure("it ends where a value should be", at: position) }
        switch byte {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        case UInt8(ascii: "t") where take("true"): return .bool(true)
        case UInt8(ascii: "f") where take("false"): return .bool(false)
        case UInt8(ascii: "n") where take("null"): return .null
        case UInt8(ascii: "N") where take("NaN"): return .number("NaN")
        case UInt8(ascii: "I") where take("Infinity"): return .number("Infinity")
        default: throw failure("a value should be here", at: position)
        }
    }

    mutating func object() throws(DatabaseError) -> JSONValue {
        try enter()
        var object = JSONObject()
        if closes(with: UInt8(ascii: "}")) { return .object(object) }
        while true {
            guard current == UInt8(ascii: "\"") else {
                throw failure("a key in double quotes should be here", at: position)
            }
            let key = try string()
            skipSpace()
            guard current == UInt8(ascii: ":") else { throw failure("a “:” should be here", at: position) }
            position += 1
            skipSpace()
            object[key] = try value()
            if try ends(with: UInt8(ascii: "}"), what: "a “,” or “}” should be here") {
                return .object(object)
            }
        }
    }

    mutating func array() throws(DatabaseError) -> JSONValue {
        try enter()
        var elements: [JSONValue] = []
        if closes(with: UInt8(ascii: "]")) { return .array(elements) }
        while true {
            elements.append(try value())
            if try ends(with: UInt8(ascii: "]"), what: "a “,” or “]” should be here") {
                return .array(elements)
            }
        }
    }

    /// Past the opening bracket, and one level down.
    mutating func enter() throws(DatabaseError) {
        depth += 1
        if depth > JSONValue.maximumDepth {
            throw failure("it is nested more than \(JSONValue.maximumDepth) levels deep", at: position)
        }
        position += 1
        skipSpace()
    }

    /// Past the closing bracket, if it is there.
    mutating func closes(with bracket: UInt8) -> Bool {
        guard current == bracket else { return false }
        position += 1
        depth -= 1
        return true
    }

    /// After an element: past the bracket (true), or past the comma and the space after it.
    mutating func ends(with bracket: UInt8, what: String) throws(DatabaseError) -> Bool {
        skipSpace()
        if closes(with: bracket) { return true }
        guard current == UInt8(ascii: ",") else { throw failure(what, at: position) }
        position += 1
        skipSpace()
        return false
    }

    mutating func number() throws(DatabaseError) -> JSONValue {
        let start = position
        if current == UInt8(ascii: "-") {
            position += 1
            if take("Infinity") { return .number("-Infinity") }
        }
        if current == UInt8(ascii: "0") {
            position += 1
        } else if digits() == 0 {
            throw failure("a digit should be here", at: position)
        }
        if current == UInt8(ascii: ".") {
            position += 1
            if digits() == 0 { throw failure("a digit should be here", at: position) }
        }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            position += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
            if digits() == 0 { throw failure("a digit should be here", at: position) }
        }
        return .number(String(decoding: bytes[start..<position], as: UTF8.self))
    }

    mutating func digits() -> Int {
        let start = position
        while let byte = current, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
        return position - start
    }

    mutating func string() throws(DatabaseError) -> String {
        let opening = position
        position += 1
        let start = position
        // Nearly every string has no escape: one pass, one copy.
        while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
            position += 1
        }
        var text: [UInt8]? = nil
        var run = start
        while true {
            guard let byte = current else { throw failure("this string does not end", at: opening) }
            switch byte {
            case UInt8(ascii: "\""):
                let end = position
                position += 1
                if var text {
                    text.append(contentsOf: bytes[run..<end])
                    return try validated(text[...], at: opening)
                }
                return try validated(bytes[start..<end], at: opening)
            case UInt8(ascii: "\\"):
                var collected = text ?? []
                text = nil  // so that it is not copied
                collected.append(contentsOf: bytes[run..<position])
                try escape(into: &collected)
                text = collected
                run = position
            case ..<0x20:
                throw failure("a control character in a string must be escaped", at: position)
            default: position += 1
            }
        }
    }

    mutating func escape(into text: inout [UInt8]) throws(DatabaseError) {
        let start = position
        position += 1
        guard let byte = current else { throw failure("it ends in an escape", at: start) }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var value = try hexadecimal(at: start)
            if (0xd800...0xdbff).contains(value), current == UInt8(ascii: "\\"), position + 1 < bytes.count,
                bytes[position + 1] == UInt8(ascii: "u")
            {
                let next = position
                position += 2
                let low = try hexadecimal(at: start)
                if (0xdc00...0xdfff).contains(low) {
                    value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
                } else {
                    position = next
                }
            }
            let scalar = Unicode.Scalar(value) ?? HalfSurrogate.scalar(for: UInt16(truncatingIfNeeded: value))
            guard value <= 0xffff || HalfSurrogate(scalar) == nil else {
                throw failure(HalfSurrogate.refusal, at: start)
            }
            text.append(contentsOf: String(scalar).utf8)
        default: throw failure("this escape does not exist", at: start)
        }
    }

    mutating func hexadecimal(at start: Int) throws(DatabaseError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            let digit: UInt8
            switch current {
            case let byte? where (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte):
                digit = byte - UInt8(ascii: "0")
            case let byte? where (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte):
                digit = byte - UInt8(ascii: "a") + 10
            case let byte? where (UInt8(ascii: "A")...UInt8(ascii: "F")).contains(byte):
                digit = byte - UInt8(ascii: "A") + 10
            default: throw failure("“\\u” wants four hexadecimal digits", at: start)
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    func validated(_ text: ArraySlice<UInt8>, at opening: Int) throws(DatabaseError) -> String {
        // Nearly all of it is ASCII, which needs no proof.
        if text.allSatisfy({ $0 < 0x80 }) { return String(decoding: text, as: UTF8.self) }
        guard let string = String(validating: text, as: UTF8.self) else {
            throw failure("this string is not valid UTF-8", at: opening)
        }
        return string
    }

    var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
            position += 1
        }
    }

    mutating func take(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard bytes.count - position >= count else { return false }
        for offset in 0..<count where bytes[position + offset] != word.utf8Start[offset] { return false }
        position += count
        return true
    }

    /// Lines and columns count from 1; a column is a character (a Unicode scalar).
    func failure(_ what: String, at position: Int) -> DatabaseError {
        let before = bytes[..<min(position, bytes.count)]
        let line = before.count { $0 == 0x0a } + 1
        let lineStart = before.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
        let column = before[lineStart...].count { $0 & 0xc0 != 0x80 } + 1
        return DatabaseError(.invalidData, "not valid JSON: \(what) (line \(line), column \(column))")
    }
}
