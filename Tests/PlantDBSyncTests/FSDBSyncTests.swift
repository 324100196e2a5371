import FSDB
import Foundation
import PlantDBClient
import PlantDBCore
import PlantDBSync
import PlantDBTesting
import SyncEngine
import Testing

/// The documented class, between folders of this machine.
@Suite struct FSDBSyncTests {
    private let folder: TemporaryDirectory
    private var source: String { folder.appending("source") }
    private var target: String { folder.appending("target") }

    init() throws {
        folder = try TemporaryDirectory()
        try SampleDatabase.plants(3, images: 6, seed: 7).write(to: folder.appending("source"))
    }

    private func sync(_ options: SyncOptions = SyncOptions()) -> FSDBSync {
        FSDBSync(.location(source), .location(target), options: options)
    }

    @Test("A run moves everything, and says so")
    func wholeRun() async throws {
        let sync = sync()
        #expect(sync.syncProgress == 0 && !sync.isSynchronizing && sync.report == nil)
        let report = try await sync.sync()
        #expect(report.scansPublished == 3)
        #expect(sync.syncProgress == 100 && sync.syncError == nil && !sync.isSynchronizing)
        #expect(try databaseDifferences(source, target) == [])
        #expect(try await sync.sync().totals.filesMoved == 0)
    }

    @Test("A background run tells its progress and can be waited for; a second start is an error")
    func background() async throws {
        let sync = sync()
        let updates = sync.progressUpdates
        let task = try sync.syncInBackground()
        #expect(throws: DatabaseError(.invalidArgument, "")) { try sync.syncInBackground() }
        #expect(await sync.waitForSync())
        #expect(try await task.value.scansPublished == 3)
        var last: SyncProgress?
        for await progress in updates { last = progress }
        #expect(last?.fractionPublished == 1)
        #expect(sync.syncProgress == 100)
        #expect(await sync.waitForSync(timeout: .zero))
    }

    @Test("Waiting gives up in time, and a cancelled run leaves a valid target that the next run completes")
    func cancelling() async throws {
        // Somebody holds the target, so that the run waits.
        try FSDB.createEmptyDatabase(at: target)
        let holder = try FSDB(target)
        try holder.connect()
        var options = SyncOptions()
        options.lockWait = .seconds(600)
        let sync = sync(options)
        let task = try sync.syncInBackground()
        #expect(await sync.waitForSync(timeout: .milliseconds(50)) == false)
        #expect(sync.isSynchronizing)
        task.cancel()
        #expect(await sync.waitForSync(timeout: .seconds(5)))
        #expect(sync.syncError?.code == .cancelled && !sync.isSynchronizing)
        holder.disconnect()
        try await sync.sync()
        #expect(try databaseDifferences(source, target) == [])
    }

    @Test("A run that cannot lock ends, keeps its error, and is no longer at work")
    func locked() async throws {
        try FSDB.createEmptyDatabase(at: target)
        let holder = try FSDB(target)
        try holder.connect()
        let sync = sync()
        let error = await #expect(throws: DatabaseError.self) { try await sync.sync() }
        #expect(error?.code == .locked)
        #expect(sync.syncError?.code == .locked && !sync.isSynchronizing && sync.syncProgress < 100)
        holder.disconnect()
        try await sync.sync()
    }

    @Test("lock() keeps others out until unlock(), and runs in between go on")
    func explicitLock() async throws {
        let sync = sync()
        try await sync.lock()
        try await sync.lock()
        let other = FSDBSync(.location(source), .location(target))
        let error = await #expect(throws: DatabaseError.self) { try await other.sync() }
        #expect(error?.code == .locked)
        try await sync.sync()
        try await sync.sync()
        await #expect(throws: DatabaseError(.locked, "")) { try await other.sync() }
        try await sync.unlock()
        try await sync.unlock()
        try await other.sync()
        #expect(!FileManager.default.fileExists(atPath: target + "/lock"))
        #expect(!FileManager.default.fileExists(atPath: source + "/lock"))
    }

