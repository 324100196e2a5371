import FSDB
import Foundation
import Glibc
import HTTPTypes
import NIOHTTP1
import PlantDBClient
import PlantDBCore
import PlantDBTesting
import PlantDBWire
import ServedHTTP
import Testing

@testable import PlantDBServer

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

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
        return server.routes(
            PeerLeases(), ServerCapacity(descriptors: 1024), ConnectionRoster(limit: 100))
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

    /// Lists scans with these headers.
    private func expect(
        _ status: Int, of base: String, _ headers: String...,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let connection = try await PlainConnection(port: try ServerAddress(base).port)
        defer { connection.close() }
        let lines = ["GET /scans HTTP/1.1", "Host: 127.0.0.1", "Connection: close"] + headers
        try await connection.send(Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8))
        let answer = try await connection.receiveAll()
        #expect(
            answer.hasPrefix("HTTP/1.1 \(status) "), "\(headers): \(answer)", sourceLocation: sourceLocation)
    }

    @Test("What a proxy hands on comes from outside, whatever its Host says")
    func forwarded() async throws {
        for isOpen in [false, true] {
            try await serving({ $0.isOpen = isOpen }) { base, token in
                for name in [
                    "Forwarded: for=203.0.113.7", "X-Forwarded-For: 127.0.0.1", "x-forwarded-host: localhost",
                    "X-Forwarded-Proto: https", "X-Real-IP: 127.0.0.1", "Via: 1.1 proxy", "forwarded:",
                ] {
                    try await expect(401, of: base, name)
                    try await expect(200, of: base, name, "Authorization: Bearer \(token)")
                }
                try await expect(200, of: base)
                let answer = try await RestClient(base: base).send(
                    "POST", "/api/v1/scans/new", [], headers: ["X-Forwarded-For": "203.0.113.7"])
                #expect(answer.status == 401)
            }
        }
        // Beyond this machine whoever reaches it was let in on purpose.
        try await serving({
            $0.host = "0.0.0.0"
            $0.isOpen = true
            $0.acceptsRisk = true
        }) { base, _ in
            try await expect(200, of: base, "Via: 1.1 proxy")
        }
    }

    @Test("A closed server wants the token for reading, too")
    func closed() async throws {
        try await serving({ $0.isClosed = true }) { base, token in
            try await expect(401, of: base)
            try await expect(200, of: base, "Authorization: Bearer \(token)")
        }
    }

    private static let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx", "/sbin/nginx"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    @Test(
        "Through a real nginx nobody reads without the token, as the documentation sets it up, and with --closed",
        .enabled("needs nginx", { AccessTests.nginx != nil }), arguments: [true, false])
    func reverseProxy(saysSo: Bool) async throws {
        let folder = try TemporaryDirectory()
        try await serving({ $0.isClosed = !saysSo }) { base, token in
            let port = try SSHServer.freePort()
            // As in docs/http.md. Without the line nginx names this machine as the host, and itself nowhere.
            let line = saysSo ? "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;" : ""
            let configuration = """
                daemon off; master_process off; pid \(folder.path)/pid; error_log \(folder.path)/error;
                events {}
                http {
                  access_log off; client_body_temp_path \(folder.path)/a; proxy_temp_path \(folder.path)/b;
                  fastcgi_temp_path \(folder.path)/c; uwsgi_temp_path \(folder.path)/d; scgi_temp_path \(folder.path)/e;
                  server {
                    listen 127.0.0.1:\(port);
                    location / { proxy_pass \(base); \(line) }
                  }
                }
                """
            try writeFile(folder.appending("nginx.conf"), Array(configuration.utf8))
            let process = Process()
            process.executableURL = URL(fileURLWithPath: try #require(Self.nginx))
            process.arguments = [
                "-e", folder.appending("error"), "-p", folder.path, "-c", folder.appending("nginx.conf"),
            ]
            try process.run()
            defer {
                // Not asked to end: it inherits from the tests that it does not listen.
                kill(process.processIdentifier, SIGKILL)
                process.waitUntilExit()
            }
            let proxy = RestClient(base: "http://127.0.0.1:\(port)")
            var answer: RestClient.Answer?
            while answer == nil, process.isRunning {
                // Until it listens.
                do { answer = try await proxy.send("GET", "/scans") } catch let error as URLError {
                    try #require(error.code == .cannotConnectToHost, "\(error)")
                }
            }
            #expect(answer?.status == 401)
            var known = proxy
            known.token = token
            #expect(try await known.send("GET", "/scans").status == 200)
        }
        try folder.remove()
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
        #expect(refuses { ($0.isOpen, $0.isClosed) = (true, true) })
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
