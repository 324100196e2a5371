/// A JSON document as Python's `json` module reads and writes it.
///
/// Foundation's reader will not do for PlantDB's metadata: it rejects `NaN` and `Infinity`,
/// which Python writes, it rewrites numbers, and it loses the order of keys. This one keeps
/// the spelling of every number and the order of every object, so that what is read and
/// written again differs from the original in white space only.
///
/// Text is compared byte by byte: two Unicode spellings of one word are two keys, as they
/// are in Python. (Swift's `String` would call them equal.)
public enum JSONValue: Sendable {
    case object(JSONObject)
    case array([JSONValue])
    case string(String)
    /// The spelling of the source, which may be `NaN`, `Infinity` or `-Infinity`.
    case number(String)
    case bool(Bool)
    case null
}

extension JSONValue {
    /// A whole number.
    public static func number(_ value: Int) -> JSONValue { .number(String(value)) }

    /// A number spelled as Python's `repr` spells it: `1.0`, `1e-05`, `1e+16`, `NaN`.
    public static func number(_ value: Double) -> JSONValue { .number(pythonSpelling(of: value)) }

    /// The members, if it is an object.
    public var object: JSONObject? {
        if case .object(let object) = self { object } else { nil }
    }

    /// The elements, if it is an array.
    public var array: [JSONValue]? {
        if case .array(let array) = self { array } else { nil }
    }

    /// The text, if it is a string.
    public var string: String? {
        if case .string(let string) = self { string } else { nil }
    }

    /// The value, if it is a number that a `Double` holds; not a number is one.
    public var double: Double? {
        guard case .number(let spelling) = self else { return nil }
        switch spelling {
        case "NaN": return .nan
        case "Infinity": return .infinity
        case "-Infinity": return -.infinity
        default: return Double(spelling)
        }
    }

    /// The value, if it is a number written without fraction and exponent that fits.
    public var int: Int? {
        if case .number(let spelling) = self { Int(spelling) } else { nil }
    }

    /// The value, if it is `true` or `false`.
    public var bool: Bool? {
        if case .bool(let bool) = self { bool } else { nil }
    }

    /// The member `key` of an object; nil for anything else.
    public subscript(key: String) -> JSONValue? { object?[key] }

    /// What it is, for messages: “an object”, “a list”.
    public var kindDescription: String {
        switch self {
        case .object: "an object"
        case .array: "a list"
        case .string: "a string"
        case .number: "a number"
        case .bool: "a truth value"
        case .null: "null"
        }
    }

    /// The text of the scalar at a dotted key, `object.species`: a string's text, or the JSON
    /// spelling of a number, `true`, `false` or `null`.
    ///
    /// A key that holds dots itself is found too; the longest key wins. nil if there is
    /// nothing at the key, or if it is an object or a list.
    public func metadataValue(atDottedKey key: String) -> String? {
        guard let found = value(atDottedKey: key[...]) else { return nil }
        switch found {
        case .string(let text): return text
        case .number(let spelling): return spelling
        case .bool(let value): return value ? "true" : "false"
        case .null: return "null"
        case .object, .array: return nil
        }
    }

    private func value(atDottedKey key: Substring) -> JSONValue? {
        guard let object else { return nil }
        if let found = object[String(key)] { return found }
        var end = key.endIndex
        while let dot = key[..<end].lastIndex(of: ".") {
            if let found = object[String(key[..<dot])]?.value(atDottedKey: key[key.index(after: dot)...]) {
                return found
            }
            end = dot
        }
        return nil
    }

    /// Python's `repr` of a float, as its `json` writes it: the shortest digits that read
    /// back the same, an exponent of at least two digits below 1e-4 and from 1e16 on.
    static func pythonSpelling(of value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
        // Swift's description has the same digits; it only begins exponents elsewhere.
        var mantissa = Array(String(describing: value.magnitude).utf8)
        var exponent = 0
        if let letter = mantissa.firstIndex(of: UInt8(ascii: "e")) {
            exponent = Int(String(decoding: mantissa[(letter + 1)...], as: UTF8.self)) ?? 0
            mantissa.removeSubrange(letter...)
        }
        let point = mantissa.firstIndex(of: UInt8(ascii: ".")) ?? mantissa.count
        // 0.‹digits› × 10^`scale`
        var digits = mantissa.filter { $0 != UInt8(ascii: ".") }
        var scale = exponent + point
        let zeros = digits.prefix { $0 == UInt8(ascii: "0") }.count
        digits.removeFirst(zeros)
        scale -= zeros
        while digits.last == UInt8(ascii: "0") { digits.removeLast() }
        if digits.isEmpty { return value.sign == .minus ? "-0.0" : "0.0" }

        let zero = UInt8(ascii: "0")
        var text: [UInt8] = value.sign == .minus ? [UInt8(ascii: "-")] : []
        if scale > 16 || scale < -3 {
            text.append(digits[0])
            if digits.count > 1 {
                text.append(UInt8(ascii: "."))
                text += digits[1...]
            }
            let power = String((scale - 1).magnitude)
            text += Array(scale > 0 ? "e+".utf8 : "e-".utf8)
            if power.utf8.count < 2 { text.append(zero) }
            text += Array(power.utf8)
        } else if scale <= 0 {
            text += [zero, UInt8(ascii: ".")] + repeatElement(zero, count: -scale) + digits
        } else if scale >= digits.count {
            text += digits + repeatElement(zero, count: scale - digits.count) + [UInt8(ascii: "."), zero]
        } else {
            text += digits[..<scale] + [UInt8(ascii: ".")] + digits[scale...]
        }
        return String(decoding: text, as: UTF8.self)
    }
}

extension JSONValue: Hashable {
    /// Strings and number spellings byte by byte; objects without regard to the order of
    /// their keys. `NaN` equals `NaN`: it is a spelling here.
    public static func == (lhs: JSONValue, rhs: JSONValue) -> Bool {
        switch (lhs, rhs) {
        case (.object(let one), .object(let other)): one == other
        case (.array(let one), .array(let other)): one == other
        case (.string(let one), .string(let other)): one.utf8.elementsEqual(other.utf8)
        case (.number(let one), .number(let other)): one == other
        case (.bool(let one), .bool(let other)): one == other
        case (.null, .null): true
        default: false
        }
    }

    public func hash(into hasher: inout Hasher) {
        switch self {
        case .object(let object): hasher.combine(object)
        case .array(let array): hasher.combine(array)
        case .string(let string): hasher.combine(ExactText(string))
        case .number(let spelling): hasher.combine(spelling)
        case .bool(let value): hasher.combine(value)
        case .null: hasher.combine(0)
        }
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .number(value) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(JSONObject(elements))
    }
}

/// Text that is equal only to the same bytes: a name in a JSON file.
public struct ExactText: Hashable, Sendable, CustomStringConvertible {
    public let text: String

    public init(_ text: some StringProtocol) { self.text = String(text) }

    public static func == (lhs: Self, rhs: Self) -> Bool { lhs.text.utf8.elementsEqual(rhs.text.utf8) }

    public func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }

    public var description: String { text }
}
