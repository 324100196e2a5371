import FSDB
import Foundation
import NIOCore
import PlantDBClient
import PlantDBCore
import PlantDBSync
import PlantDBTesting
import SyncEngine
import Synchronization
import Testing

/// Whole runs against PlantDB's own servers, as they are.
@Suite(.serialized, .enabled("needs upstream's servers", { await UpstreamRelease.areInstalled }))
struct UpstreamServerTests {
    private let folder: TemporaryDirectory

    init() throws { folder = try TemporaryDirectory() }

    /// What the servers keep beside the scans.
    private static let own: Set<String> = [
        "users.json", "groups.json", ".locks", "lock", "romidb", "webcache",
    ]

    private struct Run {
        var report: SyncReport
        var waits: [String]
    }

    private func run(
        _ source: String, _ target: String, login: Bool = true,
        _ change: (inout SyncOptions) -> Void = { _ in }
    ) async throws -> Run {
        var options = SyncOptions()
        change(&options)
        var access = RemoteAccess()
        // The account that a server makes at its first start.
        if login { access.login = Login(user: "admin", password: "admin") }
        let one = try await openDatabase(source, as: .source)
        let two = try await openDatabase(target, as: .target, access: access)
        let waits = Mutex<[String]>([])
        let report = await SyncEngine(source: one, target: two, options: options).run { event in
            if case .waiting(let text) = event { waits.withLock { $0.append(text) } }
        }
        await two.close()
        await one.close()
        return Run(report: report, waits: waits.withLock { $0 })
    }

    private func server(_ release: UpstreamRelease, _ database: String) async throws -> UpstreamServer {
        try await UpstreamServer(release, database: database, folder: folder)
    }

    /// Files by their paths, of all scans.
    private func content(_ path: String) throws -> [String: Digest] {
        try treeSnapshot(path).items.reduce(into: [:]) { result, item in
            guard item.value.kind == "file", let digest = item.value.digest,
                !Self.own.contains(String(item.key.prefix { $0 != "/" }))
            else { return }
            result[item.key] = digest
        }
    }

    /// The genuine scans, or some of ours where those are absent.
    private func genuine(_ name: String) throws -> (path: String, scans: [String]) {
        let path = folder.appending(name)
        let scans = ["arabidopsis000", "real_plant", "virtual_plant"]
        guard let romiDataset else {
            try SampleDatabase.plants(3, images: 12).write(to: path)
            return (path, ["plant_0", "plant_1", "plant_2"])
        }
        try FSDB.createEmptyDatabase(at: path)
        for scan in scans {
            try FileManager.default.copyItem(atPath: "\(romiDataset)/\(scan)", toPath: "\(path)/\(scan)")
        }
        return (path, scans)
    }

    @Test("Genuine scans come down whole, and a second run moves nothing", arguments: UpstreamRelease.tested)
    func down(_ release: UpstreamRelease) async throws {
        let (source, scans) = try genuine("source")
        let target = folder.appending("target")
        try FSDB.createEmptyDatabase(at: target)
        let before = try content(source)
        // Each scan costs two archives, and a server gives five a minute: so it starts anew.
        for names in [Array(scans[..<2]), Array(scans[2...])] {
            let server = try await server(release, source)
            let first = try await run(server.url, target) { $0.selection.scans = names }
            #expect(first.report.errors.isEmpty, "\(first.report.errors)")
            #expect(first.report.scansPublished == names.count && first.waits.isEmpty)
            server.stop()
        }
        #expect(try content(target) == before)
        let again = try await server(release, source)
        let second = try await run(again.url, target)
        #expect(second.report.errors.isEmpty && second.report.totals.bytesMoved == 0)
        #expect(second.report.scansUnchanged == scans.count && second.waits.isEmpty)
        again.stop()
        try folder.remove()
    }

