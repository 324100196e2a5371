import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import Logging
import NIOCore
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
    /// What is under way when the server is stopped may go on for so long.
    private static let stopLimit = Duration.seconds(3)
    /// A connection on which nothing moves for so long is closed.
    private static let idleTimeout = TimeAmount.seconds(120)
    /// A connection that brought no whole request head for so long is closed, however steadily its bytes come.
    private static let headTimeout = TimeAmount.seconds(30)

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

    /// Serves until it is stopped, by ``stop()``: requests that are under way may go on for 3 s then.
    /// Transactions that are under way are dropped, and what they staged with them.
    ///
    /// - Parameter onReady: called once, with the port, when connections are taken.
    /// - Throws: `io` if the address cannot be listened on; `invalidArgument` for a certificate
    ///   that cannot be used.
    public func run(
        onReady: @escaping @Sendable (Int) async -> Void = { _ in }
    ) async throws(DatabaseError) {
        let leases = PeerLeases()
        let application = try application(leases, onReady)
        var services = ServiceGroupConfiguration(
            services: [
                .init(service: LeaseService(leases: leases), successTerminationBehavior: .ignore),
                .init(
                    service: application, successTerminationBehavior: .gracefullyShutdownGroup,
                    failureTerminationBehavior: .gracefullyShutdownGroup),
            ], logger: logger)
        services.maximumGracefulShutdownDuration = Self.stopLimit
        let group = ServiceGroup(configuration: services)
        self.services.withLock { $0 = group }
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await group.run()) } catch { outcome = .failure(error) }
        await leases.dropAll()
        do { try outcome.get() } catch is CancellationError {
            // Cancelled: it is stopped, as was asked.
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            throw DatabaseError(
                .io,
                "port \(configuration.port) of \(configuration.host.printable) is taken by another program: "
                    + "choose another (--port; 0 takes one that is free)")
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
            additionalChannelHandlers: [
                ReceiveBufferHandler(), ContinueHandler(),
                RequestDeadlineHandler(first: Self.headTimeout, next: Self.idleTimeout),
            ],
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
