import Foundation
import PlantDBCore
import PlantDBTesting
import Testing

@testable import plantdb

/// A secret reaches one side, or nobody.
@Suite struct SecretTests {
    private let folder: TemporaryDirectory
    private static let token = "canary-token-0123456789"
    private static let other = "another-canary-9876543210"

    init() throws {
        folder = try TemporaryDirectory()
        try writeFile(folder.appending("token"), Array((Self.token + "\n").utf8))
        try writeFile(folder.appending("other"), Array((Self.other + "\n").utf8))
        for name in ["token", "other"] { chmod(folder.appending(name), 0o600) }
    }

    private var tokenFile: String { folder.appending("token") }

    /// Two servers, each behind what keeps all that it is sent.
    private struct Pair {
        let servers: [TestRestApiServer]
        let source: RecordingProxy
        let target: RecordingProxy

        init(_ folder: TemporaryDirectory) async throws {
            try SampleDatabase.plants(1, images: 2).write(to: folder.appending("a"))
            try SampleDatabase().write(to: folder.appending("b"))
            servers = ["a", "b"].map { TestRestApiServer(databasePath: folder.appending($0)) }
            for server in servers { try await server.start() }
            source = try RecordingProxy(before: try #require(servers[0].baseURL))
            target = try RecordingProxy(before: try #require(servers[1].baseURL))
        }

        func stop() async throws {
            source.stop()
            target.stop()
            for server in servers { try await server.stop() }
        }
    }

    /// Off the threads that the servers of this process need.
    private func run(_ arguments: [String], _ environment: [String: String] = [:]) async throws
        -> PlantdbProcess.Outcome
    {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(
                    with: Result { try PlantdbProcess(arguments, environment: environment).outcome() })
            }
        }
    }

