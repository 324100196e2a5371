import Foundation
import PlantDBCore
import PlantDBTesting
import Testing

/// Arguments that are extreme, unspeakable, or name places where nothing of ours belongs.
@Suite struct OddArgumentTests {
    private let folder: TemporaryDirectory
    private let source: String
    private let target: String

    init() throws {
        folder = try TemporaryDirectory()
        source = folder.appending("source")
        target = folder.appending("target")
        try SampleDatabase.plants(1).write(to: source)
    }

    @Test("An argument that is not UTF-8 is refused: its replacement could name another folder")
    func notUTF8() throws {
        let outcome = try plantdbInShell("scans $'\(source)\\xff'")
        #expect(outcome.status == 2 && outcome.diagnostics.contains("argument 2 is not valid UTF-8"))
        #expect(outcome.diagnostics.contains("\\xff"))
        try folder.remove()
    }

    /// Through bash, since Foundation passes no such argument on.
    private func plantdbInShell(_ line: String) throws -> (status: Int32, diagnostics: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-c", "'\(PlantdbProcess.executable.path)' \(line)"]
        let errors = Pipe()
        process.standardError = errors
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let data = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }

    @Test("Ages and times beyond all measure neither crash nor select anything wrong")
    func extremeTimes() throws {
        var database = SampleDatabase()
        var tree = try SampleTree.minimal()
        for (index, seconds) in [Int64(-1), 0, 1 << 32, 9_000_000_000].enumerated() {
            try tree.file("images/\(index)", "x", modified: ModificationTime(seconds: seconds))
        }
        try tree.writeIndex()
        try database.add("odd", tree)
        try removeTree(source)
        try database.write(to: source)
        for age in ["100000000d", "9223372036854775807s"] {
            let outcome = try plantdb("sync", source, target, "--min-age", age)
            #expect([0, 2].contains(outcome.status), "\(age): \(outcome.status) \(outcome.diagnostics)")
            #expect(!FileManager.default.fileExists(atPath: target + "/odd"))
        }
        #expect(try plantdb("sync", source, target).status == 0)
        #expect(try plantdb("sync", source, target).output.contains("0 moved"))
        #expect(try plantdb("scans", "-l", target).status == 0)
        try folder.remove()
    }

