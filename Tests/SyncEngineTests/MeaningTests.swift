import PlantDBCore
import PlantDBTesting
import SyncEngine
import Testing

/// A lab's nights: what becomes of the index, the metadata and the identity of a scan when somebody
/// works at the target, or at the source by a backup.
@Suite struct MeaningTests {
    private let name: ScanID
    private static let later = ModificationTime(nanoseconds: SampleTree.time.nanoseconds + 9_000_000_000)
    private static let last = ModificationTime(nanoseconds: SampleTree.time.nanoseconds + 99_000_000_000)

    init() throws { name = try ScanID("plant_0") }

    /// After a first night, with what is remembered of it.
    private func bench(images: Int = 3) async throws -> EngineBench {
        var bench = EngineBench(try .plants(1, images: images))
        bench.memory = RunMemory()
        bench.options.deletesUnknown = false
        #expect(await bench.run().errors.isEmpty)
        #expect(await bench.run().totals.filesMoved == 0)
        return bench
    }

    private func index(_ database: MemoryDatabase) throws -> FileIndex {
        try FileIndex(parsing: try #require(database.tree(of: name)?[.index]).content)
    }

    private func expectIdle(_ bench: EngineBench, sourceLocation: SourceLocation = #_sourceLocation) async {
        let report = await bench.run()
        #expect(
            report.errors.isEmpty && report.scansPublished == 0 && report.totals.filesUnresolved == 0,
            sourceLocation: sourceLocation)
    }

