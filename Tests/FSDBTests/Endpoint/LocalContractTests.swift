import FSDB
import PlantDBCore
import PlantDBTesting
import Testing

/// A database in a folder of its own.
struct LocalFixture: ContractFixture {
    private let folder: TemporaryDirectory

    /// - Parameter place: where the folder lies; nil: where temporary ones do.
    init(in place: String? = nil) throws {
        folder = try TemporaryDirectory(in: place)
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

    @Test(
        "On a disk that does not tell upper and lower case apart nothing is lost by another spelling",
        .enabled(
            if: CaseInsensitiveDisk.missing == nil, "FOLDED NAMES NOT TESTED: no exFAT by FUSE, as root"),
        arguments: EndpointContract.foldedNameChecks)
    func foldedNames(_ check: ContractCheck) async throws {
        let disk = try CaseInsensitiveDisk()
        #expect(try await check.run(on: LocalFixture(in: disk.path)) == .held)
    }
}
