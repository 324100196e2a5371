import Foundation
import PlantDBCore
import PlantDBTesting
import SyncEngine
import SyncHistory
import Testing

@testable import plantdb

@Suite struct HistoryTests {
    let folder: TemporaryDirectory
    var environment: [String: String] { ["PLANTDB_STATE": folder.appending("state")] }
    var source: String { folder.appending("a") }
    var target: String { folder.appending("b") }

    init() throws {
        folder = try TemporaryDirectory()
        try SampleDatabase.plants(1, images: 3, seed: 2).write(to: folder.appending("a"))
    }

    @Test func everyRunIsListedAndItsReportKept() throws {
        let report = folder.appending("report.json")
        #expect(try plantdb("sync", source, target, "--report", report, environment: environment).status == 0)
        let nowhere = folder.appending("nowhere")
        #expect(try plantdb("sync", nowhere, target, environment: environment).status == 10)
        #expect(try plantdb("sync", "-n", source, target, environment: environment).status == 0)

        let list = try plantdb("history", environment: environment).lines
        try #require(list.count == 2)
        #expect(list[0].contains("no database (exit 10)") && list[0].hasSuffix("\(nowhere) → \(target)"))
        #expect(list[1].contains("done") && list[1].hasSuffix("\(source) → \(target)"))
        let last = try plantdb("history", "--last", "1", environment: environment).lines
        // Columns are as wide as what stands in them.
        #expect(last.map { $0.split(separator: " ") } == [list[0].split(separator: " ")])

        let run = String(try #require(list[1].split(separator: " ").first))
        #expect(
            try plantdb("history", "--json", run, environment: environment).output
                == String(decoding: bytesOnDisk(report), as: UTF8.self))
        #expect(
            try plantdb("history", run, environment: environment).output.contains(
                "scan    plant_0: created"))
        let failed = String(try #require(list[0].split(separator: " ").first))
        #expect(try plantdb("history", failed, environment: environment).output.contains("error   "))
        // What lay beneath is kept too: nobody may have seen what was said.
        #expect(try plantdb("sync", "ssh://127.0.0.1:1/db", target, environment: environment).status == 30)
        let refused = try #require(
            try plantdb("history", "--last", "1", environment: environment).lines.first?.split(separator: " ")
                .first)
        #expect(
            try plantdb("history", String(refused), environment: environment).output.contains(
                "Connection refused"))
        try folder.remove()
    }

    @Test("The morning sees by name what the night left, and what went wrong alone where it asks for that")
    func inWords() throws {
        try SampleDatabase.plants(2, images: 3, seed: 2).write(to: source)
        #expect(try plantdb("sync", source, target, environment: environment).status == 0)
        // Newer at the target, of the same size.
        let image = "/plant_0/images/00000_rgb.jpg"
        try setModificationTime(target + image, ModificationTime(seconds: 1_800_000_000))
        let quiet = try plantdb("sync", "-q", source, target, environment: environment)
        #expect(quiet.status == 4 && quiet.output == "", "\(quiet)")
        #expect(
            quiet.diagnostics.split(separator: "\n").count == 1
                && quiet.diagnostics.contains("1 file still differs"))
        let runs = try plantdb("history", environment: environment).lines
        #expect(runs.count == 2 && runs[0].contains("differences left (exit 4)"))
        let failed = try plantdb("history", "--failed", "--since", "1d", environment: environment).lines
        #expect(failed.count == 1 && failed[0].contains("(exit 4)"))
        #expect(
            try plantdb("history", "--since", "1ms", environment: environment).diagnostics.contains(
                "no such runs"))
        let run = String(try #require(failed.first?.split(separator: " ").first))
        // As it was then, whatever becomes of the files.
        try removeTree(target + image)
        #expect(
            try plantdb("history", run, environment: environment).lines
                .contains("differs plant_0/images/00000_rgb.jpg"))

        try removeTree(source + "/plant_1")
        let removal = try plantdb(
            "sync", source, target, "--delete", "--max-delete", "100%", environment: environment)
        #expect(removal.status == 0, "\(removal)")
        let last = try plantdb("history", "--last", "1", environment: environment).lines
        let lines = try plantdb(
            "history", String(try #require(last.first?.split(separator: " ").first)), environment: environment
        ).lines
        #expect(lines.contains { $0.hasPrefix("moved   1 scan, 1 file") }, "\(lines)")
        #expect(lines.contains("removed 1 scan"), "\(lines)")
        try folder.remove()
    }

    @Test("A history that cannot be kept is told in a sentence, and keeps no run from its work")
    func noPlaceForIt() throws {
        let outcome = try plantdb(
            "sync", source, target, environment: ["PLANTDB_STATE": "/proc/nowhere/state"])
        #expect(outcome.status == 0)
        let warning = outcome.diagnostics.split(separator: "\n").filter { $0.hasPrefix("warning") }
        #expect(
            Set(warning).count == 1 && warning[0].contains("/proc/nowhere")
                && warning[0].hasSuffix("(No such file or directory)"), "\(warning)")
        #expect(!outcome.diagnostics.contains("NSCocoa"))
        try folder.remove()
    }

    @Test func scansThatWereLeftAloneAreCounted() throws {
        #expect(
            try plantdb("sync", source, target, "--min-age", "30000d", environment: environment).status == 0)
        let list = try plantdb("history", environment: environment).lines
        let run = String(try #require(list.first?.split(separator: " ").first))
        #expect(
            try plantdb("history", run, environment: environment).lines.contains {
                $0.hasPrefix("alone   1 scan ") && $0.hasSuffix("(the same command with -n -v names it)")
            })
        #expect(try plantdb("history", run, environment: environment).lines.contains("waits   plant_0"))
        try folder.remove()
    }

    @Test func aRunWhoseReaderWentAwayIsNoInterruption() throws {
        // So much that the run is at work when it finds out.
        try SampleDatabase.plants(60, images: 100, seed: 3).write(to: folder.appending("c"))
        let pipe = Pipe()
        try pipe.fileHandleForReading.close()
        let run = try PlantdbProcess(
            ["sync", "-i", folder.appending("c"), target], output: pipe.fileHandleForWriting,
            environment: environment)
        #expect(try run.outcome().status == 141)
        #expect(try plantdb("history", environment: environment).lines.first?.contains("exit 141") == true)
        try folder.remove()
    }

    @Test func aRunThatDiedIsUnfinished() throws {
        let waiting = try PlantdbProcess(
            ["sync", source, target, "-q"], environment: environment)
        let history = folder.appending("state/history.sqlite")
        // Killed as soon as it is in the history: before its end, or after it on a fast machine.
        while try !FileManager.default.fileExists(atPath: history)
            || RunHistory(file: history).list().isEmpty
        { usleep(1000) }
        waiting.signal(SIGKILL)
        let ending = try waiting.outcome().status
        let object = try JSONValue(
            parsing: plantdb("history", "--json", environment: environment).output.utf8)
        #expect(object["state"]?.string == (ending == 0 ? "finished" : "unfinished"))
        try folder.remove()
    }

    @Test func aHistoryThatCannotBeWrittenIsAWarning() throws {
        try writeFile(folder.appending("file"), [])
        let outcome = try plantdb(
            "sync", source, target, environment: ["PLANTDB_STATE": folder.appending("file/state")])
        #expect(outcome.status == 0)
        #expect(outcome.diagnostics.contains("warning: this run is not kept"))
        #expect(try plantdb("diff", source, target).status == 0)
        try folder.remove()
    }

    @Test func aDamagedHistoryKeepsNobodyFromSyncing() throws {
        #expect(try plantdb("sync", source, target, environment: environment).status == 0)
        let file = folder.appending("state/history.sqlite")
        var bytes = try bytesOnDisk(file)
        for place in stride(from: 100, to: bytes.count, by: 7) { bytes[place] = 0xa5 }
        try writeFile(file, bytes)
        let again = try plantdb("sync", source, target, environment: environment)
        #expect(again.status == 0 && again.diagnostics.contains("history"))
        let history = try plantdb("history", environment: environment)
        #expect(history.status == 1 && history.diagnostics.contains(file))
        try folder.remove()
    }

    @Test func noPasswordOfALocationIsKept() throws {
        _ = try plantdb("sync", "ssh://me:geheim@127.0.0.1:1/db", target, environment: environment)
        let kept = try bytesOnDisk(folder.appending("state/history.sqlite"))
        #expect(!String(decoding: kept, as: UTF8.self).contains("geheim"))
        try folder.remove()
    }

    @Test func aRunThatIsNotThereIsAnError() throws {
        let outcome = try plantdb("history", "20000101T000000Z-0000", environment: environment)
        #expect(outcome.status == 1 && outcome.diagnostics.contains("20000101T000000Z-0000"))
        try folder.remove()
    }
}
