import PlantDBCore
import PlantDBTesting
import SyncEngine
import Testing

/// Names that are one name at the target (exFAT, SMB, macOS): failure mode 23, and what `--delete` makes of it.
@Suite struct FoldedNameTests {
    private func bench(_ source: SampleTree, into target: SampleTree) throws -> EngineBench {
        var (ours, theirs) = (SampleDatabase(), SampleDatabase())
        try ours.add("plant", source)
        try theirs.add("plant", target)
        var bench = EngineBench(ours, into: theirs, targetFoldsNames: true)
        bench.options = .mirroring
        return bench
    }

    private func plant() throws -> ScanID { try ScanID("plant") }

    /// That a run has nothing to do, and names both spellings.
    private func expectIdle(
        _ bench: EngineBench, naming names: [String], sourceLocation: SourceLocation = #_sourceLocation
    ) async {
        let before = bench.target.content
        let report = await bench.run()
        #expect(report.errors.isEmpty, sourceLocation: sourceLocation)
        #expect(report.scansPublished == 0, sourceLocation: sourceLocation)
        #expect(bench.target.content == before, sourceLocation: sourceLocation)
        #expect(
            report.notices.contains { notice in
                names.allSatisfy { "\(notice.scan ?? ""): \(notice.message)".contains($0) }
            },
            "\(report.notices.map(\.message))", sourceLocation: sourceLocation)
    }

    @Test("A scan that is renamed in case only stays, by its old name, and is named")
    func scan() async throws {
        let tree = try SampleTree.plant(images: 2)
        var (ours, theirs) = (SampleDatabase(), SampleDatabase())
        try ours.add("Plant", tree)
        try theirs.add("plant", tree)
        var bench = EngineBench(ours, into: theirs, targetFoldsNames: true)
        bench.options = .mirroring
        await expectIdle(bench, naming: ["plant", "Plant", "third name"])

        var changed = tree
        try changed.file("images/new.jpg", "new")
        bench.source.set(try ScanID("Plant"), to: changed)
        let report = await bench.run()
        #expect(report.errors.isEmpty)
        #expect(bench.target.tree(of: try ScanID("plant")) == changed)
        await expectIdle(bench, naming: ["plant", "Plant"])

        // As the message says.
        bench.target.set(try ScanID("plant"), to: nil)
        bench.target.set(try ScanID("Plant"), to: changed)
        let last = await bench.run()
        #expect(last.errors.isEmpty && last.notices.isEmpty && last.scansPublished == 0)
    }

    @Test(
        "A file that is renamed in case or composition only is one file, before and after it changes",
        arguments: [
            ("IMG.JPG", "img.jpg"), ("Blu\u{308}te.jpg", "Bl\u{fc}te.jpg"), ("stra\u{df}e", "STRASSE"),
        ])
    func file(_ listed: String, _ renamed: String) async throws {
        var (ours, theirs) = (try SampleTree.minimal(), try SampleTree.minimal())
        try theirs.file("images/\(listed)", "same")
        try ours.file("images/\(renamed)", "same")
        let bench = try bench(ours, into: theirs)
        await expectIdle(bench, naming: ["images/\(listed)", "images/\(renamed)"])

        let later = ModificationTime(seconds: SampleTree.time.seconds + 60)
        try ours.file("images/\(renamed)", "changed", modified: later)
        bench.source.set(try plant(), to: ours)
        let report = await bench.run()
        #expect(report.errors.isEmpty && report.totals.filesMoved == 1 && report.totals.filesDeleted == 0)
        let tree = try #require(bench.target.tree(of: try plant()))
        #expect(tree["images/\(listed)"]?.content == Array("changed".utf8))
        #expect(tree.filePaths.count == 3)
        await expectIdle(bench, naming: ["images/\(listed)", "images/\(renamed)"])
    }

    @Test("A fileset that is renamed in case only keeps its files, gets new ones, loses what is gone")
    func fileset() async throws {
        var (ours, theirs) = (try SampleTree.minimal(), try SampleTree.minimal())
        for name in ["a", "gone"] { try theirs.file("Masks/\(name).png", name) }
        for name in ["a", "new"] { try ours.file("masks/\(name).png", name) }
        let bench = try bench(ours, into: theirs)
        let report = await bench.run()
        #expect(report.errors.isEmpty && report.totals.filesMoved == 1 && report.totals.filesDeleted == 1)
        let tree = try #require(bench.target.tree(of: try plant()))
        #expect(
            tree.filePaths.map(\.rawValue) == [
                "Masks/a.png", "Masks/new.png", "files.json", "images/a.txt",
            ])
        await expectIdle(bench, naming: ["Masks", "masks"])
    }

    @Test("Two scans of the source that are one name at the target are never mixed: the second is named")
    func twins() async throws {
        let (first, second) = (try SampleTree.minimal("the first"), try SampleTree.minimal("second"))
        var (ours, theirs) = (SampleDatabase(), SampleDatabase())
        try ours.add("Plant", first)
        try ours.add("plant", second)
        try theirs.add("Plant", first)
        let bench = EngineBench(ours, into: theirs, targetFoldsNames: true)
        for _ in 1...2 {
            let report = await bench.run()
            #expect(report.codes == [.alreadyExists])
            #expect(report.errors.allSatisfy { $0.message.contains("Plant") && $0.message.contains("plant") })
            #expect(bench.target.content == theirs)
        }
    }

    @Test("Where a side shows whole seconds only, whole seconds that agree are equal, either way")
    func wholeSeconds() async throws {
        let exact = try SampleTree.plant(images: 3)
        var whole = exact
        for path in exact.filePaths {
            guard var node = exact[path] else { continue }
            node.modified.floor(to: 1_000_000_000)
            whole.set(path, node)
        }
        for (ours, theirs) in [(exact, whole), (whole, exact)] {
            let report = await (try bench(ours, into: theirs)).run()
            #expect(report.errors.isEmpty && report.totals.filesMoved == 0 && report.scansUnchanged == 1)
            #expect(report.totals.filesUnresolved == 0)
        }
        // One that is no whole second shows that the target keeps more.
        let path = try #require(exact.filePaths.last)
        try whole.set(path, #require(exact[path]))
        let report = await (try bench(exact, into: whole)).run()
        #expect(report.totals.filesMoved >= 3, "JSON that means the same stays")
    }

    @Test("Where the target tells names apart, a file or scan renamed in case only is renamed at once")
    func exact() async throws {
        var (ours, theirs) = (try SampleTree.minimal(), try SampleTree.minimal())
        try theirs.file("images/IMG.JPG", "same")
        try ours.file("images/img.jpg", "same")
        var (source, target) = (SampleDatabase(), SampleDatabase())
        try source.add("Plant", ours)
        try target.add("plant", theirs)
        try source.add("same", ours)
        try target.add("same", theirs)
        var bench = EngineBench(source, into: target)
        bench.options = .mirroring
        let report = await bench.run()
        #expect(report.errors.isEmpty && report.notices.isEmpty)
        #expect(bench.target.content == source)
    }
}
