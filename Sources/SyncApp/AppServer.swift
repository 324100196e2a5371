import Hummingbird
import HummingbirdCore
import Logging
import PlantDBCore
import PlantDBSync
import ServedHTTP
import ServiceLifecycle
import SyncEngine
import SyncHistory
import Synchronization

/// How the app is started.
public struct AppConfiguration: Sendable {
    /// On the loopback interface; 0: one that is free.
    public var port = 0
    /// Shown by the page.
    public var version = "unknown"
    /// What the page begins with.
    public var source: String?
    public var target: String?
    /// Offered by name; asked whenever the page begins.
    public var namedDatabases: @Sendable () throws(DatabaseError) -> [(name: String, location: String)] = {
        []
    }
    /// What a location stands for that may be a name (`lab:`), and how it is reached.
    public var place: @Sendable (String) throws(DatabaseError) -> (location: String, access: RemoteAccess) = {
        ($0, RemoteAccess())
    }
    /// Shown by the page; nil: none is kept.
    public var history: RunHistory?
    /// Called when a run begins; what it returns is called when it has ended, and keeps it in the history.
    public var keep:
        @Sendable (_ run: RunID, _ source: String, _ target: String) -> (@Sendable (SyncReport) -> Void)? = {
            _, _, _ in nil
        }
    /// The program that ssh starts to be told a password, which calls `AskpassHelper`; nil: keys only.
    public var askpassProgram: String?

    public init() {}
}

/// The sync app: a page in the browser of this machine, served to its user (``LoopbackPeer``) with the
/// launch token.
///
/// It listens on the loopback interface only.
public final class AppServer: Sendable {
    private let configuration: AppConfiguration
    private let token = AppServer.randomText()
    private let group = Mutex<ServiceGroup?>(nil)

    public init(configuration: AppConfiguration) { self.configuration = configuration }

    /// 256 random bits.
    private static func randomText() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<4).map { _ in
            let digits = String(generator.next() as UInt64, radix: 36)
            return String(repeating: "0", count: 13 - digits.count) + digits
        }.joined()
    }

    /// Serves until ``stop()``; jobs at work are then stopped, and what they published stays.
    ///
    /// - Parameter onReady: called once, with the address to open: it holds the launch token, after
    ///   `#`, where no server and no log sees it.
    /// - Throws: `io` if the port cannot be listened on.
    public func run(onReady: @escaping @Sendable (String) async -> Void) async throws(DatabaseError) {
        // The gate must know the port, which a free one is known only when it is taken.
        let port: Int
        if configuration.port == 0 { port = try LoopbackPort.free() } else { port = configuration.port }
        let workspace = Workspace(configuration)
        let routes = AppRoutes(
            workspace: workspace, gate: AppGate(token: token, session: Self.randomText(), port: port),
            configuration: configuration)
        var logger = Logger(label: "plantdb.app")
        logger.logLevel = .warning
        let url = "http://127.0.0.1:\(port)/#token=\(token)"
        let capacity = ServerCapacity.ofThisProcess()
        let application = Application(
            responder: routes.router().buildResponder(),
            server: .http1(configuration: .guarded(by: ConnectionRoster(limit: capacity.connections))),
            configuration: ApplicationConfiguration(
                address: .hostname("127.0.0.1", port: port), serverName: nil,
                availableConnectionsDelegate: MaximumAvailableConnections(
                    capacity.connections + ServerCapacity.excess)),
            onServerRunning: { _ in await onReady(url) }, logger: logger)
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    .init(
                        service: application, successTerminationBehavior: .gracefullyShutdownGroup,
                        failureTerminationBehavior: .gracefullyShutdownGroup)
                ], logger: logger))
        self.group.withLock { $0 = group }
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await group.run()) } catch { outcome = .failure(error) }
        await workspace.close()
        do { try outcome.get() } catch is CancellationError {
            // It is stopped, as was asked.
        } catch {
            throw DatabaseError(
                .io, "cannot serve the app on 127.0.0.1:\(port)", cause: String(describing: error).printable)
        }
    }

    /// Stops a server that runs. Returns at once.
    public func stop() async { await group.withLock { $0 }?.triggerGracefulShutdown() }
}
