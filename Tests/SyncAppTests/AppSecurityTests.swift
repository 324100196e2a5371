import Foundation
import PlantDBTesting
import Testing

@testable import SyncApp

/// W1 and W2: who is kept out.
@Suite struct AppSecurityTests {
    private static let folders = #"{"path":"/"}"#

    @Test("Without the cookie nothing is answered, and a wrong token buys none")
    func tokens() async throws {
        let app = try await AppFixture()
        for path in [
            "/api/start", "/api/events", "/api/comparison", "/api/thumbnail?scan=a", "/api/jobs/report?job=1",
        ] {
            #expect(try await AppFixture.send(app.url + path).status == 401, "\(path)")
            #expect(
                try await AppFixture.send(app.url + path, headers: ["Cookie": "plantdb_session=x"]).status
                    == 401)
        }
        let headers = ["Origin": app.url, "Content-Type": "application/json"]
        for path in ["connect", "compare", "plan", "details", "folders", "jobs", "jobs/cancel", "jobs/retry"]
        {
            let answer = try await AppFixture.send(app.url + "/api/" + path, body: "{}", headers: headers)
            #expect(answer.status == 401, "\(path)")
        }
        let wrong = try await AppFixture.send(
            app.url + "/api/session", body: #"{"token":"0"}"#, headers: headers)
        #expect(wrong.status == 401 && wrong.headers.first(name: "Set-Cookie") == nil)
        let right = try await AppFixture.send(
            app.url + "/api/session", body: #"{"token":"\#(app.token)"}"#, headers: headers)
        let cookie = try #require(right.headers.first(name: "Set-Cookie"))
        #expect(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"))
        try await app.stop()
    }

    @Test(
        "A page of another origin starts nothing, with or without the cookie",
        arguments: ["http://evil.example", "null", "https://127.0.0.1", nil] as [String?])
    func origins(_ origin: String?) async throws {
        let app = try await AppFixture()
        var headers = ["Cookie": app.cookie, "Content-Type": "application/json"]
        headers["Origin"] = origin
        let answer = try await AppFixture.send(app.url + "/api/folders", body: Self.folders, headers: headers)
        #expect(answer.status == 403)
        try await app.stop()
    }

    @Test("A form of any page is refused: only JSON is read")
    func forms() async throws {
        let app = try await AppFixture()
        for type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let answer = try await AppFixture.send(
                app.url + "/api/folders", body: Self.folders,
                headers: ["Cookie": app.cookie, "Origin": app.url, "Content-Type": type])
            #expect(answer.status == 415, "\(type)")
        }
        try await app.stop()
    }

    @Test("A name that was made to point here is refused, the page too")
    func rebinding() async throws {
        let app = try await AppFixture()
        for path in ["/", "/app.js", "/api/start"] {
            for host in ["evil.example", "127.0.0.1", "localhost:1"] {
                let answer = try await AppFixture.send(
                    app.url + path, headers: ["Cookie": app.cookie, "Host": host])
                #expect(answer.status == 421, "\(path) \(host)")
            }
        }
        try await app.stop()
    }

    @Test("What a proxy hands on is refused, the page too, whatever its Host says")
    func forwarded() async throws {
        let app = try await AppFixture()
        for path in ["/", "/app.js", "/api/start"] {
            for name in ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"] {
                let answer = try await AppFixture.send(
                    app.url + path, headers: ["Cookie": app.cookie, name: "127.0.0.1"])
                #expect(answer.status == 421, "\(path) \(name)")
            }
        }
        try await app.stop()
    }

    private func answer(to request: String, at url: String) async throws -> String {
        let connection = try await PlainConnection(port: try #require(URL(string: url)?.port))
        defer { connection.close() }
        try await connection.send(request)
        connection.endSending()
        return try await connection.receiveAll()
    }

    @Test(
        "A body that is cut starts nothing", arguments: ["Content-Length: 300", "Transfer-Encoding: chunked"])
    func cutBody(_ length: String) async throws {
        let app = try await AppFixture()
        let body = length.hasPrefix("T") ? "c\r\n\(Self.folders)\r\n" : Self.folders
        let request = [
            "POST /api/folders HTTP/1.1", "Host: \(app.url.dropFirst(7))", "Origin: \(app.url)",
            "Cookie: \(app.cookie)", "Content-Type: application/json", length, "", body,
        ].joined(separator: "\r\n")
        #expect(try await answer(to: request, at: app.url).hasPrefix("HTTP/1.1 400"))
        // The same as a whole is taken.
        let whole = request.replacing("300", with: "12")
            .replacing("\(Self.folders)\r\n", with: "\(Self.folders)\r\n0\r\n\r\n")
        #expect(try await answer(to: whole, at: app.url).hasPrefix("HTTP/1.1 200"))
        try await app.stop()
    }

    @Test("The page runs no script but its own, in no frame")
    func policy() async throws {
        let app = try await AppFixture()
        for path in ["/", "/app.js", "/app.css", "/api/start"] {
            let answer = try await app.get(path)
            let policy = answer.headers.first(name: "Content-Security-Policy") ?? ""
            for part in [
                "default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'",
            ] {
                #expect(policy.contains(part), "\(path)")
            }
            #expect(answer.headers.first(name: "X-Content-Type-Options") == "nosniff")
            #expect(answer.headers.first(name: "Access-Control-Allow-Origin") == nil)
        }
        let page = try await app.get("/").text
        #expect(!page.contains("<script>") && !page.contains("onclick=") && !page.contains("style="))
        #expect(try await app.get("/").text.contains("https://") == false)
        try await app.stop()
    }

    @Test("Whose connection it is the kernel tells; another user's is refused")
    func otherUsers() {
        let table = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1
               1: 0100007F:C001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 2 1
               2: 0100007F:1F90 0100007F:C002 01 00000000:00000000 00:00000000 00000000  1000        0 3 1
               3: 0100007F:C002 0100007F:1F90 01 00000000:00000000 00:00000000 00000000 65534        0 4 1
               4: 0100007F:C003 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 5 1
            """
        #expect(LoopbackPeer.isOurs(0xc001, port: 8080, in: table, user: 1000))
        #expect(!LoopbackPeer.isOurs(0xc002, port: 8080, in: table, user: 1000))
        #expect(LoopbackPeer.isOurs(0xc003, port: 8080, in: table, user: 1000))
        #expect(!LoopbackPeer.isOurs(0xc001, port: 8081, in: table, user: 1000))
    }
}