    @Test(
        "Genuine scans go up whole, the server can be started again, and a second run moves nothing",
        arguments: UpstreamRelease.tested)
    func up(_ release: UpstreamRelease) async throws {
        let (source, scans) = try genuine("source")
        let target = folder.appending("target")
        try FSDB.createEmptyDatabase(at: target)
        let first = try await server(release, target)
        let sent = try await run(source, first.url)
        #expect(sent.report.errors.isEmpty, "\(sent.report.errors)\n\(first.log(last: 2000))")
        #expect(sent.report.scansPublished == scans.count)
        let client = try await PlantDBRestClient(HTTPAccess(try ServerAddress(first.url)))
        #expect(try await Set(client.listScanNames()) == Set(scans))
        #expect(try await client.scansInfo().count == scans.count)
        await client.close()
        #expect(!release.needsLogin || first.log(last: 100_000).contains("/logout HTTP/1.1\" 200"))
        first.stop()

        let (wanted, there) = (try content(source), try content(target))
        #expect(wanted.filter { there[$0.key] != $0.value }.keys.sorted() == [])
        // A scan without metadata gets some of the server's own.
        let more = there.keys.filter { wanted[$0] == nil }
        #expect(more.allSatisfy { $0.hasSuffix("/metadata/metadata.json") }, "\(more)")

        let again = try await server(release, target)
        let second = try await run(source, again.url)
        #expect(second.report.errors.isEmpty && second.report.totals.bytesMoved == 0)
        #expect(second.report.scansUnchanged == scans.count)
        again.stop()
        try folder.remove()
    }

