import FSDB
import Foundation
import PlantDBCore
import PlantDBSFTP
import PlantDBSync
import PlantDBTesting
import SFTPClient
import SyncEngine
import Testing

/// Whole runs over a real server: every pairing, and what goes wrong on the way.
@Suite(.enabled(if: SSHServer.isAvailable, "SSH NOT TESTED: sshd is missing"))
struct SSHSyncTests {
    private let folder: TemporaryDirectory

    init() throws { folder = try TemporaryDirectory() }

    enum Side: CaseIterable {
        case local, remote

        func open(_ path: String, _ role: DatabaseRole) async throws -> any DatabaseEndpoint {
            switch self {
            case .local: try await openDatabase(path, as: role)
            case .remote: try await Loopback.open(path, role == .source ? .existing : .creating)
            }
        }
    }

    private func run(
        _ source: String, _ from: Side, _ target: String, _ to: Side, _ options: SyncOptions = SyncOptions()
    ) async throws -> SyncReport {
        let one = try await from.open(source, .source)
        let two = try await to.open(target, .target)
        let report = await SyncEngine(source: one, target: two, options: options).run()
        await two.close()
        await one.close()
        return report
    }

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

    @Test("The accounts of a database on another machine are found as those of one here")
    func accountsOfTheOtherMachine() async throws {
        let path = folder.appending("database")
        try database(1).write(to: path)
        for users in [nil, "", #"{"anna": {}}"#, #"[{"username": "anna"}]"#, "["] {
            if let users { try writeFile(path + "/users.json", Array(users.utf8)) }
            var answers: [Result<AccountNames?, DatabaseError>] = []
            for side in Side.allCases {
                let endpoint = try await side.open(path, .source)
                let listing = try #require(endpoint as? any AccountListing)
                do throws(DatabaseError) { answers.append(.success(try await listing.accountNames())) } catch
                {
                    answers.append(.failure(error))
                }
                await endpoint.close()
            }
            #expect(answers[0] == answers[1], "\(users ?? "none")")
        }
        try folder.remove()
    }

