import PlantDBCore
import SFTPClient

/// `ssh://[user@]host[:port]/path`, and the documented `ssh://host:/path`.
///
/// The path is absolute; after `/~/` it begins at the account's home directory. `%20` and the
/// like are decoded (RFC 3986, section 2.1).
struct SSHLocation {
    var destination: SSHDestination
    var path: String

    /// - Throws: ``PlantDBCore/DatabaseError/Code/invalidArgument``; the message repeats nothing that
    ///   may be a password.
    init(_ location: Substring) throws(DatabaseError) {
        guard let slash = location.firstIndex(of: "/") else {
            throw Self.invalid("it has no path: write ssh://host/path/of/the/database")
        }
        var authority = location[..<slash]
        var user: String?
        if let at = authority.lastIndex(of: "@") {
            let name = authority[..<at]
            guard !name.contains(":") else {
                throw Self.invalid(
                    "a password does not belong in a location: use --ask-pass or --password-file")
            }
            user = try Self.decoded(name)
            authority = authority[authority.index(after: at)...]
        }
        var port: UInt16?
        var host = authority
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { throw Self.invalid("its “[” is not closed") }
            host = authority[authority.index(after: authority.startIndex)..<end]
            port = try Self.port(authority[authority.index(after: end)...])
        } else if let colon = authority.lastIndex(of: ":") {
            host = authority[..<colon]
            port = try Self.port(authority[colon...])
        }
        do throws(SFTPError) {
            destination = try SSHDestination(host: String(host), user: user, port: port)
        } catch { throw DatabaseError(.invalidArgument, error.message) }
        var path = try Self.decoded(location[slash...])
        if path.hasPrefix("/~/") { path.removeFirst(3) }
        if path == "/~" || path.isEmpty { path = "." }
        guard !path.utf8.contains(0) else { throw Self.invalid("its path holds a zero byte") }
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        self.path = path
    }

    /// `:22`, or nothing, or the colon alone.
    private static func port(_ text: Substring) throws(DatabaseError) -> UInt16? {
        let digits = text.drop { $0 == ":" }
        if digits.isEmpty { return nil }
        guard let port = UInt16(digits), port > 0 else {
            throw invalid("its port is no number from 1 to 65535")
        }
        return port
    }

    private static func decoded(_ text: Substring) throws(DatabaseError) -> String {
        guard let result = text.percentDecoded else {
            throw invalid(
                "a “%” in it is followed by no two hexadecimal digits (write %25 for the sign itself), or it is "
                    + "not UTF-8")
        }
        return result
    }

    private static func invalid(_ reason: String) -> DatabaseError {
        DatabaseError(.invalidArgument, "an ssh:// location cannot be used: \(reason)")
    }
}