    @Test(
        "Changes go where the release takes them; what it does not is named, and nothing is removed",
        arguments: UpstreamRelease.tested)
    func changes(_ release: UpstreamRelease) async throws {
        let (source, target) = (folder.appending("source"), folder.appending("target"))
        try SampleDatabase.plants(2, images: 4).write(to: source)
        try FSDB.createEmptyDatabase(at: target)
        let before = try await self.server(release, target)
        let first = try await run(source, before.url)
        #expect(first.report.errors.isEmpty, "\(first.report.errors)")
        before.stop()
        let server = try await server(release, target)

        try writeFile(source + "/plant_0/images/00001_rgb.jpg", Array("another".utf8))
        try writeFile(source + "/plant_0/images/empty.jpg", [])
        try writeFile(source + "/plant_0/metadata/metadata.json", Array(#"{"new": 1}"#.utf8))
        try removeTree(source + "/plant_0/images/00002_rgb.jpg")
        try removeTree(source + "/plant_1")
        let second = try await run(source, server.url) {
            $0.deletion = .delete(limit: .percent(100))
            // The server shows no times, so that nobody knows whose are newer.
            $0.metadata = .source
        }
        #expect(second.report.errors.isEmpty, "\(second.report.errors)")
        let counts = second.report.totals
        #expect(counts.filesMoved == (release.replacesFiles ? 2 : 0))
        // A file without content cannot be sent alone.
        #expect(counts.filesUnresolved == (release.replacesFiles ? 1 : 3))
        let notices = second.report.notices.map(\.message).joined(separator: "\n")
        #expect(notices.contains("images/00002_rgb.jpg stays on the target"))
        #expect(notices.contains("scan plant_1 is not removed from the target"))
        let there = try content(target)
        #expect(there["plant_0/images/00002_rgb.jpg"] != nil && there["plant_1/files.json"] != nil)
        let isNew = there["plant_0/images/00001_rgb.jpg"] == Digest(of: Array("another".utf8))
        #expect(isNew == release.replacesFiles)
        server.stop()
        try folder.remove()
    }

    @Test("From one server to another, without a copy in between", arguments: UpstreamRelease.tested)
    func betweenServers(_ release: UpstreamRelease) async throws {
        let (source, target) = (folder.appending("source"), folder.appending("target"))
        // So many files that they come as an archive; 0.14's is made anew, the other's handed on.
        try SampleDatabase.plants(1, images: 30).write(to: source)
        try FSDB.createEmptyDatabase(at: target)
        let other: UpstreamRelease = release == .v014 ? .v017 : .v014
        let (left, right) = (try await server(release, source), try await server(other, target))
        let first = try await run(left.url, right.url)
        #expect(first.report.errors.isEmpty && first.report.scansPublished == 1, "\(first.report.errors)")
        #expect(try content(source) == content(target))
        right.stop()
        left.stop()
        try folder.remove()
    }

    @Test(
        "A foreign source server never sees the target's token, and one given token without a side is refused",
        arguments: UpstreamRelease.tested)
    func secretsOfTheTarget(_ release: UpstreamRelease) async throws {
        let (source, target) = (folder.appending("source"), folder.appending("target"))
        try SampleDatabase.plants(1, images: 30).write(to: source)
        try FSDB.createEmptyDatabase(at: target)
        let token = "canary-token-0123456789"
        try writeFile(folder.appending("token"), Array(token.utf8))
        let foreign = try await server(release, source)
        let proxy = try RecordingProxy(before: foreign.url)
        let plantdb = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
            .deletingLastPathComponent().appendingPathComponent("plantdb").path
        let port = try freePort()
        let ours = Process()
        ours.executableURL = URL(fileURLWithPath: plantdb)
        ours.arguments = ["serve", target, "--port", String(port), "--token-file", folder.appending("token")]
        ours.standardOutput = FileHandle.nullDevice
        ours.standardError = FileHandle.nullDevice
        try ours.run()
        defer {
            ours.terminate()
            ours.waitUntilExit()
        }
        for _ in 0..<300 where try await isGone("http://127.0.0.1:\(port)") {
            try await Task.sleep(for: .milliseconds(100))
        }
        let pair = ["sync", proxy.url, "http://127.0.0.1:\(port)"]
        let environment = ["PLANTDB_STATE": "", "PLANTDB_CONFIG": ""]
        let refused = try await runProgram(
            plantdb, pair + ["--token-file", folder.appending("token")], environment: environment)
        #expect(refused.status == 2 && !proxy.isUsed, "\(refused.output)")
        let done = try await runProgram(
            plantdb, pair + ["--target-token-file", folder.appending("token")], environment: environment)
        #expect(done.status == 0, "\(done.output)\n\(foreign.log(last: 2000))")
        #expect(proxy.isUsed && !proxy.received(token) && !proxy.received("Authorization"))
        #expect(try content(source) == content(target))
        proxy.stop()
        foreign.stop()
        try folder.remove()
    }

    @Test("An archive goes from one server to another as it is, and a file that changes meanwhile stops it")
    func passing() async throws {
        let source = folder.appending("source")
        try SampleDatabase.plants(1, images: 30).write(to: source)
        let left = try await server(.v017, source)
        let endpoint = try #require(
            try await openDatabase(left.url, as: .source) as? RestEndpoint)
        // Five archives a minute are answered; this takes five.
        let manifest = try #require(try await endpoint.manifest(of: ScanID("plant_0"), detail: .listing))
        let passed = try #require(try await endpoint.archive(of: EntrySelection(all: manifest)))
        func bytes(_ pull: () async throws(DatabaseError) -> ByteBuffer?) async throws -> [UInt8] {
            var result: [UInt8] = []
            while let piece = try await pull() { result += piece.readableBytesView }
            return result
        }
        let answer = try await endpoint.client.downloadArchive(of: ScanID("plant_0"))
        let expected = try await answer.collect(upTo: 1 << 24)
        #expect(try await bytes(passed.pieces(ByteMeter())) == expected)
        #expect(passed.size == Int64(expected.count))
        let metadata = try bytesOnDisk(source + "/plant_0/metadata/metadata.json")
        #expect(passed.scanMetadata().map { Array($0.readableBytesView) } == metadata)

        // Of equal size: only its CRC-32 is another.
        let image = source + "/plant_0/images/00001_rgb.jpg"
        try writeFile(image, Array(try bytesOnDisk(image).reversed()))
        let changed = try #require(try await endpoint.archive(of: EntrySelection(all: manifest)))
        await #expect { try await bytes(changed.pieces(ByteMeter())) } throws: {
            ($0 as? DatabaseError)?.code == .sourceChanged
        }
        await endpoint.close()

        left.stop()
        try folder.remove()
    }

