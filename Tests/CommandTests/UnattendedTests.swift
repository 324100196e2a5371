import Foundation
import PlantDBCore
import PlantDBTesting
import Testing

/// `--watch`, `--on-finish` and `--bwlimit`.
@Suite struct UnattendedTests {
    let folder: TemporaryDirectory
    var source: String { folder.appending("a") }
    var target: String { folder.appending("b") }

    init() throws {
        folder = try TemporaryDirectory()
        try SampleDatabase.plants(1, images: 3, seed: 2).write(to: folder.appending("a"))
    }

    private func waitUntil(_ what: String, seconds: Double = 20, _ isSo: () throws -> Bool) throws {
        let end = Date(timeIntervalSinceNow: seconds)
        while try !isSo() {
            guard Date() < end else {
                Issue.record("\(what): not within \(seconds) s")
                return
            }
            usleep(50_000)
        }
    }

    private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// A new scan, written as programs do: a folder first, its files one by one.
    private func addScan() throws {
        try SampleDatabase.plants(2, images: 3, seed: 2).write(to: folder.appending("more"))
        let copy = Process()
        copy.executableURL = URL(fileURLWithPath: "/bin/cp")
        copy.arguments = ["-a", folder.appending("more") + "/plant_1", source]
        try copy.run()
        copy.waitUntilExit()
    }

    @Test func aWatchedDatabaseIsSyncedAsItChanges() throws {
        let watching = try PlantdbProcess(["sync", source, target, "--watch"])
        try waitUntil("the first run") { exists(target + "/plant_0/files.json") }
        try waitUntil("the watch") { try watching.diagnostics.contains("watching") }
        try addScan()
        try waitUntil("the new scan") { exists(target + "/plant_1/files.json") }
        // A change deep in a scan that is there.
        let image = "/plant_1/images/00000_rgb.jpg"
        try writeFile(source + image, Array("another content".utf8))
        try waitUntil("the change") { try bytesOnDisk(target + image) == Array("another content".utf8) }
        watching.signal(SIGTERM)
        #expect(try watching.outcome().status == 143)
        #expect(try databaseDifferences(source, target) == [])
        try folder.remove()
    }

