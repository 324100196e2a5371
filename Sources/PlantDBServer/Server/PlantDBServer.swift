import HTTPTypes
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import Logging
import NIOCore
import NIOHTTPTypes
import NIOSSL
import PlantDBCore
import PlantDBWire
import ServiceLifecycle
import Synchronization

/// A REST server over any database endpoint.
///
/// It speaks ``PlantDBWire/PeerProtocol``, and upstream's REST API: that of
/// 0.14 at the root, that of 0.16 and later below `api/v1`. The endpoint stays the caller's: close it after
/// ``run(onReady:)`` returned.
public final class PlantDBServer: Sendable {
    public let configuration: ServerConfiguration
    private let endpoint: any DatabaseEndpoint
    private let logger: Logger
    private let services = Mutex<ServiceGroup?>(nil)

    /// Requests whose headers are larger are refused.
    private static let maximumHeaderBytes = 32 << 10
    /// A connection on which nothing moves for so long is closed.
    private static let idleTimeout = TimeAmount.seconds(120)

    /// - Throws: `invalidArgument` for a configuration that would let in whom nobody invited.
    public init(
        _ endpoint: any DatabaseEndpoint, configuration: ServerConfiguration,
        logger: Logger = PlantDBServer.quietLogger
    ) throws(DatabaseError) {
        try configuration.validate()
        self.endpoint = endpoint
        self.configuration = configuration
        self.logger = logger
    }

    /// Says warnings and errors.
    public static var quietLogger: Logger {
        var logger = Logger(label: "plantdb.server")
        logger.logLevel = .warning
        return logger
    }

    /// Serves until it is stopped, by ``stop()``; transactions that are
    /// under way are dropped then, and what they staged with them.
    ///
    /// - Parameter onReady: called once, with the port, when connections are taken.
    /// - Throws: `io` if the address cannot be listened on; `invalidArgument` for a certificate
    ///   that cannot be used.
    public func run(
        onReady: @escaping @Sendable (Int) async -> Void = { _ in }
    ) async throws(DatabaseError) {
        let leases = PeerLeases()
        let application = try application(leases, onReady)
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    .init(
                        service: LeaseService(leases: leases), successTerminationBehavior: .ignore),
                    .init(
                        service: application, successTerminationBehavior: .gracefullyShutdownGroup,
                        failureTerminationBehavior: .gracefullyShutdownGroup),
                ],
                logger: logger))
        services.withLock { $0 = group }
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await group.run()) } catch { outcome = .failure(error) }
        await leases.dropAll()
        do { try outcome.get() } catch is CancellationError {
            // Cancelled: it is stopped, as was asked.
        } catch {
            throw DatabaseError(
                .io, "cannot serve on \(configuration.host.printable):\(configuration.port)",
                cause: String(describing: error).printable)
        }
    }

    /// Stops a server that runs. Returns at once.
    public func stop() async { await services.withLock { $0 }?.triggerGracefulShutdown() }

    private func application(_ leases: PeerLeases, _ onReady: @escaping @Sendable (Int) async -> Void)
        throws(DatabaseError) -> some ApplicationProtocol & Service
    {
        var http = HTTP1Channel.Configuration(
            additionalChannelHandlers: [ReceiveBufferHandler(), ContinueHandler()],
            idleTimeout: Self.idleTimeout)
        http.httpDecoder = .init(
            maxHeaderFieldSize: Self.maximumHeaderBytes, maxHeaderListSize: Self.maximumHeaderBytes,
            maxHeaderFieldCount: 100)
        var builder = HTTPServerBuilder.http1(configuration: http)
        if let certificate = configuration.certificate, let key = configuration.privateKey {
            do {
                var tls = TLSConfiguration.makeServerConfiguration(
                    certificateChain: try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
                    privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
                tls.minimumTLSVersion = .tlsv12
                builder = try .tls(builder, tlsConfiguration: tls)
            } catch {
                throw DatabaseError(
                    .invalidArgument, "the certificate or its key cannot be used",
                    cause: String(describing: error).printable)
            }
        }
        return Application(
            responder: routes(leases).router.buildResponder(), server: builder,
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port), serverName: nil,
                availableConnectionsDelegate: MaximumAvailableConnections(Self.connectionLimit)),
            onServerRunning: { channel in
                if let port = channel.localAddress?.port { await onReady(port) }
            },
            logger: logger)
    }

    /// Further ones wait to be accepted: each may hold a buffer.
    private static let connectionLimit = 2000

    func routes(_ leases: PeerLeases) -> RouteTable {
        let desk = AccountDesk(accounts: configuration.accounts.map(AccountFile.init))
        let journal = RequestJournal(logger: logger)
        let gate = AccessGate(
            token: configuration.token, desk: desk, isLoopback: configuration.isLoopback,
            readingIsOpen: configuration.isLoopback || configuration.isOpen,
            writingIsOpen: configuration.isOpen)
        var table = RouteTable(gate: gate, journal: journal)
        let prefix = configuration.prefix.isEmpty ? "" : String(configuration.prefix.dropFirst()) + "/"
        table.addPeerRoutes(
            PeerService(endpoint: endpoint, leases: leases, version: configuration.version), prefix: prefix)
        let rest = RestService(
            endpoint: endpoint, version: configuration.version, prefix: configuration.prefix,
            uploadLimit: configuration.maximumUploadBytes)
        table.addRestRoutes(rest, RestAccounts(desk: desk, rest: rest), prefix: prefix)
        let document = OpenAPIDocument(
            entries: table.entries, version: configuration.version, prefix: configuration.prefix
        ).json
        table.on(.get, prefix + "openapi.json", .anybody) { _, _, _ in restJSON(document) }
        table.on(.get, prefix + "metrics", .read) { _, _, _ in
            journal.metrics(transactions: await leases.transactionCount)
        }
        return table
    }
}

/// Drops leases until the server stops.
private struct LeaseService: Service {
    let leases: PeerLeases

    func run() async throws { await cancelWhenGracefulShutdown { await leases.run() } }
}

/// Tells a client that waits to be told that it may send its body (RFC 9110, section 10.1.1).
private final class ContinueHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias OutboundOut = HTTPResponsePart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head(let request) = unwrapInboundIn(data), let expect = request.headerFields[.expect],
            expect.lowercased() == "100-continue"
        {
            let answer = HTTPResponsePart.head(HTTPResponse(status: .continue))
            context.writeAndFlush(wrapOutboundOut(answer), promise: nil)
        }
        context.fireChannelRead(data)
    }
}

/// NIO reads 64 KiB at most by default, which costs a third of the rate of uploads.
private final class ReceiveBufferHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = Any

    func handlerAdded(context: ChannelHandlerContext) {
        context.channel.setOption(
            ChannelOptions.recvAllocator,
            value: AdaptiveRecvByteBufferAllocator(minimum: 4 << 10, initial: 64 << 10, maximum: 256 << 10)
        ).assumeIsolated().whenFailure { context.fireErrorCaught($0) }
    }
}
