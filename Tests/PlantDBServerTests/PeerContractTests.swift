import PlantDBClient
import PlantDBCore
import PlantDBTesting
import Testing

/// A database behind a server of ours.
private struct PeerFixture: ContractFixture {
    private let folder: TemporaryDirectory
    private let server: TestRestApiServer

    init() async throws {
        folder = try TemporaryDirectory()
        let root = folder.appending("database")
        try SampleDatabase().write(to: root)
        server = TestRestApiServer(databasePath: root, prefix: "/lab")
        try await server.start()
    }

    func connect() async throws -> any DatabaseEndpoint {
        try await openServer(HTTPAccess(try ServerAddress(#require(server.baseURL))))
    }

    func tamper(with scan: ScanID, _ tree: SampleTree?) async throws -> Bool {
        try removeTree(server.databasePath + "/" + scan.rawValue)
        try tree?.write(to: server.databasePath + "/" + scan.rawValue)
        return true
    }

    func dispose() async throws {
        try await server.stop()
        try folder.remove()
    }
}

@Suite struct PeerContractTests {
    @Test("A database behind our server keeps the contract", arguments: EndpointContract.checks)
    func contract(_ check: ContractCheck) async throws { _ = try await check.run(on: PeerFixture()) }
}
