import FSDB
import PlantDBCore
import PlantDBServer
import Synchronization
import TestDatabases

/// A REST server for tests, in this process and on the loopback interface: whoever reaches it
/// may read and write.
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

    /// Where it answers, in the words of upstream's configuration.
    public struct ServerConfig: Sendable, Hashable {
        public let `protocol`: String
        public let host: String
        public let port: Int
        public let prefix: String
        public let ssl: Bool
    }

    /// Serves an existing database.
    ///
    /// - Parameter port: 0 picks a free one.
    public init(databasePath: String, host: String = "127.0.0.1", port: Int = 0, prefix: String = "") {
        self.databasePath = databasePath
        folder = nil
        configuration = Self.configuration(host, port, prefix)
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
        running.withLock { $0?.port }.map { "http://\(configuration.host):\($0)\(configuration.prefix)" }
    }

    /// nil while it does not run.
    public var serverConfig: ServerConfig? {
        running.withLock { $0?.port }.map {
            ServerConfig(
                protocol: "http", host: configuration.host, port: $0, prefix: configuration.prefix, ssl: false
            )
        }
    }
}