    @Test(
        "A scan that is being written is left alone until it is old enough, and then moved without more ado")
    func youth() throws {
        // As if it were written in eight seconds, so that a slow machine has time for a run before.
        let image = source + "/plant_0/images/00000_rgb.jpg"
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSinceNow: 8)], ofItemAtPath: image)
        let watching = try PlantdbProcess(["sync", "-v", source, target, "--watch", "--min-age", "2s"])
        try waitUntil("the first run") { try watching.diagnostics.contains("plant_0 is left alone") }
        #expect(!exists(target + "/plant_0"))
        try waitUntil("the scan", seconds: 60) { exists(target + "/plant_0/files.json") }
        watching.signal(SIGINT)
        #expect(try watching.outcome().status == 130)
        try folder.remove()
    }

    @Test("A difference that is left is no failure, and a look that finds nothing to do is not kept")
    func nothingToDo() throws {
        let environment = ["PLANTDB_STATE": folder.appending("state")]
        #expect(try plantdb("sync", source, target, environment: environment).status == 0)
        let report = folder.appending("report.json")
        let idle = try PlantdbProcess(
            ["sync", source, target, "--watch", "--report", report], environment: environment)
        try waitUntil("a first look, which is kept") { exists(report) }
        try FileManager.default.removeItem(atPath: report)
        // It comes and goes.
        try writeFile(source + "/plant_0/images/x", [])
        try FileManager.default.removeItem(atPath: source + "/plant_0/images/x")
        try waitUntil("a second one") { exists(report) }
        idle.signal(SIGINT)
        _ = try idle.outcome()
        #expect(try plantdb("history", environment: environment).lines.count == 2)

        // Newer at the target, and of the same size.
        let image = target + "/plant_0/images/00000_rgb.jpg"
        try writeFile(image, try bytesOnDisk(image).map { ~$0 })
        let watching = try PlantdbProcess(["sync", source, target, "--watch"], environment: environment)
        try waitUntil("the difference") { try watching.diagnostics.contains("still differs") }
        try addScan()
        try waitUntil("the new scan") { exists(target + "/plant_1/files.json") }
        #expect(try !watching.diagnostics.contains("trying again"))
        watching.signal(SIGTERM)
        #expect(try watching.outcome().status == 143)
        try folder.remove()
    }

    @Test("A first run that cannot begin ends it; a later failure is said, and tried again")
    func failuresOfAWatch() throws {
        let outcome = try plantdb("sync", folder.appending("nowhere"), target, "--watch")
        #expect(outcome.status == 10)
        let remote = try plantdb("sync", "http://127.0.0.1:1", target, "--watch")
        #expect(remote.status == 1 && remote.diagnostics.contains("--watch on its machine"))
        let watching = try PlantdbProcess(["sync", source, target, "--watch"])
        try waitUntil("the first run") { exists(target + "/plant_0/files.json") }
        let marker = try bytesOnDisk(target + "/romidb")
        try FileManager.default.removeItem(atPath: target + "/romidb")
        try writeFile(source + "/plant_0/images/00000_rgb.jpg", Array("new".utf8))
        try waitUntil("the failure") { try watching.diagnostics.contains("romidb") }
        try writeFile(target + "/romidb", marker)
        try waitUntil("the next try", seconds: 40) {
            try bytesOnDisk(target + "/plant_0/images/00000_rgb.jpg") == Array("new".utf8)
        }
        watching.signal(SIGTERM)
        #expect(try watching.outcome().status == 143)
        try folder.remove()
    }

    @Test func aCommandIsToldHowARunEnded() throws {
        let told = folder.appending("told")
        let command =
            "cat > \(told); echo \"$PLANTDB_EXIT_CODE $PLANTDB_SOURCE $PLANTDB_TARGET $PLANTDB_RUN\""
        let good = try plantdb(
            "sync", source, target, "--on-finish", command, "--report", folder.appending("r"))
        #expect(good.status == 0)
        let summary = try bytesOnDisk(told)
        #expect(try summary == bytesOnDisk(folder.appending("r")))
        let run = try #require(try JSONValue(parsing: summary)["run"]?.string)
        // Not on standard output, which is the run's own.
        #expect(good.diagnostics.contains("0 \(source) \(target) \(run)\n"))
        #expect(!good.output.contains(run))
        let bad = try plantdb("sync", folder.appending("nowhere"), target, "--on-finish", command)
        #expect(bad.status == 10 && bad.diagnostics.contains("10 \(folder.appending("nowhere"))"))
        // One that does not read, and fails, changes nothing but for a warning.
        let failing = try plantdb("sync", source, target, "--on-finish", "exit 7")
        #expect(failing.status == 0 && failing.diagnostics.contains("ended with 7"))
        try folder.remove()
    }

    @Test("A report that cannot be written is an error, and the run ends once all the same")
    func fullReport() throws {
        let told = folder.appending("told")
        let outcome = try plantdb(
            "sync", "--json", source, target, "--report", "/dev/full", "--on-finish", "echo x >> \(told)")
        #expect(outcome.status == 1 && outcome.diagnostics.contains("/dev/full"), "\(outcome)")
        #expect(
            outcome.lines.count { $0.contains(#""event": "summary""#) || $0.contains(#""event":"summary""#) }
                == 1)
        #expect(try bytesOnDisk(told) == Array("x\n".utf8))
        try folder.remove()
    }

    @Test(arguments: [[], ["--verify", "full"]])
    func bandwidthIsLimited(_ more: [String]) throws {
        let files = try FileManager.default.subpathsOfDirectory(atPath: source).filter {
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: source + "/" + $0, isDirectory: &isFolder)
                && !isFolder.boolValue && $0 != "romidb"
        }
        let bytes = try files.reduce(0) { try $0 + bytesOnDisk(source + "/" + $1).count }
        // About two seconds.
        let rate = max(1, bytes / 2000)
        let start = Date()
        let outcome = try PlantdbProcess(
            ["sync", source, target, "--bwlimit", "\(rate)k"] + more
        ).outcome()
        let seconds = -start.timeIntervalSinceNow
        #expect(outcome.status == 0, "\(outcome.diagnostics)")
        #expect(seconds > Double(bytes) / Double(rate * 1000) * 0.7, "\(bytes) bytes in \(seconds) s")
        #expect(try databaseDifferences(source, target) == [])
        try folder.remove()
    }
}