    @Test("The other machine's clock is asked by a command; an account that runs none does not tell")
    func clockOfTheOtherMachine() async throws {
        let path = folder.appending("database")
        try database(1).write(to: path)
        // Another clock, after what start-up files say.
        let bin = folder.appending("bin")
        try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: false)
        try writeFile(bin + "/date", Array("#!/bin/sh\necho welcome\necho 1000000000\n".utf8))
        chmod(bin + "/date", 0o755)
        for (isSFTPOnly, expected) in [(false, Int64(1_000_000_000)), (true, nil)] {
            // The first SetEnv counts, which is why HOME is here too.
            let server = try SSHServer(
                isSFTPOnly: isSFTPOnly,
                configuration: ["SetEnv HOME=\(folder.path) PATH=\(bin):/usr/bin:/bin"])
            var access = RemoteAccess()
            (access.sshOptions, access.identity) = (server.sshOptions, server.identity)
            let endpoint = try await openDatabase(
                "ssh://127.0.0.1:\(server.port)\(path)", as: .source, access: access)
            #expect(try await endpoint.currentTime()?.seconds == expected)
            await endpoint.close()
            server.stop()
        }
        try folder.remove()
    }

    @Test(
        "Both ways and between two servers: all of it arrives, a second run moves nothing, changes and deletions follow",
        arguments: [(Side.local, Side.remote), (.remote, .local), (.remote, .remote)])
    func pairings(_ from: Side, _ to: Side) async throws {
        let (source, target) = (folder.appending("source"), folder.appending("target"))
        try database(1).write(to: source)
        let first = try await run(source, from, target, to)
        #expect(first.errors.isEmpty && first.scansPublished == 4, "\(first.errors)")
        #expect(try databaseDifferences(source, target) == [])
        let second = try await run(source, from, target, to)
        #expect(second.errors.isEmpty && second.totals.filesMoved == 0 && second.scansPublished == 0)

        // One file of each stays: another scan of the same name would not be touched.
        let scans = try database(1).scans
        try removeTree(source)
        var next = try database(2)
        let images = try ScanPath("images")
        for (name, tree) in scans {
            guard let path = tree.filePaths.first(where: { $0.isWithin(images) }) else { continue }
            next.scans[name]?.set(path, try #require(tree[path]))
        }
        try next.write(to: source)
        try removeTree(source + "/plant_2")
        try removeTree(source + "/plant_1/scan.toml")
        var options = SyncOptions()
        options.deletion = .delete(limit: .percent(100))
        options.deletesUnknown = true
        options.metadata = .source
        options.comparison = .checksum
        let third = try await run(source, from, target, to, options)
        #expect(third.errors.isEmpty, "\(third.errors)")
        let differences = try databaseDifferences(source, target)
        #expect(differences == [])
        #expect(!FileManager.default.fileExists(atPath: target + "/.plantdb-sync"))
        #expect(!FileManager.default.fileExists(atPath: target + "/lock"))
        #expect(!FileManager.default.fileExists(atPath: source + "/lock"))
        try folder.remove()
    }

    @Test("Content that is read back, and content that is flushed, arrives as well")
    func verifiedAndFlushed() async throws {
        let (source, target) = (folder.appending("source"), folder.appending("target"))
        try database(3).write(to: source)
        var options = SyncOptions()
        options.verification = .full
        options.durability = .always
        for (from, to) in [(Side.local, Side.remote), (.remote, .local)] {
            let report = try await run(source, from, target, to, options)
            #expect(report.errors.isEmpty, "\(report.errors)")
            #expect(try databaseDifferences(source, target) == [])
            try removeTree(target)
        }
        try folder.remove()
    }

    @Test("An account that may only use SFTP compares by checksum all the same")
    func checksumWithoutCommands() async throws {
        let server = try SSHServer(isSFTPOnly: true)
        defer { server.stop() }
        let source = folder.appending("source")
        try database(4).write(to: source)
        let endpoint = try await SFTPEndpoint.open(Loopback.access(server), path: source, .existing)
        let manifest = try #require(try await endpoint.manifest(of: ScanID("plant_0"), detail: .digests))
        for entry in manifest where entry.kind == .file {
            let content = try bytesOnDisk(source + "/plant_0/" + entry.path.rawValue)
            #expect(entry.digest == Digest(of: content), "\(entry.path)")
        }
        await endpoint.close()
        try folder.remove()
    }

    @Test("What keeps a run from beginning has its own code and says what to do")
    func openingErrors() async throws {
        let server = try Loopback.server.get()
        func code(_ path: String, _ change: (inout SFTPEndpoint.Access) throws -> Void = { _ in })
            async throws
            -> DatabaseError.Code?
        {
            var access = try Loopback.access(server)
            try change(&access)
            do throws(DatabaseError) {
                await (try await SFTPEndpoint.open(access, path: path, .existing)).close()
                return nil
            } catch {
                #expect(!error.message.isEmpty)
                return error.code
            }
        }
        try SampleDatabase.plants(1).write(to: folder.appending("there"))
        #expect(try await code(folder.appending("there")) == nil)
        #expect(try await code(folder.appending("nowhere")) == .notFound)
        #expect(try await code(folder.path) == .notADatabase)
        #expect(try await code(folder.appending("there/romidb")) == .notADatabase)
        let unknownHost = folder.appending("known")
        try writeFile(unknownHost, [])
        #expect(
            try await code(folder.appending("there")) {
                $0.destination.options[0] = "UserKnownHostsFile=\(unknownHost)"
            }
                == .authentication)
        let otherKey = folder.appending("key")
        try writeFile(otherKey, Array("not a key\n".utf8))
        #expect(
            try await code(folder.appending("there")) { $0.destination.identity = otherKey }
                == .authentication)
        #expect(
            try await code(folder.appending("there")) {
                $0.destination = try SSHDestination(host: "127.0.0.1", port: 1)
            } == .unreachable)
        try folder.remove()
    }

    @Test("A locked database is not touched, and a lock whose owner is dead is taken over")
    func locks() async throws {
        let (source, target) = (folder.appending("source"), folder.appending("target"))
        try SampleDatabase.plants(1).write(to: source)
        try SampleDatabase().write(to: target)
        try writeFile(target + "/lock", [])
        #expect(try await run(source, .local, target, .remote).error?.code == .locked)
        // A process of this machine that is certainly gone.
        var owner =
            try JSONValue(parsing: LockOwner.current(mode: .exclusive, holdsFlock: false).encoded()).object
            ?? JSONObject()
        owner["process"] = .number(0x3fff_ffff)
        try writeFile(target + "/lock", JSONValue.object(owner).pythonBytes())
        #expect(try await run(source, .local, target, .remote).errors.isEmpty)
        owner["host"] = "elsewhere"
        owner["machine"] = "another"
        owner["boot"] = "another"
        try writeFile(target + "/lock", JSONValue.object(owner).pythonBytes())
        #expect(try await run(source, .local, target, .remote).error?.code == .locked)
        try removeTree(target + "/lock")

        try FileManager.default.createDirectory(
            atPath: target + "/.locks", withIntermediateDirectories: false)
        try writeFile(target + "/.locks/plant_0.lock", [])
        try removeTree(target + "/plant_0/images")
        let report = try await run(source, .local, target, .remote)
        #expect(report.errors.map(\.code) == [.locked])
        try folder.remove()
    }
}
