import PlantDBCore
import PlantDBTesting
import SyncEngine
import Testing

/// Targets that cannot do everything: what they cannot is named, and left alone.
@Suite struct WeakTargetTests {
    private let scan: ScanID

    init() throws { scan = try ScanID("plant") }

    private func manifest(_ files: [String: Int64], directories: [String] = []) throws -> ScanManifest {
        var entries = try files.map { FileEntry(path: try ScanPath($0.key), size: $0.value) }
        entries += try directories.map { FileEntry(path: try ScanPath($0), kind: .directory, size: 0) }
        return try ScanManifest(scan: scan, entries: entries)
    }

    private func actions(_ plan: ScanPlan) -> [String: PlanAction] {
        Dictionary(
            uniqueKeysWithValues: plan.items.map { (plan.entry(of: $0).path.rawValue, $0.action) })
    }

    @Test func directoriesWithoutFilesAreNamedAndThoseAroundFilesAreNot() throws {
        let planner = Planner(
            options: SyncOptions(), source: EndpointCapabilities(),
            target: EndpointCapabilities(keepsEmptyDirectories: false))
        let source = try manifest(
            ["a/b/c": 1], directories: ["a", "a/b", "a.empty", "a/empty", "a/empty/too"])
        let plan = try planner.plan(source: source, target: nil)
        #expect(
            actions(plan) == [
                "a": .createDirectory, "a/b": .createDirectory, "a/b/c": .createFile,
                "a.empty": .keepUnsupported, "a/empty": .keepUnsupported, "a/empty/too": .keepUnsupported,
            ])
        #expect(plan.unresolvedCount == 3)
    }

    @Test func filesThatCannotBeChangedAreNamedInAScanThatIsThereAndNotInANewOne() throws {
        let planner = Planner(
            options: SyncOptions(), source: EndpointCapabilities(), target: EndpointCapabilities(),
            canChange: { $0.size > 0 })
        let source = try manifest(["empty": 0, "new": 2, "changed": 0])
        let there = try planner.plan(source: source, target: try manifest(["changed": 4]))
        #expect(
            actions(there) == ["empty": .keepUnsupported, "new": .createFile, "changed": .keepUnsupported])
        let new = try planner.plan(source: source, target: nil)
        #expect(actions(new).values.allSatisfy { $0 == .createFile })
    }

    @Test func nothingIsDeletedWhereNothingCanBe() async throws {
        var options = SyncOptions()
        options.deletion = .delete(limit: .percent(100))
        let planner = Planner(
            options: options, source: EndpointCapabilities(), target: EndpointCapabilities(removes: false))
        let plan = try planner.plan(source: try manifest([:]), target: try manifest(["old": 1]))
        #expect(plan.deletions.isEmpty && !plan.hasWork)
    }

    @Test func whatStaysForThatReasonIsNamedInTheReport() async throws {
        let (source, target) = (MemoryDatabase(), MemoryDatabase())
        let left = MemoryEndpoint(source, name: "source")
        let all = MemoryEndpoint(target, name: "target")
        var database = try SampleDatabase.plants(2)
        try await copy(database, into: all)
        try database.scans[try ScanID("plant_0")]?.remove("images/00001_rgb.jpg")
        database.scans[try ScanID("plant_1")] = nil
        try await copy(database, into: left)
        let weak = MemoryEndpoint(
            target, name: "target", capabilities: EndpointCapabilities(removes: false))
        var options = SyncOptions()
        options.deletion = .delete(limit: .percent(100))
        let report = await SyncEngine(source: left, target: weak, options: options).run()
        let notices = report.notices.map(\.message).joined(separator: "\n")
        #expect(report.errors.isEmpty && report.totals.filesDeleted == 0, "\(report.errors)")
        #expect(notices.contains("images/00001_rgb.jpg stays on the target"), "\(notices)")
        #expect(notices.contains("scan plant_1 is not removed from the target"))
    }

    private func copy(_ database: SampleDatabase, into endpoint: MemoryEndpoint) async throws {
        for (scan, tree) in database.scans {
            let transaction = try await endpoint.beginTransaction(
                on: scan, replacing: nil, options: TransactionOptions())
            _ = try await transaction.receive(tree.parts(), meter: ByteMeter())
            try await transaction.commit()
        }
    }
}
