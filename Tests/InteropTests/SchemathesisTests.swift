import Foundation
import PlantDBTesting
import Testing

/// Random calls made from our OpenAPI description, by schemathesis from PyPI: none may be a server's error.
@Suite(.enabled(if: Schemathesis.isAvailable, "THE DESCRIPTION IS NOT TESTED: \(Schemathesis.reason)"))
struct SchemathesisTests {
    @Test func noCallBreaksTheServer() async throws {
        let folder = try TemporaryDirectory()
        try SampleDatabase.plants(2, images: 2, seed: 3).write(to: folder.appending("db"))
        let server = TestRestApiServer(databasePath: folder.appending("db"))
        try await server.start()
        let url = try #require(server.baseURL) + "/openapi.json"
        let (status, output) = try await runProgram(
            Schemathesis.program,
            [
                "run", url, "--checks", "not_a_server_error", "--max-examples", "10", "--seed", "7",
                "--no-color",
            ],
            in: folder.path)
        #expect(status == 0, "\(output.suffix(5000))")
        let tested = output.matches(of: /(\d+) generated, (\d+) passed/).last
        #expect(Int(tested?.1 ?? "0") ?? 0 > 500, "\(output.suffix(1000))")
        try await server.stop()
        try folder.remove()
    }
}

private enum Schemathesis {
    static let environment = (packageRoot ?? ".") + "/.build/schemathesis"
    static let program = environment + "/bin/st"
    private static let requirement = "schemathesis==4.32.5"

    /// Empty: it is there. The first call installs it.
    static let reason: String = {
        do {
            let marker = environment + "/complete"
            if FileManager.default.contents(atPath: marker) == Data(requirement.utf8) { return "" }
            for (program, arguments) in [
                ("/usr/bin/env", ["python3", "-m", "venv", environment]),
                (environment + "/bin/python", ["-m", "pip", "install", "--quiet", requirement]),
            ] {
                let (status, output) = try runProgramHere(program, arguments)
                guard status == 0 else { return "it cannot be installed: \(output.suffix(500))" }
            }
            try Data(requirement.utf8).write(to: URL(fileURLWithPath: marker))
            return ""
        } catch { return "\(error)" }
    }()

    static var isAvailable: Bool { reason.isEmpty }
}
