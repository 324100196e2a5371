import Foundation
import PlantDBCore
import PlantDBSync
import PlantDBTesting
import Testing

/// The command from outside: what it prints where, what it ends with, what it leaves alone.
@Suite struct CommandTests {
    private let folder: TemporaryDirectory
    private let source: String
    private let target: String

    init() throws {
        folder = try TemporaryDirectory()
        source = folder.appending("source")
        target = folder.appending("target")
        try SampleDatabase.plants(2).write(to: source)
    }

    @Test func version() throws {
        let outcome = try plantdb("--version")
        #expect(outcome.status == 0 && outcome.output.hasPrefix("plantdb ") && outcome.diagnostics == "")
    }

    @Test func usageErrorsEndWith2AndTouchNothing() throws {
        for arguments in [["sync", source], ["sync", source, target, "--nonsense"], ["nonsense"]] {
            let outcome = try PlantdbProcess(arguments).outcome()
            #expect(outcome.status == 2 && outcome.output == "" && outcome.diagnostics.hasPrefix("Error: "))
        }
        #expect(try plantdb("sync", source, target, "--trash").status == 2)
        #expect(!FileManager.default.fileExists(atPath: target))
        try folder.remove()
    }

    @Test func syncMakesThemEqualAndTheSecondRunMovesNothing() throws {
        let first = try plantdb("sync", source, target)
        #expect(first.status == 0)
        #expect(first.output.contains("2 created"))
        // A target that is mistyped would be made.
        #expect(first.diagnostics == "note: there is no database at \(target) yet\n")
        #expect(try plantdb("diff", source, target).status == 0)
        #expect(try plantdb("diff", "-c", source, target).output == "")
        let second = try plantdb("sync", source, target)
        #expect(
            second.status == 0 && second.output.contains("0 moved") && second.output.contains("0 B moved"))
        try folder.remove()
    }

    @Test func dryRunChangesNothingAndListsWhatTheRealRunLists() throws {
        try prepareChanges()
        let sourceBefore = try treeSnapshot(source)
        let before = try treeSnapshot(target)
        let dry = try plantdb("sync", "-n", "-i", "--delete", "--max-delete", "100%", source, target)
        #expect(dry.status == 0)
        #expect(try treeSnapshot(target).differences(from: before, ignoringInodes: false) == [])
        #expect(dry.lines.contains { $0.hasPrefix("~ plant_0/images/00000_rgb.jpg  ") })
        #expect(dry.lines.contains { $0.hasPrefix("+ plant_0/images/new.jpg  ") && $0.hasSuffix("  new") })
        #expect(
            dry.lines.contains { $0.hasPrefix("- plant_0/images/old.png  ") && $0.hasSuffix("  deleted") })

        let real = try plantdb("sync", "-i", "--delete", "--max-delete", "100%", source, target)
        #expect(real.status == 0)
        #expect(real.output == dry.output)
        #expect(try treeSnapshot(source).differences(from: sourceBefore) == [])
        #expect(try plantdb("diff", source, target).status == 0)
        try folder.remove()
    }

    @Test func dryRunIntoNothingMakesNothing() throws {
        #expect(try plantdb("sync", "-n", source, target).status == 0)
        #expect(!FileManager.default.fileExists(atPath: target))
        #expect(try plantdb("sync", "-n", "--exit-code", source, target).status == 4)
        #expect(try plantdb("sync", source, target).status == 0)
        #expect(try plantdb("sync", "-n", "--exit-code", source, target).status == 0)
        try folder.remove()
    }

    @Test func whatDiffersIsListedFromBothSides() throws {
        try prepareChanges()
        let outcome = try plantdb("diff", source, target)
        #expect(outcome.status == 4)
        #expect(outcome.lines.contains { $0.hasPrefix("! plant_0/images/00000_rgb.jpg  ") })
        #expect(outcome.lines.contains { $0.hasPrefix("< plant_0/images/new.jpg  ") })
        #expect(outcome.lines.contains { $0.hasPrefix("> plant_0/images/old.png  ") })
        let quiet = try plantdb("diff", "-q", source, target)
        #expect(quiet.status == 4 && quiet.output == "" && quiet.diagnostics == "")
        try folder.remove()
    }

    @Test func newerAtTheTargetIsSaidAndSettledByChecksum() throws {
        #expect(try plantdb("sync", source, target).status == 0)
        let file = target + "/plant_0/scan.toml"
        let content = try bytesOnDisk(file)
        try writeFile(file, content.dropLast() + [UInt8(ascii: "!")])
        try setModificationTime(file, ModificationTime(seconds: 1_800_000_000))
        let outcome = try plantdb("sync", "-i", source, target)
        #expect(outcome.status == 4)
        #expect(outcome.lines.contains { $0.hasPrefix("! plant_0/scan.toml  ") })
        #expect(outcome.output.contains("--checksum replaces") && outcome.diagnostics.contains("-i says why"))
        #expect(try plantdb("sync", "-c", source, target).status == 0)
        #expect(try bytesOnDisk(file) == content)
        try folder.remove()
    }

    @Test func notADatabaseEndsWith10() throws {
        #expect(try plantdb("scans", folder.appending("nowhere")).status == 10)
        #expect(try plantdb("sync", folder.appending("nowhere"), target).status == 10)
        try FileManager.default.createDirectory(
            atPath: folder.appending("plain"), withIntermediateDirectories: true)
        try writeFile(folder.appending("plain/file"), [])
        let outcome = try plantdb("sync", source, folder.appending("plain"))
        #expect(outcome.status == 10 && outcome.diagnostics.contains("romidb"))
        try folder.remove()
    }

    @Test func anEmptySourceEndsWith10UnlessAllowed() throws {
        #expect(try plantdb("init", folder.appending("empty")).status == 0)
        #expect(try plantdb("sync", folder.appending("empty"), target).status == 10)
        #expect(try plantdb("sync", "--allow-empty-source", folder.appending("empty"), target).status == 0)
        try folder.remove()
    }

    @Test func theSamePlaceTwiceIsWrongUsage() throws {
        #expect(try plantdb("sync", source, source + "/").status == 2)
        try folder.remove()
    }

    @Test func aScanThatIsNotThereIsAnErrorThatNamesIt() throws {
        let outcome = try plantdb("sync", source, target, "plant_0", "plant_7")
        #expect(outcome.status == 1 && outcome.diagnostics.contains("plant_7"))
        #expect(!FileManager.default.fileExists(atPath: target + "/plant_0"))
        try folder.remove()
    }

    @Test func selectionByNameGlobAndStandardInput() throws {
        #expect(try plantdb("sync", source, target, "*_1").status == 0)
        #expect(try plantdb("scans", target).lines == ["plant_1"])
        let outcome = try plantdb("sync", source, target, "--scans-from", "-", input: "plant_0\n")
        #expect(outcome.status == 0)
        #expect(try plantdb("scans", target).lines == ["plant_0", "plant_1"])
        #expect(try plantdb("sync", source, target, "--scans-from", "-", input: "\n").status == 2)
        try folder.remove()
    }

    @Test func lockedEndsWith11AndNamesWhoHoldsIt() async throws {
        #expect(try plantdb("sync", source, target).status == 0)
        let database = try await openDatabase(target, as: .target)
        let lock = try await database.acquireLock(.database, mode: .exclusive, wait: .zero)
        let outcome = try plantdb("sync", source, target)
        #expect(outcome.status == 11)
        #expect(outcome.diagnostics.contains(String(getpid())))
        #expect(try plantdb("locks", "list", target).output.hasPrefix("live"))
        #expect(try plantdb("locks", "break", target, "lock").status == 11)
        await lock.release()
        await database.close()
        #expect(try plantdb("sync", source, target).status == 0)
        try folder.remove()
    }

    @Test func theDeletionGuardEndsWith25AndDeletesNothing() throws {
        #expect(try plantdb("sync", source, target).status == 0)
        try removeTree(source + "/plant_1")
        let before = try treeSnapshot(target).without(".plantdb-sync")
        for arguments in [
            ["sync", "--delete"], ["sync", "-n", "--delete"], ["sync", "--delete", "--max-delete", "1"],
        ] {
            let outcome = try PlantdbProcess(arguments + [source, target]).outcome()
            #expect(outcome.status == 25 && outcome.diagnostics.contains("--max-delete"))
        }
        #expect(try treeSnapshot(target).without(".plantdb-sync").differences(from: before) == [])
        #expect(try plantdb("sync", "--delete", "--max-delete", "60%", source, target).status == 0)
        #expect(try plantdb("scans", target).lines == ["plant_0"])
        try folder.remove()
    }

    @Test(arguments: [(SIGINT, 130), (SIGTERM, 143), (SIGHUP, 129)] as [(Int32, Int32)])
    func signals(_ number: Int32, _ status: Int32) async throws {
        #expect(try plantdb("sync", source, target).status == 0)
        let database = try await openDatabase(target, as: .target)
        let lock = try await database.acquireLock(.database, mode: .exclusive, wait: .zero)
        let process = try PlantdbProcess(["sync", "--lock-wait", "1h", source, target])
        while try !process.diagnostics.contains("waiting") { try await Task.sleep(for: .milliseconds(20)) }
        process.signal(number)
        let outcome = try process.outcome()
        #expect(outcome.status == status)
        #expect(outcome.diagnostics.contains("stopping"))
        await lock.release()
        await database.close()
        try folder.remove()
    }

    @Test func aReaderThatGoesAwayEndsItQuietly() throws {
        let pipe = Pipe()
        try pipe.fileHandleForReading.close()
        let outcome = try PlantdbProcess(["scans", "-l", source], output: pipe.fileHandleForWriting).outcome()
        #expect(outcome.status == 141 && outcome.diagnostics == "")
        try folder.remove()
    }

    @Test(
        "Output that is lost is told, ends with 1, and keeps no run from its work",
        arguments: [">/dev/full", ">&-"])
    func lostOutput(_ redirection: String) throws {
        func run(_ line: String) throws -> (status: Int32, diagnostics: String) {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = ["-c", "exec '\(PlantdbProcess.executable.path)' \(line) \(redirection)"]
            process.environment = ProcessInfo.processInfo.environment.merging([
                "PLANTDB_STATE": "", "PLANTDB_CONFIG": "",
            ]) { $1 }
            let errors = Pipe()
            process.standardError = errors
            try process.run()
            let data = errors.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            return (process.terminationStatus, String(decoding: data, as: UTF8.self))
        }
        for line in ["sync -i '\(source)' '\(target)'", "scans '\(source)'", "--version"] {
            let (status, diagnostics) = try run(line)
            #expect(status == 1, "\(line): \(diagnostics)")
            #expect(
                diagnostics.components(separatedBy: "standard output cannot be written").count == 2,
                "\(diagnostics)")
            #expect(!diagnostics.contains("cancelled"))
        }
        #expect(try databaseDifferences(source, target) == [])
        // Nothing that was said went into a file that got the free number.
        #expect(try run("sync -q '\(source)' '\(target)'").status == 0)
        try folder.remove()
    }

    @Test func eventsAreJSONLinesAndEndWithASummary() throws {
        let report = folder.appending("report.json")
        let log = folder.appending("log")
        let outcome = try plantdb("sync", "--json", "--report", report, "--log-file", log, source, target)
        #expect(outcome.status == 0)
        let events = try outcome.lines.map { try JSONValue(parsing: Array($0.utf8)) }
        let names = events.map { $0["event"]?.string }
        #expect(names.first { $0 != "notice" } == "plan" && names.last == "summary")
        #expect(
            Set(names).isSuperset(of: ["plan", "file", "scanStarted", "scanFinished", "progress", "summary"]))
        #expect(
            events.last?["totals"]?["filesMoved"]?.int == names.count { $0 == "file" } - directories(events))
        #expect(try JSONValue(parsing: bytesOnDisk(report)) == events.last)
        #expect(try String(decoding: bytesOnDisk(log), as: UTF8.self).contains("plant_0: created"))

        let failed = try plantdb("sync", "--json", folder.appending("nowhere"), target)
        let last = try JSONValue(parsing: Array(try #require(failed.lines.last).utf8))
        #expect(failed.status == 10 && last["event"] == "summary" && last["exitCode"]?.int == 10)
        try folder.remove()
    }

    @Test func quietSaysNothingWithoutErrors() throws {
        let outcome = try plantdb("sync", "-q", source, target)
        #expect(outcome.status == 0 && outcome.output == "" && outcome.diagnostics == "")
        let failed = try plantdb("sync", "-q", folder.appending("nowhere"), target)
        #expect(failed.output == "" && failed.diagnostics.hasPrefix("error: "))
        try folder.remove()
    }

    @Test func scansAndCheck() throws {
        let long = try plantdb("scans", "-l", source)
        #expect(long.status == 0 && long.lines.count == 2 && long.lines[0].hasSuffix("  plant_0"))
        let json = try plantdb("scans", "--json", source, "plant_1")
        #expect(try JSONValue(parsing: Array(json.output.utf8))["scan"] == "plant_1")
        #expect(try plantdb("scans", source, "nothing*").status == 1)
        #expect(try plantdb("check", source).status == 0)
        try writeFile(source + "/plant_0/metadata/metadata.json", Array("{".utf8))
        let check = try plantdb("check", source)
        #expect(check.status == 1 && check.output.contains("metadata.json"))
        try folder.remove()
    }

    @Test func initAndTestDB() throws {
        #expect(try plantdb("init", target).status == 0)
        let again = try plantdb("init", target)
        #expect(again.status == 1 && again.diagnostics.contains("already"))
        #expect(try plantdb("testdb", folder.appending("none"), "none").status == 0)
        #expect(try plantdb("scans", folder.appending("none")).output == "")
        try folder.remove()
    }

    @Test func completionOfEveryShell() throws {
        for shell in ["bash", "zsh", "fish"] {
            let outcome = try plantdb("completion", shell)
            #expect(outcome.status == 0 && outcome.output.contains("plantdb") && outcome.diagnostics == "")
        }
    }

    // MARK: Material

    /// A target as the source was before a file was edited, one added, and one removed.
    private func prepareChanges() throws {
        try writeFile(source + "/plant_0/images/old.png", [1, 2, 3])
        try #require(try plantdb("sync", source, target).status == 0)
        try removeTree(source + "/plant_0/images/old.png")
        try writeFile(source + "/plant_0/images/new.jpg", [4, 5])
        try writeFile(source + "/plant_0/images/00000_rgb.jpg", [6])
    }

    private func directories(_ events: [JSONValue]) -> Int { events.count { $0["kind"] == "directory" } }
}
