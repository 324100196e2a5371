import PlantDBCore

/// A database by a name of the user's, and how it is reached.
public struct NamedDatabase: Sendable, Hashable {
    /// Letters, digits, `-` and `_`; the command line has it with a colon: `lab:`.
    public var name: String
    /// As the command line takes it: a path, `ssh://…`, `http(s)://…`. Holds no password.
    public var location: String
    /// A private key for ssh.
    public var identity: String?
    /// Options of ssh_config(5), as `Key=value`.
    public var sshOptions: [String] = []
    public var acceptsNewHostKey = false
    /// Who logs in.
    public var user: String?
    /// Whose first line is the password.
    public var passwordFile: String?
    /// Whose first line is the token.
    public var tokenFile: String?
    /// Authorities (PEM) that are trusted for https instead of the system's.
    public var certificateAuthority: String?
    public var sendsTokenUnencrypted = false

    /// - Throws: ``PlantDBCore/DatabaseError/Code/invalidArgument`` for a name that cannot stand before
    ///   a colon, and for a location that holds a password or is a name itself.
    public init(name: String, location: String) throws(DatabaseError) {
        guard Self.isName(name) else {
            throw DatabaseError(
                .invalidArgument,
                "“\(name.printable)” cannot name a database: letters, digits, - and _ can, without the colon")
        }
        guard !location.isEmpty, Self.name(in: location) == nil else {
            throw DatabaseError(
                .invalidArgument, "“\(location.printable)” is no location that \(name): could stand for")
        }
        guard location.withoutSecrets == location else {
            // Not repeated: it is a secret.
            throw DatabaseError(
                .invalidArgument,
                "the location of \(name) holds a password or a token, which would lie in the configuration for all to "
                    + "read; leave it out, and name a file with --password-file or --token-file")
        }
        self.name = name
        self.location = location
    }

    /// The name in `NAME:`; nil for any other location. A folder of such a name is `./NAME:`.
    public static func name(in location: String) -> String? {
        guard location.hasSuffix(":") else { return nil }
        let name = String(location.dropLast())
        return isName(name) ? name : nil
    }

    private static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, first != UInt8(ascii: "-") else { return false }
        return text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
    }
}
