import FSDB
import Foundation
import PlantDBCore
import PlantDBTesting
import Testing

/// The examples of docs/using-from-code.md, built and run as they stand there.
@Suite struct ExampleTests {
    private let folder: TemporaryDirectory
    private var source: String { folder.appending("source") }
    private var target: String { folder.appending("target") }

    init() throws {
        folder = try TemporaryDirectory()
        try SampleDatabase.plants(2, images: 5, seed: 11).write(to: folder.appending("source"))
    }

    /// - Returns: what it printed.
    private func run(_ example: String, _ arguments: [String], input: String = "") throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
            .deletingLastPathComponent().appendingPathComponent(example)
        process.arguments = arguments
        try writeFile(folder.appending("in"), Array(input.utf8))
        process.standardInput = FileHandle(forReadingAtPath: folder.appending("in"))
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(example)")
        return String(decoding: text, as: UTF8.self)
    }

    @Test func localToLocal() throws {
        #expect(try run("LocalToLocal", [source, target]).hasPrefix("2 scans, "))
        #expect(try databaseDifferences(source, target) == [])
    }

    @Test func instanceToLocal() throws {
        _ = try run("InstanceToLocal", [source, target])
        #expect(
            try databaseDifferences(source + "/plant_0", target + "/plant_0") == []
                && !FileManager.default.fileExists(atPath: target + "/plant_1"))
    }

    @Test func localToServer() async throws {
        try FSDB.createEmptyDatabase(at: target)
        let server = TestRestApiServer(databasePath: target)
        try await server.start()
        let printed = try run("LocalToServer", [source, try #require(server.baseURL)])
        #expect(printed.hasSuffix("100 %\n[\"plant_0\", \"plant_1\"]\n"), "\(printed)")
        try await server.stop()
        #expect(try databaseDifferences(source, target) == [])
    }

    @Test(.enabled(if: SSHServer.canTakePasswords, "NOT TESTED: no sshd with a password can be had here"))
    func sshToLocal() throws {
        // openssl passwd -6 -salt plantdb example-password
        let server = try SSHServer(hashedPassword: Self.hash)
        let printed = try run(
            "SSHToLocal",
            [
                "ssh://127.0.0.1:\(server.port)\(source)", target, "127.0.0.1", server.user,
                "PubkeyAuthentication=no",
            ] + server.sshOptions, input: "example-password\n")
        #expect(printed.hasPrefix("2 scans from ssh://127.0.0.1"))
        #expect(try databaseDifferences(source, target) == [])
        server.stop()
    }

    private static let hash =
        "$6$plantdb$dyjnTCOrNVbBBrS10acWf.Sp4du9MVncBKItWX0kFXK7pISmjsJfCGGTcEIK5VYVuteOm6TT4fOXppcc4Rq0G/"

    @Test("The documentation shows the examples as they are run")
    func documentation() throws {
        let root = try #require(packageRoot)
        let text = try String(contentsOfFile: root + "/docs/using-from-code.md", encoding: .utf8)
        for example in ["LocalToLocal", "InstanceToLocal", "LocalToServer", "SSHToLocal"] {
            let code = try String(
                contentsOfFile: "\(root)/Examples/\(example)/\(example).swift", encoding: .utf8)
            let shown = code.components(separatedBy: "// example:begin\n")[1]
                .components(separatedBy: "        // example:end")[0]
                .split(separator: "\n", omittingEmptySubsequences: false)
                .map { $0.hasPrefix("        ") ? String($0.dropFirst(8)) : String($0) }
                .joined(separator: "\n")
            #expect(
                text.contains("```swift\n\(shown)```"), "docs/using-from-code.md shows another \(example)")
        }
    }
}
