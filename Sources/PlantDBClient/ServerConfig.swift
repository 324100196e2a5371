import PlantDBCore

/// Where a REST server is, in the words of upstream's `config_from_url`.
public struct ServerConfig: Sendable, Hashable {
    /// `http` or `https`.
    public let `protocol`: String
    /// A name or an address; an IPv6 address without its brackets.
    public let host: String
    public let port: Int
    /// Empty, or with a slash at both ends.
    public let prefix: String
    public let ssl: Bool

    public init(protocol: String, host: String, port: Int, prefix: String, ssl: Bool) {
        self.protocol = `protocol`
        self.host = host
        self.port = port
        self.prefix = prefix
        self.ssl = ssl
    }
}

/// Takes the URL of a REST server apart: `http://localhost:5014/api/` is protocol `http`, host
/// `localhost`, port 5014, prefix `/api/`, without SSL.
///
/// A port that is not named is 80 or 443, and IPv6 addresses stand in brackets (RFC 3986, section
/// 3.2.2), where upstream's function fails.
/// - Throws: `invalidArgument` for what is no such URL, or one with a user, a query or a fragment.
public func configFromURL(_ url: String) throws(DatabaseError) -> ServerConfig {
    let address = try ServerAddress(url)
    return ServerConfig(
        protocol: address.isSecure ? "https" : "http", host: address.host, port: address.port,
        prefix: address.prefix.isEmpty ? "" : address.prefix + "/", ssl: address.isSecure)
}
