import FSDB
import Foundation
import PlantDBClient
import PlantDBCore
import PlantDBSync
import PlantDBTesting
import SyncEngine
import Synchronization
import Testing

@testable import PlantDBServer

/// Whole runs over a real server of ours: every pairing, and what goes wrong on the way.
@Suite struct HTTPSyncTests {
    private let folder: TemporaryDirectory

    init() throws { folder = try TemporaryDirectory() }

    private func database(_ seed: UInt64) throws -> SampleDatabase {
        var database = try SampleDatabase.plants(3, images: 12, seed: seed)
        var large = try SampleTree.minimal("large")
        var generator = SplitMix64(seed: seed)
        try large.file("images/large.bin", generator.bytes(3_000_001))
        try large.file("images/a file's “näme” -rf $(x)", "odd")
        try large.file("images/empty", "")
        try large.writeIndex()
        try database.add("large", large)
        return database
    }

    private func run(_ source: String, _ target: String, _ options: SyncOptions = SyncOptions()) async throws
        -> SyncReport
    {
        let one = try await openDatabase(source, as: .source)
        let two = try await openDatabase(target, as: .target)
        let report = await SyncEngine(source: one, target: two, options: options).run()
        await two.close()
        await one.close()
        return report
    }

    @Test(
        "A certificate that has expired is told so; one of nobody known is not",
        .enabled(if: TestCertificate.isAvailable, "CERTIFICATES NOT TESTED: openssl is missing"),
        arguments: [true, false])
    func certificates(hasExpired: Bool) async throws {
        let source = folder.appending("source")
        try SampleDatabase.plants(1).write(to: source)
        let certificate = try TestCertificate(hasExpired: hasExpired)
        let server = TestRestApiServer(databasePath: source, tls: certificate)
        try await server.start()
        var access = RemoteAccess()
        if hasExpired { access.certificateAuthority = certificate.certificatePath }
        let location = try #require(server.baseURL)
        do throws(DatabaseError) {
            let opened = try await openDatabase(location, as: .source, access: access)
            await opened.close()
            Issue.record("it was taken")
        } catch {
            #expect(error.code == .authentication, "\(error)")
            #expect(error.message.contains("expired on") == hasExpired, "\(error)")
            #expect(error.message.contains("--cacert") != hasExpired, "\(error)")
        }
        try await server.stop()
        try folder.remove()
    }

    enum Side: CaseIterable { case local, server }

    @Test(
        "Both ways and between two servers: all of it arrives, a second run moves nothing, changes and deletions follow",
        arguments: [(Side.local, Side.server), (.server, .local), (.server, .server)])
    func pairings(_ from: Side, _ to: Side) async throws {
        let (source, target) = (folder.appending("source"), folder.appending("target"))
        try database(1).write(to: source)
        try FSDB.createEmptyDatabase(at: target)
        let (left, right) = (
            TestRestApiServer(databasePath: source), TestRestApiServer(databasePath: target, prefix: "/lab")
        )
        try await left.start()
        try await right.start()
        let one = from == .server ? try #require(left.baseURL) : source
        let two = to == .server ? try #require(right.baseURL) : target
        let first = try await run(one, two)
        #expect(first.errors.isEmpty && first.scansPublished == 4, "\(first.errors)")
        // The server keeps its staging directory until it stops.
        #expect(try databaseDifferences(source, target).filter { !$0.hasPrefix(".plantdb-sync") } == [])
        let second = try await run(one, two)
        #expect(second.errors.isEmpty && second.totals.filesMoved == 0 && second.scansPublished == 0)

        try removeTree(source + "/plant_2")
        try removeTree(source + "/plant_1/scan.toml")
        try writeFile(source + "/plant_0/images/00001_rgb.jpg", Array("another".utf8))
        var options = SyncOptions()
        options.deletion = .delete(limit: .percent(100))
        options.deletesUnknown = true
        options.comparison = .checksum
        let third = try await run(one, two, options)
        #expect(third.errors.isEmpty, "\(third.errors)")
        try await left.stop()
        try await right.stop()
        #expect(try databaseDifferences(source, target) == [])
        for path in [source, target] {
            #expect(!FileManager.default.fileExists(atPath: path + "/lock"))
            #expect(!FileManager.default.fileExists(atPath: path + "/.plantdb-sync"))
        }
        try folder.remove()
    }

