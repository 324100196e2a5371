import Crypto
import HTTPTypes
import Hummingbird
import PlantDBCore
import PlantDBWire
import ServedHTTP

/// Decides who may read and who may write.
struct AccessGate: Sendable {
    /// SHA-256 of the token, so that comparing takes the same time for every wrong one.
    private let token: SHA256.Digest
    private let desk: AccountDesk
    private let isLoopback: Bool
    private let readingIsOpen: Bool
    private let writingIsOpen: Bool

    init(token: ServerToken, desk: AccountDesk, isLoopback: Bool, readingIsOpen: Bool, writingIsOpen: Bool) {
        self.desk = desk
        self.isLoopback = isLoopback
        self.token = SHA256.hash(data: Array(token.text.utf8))
        self.readingIsOpen = readingIsOpen
        self.writingIsOpen = writingIsOpen
    }

    func caller(of request: Request) -> Caller {
        let presented = presentedToken(request)
        if let text = presented {
            if SHA256.hash(data: Array(text.utf8)) == token {
                return Caller(name: "token", mayRead: true, mayWrite: true, token: text)
            }
            if let (account, scope) = desk.bearer(of: text) {
                return Caller(
                    name: "account \(account.name)", mayRead: true, mayWrite: account.mayWrite,
                    account: account.name, fullName: account.fullName, scope: scope, token: text)
            }
        }
        let isTrusted = isFromThisMachinesPrograms(request)
        // A form of another page can take locks, too; what it reads no browser hands to it.
        let isFromPage = request.headers[.origin] != nil
        return Caller(
            name: "anonymous",
            mayRead: readingIsOpen && isTrusted
                && (!isFromPage || request.method == .get || request.method == .head),
            mayWrite: writingIsOpen && isTrusted && !isFromPage,
            presentsUnknownToken: presented != nil)
    }

    /// A page of somebody else's in a browser here reaches this server as well, by a name that was made to
    /// point here (DNS rebinding), or by a form: neither is anonymous access. Programs send no `Origin`. Nor is what
    /// a proxy on this machine hands on.
    private func isFromThisMachinesPrograms(_ request: Request) -> Bool {
        guard isLoopback else { return true }
        guard !ForwardedRequest.isOne(request.headers) else { return false }
        guard let authority = request.head.authority else { return true }
        let host =
            authority.hasPrefix("[")
            ? authority.dropFirst().prefix { $0 != "]" } : authority.prefix { $0 != ":" }
        return LoopbackHost.isOne(String(host))
    }

    /// nil: go on.
    ///
    /// - Parameters:
    ///   - permission: what a token that is limited to some scans needs.
    ///   - scan: what the request is about; nil: no scan, or several.
    func refusal(
        of caller: Caller, by policy: AccessPolicy, permission: TokenScope.Permission, scan: String?
    ) -> Response? {
        if caller.satisfies(policy) {
            guard let scope = caller.scope, policy != .anybody else { return nil }
            if let scan, scope.permits(permission, on: scan) { return nil }
            return answer(
                DatabaseError(.permissionDenied, "this token is limited to scans that it names"), .forbidden)
        }
        let error = caller.refusal(of: policy == .read ? "reading" : "writing")
        guard error.code == .authentication else { return answer(error, .forbidden) }
        var response = answer(error, .unauthorized)
        response.headers[.wwwAuthenticate] = "Bearer"
        return response
    }

    private func answer(_ error: DatabaseError, _ status: HTTPResponse.Status) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: error.peerBody)))
    }

    /// RFC 6750, section 2.1. Upstream's clients send the text None where they have no token.
    private func presentedToken(_ request: Request) -> String? {
        guard let value = request.headers[.authorization], value.lowercased().hasPrefix("bearer ") else {
            return nil
        }
        let text = String(value.dropFirst(7))
        return text == "None" ? nil : text
    }
}

/// What lets its bearer write: it appears in no description or dump.
public struct ServerToken: Sendable, CustomStringConvertible, CustomReflectable {
    public let text: String

    /// - Throws: `invalidArgument` for one that could be guessed.
    public init(_ text: String) throws(DatabaseError) {
        guard text.utf8.count >= 16, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw DatabaseError(
                .invalidArgument, "a token has at least 16 characters, printable and without spaces")
        }
        self.text = text
    }

    /// 256 random bits.
    public static func random() -> ServerToken {
        var generator = SystemRandomNumberGenerator()
        return ServerToken(
            unchecked: (0..<4).map { _ in
                let digits = String(generator.next() as UInt64, radix: 36)
                return String(repeating: "0", count: 13 - digits.count) + digits
            }.joined())
    }

    private init(unchecked text: String) { self.text = text }

    public var description: String { "‹token›" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
