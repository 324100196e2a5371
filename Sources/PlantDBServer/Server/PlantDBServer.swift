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
import ServedHTTP
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

    /// What is under way when the server is stopped may go on for so long.
    private static let stopLimit = Duration.seconds(3)

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
        let capacity = configuration.capacity ?? .ofThisProcess()
        let leases = PeerLeases(limit: capacity.leases)
        let application = try application(leases, capacity, onReady)
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

    private func application(
        _ leases: PeerLeases, _ capacity: ServerCapacity, _ onReady: @escaping @Sendable (Int) async -> Void
    ) throws(DatabaseError) -> some ApplicationProtocol & Service {
        let roster = ConnectionRoster(limit: capacity.connections)
        var builder = HTTPServerBuilder.http1(
            configuration: .guarded(
                by: roster, limits: configuration.limits, [ReceiveBufferHandler(), ContinueHandler()]))
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
            responder: routes(leases, capacity, roster).router.buildResponder(), server: builder,
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port), serverName: nil,
                availableConnectionsDelegate: MaximumAvailableConnections(
                    capacity.connections + ServerCapacity.excess)),
            onServerRunning: { channel in
                if let port = channel.localAddress?.port { await onReady(port) }
            },
            logger: logger)
    }

    func routes(_ leases: PeerLeases, _ capacity: ServerCapacity, _ roster: ConnectionRoster) -> RouteTable {
        let desk = AccountDesk(accounts: configuration.accounts.map(AccountFile.init))
        let journal = RequestJournal(logger: logger)
        let gate = AccessGate(
            token: configuration.token, desk: desk, isLoopback: configuration.isLoopback,
            readingIsOpen: !configuration.isClosed && (configuration.isLoopback || configuration.isOpen),
            writingIsOpen: configuration.isOpen)
        var table = RouteTable(
            gate: gate, journal: journal,
            ledger: RequestLedger(requests: capacity.requests, roster: roster))
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