    @Test("A connection that is cut anywhere is made again, and a file goes on where it was")
    func cuts() async throws {
        let (source, target) = (folder.appending("source"), folder.appending("target"))
        try database(2).write(to: source)
        let server = TestRestApiServer(databasePath: source)
        try await server.start()
        let config = try #require(server.serverConfig)
        let proxy = try await CuttingProxy.start(to: config.port, .none)
        for seed in TestSeed.rounds(12) {
            var generator = seed.generator
            if FileManager.default.fileExists(atPath: target) { try removeTree(target) }
            proxy.set(.cut(after: Int.random(in: 100_000..<1_500_000, using: &generator)))
            let location = "http://127.0.0.1:\(proxy.port)"
            var report = try await run(location, target)
            if !report.errors.isEmpty {
                // Cut too often to get through: nothing of a scan is there, and the same command ends it.
                proxy.set(.none)
                report = try await run(location, target)
            }
            #expect(report.errors.isEmpty, "\(seed): \(report.errors)")
            #expect(try databaseDifferences(source, target) == [], "\(seed)")
        }
        #expect(proxy.faults.load(ordering: .relaxed) > 0)
        try await proxy.stop()
        try await server.stop()
        try folder.remove()
    }

    @Test("Bytes damaged on the way are never published")
    func damage() async throws {
        let (source, target) = (folder.appending("source"), folder.appending("target"))
        try database(3).write(to: source)
        let server = TestRestApiServer(databasePath: source)
        try await server.start()
        let proxy = try await CuttingProxy.start(to: try #require(server.serverConfig).port, .none)
        for position in [20_000, 400_000, 2_000_000] {
            proxy.set(.damage(at: position))
            var options = SyncOptions()
            options.retries = 0
            let report = try await run("http://127.0.0.1:\(proxy.port)", target, options)
            // A run that did not begin made no target.
            guard FileManager.default.fileExists(atPath: target) else { continue }
            for scan in try FileManager.default.contentsOfDirectory(atPath: target)
            where !scan.hasPrefix(".") && scan != "romidb" {
                #expect(
                    try databaseDifferences(source + "/" + scan, target + "/" + scan) == [],
                    "\(report.errors)")
            }
        }
        #expect(proxy.faults.load(ordering: .relaxed) > 0)
        proxy.set(.none)
        let report = try await run("http://127.0.0.1:\(proxy.port)", target)
        #expect(report.errors.isEmpty)
        #expect(try databaseDifferences(source, target) == [])
        try await proxy.stop()
        try await server.stop()
        try folder.remove()
    }

    @Test("A server that stops answering ends in an error in time")
    func stall() async throws {
        let source = folder.appending("source")
        try database(4).write(to: source)
        let server = TestRestApiServer(databasePath: source)
        try await server.start()
        let proxy = try await CuttingProxy.start(to: try #require(server.serverConfig).port, .none)
        var access = HTTPAccess(try ServerAddress("http://127.0.0.1:\(proxy.port)"))
        // A busy machine answers late while it is opened.
        access.idleTimeout = .seconds(8)
        let endpoint = try await openServer(access)
        proxy.set(.stall(after: 0))
        let error = await #expect(throws: DatabaseError.self) { _ = try await endpoint.listing() }
        #expect(error?.code == .unreachable)
        await endpoint.close()
        try await proxy.stop()
        try await server.stop()
        try folder.remove()
    }

    @Test("A server that is none of ours is said to be none")
    func strangers() async throws {
        let error = await #expect(throws: DatabaseError.self) {
            _ = try await openDatabase("http://127.0.0.1:1", as: .source)
        }
        #expect(error?.code == .unreachable)
    }
}