    @Test("Databases that this program has open are given up for the run, and are open after it")
    func instances() async throws {
        try FSDB.createEmptyDatabase(at: target)
        let (one, two) = (try FSDB(source), try FSDB(target))
        try one.connect()
        try two.connect()
        #expect(try two.listScans() == [])
        try await FSDBSync(.database(one), .database(two)).sync()
        #expect(one.isLocked && two.isLocked)
        #expect(try two.listScans() == one.listScans())
        one.disconnect()
        two.disconnect()
        #expect(try databaseDifferences(source, target) == [])
    }

    @Test("Only the scans that were asked for; one that is not there is an error by name")
    func someScans() async throws {
        let sync = sync()
        let report = try await sync.sync(sourceScans: ["plant_1"])
        #expect(report.scansPublished == 1)
        let error = await #expect(throws: DatabaseError.self) {
            try await sync.sync(sourceScans: ["plant_9"])
        }
        #expect(error?.code == .notFound)
        #expect(error?.description.contains("plant_9") == true)
    }

    @Test("No secret in any description or dump")
    func secrets() throws {
        let sync = FSDBSync(
            "ssh://me:canary-4711@lab/db", "https://me:canary-4711@lab/db")
        try sync.setSSHCredentials(host: "lab", username: "me", password: "canary-4711")
        var dumped = ""
        dump(sync, to: &dumped)
        dump(sync.sshCredentials, to: &dumped)
        dump(sync.source, to: &dumped)
        for text in [
            dumped, "\(sync)", "\(sync.sshCredentials)", sync.sourceDescription, sync.targetDescription,
            String(reflecting: sync.target),
        ] {
            #expect(!text.contains("canary"), "\(text)")
        }
        #expect(sync.sshCredentials["lab"]?.username == "me")
        // As nobody should write it.
        for location: SyncSide in [
            "ssh://me:can/ary@lab/db", "me:canary@lab:/db", "http://lab/?token=canary",
            "http://me:can#ary@lab/db", "http://me:can?ary@lab/db",
        ] {
            #expect(!"\(location)".contains("ary"), "\(location)")
        }
    }

    @Test(
        "A password is offered to the user that it was given for, and to no other of the same host",
        .enabled(if: SSHServer.canTakePasswords, "NOT TESTED: no sshd with a password can be had here"))
    func passwordOfOneUser() async throws {
        // `openssl passwd -6 -salt plantdb x`: nobody gets in, the question is who is asked.
        let server = try SSHServer(
            hashedPassword:
                "$6$plantdb$4YoYQk1mJY3kCzl4cuWSnUzHLsr9S4b9Gm8h6nQ0yJYzN4o0X0m0v1bqg2nI7jJY8gS3nD2L8sQ5b1mW2yZrB/"
        )
        let (asked, program) = (folder.appending("asked"), folder.appending("askpass"))
        try writeFile(program, Array("#!/bin/sh\ntouch '\(asked)'\nexit 1\n".utf8))
        chmod(program, 0o700)
        var access = RemoteAccess()
        access.sshOptions = server.sshOptions + ["PubkeyAuthentication=no"]
        for (user, isAsked) in [("eve@", false), ("", true), ("\(server.user)@", true)] {
            let sync = FSDBSync(
                .location("ssh://\(user)127.0.0.1:\(server.port)/db"), .location(target), sourceAccess: access
            )
            try sync.setSSHCredentials(
                host: "127.0.0.1", username: server.user, password: "canary", askpassProgram: program)
            await #expect(throws: DatabaseError.self) { try await sync.sync() }
            #expect(FileManager.default.fileExists(atPath: asked) == isAsked, "\(user)")
        }
        server.stop()
    }

    @Test("URLs of servers are taken apart as documented")
    func urls() throws {
        #expect(
            try configFromURL("http://localhost:5014/api/")
                == ServerConfig(protocol: "http", host: "localhost", port: 5014, prefix: "/api/", ssl: false))
        #expect(
            try configFromURL("https://lab.example")
                == ServerConfig(protocol: "https", host: "lab.example", port: 443, prefix: "", ssl: true))
        #expect(try configFromURL("http://[::1]:5000").host == "::1")
        #expect(throws: DatabaseError.self) { try configFromURL("localhost:5000") }
    }
}
