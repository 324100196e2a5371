import Foundation
import PlantDBCore
import PlantDBTesting
import Testing

/// `--delete` removes what the source no longer has, and nothing that it has in another form.
@Suite struct RemovalTests {
    private let folder: TemporaryDirectory
    private let source: String
    private let target: String

    init() throws {
        folder = try TemporaryDirectory()
        source = folder.appending("source")
        target = folder.appending("target")
    }

    private func exists(_ path: String) -> Bool { access(target + "/" + path, F_OK) == 0 }

    @discardableResult private func sync(_ more: String...) throws -> PlantdbProcess.Outcome {
        try PlantdbProcess(["sync", source, target, "--delete", "--max-delete", "100%"] + more).outcome()
    }

    /// A timelapse of two days beside a plain scan.
    private func timelapse() throws -> SampleDatabase {
        var database = try SampleDatabase.plants(1)
        var container = SampleTree()
        try container.file("timelapse.json", "{}")
        try database.add("growth", container)
        for day in 1...2 { try database.add("growth/day_\(day)", .minimal("\(day)")) }
        return database
    }

    @Test("A scan that is a link at the source now is not removed from the target")
    func linkedScan() throws {
        for linked in ["plant_0", "growth/day_1", "growth"] {
            try timelapse().write(to: source)
            try timelapse().write(to: target)
            try FileManager.default.moveItem(atPath: source + "/" + linked, toPath: folder.appending("moved"))
            try FileManager.default.createSymbolicLink(
                atPath: source + "/" + linked, withDestinationPath: folder.appending("moved"))
            let outcome = try sync()
            #expect(exists(linked), "\(linked): \(outcome.output)")
            #expect(exists("growth/day_1") && exists("growth/day_2"))
            for path in [source, target, folder.appending("moved")] { try removeTree(path) }
        }
        try folder.remove()
    }

    @Test("What a timelapse had stays where the source's folder of that name is no timelapse")
    func otherKindAtSource() throws {
        var database = try SampleDatabase.plants(1)
        try database.add("growth", .minimal("a plain scan now"))
        try database.write(to: source)
        try timelapse().write(to: target)
        try sync()
        #expect(exists("growth/day_1/files.json") && exists("growth/day_2/files.json"))
        try folder.remove()
    }

    @Test("A member whose name the source cannot say keeps the others of its timelapse")
    func unspeakableMember() throws {
        try timelapse().write(to: source)
        try timelapse().write(to: target)
        let from = Array((source + "/growth/day_1").utf8CString)
        let to = Array((source + "/growth/day_").utf8).map { CChar(bitPattern: $0) } + [-1, 0]
        try #require(rename(from, to) == 0)
        let outcome = try sync()
        #expect(exists("growth/day_1/files.json"), "\(outcome.output)\(outcome.diagnostics)")
        try folder.remove()
    }

    @Test("Who chooses filesets asks for no whole scan to go")
    func filesetSelection() throws {
        try SampleDatabase.plants(1).write(to: source)
        try SampleDatabase.plants(2).write(to: target)
        let outcome = try sync("--fileset", "images")
        #expect(outcome.status == 0, "\(outcome.diagnostics)")
        #expect(exists("plant_1/files.json"))
        try folder.remove()
    }

    @Test("A scan younger than the minimum age is not removed, nor the timelapse it is in")
    func youngAtTarget() throws {
        try SampleDatabase.plants(1).write(to: source)
        var database = try timelapse()
        try database.add("plant_old", .minimal("old"))
        var young = try SampleTree.minimal()
        try young.file("images/now.txt", "now", modified: ModificationTime(seconds: Int64(time(nil)) - 5))
        try young.writeIndex()
        try database.add("plant_young", young)
        try database.add("growth/day_3", young)
        try database.write(to: target)
        let outcome = try sync("-v", "--min-age", "1h")
        #expect(outcome.status == 0, "\(outcome.diagnostics)")
        #expect(!exists("plant_old") && !exists("growth/day_1"))
        #expect(exists("plant_young/images/now.txt") && exists("growth/day_3/images/now.txt"))
        #expect((outcome.output + outcome.diagnostics).contains("plant_young"))
        try folder.remove()
    }

    @Test("A timelapse that holds what is no scan is not removed, and that is no failure")
    func strayMember() throws {
        try SampleDatabase.plants(1).write(to: source)
        try timelapse().write(to: target)
        try writeFile(target + "/growth/notes.txt", [1])
        try FileManager.default.createDirectory(
            atPath: target + "/growth/sketches", withIntermediateDirectories: false)
        let outcome = try sync("-v")
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.diagnostics)")
        #expect(exists("growth/sketches") && exists("growth/notes.txt") && !exists("growth/day_1"))
        #expect((outcome.output + outcome.diagnostics).contains("growth is not removed"))
        try folder.remove()
    }

    @Test("An index that is merged lists no fileset whose folder is deleted")
    func mergedIndex() throws {
        var database = SampleDatabase()
        var tree = try SampleTree.plant(images: 2)
        try database.add("plant_0", tree)
        try database.write(to: source)
        database = SampleDatabase()
        try tree.file("Old_1/a.txt", "a")
        try tree.file("Kept_1/a.txt", "a")
        try tree.writeIndex()
        try database.add("plant_0", tree)
        try database.write(to: target)
        let outcome = try sync("--exclude-fileset", "Kept_1")
        #expect(outcome.status == 0, "\(outcome.diagnostics)")
        let index = String(decoding: try bytesOnDisk(target + "/plant_0/files.json"), as: UTF8.self)
        #expect(!exists("plant_0/Old_1") && !index.contains("Old_1"))
        #expect(exists("plant_0/Kept_1/a.txt") && index.contains("Kept_1"))
        try folder.remove()
    }
}