    @Test("A report inside a database is refused before anything moves; one to a device is written in place")
    func reportPlaces() throws {
        for place in [source + "/report.json", source + "/plant_0/report.json"] {
            let outcome = try plantdb("sync", source, target, "--report", place)
            #expect(outcome.status == 2 && outcome.diagnostics.contains("would lie in the database"))
            #expect(!FileManager.default.fileExists(atPath: place))
            #expect(!FileManager.default.fileExists(atPath: target))
        }
        let index = source + "/plant_0/files.json"
        let link = folder.appending("link")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: index)
        let content = try bytesOnDisk(index)
        for option in ["--report", "--log-file"] {
            #expect(try plantdb("sync", source, target, option, link).status == 2)
            #expect(try plantdb("sync", source, target, option, source + "/\u{301}r.json").status == 2)
        }
        #expect(try bytesOnDisk(index) == content)
        let before =
            try FileManager.default.attributesOfItem(atPath: "/dev/null")[.type] as? FileAttributeType
        #expect(try plantdb("sync", source, target, "--report", "/dev/null").status == 0)
        let after = try FileManager.default.attributesOfItem(atPath: "/dev/null")[.type] as? FileAttributeType
        #expect(before == .typeCharacterSpecial && after == before)
        let written = folder.appending("report.json")
        #expect(try plantdb("sync", source, target, "--report", written).status == 0)
        _ = try JSONValue(parsing: bytesOnDisk(written))
        try folder.remove()
    }

    @Test("No database is made within another, which later releases of PlantDB would not open")
    func nestedTarget() throws {
        try SampleDatabase.plants(1, images: 2, seed: 5).write(to: folder.appending("outer"))
        for inner in ["outer/inner", "outer/plant_0/inner"] {
            let outcome = try plantdb("sync", source, folder.appending(inner))
            #expect(outcome.status == 2 && outcome.diagnostics.contains("would lie in"), "\(inner)")
            #expect(!FileManager.default.fileExists(atPath: folder.appending(inner)))
        }
        try folder.remove()
    }

    @Test("Where the target must be there, an empty folder is no target: its disk is not mounted")
    func existingTarget() throws {
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
        let refused = try plantdb("sync", source, target, "--existing-target")
        #expect(refused.status == 10)
        #expect(try FileManager.default.contentsOfDirectory(atPath: target).isEmpty)
        #expect(try plantdb("init", target).status == 0)
        #expect(try plantdb("sync", source, target, "--existing-target").status == 0)
        #expect(try databaseDifferences(source, target) == [])
        try folder.remove()
    }

    @Test("A comparison takes the name of a scan that only one side has")
    func comparedScan() throws {
        try SampleDatabase.plants(2).write(to: target)
        let differs = try plantdb("diff", source, target, "plant_1")
        #expect(differs.status == 4 && differs.lines.contains { $0.hasPrefix(">") && $0.contains("plant_1") })
        #expect(try plantdb("diff", source, target, "nobody").status == 1)
        #expect(try plantdb("sync", source, target, "plant_1").status == 1)
        try folder.remove()
    }

    @Test("What is mistyped is named")
    func mistyped() throws {
        for word in ["snyc", "synch"] {
            let outcome = try plantdb("help", word)
            #expect(outcome.status == 2 && outcome.diagnostics.contains("“sync”"), "\(word)")
        }
        let key = try plantdb("sync", source, "ssh://127.0.0.1:1/db", "--identity", "/nonexistent/key")
        #expect(key.status == 2 && key.diagnostics.contains("/nonexistent/key"))
        try folder.remove()
    }

    @Test(
        "A scan that is too young is counted, so that a run that did nothing does not look like one that did all"
    )
    func leftAlone() throws {
        try writeFile(source + "/plant_0/images/now.txt", [1])
        let run = try plantdb("sync", source, target, "--min-age", "2d")
        #expect(run.status == 0 && run.output.contains("1 left alone"), "\(run.output)")
        let plan = try plantdb("sync", "-n", source, target, "--min-age", "2d")
        #expect(plan.output.contains("1 left alone"), "\(plan.output)")
        try folder.remove()
    }

    @Test("A log that cannot be written is said once, and does not end the run")
    func fullLog() throws {
        let outcome = try plantdb("sync", source, target, "-i", "--log-file", "/dev/full")
        #expect(outcome.status == 0)
        #expect(outcome.diagnostics.components(separatedBy: "log file cannot be written").count == 2)
        try folder.remove()
    }

    @Test("A folder whose name no scan can have is called by that name, once a line")
    func unspeakableScan() throws {
        try FileManager.default.copyItem(atPath: source + "/plant_0", toPath: source + "/my scan")
        try FileManager.default.createDirectory(
            atPath: source + "/models", withIntermediateDirectories: false)
        let outcome = try plantdb("sync", source, target)
        #expect(outcome.status == 3)
        #expect(outcome.lines.contains { $0.hasPrefix("my scan: failed") }, "\(outcome.output)")
        #expect(outcome.diagnostics.contains("note: models is not carried"), "\(outcome.diagnostics)")
        try folder.remove()
    }

    @Test("--where tells a key that is absent from one with another value")
    func absentKey() throws {
        try SampleDatabase.plants(3).write(to: source)
        for (scan, text) in [("plant_0", "Col"), ("plant_1", "Ler")] {
            let metadata = #"{"object": {"ecotype": "\#(text)"}}"#
            try writeFile(source + "/\(scan)/metadata/metadata.json", Array(metadata.utf8))
        }
        try writeFile(source + "/plant_2/metadata/metadata.json", Array("{}".utf8))
        let plan = try plantdb("sync", "-n", "-v", source, target, "--where", "object.ecotype=Col")
        #expect(
            plan.diagnostics.contains("plant_1 is left alone: its object.ecotype is Ler, not Col"), "\(plan)")
        #expect(plan.diagnostics.contains("plant_2 is left alone: it has no object.ecotype"), "\(plan)")
        try folder.remove()
    }

    @Test("The message of an event needs no other field to be understood")
    func wholeMessages() throws {
        let outcome = try plantdb("sync", "--json", source, "http://127.0.0.1:1")
        let event = try JSONValue(
            parsing: Array(try #require(outcome.lines.first { $0.contains("\"event\":\"error\"") }).utf8))
        #expect(event["message"]?.string?.contains("Connection refused") == true, "\(event)")
        #expect(event["cause"]?.string == "Connection refused")
        let login = try plantdb("sync", "--json", source, "ssh://127.0.0.1:1/db")
        #expect(login.output.contains("nobody listens there"), "\(login.output)")
        #expect(login.output.components(separatedBy: "(ssh: connect").count == 3, "\(login.output)")
        try folder.remove()
    }

    @Test("diff --json says to programs too why there is no plan")
    func failureOfDiff() throws {
        let outcome = try plantdb("diff", "--json", source, folder.appending("nowhere"))
        #expect(outcome.status != 0 && outcome.status != 1)
        let events = try outcome.lines.map { try JSONValue(parsing: Array($0.utf8)) }
        #expect(events.contains { $0["event"]?.string == "error" })
        #expect(events.last?["exitCode"]?.int == Int(outcome.status))
        try folder.remove()
    }
}
