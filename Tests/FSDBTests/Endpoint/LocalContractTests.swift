import FSDB
import PlantDBCore
import PlantDBTesting
import Testing

/// A database in a folder of its own.
struct LocalFixture: ContractFixture {
    private let folder: TemporaryDirectory

    init() throws {
        folder = try TemporaryDirectory()
        try SampleDatabase().write(to: root)
    }

    private var root: String { folder.appending("database") }

    func connect() async throws -> any DatabaseEndpoint {
        try await FSDBEndpoint.open(path: root, .existing, digestCacheFile: folder.appending("digests"))
    }

    func tamper(with scan: ScanID, _ tree: SampleTree?) async throws -> Bool {
        try removeTree(root + "/" + scan.rawValue)
        try tree?.write(to: root + "/" + scan.rawValue)
        return true
    }

    func dispose() async throws { try folder.remove() }
}

@Suite struct LocalContractTests {
    @Test("A local database keeps the contract", arguments: EndpointContract.checks)
    func contract(_ check: ContractCheck) async throws {
        let outcome = try await check.run(on: LocalFixture())
        #expect(outcome == .held || check.name.contains("not offered"))
    }
}
