import Crypto
import HTTPTypes
import Hummingbird
import ServedHTTP

/// Keeps out pages of other origins, names that were made to point here, and other users of this
/// machine.
///
/// A request must name this server as its host (DNS rebinding), have been handed on by no proxy, carry
/// the cookie that only the launch token buys, and, where it changes anything, come from a page of this
/// server and hold JSON, which no form of another page can send.
struct AppGate: Sendable {
    private let token: SHA256.Digest
    let session: String
    let hosts: Set<String>

    static let cookie = "plantdb_session"

    /// The one that is listened on.
    let port: Int

    init(token: String, session: String, port: Int) {
        self.port = port
        self.token = SHA256.hash(data: Array(token.utf8))
        self.session = session
        hosts = ["127.0.0.1:\(port)", "localhost:\(port)", "[::1]:\(port)"]
    }

    func isToken(_ text: String) -> Bool { SHA256.hash(data: Array(text.utf8)) == token }

    /// Why a request is refused, whoever sent it; nil: go on.
    func refusal(of request: Request) -> HTTPResponse.Status? {
        guard let host = request.head.authority, hosts.contains(host.lowercased()),
            !ForwardedRequest.isOne(request.headers)
        else { return .misdirectedRequest }
        if request.method == .get || request.method == .head { return nil }
        guard let origin = request.headers[.origin], hosts.contains(where: { origin == "http://\($0)" })
        else {
            return .forbidden
        }
        let type = request.headers[.contentType]?.split(separator: ";").first.map(String.init)
        return type == "application/json" ? nil : .unsupportedMediaType
    }

    func isKnown(_ request: Request) -> Bool {
        let wanted = SHA256.hash(data: Array("\(Self.cookie)=\(session)".utf8))
        return request.headers[values: .cookie].flatMap { $0.split(separator: ";") }.contains {
            SHA256.hash(data: Array($0.trimmingPrefix(while: { $0 == " " }).utf8)) == wanted
        }
    }
}
