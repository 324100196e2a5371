import FSDB
import NIOCore
import PlantDBClient
import PlantDBCore
import PlantDBSync
import PlantDBTesting
import PlantDBWire
import SyncEngine
import Testing
import ZipStream

/// Servers that are something else, or lie, or are silent: a clear error, and nothing kept of it.
@Suite struct LyingServerTests {
    private static let home = answer(
        #"{"name": "PlantDB REST API", "plantdb.server": "0.14.5", "endpoints": {}}"#)

    /// A server of release 0.14.5 with one scan, but for what `script` answers.
    private func server(
        pace: (bytes: Int, milliseconds: Int)? = nil, content: String = "content",
        _ script: @escaping ScriptedServer.Script
    ) throws -> ScriptedServer {
        let zip = try Self.archive([
            "plant/files.json": #"{"filesets": []}"#, "plant/images/a.jpg": content,
        ])
        return try ScriptedServer(pace: pace) { request in
            if let bytes = script(request) { return bytes }
            return switch request.path {
            case "/": Self.home
            case "/scans": answer(#"["plant"]"#)
            case "/archive/plant": answer(zip, type: "application/zip")
            case "/files/plant/files.json": answer(#"{"filesets": []}"#)
            case "/files/plant/images/a.jpg": answer(content, type: "image/jpeg")
            default: answer(404, "<!doctype html><title>404</title>", type: "text/html")
            }
        }
    }

    static func archive(_ files: KeyValuePairs<String, String>) throws -> [UInt8] {
        var zip = ZipWriter()
        var bytes = ByteBuffer()
        for (name, text) in files {
            bytes.writeImmutableBuffer(
                try zip.begin(name, size: Int64(text.utf8.count), modified: 1_700_000_000, method: .stored))
            for part in try zip.write(ByteBuffer(string: text)) { bytes.writeImmutableBuffer(part) }
            bytes.writeImmutableBuffer(try zip.end())
        }
        bytes.writeImmutableBuffer(try zip.finish())
        return Array(bytes.readableBytesView)
    }

    /// Runs from the server into a new database; what went wrong, and what is there afterwards.
    private func errors(
        of server: ScriptedServer, idle: Duration = .seconds(60), slow: Duration = .seconds(60)
    ) async throws -> [DatabaseError] {
        let folder = try TemporaryDirectory()
        let path = folder.appending("target")
        try FSDB.createEmptyDatabase(at: path)
        let empty = try treeSnapshot(path)
        defer { server.stop() }
        var access = HTTPAccess(try ServerAddress(server.url))
        (access.idleTimeout, access.archiveTimeout, access.slowTimeout) = (idle, idle, slow)
        let source: any DatabaseEndpoint
        do throws(DatabaseError) { source = try await openServer(access) } catch { return [error] }
        let target = try await FSDBEndpoint.open(path: path, .existing)
        var options = SyncOptions()
        options.retries = 0
        let report = await SyncEngine(source: source, target: target, options: options).run()
        await target.close()
        await source.close()
        if report.scansPublished == 0 { #expect(try treeSnapshot(path).differences(from: empty) == []) }
        try folder.remove()
        return report.errors
    }

    @Test("An honest one is read whole, though it knows no ranges")
    func honest() async throws {
        #expect(try await errors(of: try server { _ in nil }).isEmpty)
    }

    @Test("What is no PlantDB is told so: pages, redirects, other JSON")
    func others() async throws {
        for home in [
            answer("<html>welcome</html>", type: "text/html"), answer(#"{"name": "something"}"#),
            answer("[1"),
            answer(302, "", headers: ["Location: http://elsewhere.example/"]),
            answer(404, "<html>404</html>", type: "text/html"),
        ] {
            let found = try await errors(of: try server { $0.path == "/" ? home : nil })
            #expect(found == [DatabaseError(.notADatabase, "")], "\(found)")
        }
    }

    @Test("What stands before a server is told as what it is")
    func inBetween() async throws {
        let cases: [([UInt8], DatabaseError.Code, String)] = [
            (
                answer(301, "", type: "text/html", headers: ["Location: https://lab.example.org/"]),
                .notADatabase,
                "https://lab.example.org/"
            ),
            (
                answer(
                    401, "<h1>401</h1>", type: "text/html", headers: ["WWW-Authenticate: Basic realm=\"lab\""]
                ),
                .authentication, "login of its own"
            ),
            (
                answer(407, "", type: "text/html", headers: ["Proxy-Authenticate: Basic realm=\"lab\""]),
                .authentication, "http_proxy"
            ),
            (answer(403, "<h1>403</h1>", type: "text/html"), .permissionDenied, "does not allow"),
            (answer(500, "<h1>500</h1>", type: "text/html"), .io, "log"),
        ]
        for (bytes, code, words) in cases {
            let found = try await errors(of: try ScriptedServer { _ in bytes })
            #expect(found.map(\.code) == [code] && found[0].message.contains(words), "\(found)")
        }
        // And in the middle of a run.
        let gate = answer(401, "", type: "text/html", headers: ["WWW-Authenticate: Negotiate"])
        let found = try await errors(of: try server { $0.path == "/archive/plant" ? gate : nil })
        #expect(
            found.map(\.code) == [.authentication] && found[0].message.contains("login of its own"),
            "\(found)")
        let large = try await errors(
            of: try server { $0.path == "/archive/plant" ? answer(413, "", type: "text/html") : nil })
        #expect(
            large.map(\.code) == [.unsupported] && large[0].message.contains("client_max_body_size"),
            "\(large)")
    }

    @Test("A proxy of the environment is the way, and is named where it fails")
    func proxy() async throws {
        let server = try server { _ in nil }
        // Asked for a tunnel, it has another opinion.
        let proxy = try ScriptedServer { _ in answer(403, "", type: "text/html") }
        let environment = ["https_proxy": "http://ada:geheim@" + proxy.url.dropFirst("http://".count)]
        func failure(_ url: String, _ environment: [String: String]) async throws -> DatabaseError? {
            var access = HTTPAccess(try ServerAddress(url))
            (access.environment, access.connectTimeout) = (environment, .seconds(2))
            do throws(DatabaseError) {
                _ = try await PlantDBRestClient(access)
                return nil
            } catch { return error }
        }
        for isGone in [false, true] {
            if isGone { proxy.stop() }
            let error = try #require(try await failure("https://plants.example", environment))
            #expect(error.code == .unreachable && error.message.contains("(https_proxy)"), "\(error)")
            #expect(!error.description.contains("geheim"))
        }
        let asked = try #require(proxy.requests.first)
        #expect(asked.method == "CONNECT" && asked.path == "plants.example:443", "\(asked)")
        #expect(asked.headers["proxy-authorization"]?.hasPrefix("Basic ") == true, "\(asked)")
        let direct = try #require(try await failure("http://plants.invalid", ["http_proxy": "http://web:1"]))
        #expect(direct.code == .unreachable && direct.message.contains("http_proxy"), "\(direct)")
        // This machine is never reached by a proxy.
        var local = HTTPAccess(try ServerAddress(server.url))
        local.environment = ["all_proxy": environment["https_proxy"] ?? ""]
        let near = try await PlantDBRestClient(local)
        await near.close()
        server.stop()
    }

    @Test("The time on a server's machine is that of its answers, and unknown where they say none")
    func clockOfTheServer() async throws {
        for (date, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Int64(784_111_777)), ("yesterday", nil),
            ("Sun, 06 Nov 1994 08:49:37 GMT, really", nil),
        ] {
            let server = try server {
                $0.path == "/scans" ? answer(200, #"["plant"]"#, headers: ["Date: \(date)"]) : nil
            }
            let endpoint = try await openDatabase(server.url, as: .source)
            _ = try await endpoint.listing()
            let time = try await endpoint.currentTime()?.seconds
            // The clock went on since, and stands not still.
            #expect(expected == nil ? time == nil : (0...60).contains((time ?? 0) - (expected ?? 0)))
            await endpoint.close()
            server.stop()
        }
    }

    @Test("Whoever is sent elsewhere takes no credentials there")
    func redirectsToElsewhere() async throws {
        for path in ["", "/api/v1/"] {
            let elsewhere = try ScriptedServer { _ in answer(#"{"name": "something"}"#) }
            let server = try ScriptedServer { _ in
                answer(302, "", headers: ["Location: \(elsewhere.url)\(path)"])
            }
            var access = RemoteAccess()
            access.token = BearerToken("canary-0123456789abcdef")
            access.login = Login(user: "anna", password: "canary-password")
            do throws(DatabaseError) {
                await (try await openDatabase(server.url, as: .source, access: access)).close()
                Issue.record("it is no PlantDB")
            } catch { #expect(error.code == .notADatabase, "\(error)") }
            #expect(!server.requests.isEmpty && elsewhere.requests.isEmpty)
            server.stop()
            elsewhere.stop()
        }
    }

    @Test("A port that speaks something else is no lost connection")
    func otherProtocol() async throws {
        let found = try await errors(of: try server { _ in Array("SSH-2.0-OpenSSH_9.2\r\n".utf8) })
        #expect(found.count == 1 && found[0].message.contains("does not speak HTTP"), "\(found)")
        let cut = Array("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nPK".utf8)
        let lost = try await errors(of: try server { $0.path == "/archive/plant" ? cut : nil })
        #expect(lost.count == 1 && lost[0].message.contains("was lost"), "\(lost)")
    }

    @Test("A page in place of an archive, a damaged or cut one, and one that leads elsewhere")
    func archives() async throws {
        let good = try Self.archive([
            "plant/files.json": #"{"filesets": []}"#, "plant/images/a.jpg": "content",
        ])
        var damaged = good
        damaged[good.count - 6] ^= 0xff
        for bad in [
            answer("<html>sorry</html>", type: "text/html"), answer(damaged, type: "application/zip"),
            answer(Array(good.dropLast(10)), type: "application/zip"),
            answer(
                try Self.archive(["plant/files.json": "{}", "plant/x/aa/b": ""]).replacingDots(),
                type: "application/zip"),
        ] {
            let found = try await errors(of: try server { $0.path == "/archive/plant" ? bad : nil })
            #expect(found.map(\.code) == [.invalidData], "\(found)")
            #expect(found.first?.scan?.rawValue == "plant")
        }
    }

    @Test("An archive without entries: the scan is gone, and not an empty one")
    func gone() async throws {
        let empty = try Self.archive([:] as KeyValuePairs<String, String>)
        #expect(empty.count == 22)
        let found = try await errors(
            of: try server { $0.path == "/archive/plant" ? answer(empty, type: "application/zip") : nil })
        #expect(found.map(\.code) == [.sourceChanged], "\(found)")
    }

    @Test("A file that is not what the archive said")
    func otherContent() async throws {
        let found = try await errors(
            of: try server { $0.path.hasSuffix("a.jpg") ? answer("CONTENT", type: "image/jpeg") : nil })
        #expect(found.map(\.code) == [.sourceChanged] && found.first?.path == "images/a.jpg", "\(found)")
    }

    @Test("Ids that lead elsewhere are named, and never asked for")
    func ids() async throws {
        let server = try server { $0.path == "/scans" ? answer(#"["../secret", "a b", "plant"]"#) : nil }
        let found = try await errors(of: server)
        #expect(Set(found.map(\.code)) == [.invalidName] && found.count == 2, "\(found)")
        #expect(!server.requests.contains { $0.path.contains("secret") || $0.path.contains("%2E") })
    }

    @Test(
        "Statuses",
        arguments: [
            (401, DatabaseError.Code.authentication), (403, .permissionDenied), (500, .io),
            (503, .unreachable),
            (302, .unreachable),
        ])
    func statuses(_ status: Int, _ code: DatabaseError.Code) async throws {
        let server = try server {
            $0.path == "/archive/plant"
                ? answer(
                    status, #"{"message": "not today"}"#, headers: ["Location: http://elsewhere.example/"])
                : nil
        }
        let found = try await errors(of: server)
        #expect(found.map(\.code) == [code], "\(found)")
        #expect(found.first?.cause?.contains("not today") == true)
    }

    @Test("429 is waited out as long as it says")
    func tooMany() async throws {
        let count = Count()
        let server = try server {
            $0.path == "/scans" && count.next() == 1
                ? answer(429, "Too many requests", type: "text/html", headers: ["Retry-After: 1"]) : nil
        }
        #expect(try await errors(of: server).isEmpty)
    }

    @Test("A server that falls silent is given up")
    func silent() async throws {
        let server = try ScriptedServer { request in
            request.path == "/"
                ? Self.home : request.path == "/sync/v1" ? answer(404, "", type: "text/html") : nil
        }
        let found = try await errors(of: server, idle: .seconds(1))
        #expect(found.map(\.code) == [.unreachable], "\(found)")
    }

    @Test(
        "A server that sends a byte now and then is given up, whatever it is asked for",
        arguments: ["/sync/v1", "/", "/scans", "/archive/plant"])
    func trickles(_ path: String) async throws {
        let long = String(repeating: " ", count: 10_000)
        let server = try server(pace: (1, 10)) { request in
            request.path == path
                ? answer(long) : request.path == "/sync/v1" ? answer(404, "", type: "text/html") : nil
        }
        let found = try await errors(of: server, slow: .seconds(1))
        #expect(found.map(\.code) == [.unreachable], "\(found)")
        #expect(found.first?.description.contains("bytes a second") == true, "\(found)")
    }

    @Test("A `plantdb serve` that sends a byte now and then is given up, in its lists and in its files")
    func peerTrickles() async throws {
        let hello = PeerHello(
            version: "1", identity: "x",
            capabilities: EndpointCapabilities(concurrentScans: 1...1), mayWrite: false)
        let scan = try ScanID("plant")
        let entry = FileEntry(path: try ScanPath("a"), size: 1 << 20)
        var file = ByteBuffer()
        PeerFrameEncoder.encode(.entry(entry), into: &file)
        PeerFrameEncoder.encode(.bytes(ByteBuffer(repeating: 32, count: 10_000)), into: &file)
        let entries = try (0..<300).map { FileEntry(path: try ScanPath("\(1000 + $0)"), size: 1) }
        let manifest = PeerManifest.frames(of: try ScanManifest(scan: scan, entries: entries))
        for (path, body) in [
            ("/sync/v1/scans", [UInt8](repeating: 32, count: 10_000)),
            ("/sync/v1/manifest", manifest.flatMap { Array(buffer: $0) }),
            ("/sync/v1/read", Array(buffer: file)),
        ] {
            let server = try ScriptedServer(pace: (1, 10)) { request in
                request.path == "/sync/v1"
                    ? answer(hello.encoded(), type: "application/json")
                    : request.path.hasPrefix(path) ? answer(body, type: "application/json") : nil
            }
            defer { server.stop() }
            var access = HTTPAccess(try ServerAddress(server.url))
            access.slowTimeout = .seconds(1)
            let endpoint = try await openServer(access)
            let error = await #expect(throws: DatabaseError.self, "\(path)") {
                switch path {
                case "/sync/v1/scans": _ = try await endpoint.listing()
                case "/sync/v1/manifest": _ = try await endpoint.manifest(of: scan, detail: .listing)
                default:
                    let all = EntrySelection(all: try ScanManifest(scan: scan, entries: [entry]))
                    for try await _ in try await endpoint.parts(of: all) {}
                }
            }
            #expect(error?.code == .unreachable, "\(path): \(String(describing: error))")
            await endpoint.close()
        }
    }

    @Test("A slow server that goes on is waited for, far beyond the time that one may be slow")
    func slow() async throws {
        let server = try server(pace: (100, 10), content: String(repeating: "content", count: 4000)) { _ in
            nil
        }
        #expect(try await errors(of: server, slow: .milliseconds(500)).isEmpty)
    }

    @Test("No token is sent to a server that was not meant, and none is shown")
    func tokens() async throws {
        var access = HTTPAccess(try ServerAddress("http://plants.example"))
        access.login = Login(user: "a", password: "secret-password")
        let error = #expect(throws: DatabaseError.self) { _ = try HTTPTransport(access) }
        #expect(error?.code == .invalidArgument)
        #expect(!"\(access)".contains("secret-password"))
    }
}

/// Counts calls from any thread.
private final class Count: Sendable {
    private let value = ByteMeter()
    func next() -> Int64 {
        value.add(1)
        return value.total
    }
}

extension [UInt8] {
    /// `/aa/` becomes `/../`, in the directory and before the content alike.
    fileprivate func replacingDots() -> [UInt8] {
        var result = self
        let (old, new) = (Array("/aa/".utf8), Array("/../".utf8))
        var index = 0
        while index + old.count <= result.count {
            if Array(result[index..<index + old.count]) == old {
                result.replaceSubrange(index..<index + old.count, with: new)
            }
            index += 1
        }
        return result
    }
}
