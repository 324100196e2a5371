import AsyncHTTPClient
import PlantDBCore

/// The proxy by which a server is reached, as the environment names it and curl(1) reads it: `http_proxy`,
/// `https_proxy`, `all_proxy`, and `no_proxy` for servers that are reached without.
///
/// AsyncHTTPClient asks a proxy of HTTP for a tunnel (CONNECT), which proxies grant to `https://` servers: so
/// `http://` servers are reached directly where it is not SOCKS, and who fails there says so.
struct HTTPProxy: Sendable, Hashable, CustomStringConvertible {
    var host: String
    var port: Int
    var isSOCKS = false
    private var login: HTTPClient.Authorization?
    let isUsed: Bool
    /// The variable that names it.
    var variable: String

    var description: String { "\(host):\(port) (\(variable))" }

    /// For the message of who could not reach the server.
    var note: String {
        isUsed
            ? "the way to it is the proxy \(self), unless no_proxy names the server"
            : "\(variable) names a proxy, but http:// servers are reached directly: use https://"
    }

    /// The proxy for a server; nil: it is reached directly, as this machine itself always is.
    ///
    /// - Throws: `invalidArgument` for what is no proxy. Its text is not repeated: it may hold a password.
    init?(for address: ServerAddress, in environment: [String: String]) throws(DatabaseError) {
        // Not HTTP_PROXY: to a server that starts programs that is a header of the request (CVE-2016-5385).
        let names =
            (address.isSecure ? ["https_proxy", "HTTPS_PROXY"] : ["http_proxy"]) + ["all_proxy", "ALL_PROXY"]
        guard !address.isLoopback, let name = names.first(where: { environment[$0]?.isEmpty == false }),
            let value = environment[name],
            !Self.excludes(environment["no_proxy"] ?? environment["NO_PROXY"] ?? "", address)
        else { return nil }
        variable = name
        isUsed = address.isSecure || value.lowercased().hasPrefix("socks")
        guard isUsed else {
            (host, port) = ("", 0)
            return
        }
        var rest = value[...]
        if let scheme = rest.firstRange(of: "://") {
            switch rest[..<scheme.lowerBound].lowercased() {
            case "http": break
            case "socks5", "socks5h": isSOCKS = true
            default: throw Self.invalid(name, "only http:// and socks5:// can be used")
            }
            rest = rest[scheme.upperBound...]
        }
        rest = rest.prefix { $0 != "/" }
        if let at = rest.lastIndex(of: "@") {
            let words = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
                .map(\.percentDecoded)
            guard let user = words[0], let password = words.count > 1 ? words[1] : "" else {
                throw Self.invalid(name, "its login is not percent-encoded UTF-8")
            }
            login = .basic(username: user, password: password)
            rest = rest[rest.index(after: at)...]
        }
        do throws(DatabaseError) {
            // A proxy has a host and a port as a server has.
            let place = try ServerAddress("http://\(rest.contains(":") ? rest : rest + ":1080")")
            (host, port) = (place.host, place.port)
        } catch { throw Self.invalid(name, "it has no host, or a port that is none") }
    }

    /// nil: it is not used.
    var configuration: HTTPClient.Configuration.Proxy? {
        guard isUsed else { return nil }
        if isSOCKS { return .socksServer(host: host, port: port) }
        return login.map { .server(host: host, port: port, authorization: $0) }
            ?? .server(host: host, port: port)
    }

    /// - Parameter list: hosts and domains with commas between, or `*`.
    private static func excludes(_ list: String, _ address: ServerAddress) -> Bool {
        list.split(whereSeparator: { $0 == "," || $0.isWhitespace }).contains { entry in
            if entry == "*" { return true }
            var name = entry.lowercased()[...]
            if name.hasSuffix(":\(address.port)") { name = name.dropLast("\(address.port)".count + 1) }
            if name.hasPrefix(".") { name = name.dropFirst() }
            return address.host == name || address.host.hasSuffix("." + name)
        }
    }

    private static func invalid(_ variable: String, _ reason: String) -> DatabaseError {
        DatabaseError(
            .invalidArgument,
            "the proxy that \(variable) names cannot be used: \(reason); it looks like http://proxy:3128 (no_proxy "
                + "names the servers that need none)")
    }
}
