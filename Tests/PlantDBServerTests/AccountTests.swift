import Foundation
import PlantDBClient
import PlantDBCore
import PlantDBSync
import PlantDBTesting
import SyncEngine
import Testing

@testable import PlantDBServer

@Suite struct AccountTests {
    private let folder: TemporaryDirectory
    private var path: String { folder.appending("db") }

    init() throws {
        folder = try TemporaryDirectory()
        try SampleDatabase.plants(2, images: 2, seed: 3).write(to: folder.appending("db"))
    }

    /// “password”: from the tests of the reference implementation (phc-winner-argon2).
    private static let argon2 =
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
    /// “U*U”: from the tests of crypt_blowfish.
    private static let bcrypt = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

    private static let later: JSONValue = [
        [
            "username": "anna", "fullname": "Anna Blume", "password_hash": .string(argon2),
            "roles": ["contributor"], "is_active": true,
        ],
        ["username": "rita", "fullname": "Rita", "password_hash": .string(argon2), "roles": ["reader"]],
        ["username": "gone", "password_hash": .string(argon2), "roles": ["admin"], "is_active": false],
        // Upstream's default: its password is its name.
        ["username": "password", "password_hash": .string(argon2), "roles": ["admin"]],
    ]

    private func write(_ users: JSONValue) throws { try writeFile(path + "/users.json", users.pythonBytes()) }

    @Test func passwords() {
        #expect(PasswordHash(Self.argon2)?.matches("password") == true)
        #expect(PasswordHash(Self.argon2)?.matches("passwore") == false)
        #expect(PasswordHash(Self.bcrypt)?.matches("U*U") == true)
        #expect(PasswordHash(Self.bcrypt)?.matches("U*") == false)
        #expect(PasswordHash(Self.bcrypt)?.matches("U*U\u{0}") == false)
        #expect(PasswordHash.nobody.matches("password") == false && PasswordHash.nobody.matches("") == false)
        for text in [
            "", "plain", "$1$md5", "$argon2i$v=19$m=65536,t=2,p=1$a$b",
            "$argon2id$v=19$m=99999999,t=2,p=1$a$b",
        ] {
            #expect(PasswordHash(text) == nil, "\(text)")
        }
    }

    @Test("A contributor logs in, writes, refreshes and logs out")
    func session() async throws {
        try write(Self.later)
        try await withServer(path) { client, _ in
            var client = client
            #expect(
                try await client.send("GET", "/api/v1/auth/login?username=anna").json()["exists"]?.bool
                    == true)
            #expect(
                try await client.send("GET", "/api/v1/auth/login?username=otto").json()["exists"]?.bool
                    == false)
            let login = try await client.post(
                "/api/v1/auth/login", json: ["username": "anna", "password": "password"])
            #expect(login.status == 200, "\(login.text)")
            #expect(try login.json()["user"]?["fullname"]?.string == "Anna Blume")
            let refresh = try #require(try login.json()["refresh_token"]?.string)
            // What renews a login does nothing else.
            client.token = refresh
            #expect(try await client.post("/api/v1/scans/hers", json: [:]).status == 401)
            client.token = try login.json()["access_token"]?.string
            let valid = try await client.send("POST", "/api/v1/auth/token/validation")
            #expect(try valid.json()["user"]?["username"]?.string == "anna")
            #expect(try await client.post("/api/v1/scans/hers", json: [:]).status == 201)
            let owner = try await client.send("GET", "/api/v1/scans/hers/metadata").json()["metadata"]
            #expect(owner?["owner"]?.string == "anna")