    @Test("Writing needs the right login where the release has logins; without one nothing is sent")
    func logins() async throws {
        let release = UpstreamRelease.v017
        let (source, target) = (folder.appending("source"), folder.appending("target"))
        try SampleDatabase.plants(1).write(to: source)
        try FSDB.createEmptyDatabase(at: target)
        let server = try await server(release, target)
        let without = try await run(source, server.url, login: false)
        #expect(without.report.error?.code == .authentication)
        #expect(without.report.error?.message.contains("--user") == true)
        var access = HTTPAccess(try ServerAddress(server.url))
        access.login = Login(user: "admin", password: "wr0ng-secret")
        let endpoint = try await openServer(access)
        let error = await #expect(throws: DatabaseError.self) {
            _ = try await endpoint.acquireLock(.database, mode: .exclusive, wait: .zero)
        }
        #expect(error?.code == .authentication && error?.description.contains("wr0ng-secret") == false)
        await endpoint.close()
        #expect(!server.log(last: 100_000).contains("POST /api/v1/assets/archive"))
        server.stop()
        try folder.remove()
    }

    @Test("Scans that a release cannot hold are refused by name, before anything is sent")
    func refusals() async throws {
        let (source, target) = (folder.appending("source"), folder.appending("target"))
        var database = try SampleDatabase.plants(1)
        try database.add("with.dots", .plant())
        var member = try SampleTree.plant()
        try member.file("metadata/metadata.json", #"{"timelapse": {"id": "TL"}}"#)
        try database.add("member", member)
        var deep = try SampleTree.plant()
        try deep.file("images/a/b/c.jpg", "x")
        try database.add("deep", deep)
        try database.write(to: source)
        try FSDB.createEmptyDatabase(at: target)
        let server = try await server(.v017, target)
        let run = try await run(source, server.url)
        let refused = Dictionary(
            run.report.scans.filter { $0.outcome == .failed }.map { ($0.scan?.rawValue ?? "", $0.errors) },
            uniquingKeysWith: +)
        #expect(Set(refused.keys) == ["with.dots", "member", "deep"], "\(run.report.errors)")
        #expect(run.report.scansPublished == 1)
        #expect(refused["with.dots"]?.first?.code == .invalidName)
        #expect(refused["deep"]?.first?.path == "images/a/b/c.jpg")
        server.stop()
        try folder.remove()
    }

    @Test("The client's functions do what they say", arguments: UpstreamRelease.tested)
    func client(_ release: UpstreamRelease) async throws {
        let database = folder.appending("database")
        try SampleDatabase.plants(2).write(to: database)
        let server = try await server(release, database)
        let client = try await PlantDBRestClient(HTTPAccess(try ServerAddress(server.url)))
        #expect(client.dialect.release == release.rawValue)
        #expect(try await client.isAvailable())
        #expect(try await Set(client.listScanNames()) == ["plant_0", "plant_1"])
        #expect(try await client.scan(try ScanID("plant_0"))["id"]?.string == "plant_0")
        #expect(try await client.scansInfo().count == 2)
        try await client.refresh()
        try await client.refresh(try ScanID("plant_0"))
        let archive = try await client.downloadArchive(of: try ScanID("plant_0")).collect(upTo: 1 << 24)
        #expect(archive.starts(with: Array("PK".utf8)))
        await #expect(throws: DatabaseError.self) { _ = try await client.scan(try ScanID("absent")) }
        if release.needsLogin {
            try await client.login(Login(user: "admin", password: "admin"))
            #expect(try await client.validateToken() == "admin")
            let token = try await client.createAPIToken(
                for: ["plant_*": [.read]], lifetime: .seconds(60))
            #expect(!"\(token)".contains("ey"))
            try await client.logout()
            await #expect(throws: DatabaseError(.authentication, "")) { _ = try await client.validateToken() }
        } else {
            await #expect(throws: DatabaseError(.unsupported, "")) {
                try await client.login(Login(user: "a", password: "b"))
            }
        }
        await client.close()
        server.stop()
        #expect(try await isGone(server.url))
        try folder.remove()
    }

    private func isGone(_ url: String) async throws -> Bool {
        do throws(DatabaseError) {
            await (try await PlantDBRestClient(HTTPAccess(try ServerAddress(url)))).close()
            return false
        } catch { return error.code == .unreachable }
    }
}
