import AsyncHTTPClient
import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOSSL
import PlantDBCore
import PlantDBWire
import Synchronization

/// How a REST server is reached.
public struct HTTPAccess: Sendable {
    public var address: ServerAddress
    public var token: BearerToken?
    /// For servers that are written to.
    public var login: Login?
    /// A file of certificates (PEM) that are trusted instead of the system's.
    public var certificateAuthority: String?
    /// Send the token over plain HTTP to another machine.
    public var sendsTokenUnencrypted = false
    /// How long nothing may arrive.
    public var idleTimeout: Duration = .seconds(60)
    /// The same where a server works before its first byte: upstream's on an archive, ours on digests and on a
    /// commit.
    public var archiveTimeout: Duration = .seconds(600)
    public var connectTimeout: Duration = .seconds(10)
    /// Where `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` are looked up.
    public var environment = ProcessInfo.processInfo.environment
    /// How long, all in all, an answer that has begun may come by less than 500 bytes a second.
    public var slowTimeout: Duration = .seconds(60)

    public init(_ address: ServerAddress) { self.address = address }
}

/// HTTP requests to one server, over at most 16 connections that are kept.
///
/// Redirects are not followed: what belongs to one origin does not go to another. TLS is 1.2
/// or newer, with the chain and the host's name verified; nothing turns that off.
public final class HTTPTransport: Sendable {
    public let address: ServerAddress
    private let client: HTTPClient
    private let proxy: HTTPProxy?
    /// For answers that are long in coming.
    private let patientClient: HTTPClient
    private let authorization: Mutex<BearerToken?>
    private let slowTimeout: Duration
    /// Of an answer that is read whole.
    private let totalTimeout: Duration
    private let clock = ServerClock()
    private let isClosed = Mutex(false)

    /// JSON answers larger than this are refused.
    static let maximumAnswerBytes = 256 << 20

    /// - Throws: `invalidArgument` for a token that would go over plain HTTP to another machine,
    ///   and for a file of certificates that cannot be read.
    public init(_ access: HTTPAccess) throws(DatabaseError) {
        address = access.address
        if access.token != nil || access.login != nil, !address.isSecure, !address.isLoopback,
            !access.sendsTokenUnencrypted
        {
            throw DatabaseError(
                .invalidArgument,
                "the token or password for \(address) would cross the network unencrypted; use https, or say "
                    + "--send-token-unencrypted")
        }
        authorization = Mutex(access.token)
        proxy = try HTTPProxy(for: address, in: access.environment)
        slowTimeout = access.slowTimeout
        totalTimeout = max(access.idleTimeout, access.archiveTimeout)
        var configuration = HTTPClient.Configuration()
        configuration.httpVersion = .http1Only
        configuration.proxy = proxy?.configuration
        configuration.redirectConfiguration = .disallow
        configuration.decompression = .disabled
        configuration.timeout.connect = .init(access.connectTimeout)
        configuration.timeout.read = .init(access.idleTimeout)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 16
        // Whoever asks says what failed, and tries again. The pool would try in silence for as long as
        // connecting may take, and ends the process in some of these tries (AsyncHTTPClient 1.37.0,
        // “Backing off a connection that is unknown to us”).
        configuration.connectionPool.retryConnectionEstablishment = false
        // NIO reads 64 KiB at most by default, which halves the rate of large files.
        configuration.http1_1ConnectionDebugInitializer = { channel in
            channel.setOption(
                ChannelOptions.recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(
                    minimum: 4 << 10, initial: 64 << 10, maximum: 512 << 10))
        }
        if let file = access.certificateAuthority {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.trustRoots = .file(file)
            do { _ = try NIOSSLCertificate.fromPEMFile(file) } catch {
                throw DatabaseError(
                    .invalidArgument, "the certificates in \(file.printable) cannot be read",
                    cause: String(describing: error))
            }
            configuration.tlsConfiguration = tls
        }
        if address.isSecure {
            var tls = configuration.tlsConfiguration ?? TLSConfiguration.makeClientConfiguration()
            tls.minimumTLSVersion = .tlsv12
            configuration.tlsConfiguration = tls
        }
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        configuration.timeout.read = .init(max(access.idleTimeout, access.archiveTimeout))
        patientClient = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    deinit {
        // A transport that was not closed has no request left; its connections go with it.
        guard !isClosed.withLock({ $0 }) else { return }
        for client in [client, patientClient] { client.shutdown { _ in } }
    }

    /// Ends all connections. Idempotent.
    public func close() async {
        let first = isClosed.withLock { closed in
            defer { closed = true }
            return !closed
        }
        guard first else { return }
        for client in [client, patientClient] {
            do { try await client.shutdown() } catch {
                // It is closed either way.
            }
        }
    }

    var token: BearerToken? { authorization.withLock { $0 } }

    /// The token of all requests from now on.
    public func authorize(with token: BearerToken?) { authorization.withLock { $0 = token } }

    /// On the server's machine; nil where its answers do not say.
    var serverTime: ModificationTime? { clock.now }

    var hasToken: Bool { authorization.withLock { $0 != nil } }

    /// What a request carries.
    public enum Body: Sendable {
        case none
        case bytes([UInt8], type: String)
        /// - Parameter length: in bytes; nil: sent in chunks.
        case stream(@Sendable () async throws(DatabaseError) -> ByteBuffer?, length: Int64?, type: String)
    }

    /// Sends a request, and returns when the answer begins.
    ///
    /// - Parameters:
    ///   - path: below the prefix, without a slash at its beginning, percent-encoded.
    ///   - isPatient: whether ``HTTPAccess/archiveTimeout`` holds: the server works before it answers.
    /// - Throws: `unreachable`, `cancelled`; never for a status.
    public func send(
        _ method: HTTPMethod, _ path: String, query: [(name: String, value: String)] = [],
        headers: [(String, String)] = [], body: Body = .none, isPatient: Bool = false
    ) async throws(DatabaseError) -> HTTPAnswer {
        var url = address.origin + address.prefix + "/" + path
        if !query.isEmpty {
            url +=
                "?"
                + query.map { "\($0.name)=\(PercentEncoding.component($0.value))" }.joined(separator: "&")
        }
        var request = HTTPClientRequest(url: url)
        request.method = method
        request.headers = HTTPHeaders(headers)
        if let token = authorization.withLock({ $0 }) {
            request.headers.add(name: "Authorization", value: "Bearer \(token.text)")
        }
        switch body {
        case .none: break
        case .bytes(let bytes, let type):
            request.headers.add(name: "Content-Type", value: type)
            request.body = .bytes(ByteBuffer(bytes: bytes))
        case .stream(let pull, let length, let type):
            request.headers.add(name: "Content-Type", value: type)
            request.body = .stream(PulledBytes(pull: pull), length: length.map { .known($0) } ?? .unknown)
        }
        do {
            // Until the answer begins: the timeouts above end it before.
            let response = try await (isPatient ? patientClient : client)
                .execute(request, timeout: .hours(24))
            clock.note(response.headers)
            return HTTPAnswer(
                response, address: address, slowTimeout: slowTimeout, totalTimeout: totalTimeout)
        } catch { throw await explained(.http(error, to: address)) }
    }

    /// Says what the error itself does not tell: dates of a certificate, and a proxy on the way.
    private func explained(_ error: DatabaseError) async -> DatabaseError {
        var error = error
        if let proxy {
            if error.code == .unreachable || error.code == .authentication {
                error.message += "; \(proxy.note)"
            }
        } else if error.code == .authentication, let complaint = await CertificateDates.complaint(of: address)
        {
            error.message = "the certificate of \(address) \(complaint)"
        }
        return error
    }
}

/// An answer whose body is still arriving.
public struct HTTPAnswer: Sendable {
    public let status: Int
    public let headers: HTTPHeaders
    let address: ServerAddress
    private let body: Reader
    private let totalTimeout: Duration

