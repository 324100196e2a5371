import PlantDBCore
import PlantDBWire

/// Where a REST server is: `http(s)://host[:port][/prefix]`.
public struct ServerAddress: Sendable, Hashable, CustomStringConvertible {
    public var isSecure: Bool
    /// A name or an address; an IPv6 address without its brackets.
    public var host: String
    public var port: Int
    /// Begins with a slash and does not end with one, or is empty.
    public var prefix: String

    /// - Throws: `invalidArgument` for what is no such URL, or one with a user, a query or a
    ///   fragment: credentials in a URL end up in logs. The text itself is not repeated then.
    public init(_ text: String) throws(DatabaseError) {
        guard let separator = text.firstRange(of: "://") else { throw Self.invalid("it has no scheme") }
        switch text[..<separator.lowerBound].lowercased() {
        case "http": isSecure = false
        case "https": isSecure = true
        default: throw Self.invalid("its scheme is neither http nor https")
        }
        let rest = text[separator.upperBound...]
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        var path = rest.dropFirst(authority.count)
        guard !authority.contains("@") else {
            throw Self.invalid("it holds a user; give the server's token with --token-file instead")
        }
        guard !path.contains("?"), !path.contains("#") else {
            throw Self.invalid("it holds a query or a fragment")
        }
        while path.hasSuffix("/") { path = path.dropLast() }
        let allowed = path.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "\"") }
        guard allowed, !path.split(separator: "/").contains(where: { $0 == ".." || $0 == "." }) else {
            throw Self.invalid("its path holds what a path does not")
        }
        prefix = String(path)
        (host, port) = try Self.hostAndPort(authority, defaultPort: isSecure ? 443 : 80)
    }

    private static func hostAndPort(_ authority: Substring, defaultPort: Int) throws(DatabaseError) -> (
        String, Int
    ) {
        var host = authority
        var digits: Substring?
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { throw invalid("a bracket is not closed") }
            host = authority[authority.index(after: authority.startIndex)..<end]
            let after = authority[authority.index(after: end)...]
            guard after.isEmpty || after.hasPrefix(":") else { throw invalid("its port is no number") }
            digits = after.isEmpty ? nil : after.dropFirst()
            guard host.contains(":"), host.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else {
                throw invalid("its host is no IPv6 address")
            }
        } else {
            if let colon = authority.firstIndex(of: ":") {
                host = authority[..<colon]
                digits = authority[authority.index(after: colon)...]
            }
            let allowed = host.utf8.allSatisfy {
                ($0 | 0x20 >= UInt8(ascii: "a") && $0 | 0x20 <= UInt8(ascii: "z"))
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: "-")
                    || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "_")
            }
            guard !host.isEmpty, allowed, !host.hasPrefix("-") else { throw invalid("its host is no name") }
        }
        // RFC 3986, section 3.2.3: the port may be left out after its colon.
        guard let digits, !digits.isEmpty else { return (String(host).lowercased(), defaultPort) }
        guard digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let port = Int(digits), (1...65535).contains(port)
        else { throw invalid("its port is no number between 1 and 65535") }
        return (String(host).lowercased(), port)
    }

    /// Scheme, host and port: what credentials belong to.
    public var origin: String {
        let shown = host.contains(":") ? "[\(host)]" : host
        return "\(isSecure ? "https" : "http")://\(shown):\(port)"
    }

    public var description: String { origin + prefix }

    /// Whether nothing leaves this machine.
    public var isLoopback: Bool { LoopbackHost.isOne(host) }

    private static func invalid(_ reason: String) -> DatabaseError {
        DatabaseError(
            .invalidArgument,
            "not the address of a server: \(reason); it looks like http://host:5000 or https://host/prefix")
    }
}
