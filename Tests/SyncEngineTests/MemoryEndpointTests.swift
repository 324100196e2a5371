import PlantDBCore
import PlantDBTesting
import Testing

@Suite struct MemoryEndpointTests {
    @Test("The memory endpoint keeps the contract", arguments: EndpointContract.checks)
    func contract(_ check: ContractCheck) async throws {
        #expect(try await check.run(on: MemoryFixture()) != .notApplicable("it does not offer updates"))
    }

    @Test("So it does where names are folded", arguments: EndpointContract.foldedNameChecks)
    func foldedNames(_ check: ContractCheck) async throws {
        #expect(try await check.run(on: MemoryFixture(foldsNames: true)) == .held)
    }

    @Test(
        "So it does with coarse times, no digests, small parts in any order",
        arguments: EndpointContract.checks)
    func weakContract(_ check: ContractCheck) async throws {
        let capabilities = EndpointCapabilities(provesDigests: false, timePrecisionNanoseconds: 2_000_000_000)
        try await check.run(
            on: MemoryFixture(capabilities: capabilities, order: .shuffled(seed: 3), chunkSize: 100))
    }

    @Test("So it does where only new scans can be written, or nothing", arguments: EndpointContract.checks)
    func narrowContract(_ check: ContractCheck) async throws {
        for writes in [EndpointCapabilities.Writes.newScans, .none] {
            try await check.run(on: MemoryFixture(capabilities: EndpointCapabilities(writes: writes)))
        }
    }

    @Test("A faulty endpoint without faults keeps the contract", arguments: EndpointContract.checks)
    func faultlessContract(_ check: ContractCheck) async throws {
        try await check.run(on: FaultlessFixture())
    }

    @Test("An endpoint that breaks its promises is found out")
    func liarsAreFound() async throws {
        let lies: [FaultPlan.Fault] = [
            .always(.listing, .listNothing), .always(.manifest, .withholdDigests),
            .always(.part, .corrupt), .always(.commit, .failAfterwards(.io)),
        ]
        for lie in lies {
            var violations = 0
            for check in EndpointContract.checks {
                do { _ = try await check.run(on: LyingFixture(fault: lie)) } catch { violations += 1 }
            }
            #expect(violations > 0, "nobody noticed \(lie)")
        }
    }

    @Test("An update publishes data, then metadata, then files.json, and removes last")
    func publishOrder() async throws {
        let scan = try ScanID("plant")
        var old = try SampleTree.plant(images: 3)
        try old.file("zzz/last.bin", "z")
        let database = MemoryDatabase(SampleDatabase(scans: [scan: old]))
        let endpoint = MemoryEndpoint(database)
        let base = try #require(try await endpoint.manifest(of: scan, detail: .listing)).revision
        let transaction = try await endpoint.beginTransaction(
            on: scan, replacing: base, options: TransactionOptions())
        _ = try await transaction.receive(
            old.parts(old.paths.filter { !$0.rawValue.hasPrefix("zzz") }), meter: ByteMeter())
        try await transaction.remove([try ScanPath("zzz/last.bin"), try ScanPath("zzz")])
        try await transaction.commit()
        let ranks = database.journal.map { step -> Int in
            switch step {
            case .file(_, .index): 3
            case .file(_, let path), .directory(_, let path): path.isWithin(.metadata) ? 2 : 1
            case .attributes: 4
            case .removal: 5
            case .scan, .scanRemoval: 0
            }
        }
        #expect(ranks == ranks.sorted())
        #expect(ranks.contains(3) && ranks.filter { $0 == 5 }.count == 2)
        #expect(database.openTransactionCount == 0 && database.heldLockCount == 0)
    }
}

private struct FaultlessFixture: ContractFixture {
    let database = MemoryDatabase()

    func connect() async throws -> any DatabaseEndpoint {
        FaultyEndpoint(MemoryEndpoint(database), FaultPlan())
    }

    func tamper(with scan: ScanID, _ tree: SampleTree?) async throws -> Bool {
        database.set(scan, to: tree)
        return true
    }
}

private struct LyingFixture: ContractFixture {
    let database = MemoryDatabase()
    let fault: FaultPlan.Fault

    func connect() async throws -> any DatabaseEndpoint { FaultyEndpoint(MemoryEndpoint(database), fault) }
}