    init(
        _ response: HTTPClientResponse, address: ServerAddress, slowTimeout: Duration, totalTimeout: Duration
    ) {
        status = Int(response.status.code)
        headers = response.headers
        self.address = address
        body = Reader(iterator: response.body.makeAsyncIterator(), patience: Patience(slowTimeout))
        self.totalTimeout = totalTimeout
    }

    /// `@unchecked`: one task pulls at a time, as ``HTTPAnswer/next()`` asks.
    private final class Reader: @unchecked Sendable {
        var iterator: HTTPClientResponse.Body.AsyncIterator
        /// What goes by while nobody waits for the server does not count.
        var patience: Patience
        init(iterator: HTTPClientResponse.Body.AsyncIterator, patience: Patience) {
            self.iterator = iterator
            self.patience = patience
        }
    }

    /// The next bytes of the body; nil at its end. One task calls it.
    /// - Throws: `unreachable` if the connection ends before the body does, or if it comes too slowly
    ///   (``HTTPAccess/slowTimeout``); `cancelled`.
    public func next() async throws(DatabaseError) -> ByteBuffer? {
        let start = ContinuousClock.now
        do {
            guard let bytes = try await body.iterator.next() else { return nil }
            guard body.patience.spend(.now - start, for: bytes.readableBytes) else {
                throw DatabaseError(
                    .unreachable,
                    "\(address) answers by less than \(Int(Patience.rate)) bytes a second; try again later")
            }
            return bytes
        } catch { throw .http(error, to: address) }
    }

    /// The whole body.
    /// - Throws: `invalidData` if it is larger than `limit` bytes; as ``next()``, also where it takes longer than
    ///   ``HTTPAccess/archiveTimeout``, however fast it comes.
    public func collect(upTo limit: Int) async throws(DatabaseError) -> [UInt8] {
        var bytes: [UInt8] = []
        let deadline = ContinuousClock.now + totalTimeout
        while let piece = try await next() {
            guard ContinuousClock.now < deadline else {
                throw DatabaseError(
                    .unreachable,
                    "\(address) has not ended its answer after \(totalTimeout.components.seconds) s; try again later"
                )
            }
            guard bytes.count + piece.readableBytes <= limit else {
                throw DatabaseError(.invalidData, "an answer of \(address) is larger than \(limit) bytes")
            }
            bytes.append(contentsOf: piece.readableBytesView)
        }
        return bytes
    }
}

/// A pulled body as the sequence that AsyncHTTPClient wants.
private struct PulledBytes: AsyncSequence, Sendable {
    typealias Element = ByteBuffer
    let pull: @Sendable () async throws(DatabaseError) -> ByteBuffer?

    struct AsyncIterator: AsyncIteratorProtocol {
        let pull: @Sendable () async throws(DatabaseError) -> ByteBuffer?
        mutating func next() async throws -> ByteBuffer? { try await pull() }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(pull: pull) }
}

/// RFC 3986, section 2: everything but unreserved characters is encoded.
enum PercentEncoding {
    static func component(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var result: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: "~"):
                result.append(byte)
            default: result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// Each component of a path.
    static func path(_ text: String) -> String {
        text.split(separator: "/", omittingEmptySubsequences: false).map { component(String($0)) }
            .joined(separator: "/")
    }
}

extension TimeAmount {
    fileprivate init(_ duration: Duration) {
        self = .nanoseconds(Int64(clamping: Int(duration / .nanoseconds(1))))
    }
}
