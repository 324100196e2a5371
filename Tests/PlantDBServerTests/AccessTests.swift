import FSDB
import HTTPTypes
import NIOHTTP1
import PlantDBClient
import PlantDBCore
import PlantDBTesting
import PlantDBWire
import Testing

@testable import PlantDBServer

@Suite struct AccessTests {
    /// A server that wants its token, for as long as `body` runs.
    private func serving(
        _ change: (inout ServerConfiguration) -> Void = { _ in },
        _ body: @Sendable (_ base: String, _ token: String) async throws -> Void
    ) async throws {
        let folder = try TemporaryDirectory()
        try SampleDatabase.plants(1).write(to: folder.appending("db"))
        let endpoint = try await FSDBEndpoint.open(path: folder.appending("db"), .existing)
        var configuration = ServerConfiguration()
        configuration.port = 0
        change(&configuration)
        let server = try PlantDBServer(endpoint, configuration: configuration)
        let (ports, ready) = AsyncStream<Int>.makeStream()
        let work = Task {
            defer { ready.finish() }
            try await server.run { ready.yield($0) }
        }
        for await port in ports {
            try await body("http://127.0.0.1:\(port)", configuration.token.text)
            break
        }
        await server.stop()
        try await work.value
        await endpoint.close()
        try folder.remove()
    }

    private func table() throws -> RouteTable {
        let server = try PlantDBServer(MemoryEndpoint(MemoryDatabase()), configuration: ServerConfiguration())
        return server.routes(PeerLeases())
    }

    @Test(
        "Without the token every route that writes refuses, and every route that reads does beyond this machine"
    )
    func everyRoute() async throws {
        let entries = try table().entries
        #expect(entries.count >= 16)
        // Whatever changes the database is no route for reading.
        for entry in entries
        where entry.path.contains("transactions") || entry.path.hasSuffix("remove")
            || entry.method == .post && entry.about != nil && !entry.path.contains("auth/")
                && !entry.path.hasSuffix("login")
        {
            #expect(entry.policy == .write, "\(entry)")
        }
        try await serving { base, _ in
            let transport = try HTTPTransport(HTTPAccess(try ServerAddress(base)))
            // Those about tokens refuse whoever has none by themselves.
            for entry in entries where !entry.path.contains("auth/") {
                let path = entry.path.replacing(":id", with: "abc")
                let answer = try await transport.send(
                    HTTPMethod(rawValue: entry.method.rawValue), path,
                    body: entry.method == .get ? .none : .bytes(Array("{}".utf8), type: "application/json"))
                _ = try await answer.collect(upTo: 1 << 20)
                #expect((answer.status == 401) == (entry.policy == .write), "\(entry): \(answer.status)")
            }
            await transport.close()
        }
    }

    @Test("The token lets in; another, an upstream client's None, and an empty one do not")
    func tokens() async throws {
        try await serving { base, token in
            for (text, mayWrite) in [(token, true), (token + "x", false), ("None", false), ("x", false)] {
                var access = HTTPAccess(try ServerAddress(base))
                access.token = BearerToken(text)
                let endpoint = try await openServer(access)
                #expect((endpoint.capabilities.writes == .files) == mayWrite)
                let scan = try ScanID("new")
                if mayWrite {
                    let transaction = try await endpoint.beginTransaction(
                        on: scan, replacing: nil, options: TransactionOptions())
                    await transaction.abort()
                } else {
                    let error = await #expect(throws: DatabaseError.self) {
                        _ = try await endpoint.beginTransaction(
                            on: scan, replacing: nil, options: TransactionOptions())
                    }
                    #expect(error?.code == .authentication)
                }
                await endpoint.close()
            }
        }
    }

    @Test("Nobody is let in whom nobody invited")
    func configurations() throws {
        func refuses(_ change: (inout ServerConfiguration) -> Void) -> Bool {
            var configuration = ServerConfiguration()
            change(&configuration)
            do throws(DatabaseError) {
                _ = try PlantDBServer(MemoryEndpoint(MemoryDatabase()), configuration: configuration)
                return false
            } catch { return error.code == .invalidArgument }
        }
        #expect(!refuses { _ in })
        #expect(!refuses { $0.isOpen = true })
        #expect(refuses { $0.host = "0.0.0.0" })
        #expect(refuses { $0.host = "::" })
        #expect(refuses { ($0.host, $0.isOpen, $0.certificate, $0.privateKey) = ("0.0.0.0", true, "c", "k") })
        #expect(!refuses { ($0.host, $0.acceptsRisk) = ("0.0.0.0", true) })
        #expect(refuses { $0.certificate = "only.pem" })
        #expect(refuses { $0.prefix = "lab/" })
        #expect(throws: DatabaseError.self) { try ServerToken("short") }
        var dumped = ""
        dump(ServerConfiguration(token: try ServerToken("canary-0123456789")), to: &dumped)
        #expect(!dumped.contains("canary"))
    }

    @Test("Nobody holds so many locks that nobody else can, and what is given back can be had again")
    func leasesAreLimited() async throws {
        let database = MemoryDatabase()
        let endpoint = MemoryEndpoint(database)
        let leases = PeerLeases()
        func take(_ owner: String) async throws -> String {
            try await leases.add(
                try await endpoint.acquireLock(.database, mode: .shared, wait: .zero), owner: owner)
        }
        var ids: [String] = []
        for _ in 0..<100 { ids.append(try await take("one")) }
        let error = await #expect(throws: DatabaseError.self) { try await take("one") }
        #expect(error?.code == .unreachable && database.heldLockCount == 100)
        _ = try await take("other")
        await leases.releaseLock(ids[0], owner: "one")
        _ = try await take("one")
        #expect(database.heldLockCount == 101)
    }
}
