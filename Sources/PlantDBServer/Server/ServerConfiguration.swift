import PlantDBCore
import PlantDBWire
import ServedHTTP

/// Where and to whom a server answers.
public struct ServerConfiguration: Sendable {
    public var host = "127.0.0.1"
    /// 0: one that is free.
    public var port = 5000
    /// Before every route: empty, or with a slash at its beginning and none at its end.
    public var prefix = ""
    public var token: ServerToken
    /// Whoever reaches the server may write.
    public var isOpen = false
    /// Whoever reads needs the token or an account, on this machine too: a proxy here may hand on anybody's
    /// requests.
    public var isClosed = false
    /// The risk of being open, or unencrypted, beyond this machine is known.
    public var acceptsRisk = false
    /// PEM files; both or none.
    public var certificate: String?
    public var privateKey: String?

    /// Of one archive or file that is uploaded, in bytes.
    public var maximumUploadBytes: Int64 = 64 << 30
    /// `users.json` of the database, whose accounts may log in; nil: the token alone lets in.
    public var accounts: String?

    /// Of the program that serves; peers show it.
    public var version = "unknown"

    /// nil: what the process may have.
    var capacity: ServerCapacity?
    var limits = RequestGuard.Limits()

    public init(token: ServerToken = .random()) { self.token = token }

    public var isLoopback: Bool { LoopbackHost.isOne(host) }

    /// - Throws: `invalidArgument` for what would let in whom nobody invited.
    func validate() throws(DatabaseError) {
        guard (certificate == nil) == (privateKey == nil) else {
            throw DatabaseError(
                .invalidArgument, "a certificate and its key go together: --tls-certificate and --tls-key")
        }
        guard prefix.isEmpty || (prefix.hasPrefix("/") && !prefix.hasSuffix("/")) else {
            throw DatabaseError(.invalidArgument, "a prefix looks like /plantdb")
        }
        guard !isOpen || !isClosed else {
            throw DatabaseError(.invalidArgument, "a server is open or closed: --open or --closed, not both")
        }
        guard !isLoopback, !acceptsRisk else { return }
        guard !isOpen else {
            throw DatabaseError(
                .invalidArgument,
                "--open on \(host.printable) lets everybody who reaches this machine change the database; "
                    + "add --accept-network-risk if that is meant")
        }
        guard certificate != nil else {
            throw DatabaseError(
                .invalidArgument,
                "on \(host.printable) tokens and data would cross the network unencrypted: give "
                    + "--tls-certificate and --tls-key, or add --accept-network-risk")
        }
    }
}