    @Test("One secret and two servers that could use it: refused before anything is connected to")
    func ambiguous() async throws {
        let pair = try await Pair(folder)
        let (one, two) = (pair.source.url, pair.target.url)
        let given: [(arguments: [String], environment: [String: String], name: String)] = [
            (["--token-file", tokenFile], [:], "--source-token-file"),
            ([], ["PLANTDB_TOKEN_FILE": tokenFile], "PLANTDB_TOKEN_FILE"),
            (["--user", "anna", "--password-file", tokenFile], [:], "--target-user"),
            (["--user", "anna"], ["PLANTDB_PASSWORD_FILE": tokenFile], "--target-user"),
        ]
        for command in ["sync", "diff"] {
            for (arguments, environment, name) in given {
                let outcome = try await run([command, one, two] + arguments, environment)
                #expect(outcome.status == 2, "\(arguments): \(outcome.diagnostics)")
                #expect(
                    outcome.diagnostics.contains(name) && outcome.diagnostics.contains("plantdb remote add"),
                    "\(outcome.diagnostics)")
            }
        }
        #expect(!pair.source.isUsed && !pair.target.isUsed)
        for (option, value) in [("--identity", tokenFile), ("--password-file", tokenFile)] {
            let outcome = try await run(
                ["sync", "ssh://127.0.0.1:1/a", "ssh://127.0.0.1:2/b", option, value])
            #expect(outcome.status == 2 && outcome.diagnostics.contains("--source-" + option.dropFirst(2)))
        }
        try await pair.stop()
        try folder.remove()
    }

    @Test("The target's token does not reach the source, however it is said whose it is")
    func oneSideOnly() async throws {
        let pair = try await Pair(folder)
        let (one, two) = (pair.source.url, pair.target.url)
        let configuration = """
            [databases.lab]
            location = "\(two)"
            token-file = "\(tokenFile)"
            """
        try writeFile(folder.appending("config.toml"), Array(configuration.utf8))
        let named = ["PLANTDB_CONFIG": folder.appending("config.toml")]
        for (arguments, environment) in [
            (["sync", one, two, "--target-token-file", tokenFile], [:]),
            (["sync", one, two], ["PLANTDB_TARGET_TOKEN_FILE": tokenFile]),
            // What stands in the environment is not left over for the other side.
            (["sync", one, two, "--target-token-file", tokenFile], ["PLANTDB_TOKEN_FILE": tokenFile]),
            (["sync", one, "lab:"], named),
            (["sync", one, "lab:"], named.merging(["PLANTDB_TOKEN_FILE": tokenFile]) { $1 }),
            (["diff", one, "lab:"], named),
        ] {
            let outcome = try await run(arguments, environment)
            #expect(outcome.status == 0, "\(arguments): \(outcome.diagnostics)")
            #expect(pair.source.isUsed && !pair.source.received(Self.token), "\(arguments)")
            #expect(pair.target.received("Bearer " + Self.token), "\(arguments)")
            #expect(!outcome.diagnostics.contains("canary") && !outcome.output.contains("canary"))
        }
        // An option goes to the one of two that has none of its own.
        let both = try await run(["diff", one, "lab:", "--token-file", folder.appending("other")], named)
        #expect(both.status == 0, "\(both.diagnostics)")
        #expect(pair.source.received(Self.other) && !pair.source.received(Self.token))
        #expect(!pair.target.received(Self.other))
        try await pair.stop()
        try folder.remove()
    }

    @Test("Without another server a plain token goes to the only one, also where the configuration has one")
    func onlyServer() async throws {
        let pair = try await Pair(folder)
        let here = folder.appending("here")
        let down = try await run(["sync", pair.source.url, here, "--token-file", tokenFile])
        #expect(down.status == 0 && pair.source.received(Self.token), "\(down.diagnostics)")
        let up = try await run(["sync", here, pair.target.url], ["PLANTDB_TOKEN_FILE": tokenFile])
        #expect(up.status == 0 && pair.target.received(Self.token), "\(up.diagnostics)")
        // An account is one for reading too.
        let login = try await run(
            ["scans", pair.source.url, "--user", "anna", "--password-file", folder.appending("other")])
        #expect(login.status == 12 && pair.source.received(Self.other), "\(login.diagnostics)")
        let useless = try await run(["sync", here, pair.target.url, "--source-token-file", tokenFile])
        #expect(useless.status == 2 && useless.diagnostics.contains("http(s)://"), "\(useless.diagnostics)")
        let twice = try await run(
            [
                "sync", pair.source.url, pair.target.url, "--source-token-file", "-", "--target-token-file",
                "-",
            ])
        #expect(twice.status == 2 && twice.diagnostics.contains("standard input"))
        try await pair.stop()
        try folder.remove()
    }

    // MARK: The rule

    private typealias Side = AccessAllotment.Side

    private static func given(_ values: [AccessOption: String]) -> GivenAccess {
        var given = GivenAccess()
        for (option, value) in values { given[one: option] = value }
        return given
    }

    private static func side(_ prefix: String, _ location: String, _ named: [AccessOption: String] = [:])
        -> Side
    {
        Side(prefix: prefix, shown: location, location: location, named: given(named))
    }

    /// - Returns: of both sides, what holds of one option; nil: refused.
    private static func allotted(
        _ option: AccessOption, of options: [AccessOption: String] = [:],
        environment: [AccessOption: String] = [:], _ one: Side, _ two: Side
    ) -> [String?]? {
        do throws(DatabaseError) {
            return try AccessAllotment(options: given(options), environment: given(environment))
                .allotted(to: [one, two]).map { $0[one: option] }
        } catch { return error.code == .invalidArgument ? nil : [] }
    }

    @Test("Whose a password is: an account's, else that of who logs in by ssh")
    func logins() {
        let (ssh, named) = (
            Self.side("source-", "ssh://lab/db"), Self.side("source-", "ssh://eve@lab/db")
        )
        let (http, folder) = (Self.side("target-", "http://lab:5000"), Self.side("target-", "/db"))
        let login: [AccessOption: String] = [.user: "anna", .passwordFile: "p"]
        #expect(Self.allotted(.passwordFile, of: login, ssh, http) == [nil, "p"])
        #expect(Self.allotted(.passwordFile, environment: login, ssh, http) == [nil, "p"])
        #expect(Self.allotted(.passwordFile, of: [.passwordFile: "p"], ssh, http) == ["p", nil])
        #expect(Self.allotted(.passwordFile, of: [.passwordFile: "p"], ssh, folder) == ["p", nil])
        #expect(Self.allotted(.user, of: login, ssh, folder) == ["anna", nil])
        #expect(Self.allotted(.user, environment: login, ssh, folder) == [nil, nil])
        #expect(Self.allotted(.passwordFile, environment: login, ssh, folder) == ["p", nil])
        #expect(Self.allotted(.user, of: login, named, folder) == [nil, nil])
        let account = Self.side("target-", "http://lab:5000", [.user: "anna"])
        #expect(Self.allotted(.passwordFile, of: [.passwordFile: "p"], ssh, account) == nil)
        #expect(Self.allotted(.passwordFile, of: [.passwordFile: "p"], folder, account) == [nil, "p"])
        let complete = Self.side("target-", "http://lab:5000", [.user: "anna", .passwordFile: "q"])
        #expect(Self.allotted(.passwordFile, of: [.passwordFile: "p"], ssh, complete) == ["p", "q"])
    }

    @Test("Keys and authorities belong to one side; what is no secret may serve both")
    func keysAndAuthorities() {
        let ssh = (Self.side("source-", "ssh://a/db"), Self.side("target-", "SSH://b/db"))
        let https = (Self.side("source-", "https://a"), Self.side("target-", "https://b"))
        let http = Self.side("target-", "http://b")
        #expect(Self.allotted(.identity, of: [.identity: "k"], ssh.0, ssh.1) == nil)
        #expect(Self.allotted(.identity, environment: [.identity: "k"], ssh.0, ssh.1) == nil)
        #expect(Self.allotted(.identity, of: [.identity: "k"], ssh.0, http) == ["k", nil])
        #expect(Self.allotted(.cacert, of: [.cacert: "c"], https.0, https.1) == nil)
        #expect(Self.allotted(.cacert, of: [.cacert: "c"], https.0, http) == ["c", nil])
        #expect(
            Self.allotted(.sshOption, of: [.sshOption: "ProxyJump=g"], ssh.0, ssh.1) == [
                "ProxyJump=g", "ProxyJump=g",
            ])
        let owned = Self.side("target-", "ssh://b/db", [.identity: "own"])
        #expect(Self.allotted(.identity, of: [.identity: "k"], ssh.0, owned) == ["k", "own"])
        #expect(Self.allotted(.identity, environment: [.identity: "k"], ssh.0, owned) == [nil, "own"])
        // Where it alone can use it, an option comes before the configuration.
        #expect(Self.allotted(.identity, of: [.identity: "k"], https.0, owned) == [nil, "k"])
    }
}
