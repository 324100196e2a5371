import Crypto
import HTTPTypes
import Hummingbird
import PlantDBCore
import PlantDBWire

/// Decides who may read and who may write.
struct AccessGate: Sendable {
    /// SHA-256 of the token, so that comparing takes the same time for every wrong one.
    private let token: SHA256.Digest
    private let readingIsOpen: Bool
    private let writingIsOpen: Bool

    init(token: ServerToken, readingIsOpen: Bool, writingIsOpen: Bool) {
        self.token = SHA256.hash(data: Array(token.text.utf8))
        self.readingIsOpen = readingIsOpen
        self.writingIsOpen = writingIsOpen
    }

    func caller(of request: Request) -> Caller {
        let isKnown = presentedToken(request).map { SHA256.hash(data: Array($0.utf8)) == token } ?? false
        return Caller(
            name: isKnown ? "token" : "anonymous", mayRead: isKnown || readingIsOpen,
            mayWrite: isKnown || writingIsOpen)
    }

    /// nil: go on.
    func refusal(of caller: Caller, by policy: AccessPolicy) -> Response? {
        guard !caller.satisfies(policy) else { return nil }
        let error = DatabaseError(
            .authentication,
            "this server wants its token for \(policy == .read ? "reading" : "writing"): the one that "
                + "plantdb serve printed when it started (--token-file)")
        return Response(
            status: .unauthorized,
            headers: [.contentType: "application/json", .wwwAuthenticate: "Bearer"],
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