    @Test("What a pipeline adds at the target stays listed, and the nights after are idle")
    func pipelineAtTheTarget() async throws {
        let bench = try await bench()
        try bench.target.edit(name) { tree throws(DatabaseError) in
            try tree.file("Mesh_1/mesh.ply", "days of work", modified: Self.later)
            try tree.writeIndex(modified: Self.later)
        }
        await expectIdle(bench)
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.file("images/late.jpg", "late", modified: Self.later)
            try tree.writeIndex(modified: Self.last)
        }
        for options in [SyncOptions.Comparison.sizeAndTime, .sizeOnly, .checksum] {
            var bench = bench
            bench.options.comparison = options
            let report = await bench.run()
            #expect(report.errors.isEmpty && report.totals.filesUnresolved == 0)
            let listed = try index(bench.target)
            #expect(listed.fileset("Mesh_1")?.files.count == 1)
            #expect(listed.fileset("images")?.file("late") != nil)
            #expect(report.totals.filesetsOfTarget == 1 && report.totals.bytesOfTarget == 12)
        }
        await expectIdle(bench)
    }

    @Test(
        "--update, --ignore-existing: what is copied is listed",
        arguments: [
            SyncOptions.ExistingFiles.keepNewer, .keepAll,
        ])
    func copiedIsListed(existing: SyncOptions.ExistingFiles) async throws {
        var bench = try await bench()
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.file("Seg_1/a.json", "{}", modified: Self.later)
            try tree.writeIndex(modified: Self.later)
        }
        bench.options.existing = existing
        #expect(await bench.run().errors.isEmpty)
        #expect(try index(bench.target).fileset("Seg_1")?.files.count == 1)
    }

    @Test("Metadata that a person corrected at the target are kept, and told once")
    func editedMetadata() async throws {
        var bench = try await bench()
        let edited = #"{"object": {"species": "corrected"}}"#
        try bench.target.edit(name) { tree throws(DatabaseError) in
            try tree.file(ScanPath.scanMetadata.rawValue, edited, modified: Self.later)
        }
        let first = await bench.run()
        #expect(first.totals.filesUnresolved == 1 && first.totals.filesToldBefore == 0)
        let second = await bench.run()
        #expect(second.totals.filesUnresolved == 0 && second.totals.filesToldBefore == 1)
        // Edited at the source as well, and later: still two people's work.
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.file(ScanPath.scanMetadata.rawValue, #"{"object": {"n": 1}}"#, modified: Self.last)
        }
        #expect(await bench.run().totals.filesUnresolved == 1)
        #expect(bench.target.tree(of: name)?[.scanMetadata]?.content == Array(edited.utf8))

        bench.options.metadata = .merge
        #expect(await bench.run().totals.filesUnresolved == 0)
        let merged = try JSONValue(parsing: try #require(bench.target.tree(of: name)?[.scanMetadata]).content)
        #expect(merged == ["object": ["species": "corrected", "n": 1]])
        bench.options.metadata = .source
        #expect(await bench.run().totals.filesUnresolved == 0)
        #expect(
            bench.target.tree(of: name)?[.scanMetadata]?.content
                == bench.source.tree(of: name)?[.scanMetadata]?.content)
    }

    @Test("Metadata that only the source changed go over; other words for the same do not")
    func changedMetadata() async throws {
        let bench = try await bench()
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.file(ScanPath.scanMetadata.rawValue, #"{"a": 1, "b": 2}"#, modified: Self.later)
        }
        #expect(await bench.run().totals.filesMoved == 1)
        try bench.target.edit(name) { tree throws(DatabaseError) in
            try tree.file(ScanPath.scanMetadata.rawValue, #"{"b": 2,   "a": 1}"#, modified: Self.last)
        }
        await expectIdle(bench)
        await expectIdle(bench)
    }

    @Test("JSON that a power cut emptied or zeroed replaces nothing; the scan's others go on")
    func damagedMetadata() async throws {
        for damage in ["", "\0\0\0\0", "{\"a\""] {
            let bench = try await bench()
            let good = bench.target.tree(of: name)?[.scanMetadata]?.content
            try bench.source.edit(name) { tree throws(DatabaseError) in
                try tree.file(ScanPath.scanMetadata.rawValue, damage, modified: Self.later)
                try tree.file("images/late.jpg", "late", modified: Self.later)
                try tree.writeIndex(modified: Self.later)
            }
            let report = await bench.run()
            #expect(report.errors.contains { $0.path == ScanPath.scanMetadata.rawValue })
            #expect(report.totals.filesFailed == 1)
            #expect(bench.target.tree(of: name)?[.scanMetadata]?.content == good)
            #expect(bench.target.tree(of: name)?["images/late.jpg"] != nil)
        }
    }

    @Test("Metadata that were damaged at the target are replaced, however new they are")
    func damagedAtTheTarget() async throws {
        for damage in ["", "\0\0\0\0", "{\"a\""] {
            let bench = try await bench()
            try bench.target.edit(name) { tree throws(DatabaseError) in
                try tree.file(ScanPath.scanMetadata.rawValue, damage, modified: Self.later)
            }
            #expect(await bench.run().totals.filesUnresolved == 0)
            #expect(bench.target.content == bench.source.content)
        }
    }

    @Test("What would keep a release from opening the target is not published")
    func gate() async throws {
        let damages: [(String, String)] = [
            ("metadata/metadata.json", "[]"), ("metadata/images.json", "3"), ("measures.json", "[1]"),
            ("metadata/images/00000_rgb.json", "\"x\""),
            ("files.json", #"{"filesets":[{"id":"images","files":[{"id":"a","file":null}]}]}"#),
            ("files.json", #"{"filesets": 3}"#), ("files.json", ""),
        ]
        for (path, content) in damages {
            for isNew in [false, true] {
                let bench = isNew ? EngineBench(try .plants(1)) : try await bench()
                try bench.source.edit(name) { tree throws(DatabaseError) in
                    try tree.file(path, content, modified: Self.later)
                }
                let before = bench.target.content
                let report = await bench.run()
                #expect(!report.errors.isEmpty, "\(path) \(content)")
                if !(path == "files.json" && content.isEmpty && !isNew) {
                    #expect(bench.target.content == before, "\(path) \(content)")
                }
            }
        }
    }

    @Test("Two scans of one name are never mixed; --displace replaces the target's whole")
    func otherScan() async throws {
        var bench = EngineBench(try .plants(1, seed: 1), into: try .plants(1, images: 2, seed: 2))
        bench.memory = RunMemory()
        for (database, created, time) in [
            (bench.source, "2026-01-01", Self.later), (bench.target, "2026-01-02", Self.last),
        ] {
            try database.edit(name) { tree throws(DatabaseError) in
                try tree.file(
                    ScanPath.scanMetadata.rawValue, "{\"created\": \"\(created)\"}", modified: time)
            }
        }
        let before = bench.target.content
        let report = await bench.run()
        #expect(report.totals.filesUnresolved == 1 && report.notices.contains { $0.kind == .otherScan })
        #expect(bench.target.content == before)
        bench.options.displacesOtherScans = true
        #expect(await bench.run().errors.isEmpty)
        #expect(bench.target.content == bench.source.content)
        #expect(bench.target.trash("run-1")[name] == before.scans[name])
    }

    @Test("Without an identity in the metadata the content tells whether two scans are one")
    func identityByContent() async throws {
        for isOne in [false, true] {
            var bench = EngineBench(try .plants(1), into: try .plants(1))
            bench.memory = nil
            for (database, content) in [(bench.source, "A"), (bench.target, "B")] {
                try database.edit(name) { tree throws(DatabaseError) in
                    let time = content == "A" ? Self.last : Self.later
                    for path in tree.filePaths {
                        if isOne && path.rawValue.hasSuffix("0_rgb.jpg") { continue }
                        let isData = path.parent != nil && !path.isWithin(.metadata)
                        let old = tree[path]?.content ?? []
                        try tree.file(
                            path.rawValue, isData ? Array((content + path.rawValue).utf8) : old,
                            modified: time)
                    }
                    try tree.file(
                        ScanPath.scanMetadata.rawValue, "{\"plant\": \"\(content)\"}", modified: time)
                }
            }
            let report = await bench.run()
            #expect(report.notices.contains { $0.kind == .otherScan } == !isOne)
        }
    }

    @Test("Two scans that exchange their names are not mixed, though runs brought both")
    func exchangedNames() async throws {
        var database = SampleDatabase()
        for (number, name) in ["plant_0", "plant_1"].enumerated() {
            var tree = SampleTree()
            let time = ModificationTime(seconds: 1_700_000_000 + Int64(number))
            try tree.directory("metadata")
            try tree.file("images/1.jpg", name, modified: time)
            try tree.writeIndex(modified: time)
            try database.add(name, tree)
        }
        var bench = EngineBench(database)
        bench.memory = RunMemory()
        #expect(await bench.run().errors.isEmpty)
        let before = bench.target.content
        let other = try ScanID("plant_1")
        let (one, two) = (bench.source.tree(of: name), bench.source.tree(of: other))
        bench.source.set(name, to: two)
        bench.source.set(other, to: one)
        let report = await bench.run()
        #expect(report.notices.count { $0.kind == .otherScan } == 2)
        #expect(bench.target.content == before)
    }

    @Test("A source that came back from an older backup rolls nothing back")
    func olderSource() async throws {
        let bench = try await bench()
        let old = try #require(bench.source.tree(of: name))
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.file(ScanPath.scanMetadata.rawValue, #"{"genotype": "corrected"}"#, modified: Self.later)
            try tree.file("images/00000_rgb.jpg", "retaken", modified: Self.later)
            try tree.file("Seg_1/a.json", "{}", modified: Self.later)
            try tree.writeIndex(modified: Self.later)
        }
        #expect(await bench.run().errors.isEmpty)
        let new = try #require(bench.target.tree(of: name))
        bench.source.set(name, to: old)
        let report = await bench.run()
        #expect(report.totals.filesUnresolved == 2)
        #expect(bench.target.tree(of: name) == new)
    }

    @Test("What somebody wrote at the target since the last run is not overwritten")
    func changedOnBothSides() async throws {
        let bench = try await bench()
        let path = "images/00000_rgb.jpg"
        try bench.target.edit(name) { tree throws(DatabaseError) in
            try tree.file(path, "retouched", modified: Self.later)
        }
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.file(path, "retaken", modified: Self.last)
        }
        #expect(await bench.run().totals.filesUnresolved == 1)
        #expect(bench.target.tree(of: name)?[path]?.content == Array("retouched".utf8))
        var asked = bench
        asked.options.overwritesNewer = true
        #expect(await asked.run().totals.filesUnresolved == 0)
        #expect(bench.target.tree(of: name)?[path]?.content == Array("retaken".utf8))
    }

    @Test("--delete deletes what runs brought, and leaves what nobody brought alone")
    func deletion() async throws {
        var bench = try await bench()
        bench.options.deletion = .delete(limit: .percent(100))
        try bench.target.edit(name) { tree throws(DatabaseError) in
            try tree.file("Mesh_1/mesh.ply", "days of work", modified: Self.later)
            try tree.writeIndex(modified: Self.later)
        }
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.remove("images/00001_rgb.jpg")
            try tree.writeIndex(modified: Self.later)
        }
        let report = await bench.run()
        #expect(report.totals.filesDeleted == 1 && report.totals.filesUnresolved == 1)
        let tree = try #require(bench.target.tree(of: name))
        #expect(tree["Mesh_1/mesh.ply"] != nil && tree["images/00001_rgb.jpg"] == nil)
        #expect(try index(bench.target).fileset("Mesh_1") != nil)
        #expect(try index(bench.target).fileset("images")?.file("00001_rgb") == nil)
        // Told, and that is that.
        #expect(await bench.run().totals.filesUnresolved == 0)

        // A scan that is renamed at the source: what was made of it stays.
        bench.source.set(try ScanID("renamed"), to: try #require(bench.source.tree(of: name)))
        bench.source.set(name, to: nil)
        let second = await bench.run()
        #expect(second.totals.filesUnresolved > 0 && bench.target.tree(of: name) != nil)
        bench.options.deletesUnknown = true
        #expect(await bench.run().outcome(of: "plant_0") == .removed)
    }

    @Test("Where nothing is remembered, what goes is kept in the trash")
    func trashWithoutMemory() async throws {
        for memory in [nil, RunMemory()] {
            var bench = EngineBench(try .plants(1), into: try .plants(2, images: 4))
            bench.options = .mirroring
            bench.options.deletesUnknown = false
            bench.memory = memory
            let before = bench.target.content
            let report = await bench.run()
            #expect(report.errors.isEmpty && report.notices.contains { $0.kind == .keptInTrash })
            #expect(bench.target.trash("run-1")[try ScanID("plant_1")] == before["plant_1"])
            #expect(bench.target.trash("run-1")[name]?["images/00003_rgb.jpg"] != nil)
        }
    }

    @Test(
        "A listed file that the source has lost is not deleted; one it holds and does not list goes from the index"
    )
    func listedStays() async throws {
        var bench = try await bench()
        bench.options.deletion = .delete(limit: .percent(100))
        try bench.source.edit(name) { tree throws(DatabaseError) in
            // The index still lists it.
            try tree.remove("images/00001_rgb.jpg")
        }
        #expect(await bench.run().totals.filesDeleted == 0)
        #expect(bench.target.tree(of: name)?["images/00001_rgb.jpg"] != nil)
        #expect(try index(bench.target).fileset("images")?.file("00001_rgb") != nil)
    }

    @Test("A new file under an old id does not inherit what was said of the old one")
    func inheritedMetadata() async throws {
        let bench = try await bench()
        let metadata = "metadata/images/00000_rgb.json"
        #expect(bench.target.tree(of: name)?[metadata] != nil)
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.file("images/00000_rgb.jpg", "another photo", modified: Self.later)
            try tree.remove(metadata)
        }
        #expect(await bench.run().errors.isEmpty)
        #expect(bench.target.tree(of: name)?[metadata] == nil)
        #expect(bench.target.trash("run-1")[name]?[metadata] != nil)
        // Metadata of a file that stays are nobody else's.
        #expect(bench.target.tree(of: name)?["metadata/images/00001_rgb.json"] != nil)
    }

    @Test("A scan that moved into a timelapse waits until its old place is empty")
    func secondID() async throws {
        var database = try SampleDatabase.plants(1)
        let bench = EngineBench(try .plants(0), into: database)
        database = SampleDatabase()
        var container = SampleTree()
        try container.file("timelapse.json", "{}")
        bench.source.set(try ScanID("series"), to: container)
        bench.source.set(try ScanID("series/plant_0"), to: try SampleTree.plant())
        let report = await bench.run()
        #expect(report.errors.contains { $0.scan?.rawValue == "series/plant_0" })
        #expect(bench.target.tree(of: try ScanID("series/plant_0")) == nil)
    }

    @Test("--where asks what the queries of the source's release would answer", arguments: [false, true])
    func queriedMetadata(readsImages: Bool) async throws {
        var bench = EngineBench(try .plants(1))
        bench.sourceCapabilities.readsImagesMetadata = readsImages
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.file("metadata/metadata.json", #"{"object": {"species": "scan"}, "n": 1}"#)
            try tree.file(
                "metadata/images.json", #"{"object": {"species": "images"}, "hardware": {"x": "y"}}"#)
        }
        func isSelected(_ key: String, _ value: String) async throws -> Bool {
            var asking = bench
            asking.options.selection.metadata = [MetadataCondition(key: key, value: value)]
            return try await !asking.engine().plan().scans.isEmpty
        }
        #expect(try await isSelected("object.species", "images") == readsImages)
        #expect(try await isSelected("object.species", "scan") == !readsImages)
        #expect(try await isSelected("hardware.x", "y"))
        #expect(try await isSelected("n", "1"))
    }

    // MARK: What a review found

    @Test("A scan and a timelapse of one name are never merged into one another")
    func kindsOfOneName() async throws {
        var container = SampleTree()
        try container.file("timelapse.json", "{}")
        for isContainerAtTarget in [true, false] {
            var bench = EngineBench(try .plants(1), into: try .plants(1))
            (isContainerAtTarget ? bench.target : bench.source).set(name, to: container)
            bench.options.displacesOtherScans = true
            let before = bench.target.content
            let report = await bench.run()
            #expect(report.totals.filesUnresolved == 1 && report.notices.contains { $0.kind == .otherScan })
            #expect(bench.target.content == before)
        }
    }

    @Test("What somebody rewrote at the target is not deleted, whatever its time says", arguments: [-9, 9])
    func rewrittenAndDeleted(seconds: Int64) async throws {
        var bench = try await bench()
        bench.options.deletion = .delete(limit: .percent(100))
        let time = ModificationTime(seconds: SampleTree.time.seconds + seconds)
        try bench.target.edit(name) { tree throws(DatabaseError) in
            try tree.file("PointCloud_1_0/PointCloud.ply", "months of own work", modified: time)
        }
        // An update does not overwrite it either.
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.file("PointCloud_1_0/PointCloud.ply", "computed again", modified: Self.last)
        }
        #expect(await bench.run().totals.filesUnresolved == 1)
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.remove("PointCloud_1_0/PointCloud.ply")
            try tree.writeIndex(modified: Self.later)
        }
        #expect(await bench.run().totals.filesUnresolved == 1)
        let left = bench.target.tree(of: name)?["PointCloud_1_0/PointCloud.ply"]
        #expect(left?.content == Array("months of own work".utf8))
        #expect(try index(bench.target).fileset("PointCloud_1_0")?.files.isEmpty == false)
        // Nor with its scan.
        bench.source.set(name, to: nil)
        bench.source.set(try ScanID("other"), to: try .plant())
        #expect(await bench.run().totals.filesUnresolved > 0)
        #expect(bench.target.tree(of: name) != nil)
    }

    @Test("Two scans are told apart by what they say of themselves, however files are compared")
    func identityUnderOptions() async throws {
        let ways: [(inout SyncOptions) -> Void] = [
            { $0.comparison = .sizeOnly }, { $0.modifyWindowNanoseconds = 3_600_000_000_000 }, { _ in },
        ]
        for way in ways {
            var bench = EngineBench(try .plants(1), into: try .plants(1))
            bench.memory = nil
            way(&bench.options)
            for (database, created, time) in [
                (bench.source, "2026-01-01", Self.later), (bench.target, "2026-01-02", Self.last),
            ] {
                try database.edit(name) { tree throws(DatabaseError) in
                    let text = "{\"created\": \"\(created)\"}"
                    try tree.file(ScanPath.scanMetadata.rawValue, text, modified: time)
                }
            }
            try bench.source.edit(name) { tree throws(DatabaseError) in
                try tree.file("images/9.jpg", "nine", modified: Self.later)
            }
            let before = bench.target.content
            #expect(await bench.run().notices.contains { $0.kind == .otherScan })
            #expect(bench.target.content == before)
        }
    }

    @Test("A corrected acquisition date makes no other scan of one that was created at one time")
    func correctedDate() async throws {
        let bench = EngineBench(try .plants(1))
        for (text, time) in [("2026-02-01", Self.later), ("2026-02-02", Self.last)] {
            try bench.source.edit(name) { tree throws(DatabaseError) in
                try tree.file(
                    ScanPath.scanMetadata.rawValue, #"{"created": "1", "acquisition_date": "\#(text)"}"#,
                    modified: time)
            }
            #expect(await bench.run().totals.filesUnresolved == 0)
        }
        #expect(bench.target.content == bench.source.content)
    }

    @Test("A night with options proves nothing for a night without")
    func proofsOfOptions() async throws {
        let bench = try await bench()
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.file("images/renamed.jpg", "other", modified: Self.later)
            var index = try FileIndex(parsing: tree[.index]?.content ?? [])
            var images = index.fileset("images") ?? IndexedFileset(id: "images")
            images.update(IndexedFile(id: "00000_rgb", file: "renamed.jpg"))
            index.update(images)
            try tree.file(ScanPath.index.rawValue, index.encoded(), modified: Self.later)
        }
        var adding = bench
        adding.options.existing = .keepNewer
        #expect(await adding.run().errors.isEmpty)
        #expect(await bench.run().errors.isEmpty)
        #expect(try index(bench.target).fileset("images")?.file("00000_rgb")?.file == "renamed.jpg")
    }

    @Test("--displace carries nothing that a filter leaves out")
    func displacedWithFilter() async throws {
        var bench = EngineBench(try .plants(1, seed: 1), into: try .plants(1, seed: 2))
        bench.memory = nil
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.file(ScanPath.scanMetadata.rawValue, #"{"created": "1"}"#, modified: Self.later)
        }
        try bench.target.edit(name) { tree throws(DatabaseError) in
            try tree.file(ScanPath.scanMetadata.rawValue, #"{"created": "2"}"#, modified: Self.last)
        }
        bench.options.displacesOtherScans = true
        bench.options.selection.excludedFilesets = ["PointCloud*"]
        let before = bench.target.content
        #expect(await bench.run().totals.filesUnresolved == 1)
        #expect(bench.target.content == before)
    }

    @Test("The target's own metadata of a file stay where the file was only touched")
    func touchedOnly() async throws {
        let bench = try await bench()
        let own = "metadata/images/extra.json"
        let image = "images/extra.jpg"
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.file(image, "photo", modified: SampleTree.time)
            try tree.writeIndex(modified: Self.later)
        }
        #expect(await bench.run().errors.isEmpty)
        try bench.target.edit(name) { tree throws(DatabaseError) in
            try tree.file(own, #"{"pose": [1]}"#, modified: Self.later)
        }
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.file(image, "photo", modified: Self.last)
        }
        #expect(await bench.run().errors.isEmpty)
        #expect(bench.target.tree(of: name)?[own] != nil)
    }

    @Test("Metadata stay with a file that is left alone under --delete")
    func metadataOfHeldFiles() async throws {
        var bench = try await bench()
        bench.options.deletion = .delete(limit: .percent(100))
        try bench.target.edit(name) { tree throws(DatabaseError) in
            try tree.file("images/00000_rgb.jpg", "retouched by hand", modified: Self.later)
        }
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.remove("images/00000_rgb.jpg")
            try tree.remove("metadata/images/00000_rgb.json")
            try tree.writeIndex(modified: Self.later)
        }
        #expect(await bench.run().totals.filesUnresolved == 1)
        let tree = try #require(bench.target.tree(of: name))
        #expect(tree["images/00000_rgb.jpg"] != nil && tree["metadata/images/00000_rgb.json"] != nil)
    }

    @Test("Metadata that are merged are merged once, and nothing of them is lost later")
    func mergedOnce() async throws {
        var bench = try await bench()
        try bench.target.edit(name) { tree throws(DatabaseError) in
            try tree.file(ScanPath.scanMetadata.rawValue, #"{"b": 2}"#, modified: Self.later)
        }
        bench.options.metadata = .merge
        #expect(await bench.run().totals.filesMoved == 1)
        await expectIdle(bench)
        bench.options.metadata = .keep
        await expectIdle(bench)
        try bench.source.edit(name) { tree throws(DatabaseError) in
            try tree.file(ScanPath.scanMetadata.rawValue, #"{"a": 7}"#, modified: Self.last)
        }
        #expect(await bench.run().totals.filesUnresolved == 1)
        let there = try JSONValue(parsing: try #require(bench.target.tree(of: name)?[.scanMetadata]).content)
        #expect(there["b"] == 2)
    }

    @Test("What is remembered survives its bytes, and other bytes are nothing")
    func memoryBytes() async throws {
        let bench = try await bench()
        let memory = try #require(bench.memory?.recall(name))
        #expect(ScanMemory(decoding: memory.encoded()) == memory)
        #expect(ScanMemory(decoding: []) == nil && ScanMemory(decoding: [1, 2, 3]) == nil)
        #expect(ScanMemory(decoding: Array(memory.encoded().dropLast(8))) == nil)
    }
}
