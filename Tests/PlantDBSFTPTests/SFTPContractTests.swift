import PlantDBCore
import PlantDBTesting
import Testing

@Suite(.enabled(if: SSHServer.isAvailable, "SSH NOT TESTED: sshd is missing"))
struct SFTPContractTests {
    @Test("A database over SSH keeps the contract", arguments: EndpointContract.checks)
    func contract(_ check: ContractCheck) async throws { _ = try await check.run(on: SSHFixture()) }

    @Test(
        "On a disk that does not tell upper and lower case apart nothing is lost by another spelling",
        .enabled(
            if: CaseInsensitiveDisk.missing == nil, "FOLDED NAMES NOT TESTED: no exFAT by FUSE, as root"),
        arguments: EndpointContract.foldedNameChecks)
    func foldedNames(_ check: ContractCheck) async throws {
        let disk = try CaseInsensitiveDisk()
        #expect(try await check.run(on: SSHFixture(in: disk.path)) == .held)
    }
}
