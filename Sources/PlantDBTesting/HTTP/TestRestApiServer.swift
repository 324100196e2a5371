import FSDB
import PlantDBClient
import PlantDBCore
import PlantDBServer
import Synchronization
import TestDatabases

/// A REST server for tests, in this process and on the loopback interface: whoever reaches it
/// may read, and write as well unless it is told otherwise.
public final class TestRestApiServer: Sendable {
    public let databasePath: String
    private let configuration: ServerConfiguration
    /// Holds a database that was made for this server.
    private let folder: TemporaryDirectory?
    private let running = Mutex<Running?>(nil)

    private struct Running {
        let server: PlantDBServer
        let work: Task<Void, any Error>
        let port: Int
    }

    /// Serves an existing database.
    ///
    /// - Parameters:
    ///   - port: 0 picks a free one.
    ///   - isOpen: false: writing needs an account of the database's `users.json`.
    ///   - tls: the certificate and its key, for https; nil: http.
    public init(
        databasePath: String, host: String = "127.0.0.1", port: Int = 0, prefix: String = "",
        isOpen: Bool = true, tls: TestCertificate? = nil
    ) {
        self.databasePath = databasePath
        folder = nil
        var configuration = Self.configuration(host, port, prefix)
        configuration.isOpen = isOpen
        configuration.accounts = databasePath + "/users.json"
        configuration.certificate = tls?.certificatePath
        configuration.privateKey = tls?.keyPath
        self.configuration = configuration
    }

    /// Serves a temporary database, which ``stop()`` removes.
    ///
    /// - Parameters:
    ///   - test: with the documented dataset `real_plant_analyzed` in it.
    ///   - empty: with nothing in it; goes before `test`.
    /// - Throws: `io`.
    public init(
        test: Bool = true, empty: Bool = false, host: String = "127.0.0.1", port: Int = 0, prefix: String = ""
    ) async throws {
        let folder = try TemporaryDirectory()
        self.folder = folder
        databasePath = folder.appending("database")
        configuration = Self.configuration(host, port, prefix)
        if empty || !test {
            try FSDB.createEmptyDatabase(at: databasePath)
        } else {
            _ = try await testDatabase(at: databasePath)
        }
    }

    private static func configuration(_ host: String, _ port: Int, _ prefix: String) -> ServerConfiguration {
        var configuration = ServerConfiguration()
        configuration.host = host
        configuration.port = port
        configuration.prefix = prefix
        configuration.isOpen = true
        return configuration
    }

    /// Returns when it takes connections. Does nothing if it runs.
    /// - Throws: `notADatabase`; `io` if it cannot listen.
    public func start() async throws {
        guard !isRunning else { return }
        let endpoint = try await FSDBEndpoint.open(path: databasePath, .existing)
        let server = try PlantDBServer(endpoint, configuration: configuration)
        let (ports, ready) = AsyncStream<Int>.makeStream()
        let work = Task {
            defer { ready.finish() }
            do {
                try await server.run { port in ready.yield(port) }
            } catch {
                await endpoint.close()
                throw error
            }
            await endpoint.close()
        }
        for await port in ports {
            running.withLock { $0 = Running(server: server, work: work, port: port) }
            return
        }
        // It ended before it took connections.
        try await work.value
    }

    /// Returns when it has ended. Does nothing if it does not run.
    public func stop() async throws {
        let ending = running.withLock { running in
            defer { running = nil }
            return running
        }
        if let ending {
            await ending.server.stop()
            try await ending.work.value
        }
        try folder?.remove()
    }

    public var isRunning: Bool { running.withLock { $0 != nil } }

    /// nil while it does not run.
    public var baseURL: String? {
        running.withLock { $0?.port }.map { "\(scheme)://\(configuration.host):\($0)\(configuration.prefix)" }
    }

    private var scheme: String { configuration.certificate == nil ? "http" : "https" }

    /// nil while it does not run.
    public var serverConfig: ServerConfig? {
        running.withLock { $0?.port }.map {
            ServerConfig(
                protocol: scheme, host: configuration.host, port: $0,
                prefix: configuration.prefix.isEmpty ? "" : configuration.prefix + "/",
                ssl: scheme == "https")
        }
    }
}
