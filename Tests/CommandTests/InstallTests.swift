import Foundation
import PlantDBTesting
import Testing

/// What `make install` installs beside the command.
@Suite struct InstallTests {
    private func run(_ program: String, _ arguments: [String]) throws -> (status: Int32, text: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [program] + arguments
        process.environment = ProcessInfo.processInfo.environment.merging([
            "XDG_RUNTIME_DIR": NSTemporaryDirectory()
        ]) { $1 }
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let bytes = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: bytes, as: UTF8.self))
    }

    /// As a pager shows it, without the overstriking that makes it bold.
    private func shown(_ page: String) throws -> String {
        try run("mandoc", ["-T", "utf8", page]).text.replacing(/.\u{8}/, with: "")
    }

    @Test func everyCommandHasItsManualPage() throws {
        let folder = try TemporaryDirectory()
        #expect(try plantdb("manual", folder.appending("man1")).status == 0)
        let pages = try FileManager.default.contentsOfDirectory(atPath: folder.appending("man1"))
        for name in ["plantdb", "plantdb-sync", "plantdb-remote-add", "plantdb-locks-break"] {
            #expect(pages.contains(name + ".1"))
        }
        for page in pages {
            let path = folder.appending("man1/" + page)
            let (status, complaints) = try run("mandoc", ["-T", "lint", "-W", "warning", path])
            #expect(status == 0 && complaints.isEmpty, "\(page): \(complaints)")
            let text = try shown(path)
            #expect(text.contains("SYNOPSIS") && text.contains("EXAMPLES"), "\(page)")
        }
        // What is copied from a page works: hyphens are hyphens.
        #expect(try shown(folder.appending("man1/plantdb-sync.1")).contains("--max-delete <n|p%>"))
        try folder.remove()
    }

    /// `systemd-analyze verify` says what systemd would.
    @Test func unitsAreWhatSystemdUnderstands() throws {
        let folder = try TemporaryDirectory()
        let units = try #require(packageRoot) + "/Scripts/systemd"
        for unit in try FileManager.default.contentsOfDirectory(atPath: units) {
            let text = String(decoding: try bytesOnDisk(units + "/" + unit), as: UTF8.self)
                .replacingOccurrences(
                    of: "@BINDIR@", with: PlantdbProcess.executable.deletingLastPathComponent().path
                )
                // The page is installed where man looks, which a test does not change.
                .split(separator: "\n").filter { !$0.hasPrefix("Documentation=man:") }.joined(separator: "\n")
            let named = unit.replacingOccurrences(of: "@", with: "@greenhouse")
            try writeFile(folder.appending(named), Array(text.utf8))
        }
        for unit in [
            "plantdb-sync@greenhouse.service", "plantdb-sync@greenhouse.timer",
            "plantdb-watch@greenhouse.service",
        ] {
            let (status, text) = try run("systemd-analyze", ["--user", "verify", folder.appending(unit)])
            #expect(status == 0 && !text.contains(unit), "\(unit): \(text)")
        }
        try folder.remove()
    }

    /// The line that a unit starts is one that the command takes.
    @Test func theLinesOfTheUnitsParse() throws {
        for unit in ["plantdb-sync@.service", "plantdb-watch@.service"] {
            let text = String(
                decoding: try bytesOnDisk(#require(packageRoot) + "/Scripts/systemd/" + unit), as: UTF8.self)
            let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("ExecStart=") })
            let words = line.split(separator: " ").dropFirst().flatMap { word -> [String] in
                switch word {
                case "$OPTIONS": ["--min-age", "10m", "--bwlimit", "20M"]
                case "${SOURCE}": ["/no/such/source"]
                case "${TARGET}": ["/no/such/target"]
                default: [String(word)]
                }
            }
            let outcome = try PlantdbProcess(Array(words)).outcome()
            #expect(outcome.status == 10, "\(outcome.diagnostics)")
        }
    }
}
