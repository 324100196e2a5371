import FSDB
import Foundation
import PlantDBCore
import PlantDBTesting
import Testing

/// The page in a real Chromium, driven by Browser/scenarios.py, on the built command.
@Suite(.serialized, .enabled(if: Browser.isAvailable, "THE PAGE IS NOT TESTED: \(Browser.reason)"))
struct BrowserTests {
    private let folder: TemporaryDirectory
    private var source: String { folder.appending("source") }
    private var target: String { folder.appending("target") }

    init() throws { folder = try TemporaryDirectory() }

    private func plants(_ count: Int, at path: String) throws {
        try SampleDatabase.plants(count, images: 6, seed: 5).write(to: path)
    }

    /// - Parameter path: goes before the `PATH` of the app.
    private func run(
        _ scenario: String, _ values: [String: String], path: String? = nil, arguments: [String] = [],
        environment: [String: String] = [:]
    ) throws {
        let app = try AppProcess(path: path, arguments: arguments, environment: environment)
        defer { app.stop() }
        let values = values.merging(["chromium": Browser.chromium]) { own, _ in own }
        let (status, output) = try Browser.run(
            [
                Browser.scenarios, scenario, app.url, folder.path,
            ] + values.map { "\($0.key)=\($0.value)" })
        if let shots = ProcessInfo.processInfo.environment["PLANTDB_SHOTS"] {
            let made = folder.appending("shots")
            for name in try FileManager.default.contentsOfDirectory(atPath: made) {
                try? FileManager.default.removeItem(atPath: shots + "/" + name)  // Of an earlier run, if any.
                try FileManager.default.copyItem(atPath: made + "/" + name, toPath: shots + "/" + name)
            }
        }
        #expect(status == 0, "\(scenario): \(output)")
    }

    @Test("From connecting to the report: between two folders of genuine scans")
    func localToLocal() throws {
        if let romi = romiDataset {
            try FileManager.default.createDirectory(atPath: source, withIntermediateDirectories: false)
            for name in try FileManager.default.contentsOfDirectory(atPath: romi) where name != "lock" {
                try FileManager.default.copyItem(atPath: romi + "/" + name, toPath: source + "/" + name)
            }
        } else {
            try plants(3, at: source)
        }
        try run("whole_way", ["source": source, "target": target])
        #expect(try databaseDifferences(source, target) == [])
    }

    @Test("The same to a server of ours")
    func localToServer() async throws {
        try plants(3, at: source)
        try FSDB.createEmptyDatabase(at: target)
        let server = TestRestApiServer(databasePath: target)
        try await server.start()
        try run("whole_way", ["source": source, "target": try #require(server.baseURL)])
        try await server.stop()
        #expect(try databaseDifferences(source, target) == [])
    }

    /// - Returns: a folder with an `ssh` that knows the server, and is slow if asked.
    private func wrapper(_ server: SSHServer, slow: Bool) throws -> String {
        let bin = folder.appending("bin")
        try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: false)
        let options = server.sshOptions.map { "-o '\($0)'" }.joined(separator: " ")
        let limit = """
            import os, time
            while block := os.read(0, 4096):
                os.write(1, block)
                time.sleep(0.01)
            """
        try writeFile(bin + "/limit.py", Array(limit.utf8))
        let pipe = slow ? " | python3 \(bin)/limit.py" : ""
        let script = "#!/bin/sh\n\(slow ? "" : "exec ")/usr/bin/ssh \(options) \"$@\"\(pipe)\n"
        try writeFile(bin + "/ssh", Array(script.utf8))
        chmod(bin + "/ssh", 0o755)
        return bin
    }

    @Test("The same from another machine by SSH", .enabled(if: SSHServer.isAvailable))
    func sshToLocal() throws {
        try plants(3, at: source)
        let server = try SSHServer()
        try run(
            "whole_way",
            [
                "source": "ssh://\(server.user)@127.0.0.1:\(server.port)\(source)", "target": target,
                "identity": server.identity,
            ], path: try wrapper(server, slow: false))
        server.stop()
        #expect(try databaseDifferences(source, target) == [])
    }

    @Test(
        "A page that is loaded anew shows the run at work; stopping and resuming it",
        .enabled(if: SSHServer.isAvailable))
    func reloading() throws {
        var database = try SampleDatabase.plants(1, images: 2, seed: 1)
        var large = try SampleTree.minimal("large")
        var generator = SplitMix64(seed: 4)
        try large.file("images/large.bin", generator.bytes(8_000_000))
        try large.writeIndex()
        try database.add("large", large)
        try database.write(to: source)
        let server = try SSHServer()
        try run(
            "reload_during_run",
            [
                "source": "ssh://\(server.user)@127.0.0.1:\(server.port)\(source)", "target": target,
                "identity": server.identity,
            ], path: try wrapper(server, slow: true))
        server.stop()
    }

    @Test(
        "Fields that were edited are tested and compared before anything starts; tabs and reloads keep what they show",
        arguments: ["edited_target", "two_tabs", "reloaded"])
    func pairs(_ scenario: String) throws {
        try plants(3, at: source)
        try run(scenario, ["source": source, "target": target])
    }

    @Test("Named databases are offered, a run is held to its rate and stands in the history")
    func namedAndHistory() throws {
        try plants(3, at: source)
        let configuration = """
            [databases.field]
            location = "\(source)"
            [databases.backup]
            location = "\(target)"
            """
        try writeFile(folder.appending("config.toml"), Array(configuration.utf8))
        try run(
            "named_and_history", ["source": source, "target": target], arguments: ["field:"],
            environment: [
                "PLANTDB_CONFIG": folder.appending("config.toml"), "PLANTDB_STATE": folder.appending("state"),
            ])
        #expect(try databaseDifferences(source, target) == [])
    }

    @Test("A wrong location says what is wrong")
    func failingConnection() throws {
        try plants(2, at: source)
        try run("failing_connection", ["source": source])
    }

    @Test("A scan that fails is named with its error, and retried")
    func failingScan() throws {
        try plants(3, at: source)
        try run("failing_scan", ["source": source, "target": target])
        #expect(try databaseDifferences(source, target) == [])
    }

    @Test("Nothing is deleted before its list was confirmed")
    func deletion() throws {
        try plants(3, at: source)
        try plants(4, at: target)
        try run("deletion_guard", ["source": source, "target": target])
        // What no run had brought there is kept in the trash.
        #expect(
            try databaseDifferences(source, target).filter { !$0.hasPrefix(".plantdb-sync") } == [])
    }