            let anew = try await client.post(
                "/api/v1/auth/token/refresh", json: ["refresh_token": .string(refresh)])
            #expect(anew.status == 200)
            // Both old ones are over.
            #expect(try await client.send("POST", "/api/v1/auth/token/validation").status == 401)
            #expect(
                try await client.post("/api/v1/auth/token/refresh", json: ["refresh_token": .string(refresh)])
                    .status
                    == 401)
            client.token = try anew.json()["access_token"]?.string
            #expect(try await client.send("POST", "/api/v1/auth/logout").status == 200)
            #expect(try await client.send("POST", "/api/v1/auth/logout").status == 401)
            #expect(try await client.post("/api/v1/scans/more", json: [:]).status == 401)
        }
        try folder.remove()
    }

    @Test(
        "Readers write nothing; who is not active, and who has the password that everybody knows, is not let in"
    )
    func roles() async throws {
        try write(Self.later)
        try await withServer(path) { client, _ in
            func logIn(_ name: String, _ password: String) async throws -> RestClient.Answer {
                try await client.post(
                    "/api/v1/auth/login", json: ["username": .string(name), "password": .string(password)])
            }
            var reader = client
            reader.token = try await logIn("rita", "password").json()["access_token"]?.string
            #expect(try await reader.send("GET", "/api/v1/scans").status == 200)
            let refused = try await reader.post("/api/v1/scans/new", json: [:])
            #expect(refused.status == 403 && refused.text.contains("rita"))
            #expect(try await logIn("gone", "password").status == 401)
            #expect(try await logIn("password", "password").status == 401)
            #expect(try await logIn("otto", "password").status == 401)
            // users.json itself is nobody's to read.
            #expect(try await reader.send("GET", "/files/users.json").status == 404)
            #expect(try await reader.send("GET", "/api/v1/assets/files/users.json").status == 404)
        }
        try folder.remove()
    }

    @Test("A sync logs in with an account of the server, and is told where it may not")
    func syncWithAccount() async throws {
        try write(Self.later)
        let source = folder.appending("source")
        try SampleDatabase.plants(3, images: 2, seed: 9).write(to: source)
        try await withServer(path) { client, _ in
            func sync(_ user: String, _ password: String) async throws -> SyncReport {
                var access = RemoteAccess()
                access.login = Login(user: user, password: password)
                let (from, to) = (
                    try await openDatabase(source, as: .source),
                    try await openDatabase(client.base, as: .existingTarget, access: access)
                )
                let report = await SyncEngine(source: from, target: to).run()
                await from.close()
                await to.close()
                return report
            }
            let done = try await sync("anna", "password")
            #expect(done.errors.isEmpty && done.scans.contains { $0.outcome == .created }, "\(done.errors)")
            #expect(
                try bytesOnDisk(path + "/plant_2/files.json") == bytesOnDisk(source + "/plant_2/files.json"))
            let reader = try await sync("rita", "password")
            #expect(reader.error?.code == .permissionDenied, "\(reader.errors)")
            let wrong = await #expect(throws: DatabaseError.self) { try await sync("anna", "wrong") }
            #expect(wrong?.code == .authentication && wrong?.message.contains("anna") == true)
        }
        try folder.remove()
    }

    @Test("Whose account was closed, or may write no longer, has no rights left of a login before")
    func closedAccounts() async throws {
        try write(Self.later)
        try await withServer(path) { client, _ in
            var client = client
            client.token = try await client.post(
                "/api/v1/auth/login", json: ["username": "anna", "password": "password"]
            ).json()["access_token"]?.string
            #expect(try await client.post("/api/v1/scans/hers", json: [:]).status == 201)
            func change(_ key: String, _ value: JSONValue) throws {
                var users = Self.later.array ?? []
                var anna = try #require(users[0].object)
                anna[key] = value
                users[0] = .object(anna)
                try write(.array(users))
            }
            try change("roles", ["reader"])
            #expect(try await client.post("/api/v1/scans/more", json: [:]).status == 403)
            #expect(try await client.send("GET", "/api/v1/scans").status == 200)
            try change("is_active", false)
            #expect(try await client.post("/api/v1/scans/more", json: [:]).status == 401)
            try writeFile(path + "/users.json", Array("[{\"username".utf8))
            #expect(try await client.post("/api/v1/scans/more", json: [:]).status == 401)
            // A token of this server before it was started again.
            client.token = "abcdefghijklmnopqrstuvwxyz"
            let stale = try await client.post("/api/v1/scans/more", json: [:])
            #expect(stale.status == 401 && stale.text.contains("none of this server's"))
        }
        try folder.remove()
    }

    @Test(
        "Wrong passwords are answered later and later, whether or not there is such an account",
        arguments: ["anna", "otto"])
    func throttling(_ name: String) async throws {
        try write(Self.later)
        try await withServer(path) { client, _ in
            func logIn(_ password: String) async throws -> RestClient.Answer {
                try await client.post(
                    "/api/v1/auth/login", json: ["username": .string(name), "password": .string(password)])
            }
            for _ in 0..<3 { #expect(try await logIn("wrong").status == 401) }
            let throttled = try await logIn("password")
            #expect(throttled.status == 429)
            let seconds = try #require(throttled.header("Retry-After").flatMap(Int.init))
            #expect((1...2).contains(seconds))
            try await Task.sleep(for: .seconds(seconds))
            #expect(try await logIn("password").status == (name == "anna" ? 200 : 401))
        }
        try folder.remove()
    }

    @Test("Who logs in sends a few bytes; megabytes of JSON are not read")
    func largeLogin() async throws {
        try write(Self.later)
        try await withServer(path) { client, _ in
            let body = JSONValue.object(
                JSONObject([("username", .string(String(repeating: "a", count: 1 << 20)))]))
            for path in ["/login", "/api/v1/auth/login", "/api/v1/auth/token/refresh"] {
                let answer = try await client.post(path, json: body)
                #expect(answer.status == 400 && answer.text.contains("larger"), "\(path): \(answer.text)")
            }
        }
        try folder.remove()
    }

    @Test("Many wrong passwords at once are no more tries than one after the other")
    func parallelGuesses() async throws {
        try write(Self.later)
        try await withServer(path) { client, _ in
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<12 {
                    group.addTask {
                        try await client.post(
                            "/api/v1/auth/login",
                            json: ["username": "anna", "password": .string("guess \(number)")]
                        ).status
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(statuses.count(where: { $0 == 429 }) >= 8, "\(statuses)")
            #expect(statuses.allSatisfy { [401, 429].contains($0) }, "\(statuses)")
        }
        try folder.remove()
    }

    @Test("The accounts of 0.14 say whether a password is right")
    func accountsOf014() async throws {
        try write([
            "anna": ["password": .string(Self.bcrypt), "fullname": "Anna Blume"],
            "anonymous": ["password": ""],
        ])
        try await withServer(path) { client, _ in
            for (password, isRight) in [("U*U", true), ("wrong", false)] {
                let answer = try await client.post(
                    "/login", json: ["username": "anna", "password": .string(password)])
                #expect(answer.status == 200)
                #expect(try answer.json()["authenticated"]?.bool == isRight)
            }
            let later = try await client.post(
                "/api/v1/auth/login", json: ["username": "anna", "password": "U*U"])
            #expect(later.status == 200)
            // The file is read again when it changes.
            try write(Self.later)
            #expect(
                try await client.post("/api/v1/auth/login", json: ["username": "anna", "password": "U*U"])
                    .status == 401)
        }
        try folder.remove()
    }

    @Test("A token for programs does what it is for, on the scans that it names")
    func programs() async throws {
        try write(Self.later)
        try await withServer(path) { client, token in
            var owner = client
            owner.token = token
            let made = try await owner.post(
                "/api/v1/auth/token/create-api-token",
                json: [
                    "token_exp": 60,
                    "datasets": [
                        "plant_0": ["read"], "mine_*": ["TokenPermission.READ", "write", "create"],
                    ],
                ])
            #expect(made.status == 200, "\(made.text)")
            #expect(try made.json()["expiration date"]?.string != nil)
            var program = client
            program.token = try made.json()["api_token"]?.string
            #expect(try await program.send("GET", "/api/v1/scans/plant_0").status == 200)
            #expect(try await program.send("GET", "/api/v1/scans/plant_1").status == 403)
            #expect(try await program.send("GET", "/api/v1/assets/files/plant_1/files.json").status == 403)
            #expect(try await program.send("GET", "/api/v1/assets/files/plant_0/files.json").status == 200)
            #expect(try await program.post("/api/v1/scans/mine_1", json: [:]).status == 201)
            #expect(try await program.post("/api/v1/scans/yours", json: [:]).status == 403)
            #expect(
                try await program.post("/api/v1/scans/plant_0/metadata", json: ["metadata": [:]]).status
                    == 403)
            let maker = try await owner.post(
                "/api/v1/auth/token/create-api-token",
                json: ["token_exp": 60, "datasets": ["*": ["create"]]])
            program.token = try maker.json()["api_token"]?.string
            #expect(try await program.post("/api/v1/scans/mine_2", json: [:]).status == 201)
            // Making is not changing.
            let change: JSONValue = ["metadata": ["a": 1]]
            #expect(try await program.post("/api/v1/scans/plant_0/metadata", json: change).status == 403)
            program.token = try made.json()["api_token"]?.string
            // Not by calls that name their scan elsewhere, nor by plantdb's own.
            #expect(try await program.post("/api/scan", json: ["name": "yours"]).status == 403)
            #expect(try await program.send("GET", "/plantdb/v1/scans").status != 200)
            let wider = try await program.post(
                "/api/v1/auth/token/create-api-token", json: ["token_exp": 60, "datasets": ["*": ["write"]]])
            #expect(wider.status == 401)
            for body in [
                ["token_exp": 60] as JSONValue, ["token_exp": 0, "datasets": ["*": ["read"]]],
                ["token_exp": 60, "datasets": [:]], ["token_exp": 60, "datasets": ["*": ["everything"]]],
            ] {
                #expect(try await owner.post("/api/v1/auth/token/create-api-token", json: body).status == 400)
            }
            #expect(
                try await client.post(
                    "/api/v1/auth/token/create-api-token",
                    json: ["token_exp": 60, "datasets": ["*": ["read"]]]
                ).status == 401)
        }
        try folder.remove()
    }

    @Test("Requests are counted by route and answer, and the description names every call")
    func metricsAndDescription() async throws {
        try await withServer(path) { client, _ in
            _ = try await client.send("GET", "/scans")
            _ = try await client.send("GET", "/scans/nobody")
            let metrics = try await client.send("GET", "/metrics").text
            #expect(metrics.contains(#"plantdb_requests_total{method="GET",route="/scans",status="200"} 1"#))
            #expect(
                metrics.contains(#"plantdb_requests_total{method="GET",route="/scans/:scan",status="404"} 1"#)
            )
            #expect(!metrics.contains("nobody"))
            let description = try await client.send("GET", "/openapi.json").json()
            #expect(description["openapi"]?.string == "3.1.0")
            let paths = try #require(description["paths"]?.object)
            #expect(paths["/api/v1/assets/archive/{scan}"]?["post"] != nil)
            #expect(paths["/files/{path}"]?["get"] != nil && paths["/api/v1/auth/login"]?["post"] != nil)
            #expect(paths.count >= 30)
        }
        try folder.remove()
    }
}
