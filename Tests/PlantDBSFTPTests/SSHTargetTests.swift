import FSDB
import Foundation
import PlantDBCore
import PlantDBSFTP
import PlantDBSync
import PlantDBTesting
import SyncEngine
import Testing

/// What a run leaves in a target on a server, beside the files that it was asked for.
@Suite(.enabled(if: SSHServer.isAvailable, "SSH NOT TESTED: sshd is missing"))
struct SSHTargetTests {
    private let folder: TemporaryDirectory
    private var source: String { folder.appending("source") }

    init() throws { folder = try TemporaryDirectory() }

    private func run(into target: String, _ change: (inout SyncOptions) -> Void = { _ in }) async throws
        -> SyncReport
    {
        var options = SyncOptions()
        options.deletion = .delete(limit: .percent(100))
        change(&options)
        let one = try await openDatabase(source, as: .source)
        let two = try await Loopback.open(target, .creating)
        let report = await SyncEngine(source: one, target: two, options: options).run()
        await two.close()
        await one.close()
        return report
    }

    @Test("Thumbnails go with the data that they show, and stay where data is only added")
    func thumbnails() async throws {
        let target = folder.appending("target")
        try SampleDatabase.plants(1, images: 3).write(to: source)
        #expect(try await run(into: target).errors.isEmpty)
        let cache = target + "/plant_0/webcache"
        func keepsCache(after change: () throws -> Void) async throws -> Bool {
            try FileManager.default.createDirectory(atPath: cache, withIntermediateDirectories: true)
            try writeFile(cache + "/0123abcd.jpeg", [1])
            try change()
            let report = try await run(into: target)
            #expect(report.errors.isEmpty && report.scansPublished == 1, "\(report.errors)")
            return FileManager.default.fileExists(atPath: cache)
        }
        let image = source + "/plant_0/images/00000_rgb.jpg"
        let added = source + "/plant_0/images/new.jpg"
        #expect(try await keepsCache { try writeFile(added, [1, 2]) }, "added")
        #expect(try await !keepsCache { try writeFile(image, [1, 2, 3]) }, "replaced")
        #expect(try await !keepsCache { try removeTree(added) }, "removed")
        try folder.remove()
    }

    @Test(
        "A scan, a fileset and a file that are renamed in case only keep their content, and are named",
        .enabled(
            if: CaseInsensitiveDisk.missing == nil, "FOLDED NAMES NOT TESTED: no exFAT by FUSE, as root"))
    func renamedInCase() async throws {
        let disk = try CaseInsensitiveDisk()
        let target = disk.path + "/target"
        var tree = try SampleTree.minimal()
        try tree.file("Masks/a.png", "a mask")
        try tree.file("images/IMG.JPG", "an image")
        var database = SampleDatabase()
        for name in ["plant", "other"] { try database.add(name, tree) }
        try database.write(to: source)
        // What the disk does not keep is not what this is about.
        let sizes = { (options: inout SyncOptions) in options.comparison = .sizeOnly }
        #expect(try await run(into: target, sizes).errors.isEmpty)
        for (old, new) in [
            ("plant/Masks", "plant/masks"), ("plant/images/IMG.JPG", "plant/images/img.jpg"),
            ("plant", "Plant"),
        ] {
            try FileManager.default.moveItem(atPath: source + "/" + old, toPath: source + "/" + new)
        }
        for _ in 1...2 {
            let report = try await run(into: target, sizes)
            #expect(report.errors.isEmpty, "\(report.errors)")
            #expect(report.totals.filesMoved == 0 && report.totals.filesDeleted == 0)
            for path in ["Plant/masks/a.png", "Plant/images/img.jpg", "other/Masks/a.png"] {
                #expect(FileManager.default.fileExists(atPath: target + "/" + path), "\(path)")
            }
            for names in [["plant", "Plant"], ["images/IMG.JPG", "images/img.jpg"]] {
                #expect(
                    report.notices.contains { notice in
                        names.allSatisfy { "\(notice.scan ?? ""): \(notice.message)".contains($0) }
                    },
                    "\(report.notices)")
            }
        }
        try folder.remove()
    }
}