    @Test("10,000 scans")
    func manyScans() throws {
        for (path, count) in [(source, 10_000), (target, 5_000)] {
            try FSDB.createEmptyDatabase(at: path)
            for index in 0..<count {
                let digits = String(index)
                let scan = "\(path)/scan_\(String(repeating: "0", count: 5 - digits.count))\(digits)"
                try FileManager.default.createDirectory(
                    atPath: scan + "/metadata", withIntermediateDirectories: true)
                try writeFile(scan + "/files.json", Array(#"{"filesets": []}"#.utf8))
            }
        }
        try run("many_scans", ["source": source, "target": target])
    }

    @Test("Names and metadata that are markup appear as text")
    func hostileNames() throws {
        try plants(1, at: source)
        let markup = "<img src=x onerror=window.pwned=1>"
        try writeFile(
            source + "/plant_0/metadata/metadata.json", Array(#"{"object": {"species": "\#(markup)"}}"#.utf8))
        try FileManager.default.createDirectory(
            atPath: source + "/<img src=x onerror=window.pwned=2>", withIntermediateDirectories: false)
        try run("hostile_names", ["source": source, "target": target])
    }

    @Test("A page of another origin starts nothing")
    func otherOrigin() throws {
        try plants(2, at: source)
        try run("other_origin", ["source": source])
    }
}

/// `plantdb app`, running.
private final class AppProcess {
    let url: String
    private let process = Process()

    init(path: String?, arguments: [String] = [], environment more: [String: String] = [:]) throws {
        process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
            .deletingLastPathComponent().appendingPathComponent("plantdb")
        process.arguments = ["app", "--no-browser"] + arguments
        // The tests' runs stay out of their user's history.
        var environment = ProcessInfo.processInfo.environment.merging(
            ["PLANTDB_STATE": "", "PLANTDB_CONFIG": ""]) { $1 }
        if let path { environment["PATH"] = path + ":" + (environment["PATH"] ?? "/usr/bin:/bin") }
        process.environment = environment.merging(more) { $1 }
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        var line = Data()
        while !line.contains(UInt8(ascii: "\n")) {
            let more = output.fileHandleForReading.availableData
            if more.isEmpty { break }
            line += more
        }
        let text = String(decoding: line, as: UTF8.self)
        url = try #require(text.firstRange(of: "http://").map { text[$0.lowerBound...] }.map(String.init))
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func stop() {
        process.terminate()
        process.waitUntilExit()
    }
}

/// Debian's Chromium, and Playwright from PyPI to drive it, in a virtual environment of the build.
private enum Browser {
    static let chromium = "/usr/bin/chromium"
    static let scenarios = (packageRoot ?? "") + "/Tests/SyncAppTests/Browser/scenarios.py"
    private static let environment = (packageRoot ?? "") + "/.build/browser"
    private static let python = environment + "/bin/python"

    static let reason: String = {
        guard FileManager.default.isExecutableFile(atPath: chromium) else { return "chromium is missing" }
        do {
            if !FileManager.default.fileExists(atPath: environment + "/done") {
                guard
                    try run(["-m", "venv", environment], program: "/usr/bin/env", first: "python3").status
                        == 0
                else { return "python3 makes no virtual environment" }
                let (status, output) = try run(["-m", "pip", "install", "--quiet", "playwright==1.65.2"])
                guard status == 0 else { return "playwright cannot be installed: \(output)" }
                try writeFile(environment + "/done", [])
            }
            return ""
        } catch { return "\(error)" }
    }()

    static var isAvailable: Bool { reason.isEmpty }

    static func run(_ arguments: [String]) throws -> (status: Int32, output: String) {
        try run(arguments, program: python, first: nil)
    }

    private static func run(_ arguments: [String], program: String, first: String?) throws -> (
        status: Int32, output: String
    ) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = (first.map { [$0] } ?? []) + arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: text, as: UTF8.self))
    }
}
