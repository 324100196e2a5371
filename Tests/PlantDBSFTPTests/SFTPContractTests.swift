import PlantDBCore
import PlantDBTesting
import Testing

@Suite(.enabled(if: SSHServer.isAvailable, "SSH NOT TESTED: sshd is missing"))
struct SFTPContractTests {
    @Test("A database over SSH keeps the contract", arguments: EndpointContract.checks)
    func contract(_ check: ContractCheck) async throws { _ = try await check.run(on: SSHFixture()) }
}
