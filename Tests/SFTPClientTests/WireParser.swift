/// Reads packets as the draft describes them, without the code under test.
struct WireParser {
    struct Short: Error {}

    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func number(_ bytes: Int) throws -> UInt64 {
        guard rest.count >= bytes else { throw Short() }
        defer { rest = rest.dropFirst(bytes) }
        return rest.prefix(bytes).reduce(0) { $0 << 8 | UInt64($1) }
    }

    mutating func text() throws -> String {
        let count = Int(try number(4))
        guard rest.count >= count else { throw Short() }
        defer { rest = rest.dropFirst(count) }
        return String(decoding: rest.prefix(count), as: UTF8.self)
    }

    mutating func attributes() throws -> String {
        let flags = try number(4)
        var result = "attributes("
        if flags & 1 != 0 { result += "size \(try number(8)) " }
        if flags & 2 != 0 { result += "owner \(try number(4)):\(try number(4)) " }
        if flags & 4 != 0 { result += "mode \(String(try number(4), radix: 8)) " }
        if flags & 8 != 0 { result += "times \(try number(4)) \(try number(4)) " }
        return result + ")"
    }

    /// A whole packet: its type and number, and the fields in the order of `schema`: `t` text,
    /// `u` 32 bits, `q` 64 bits, `a` attributes.
    static func read(_ packet: [UInt8], _ schema: String) throws -> String {
        var parser = WireParser(packet)
        guard try parser.number(4) == packet.count - 4 else { throw Short() }
        var result = ["\(try parser.number(1))", "#\(try parser.number(4))"]
        for field in schema {
            switch field {
            case "t": result.append("'\(try parser.text())'")
            case "u": result.append("\(try parser.number(4))")
            case "q": result.append("\(try parser.number(8))")
            default: result.append(try parser.attributes())
            }
        }
        guard parser.isAtEnd else { throw Short() }
        return result.joined(separator: " ")
    }
}
