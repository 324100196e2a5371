import PlantDBCore
import PlantDBTesting
import SyncEngine
import Testing

/// What a plan leaves alone: filesets that were not asked for, and what must not be deleted.
@Suite struct PlannerScopeTests {
    private let scan: ScanID
    /// With deletion.
    private let options: SyncOptions

    init() throws {
        scan = try ScanID("plant")
        var options = SyncOptions()
        options.deletion = .delete(limit: .percent(100))
        self.options = options
    }

    private func plan(
        _ source: SampleTree, _ target: SampleTree?, _ options: SyncOptions,
        skipped: [SkippedEntry] = [], writes: EndpointCapabilities.Writes = .files
    ) throws -> ScanPlan {
        let planner = Planner(
            options: options, source: EndpointCapabilities(), target: EndpointCapabilities(writes: writes))
        return try planner.plan(
            source: try source.manifest(of: scan, skipped: skipped),
            target: try target?.manifest(of: scan), findings: try findings(source, target))
    }

    private func findings(_ source: SampleTree, _ target: SampleTree?) throws -> ScanFindings {
        ScanFindings(
            sourceIndex: try source[.index].map { try FileIndex(parsing: $0.content) },
            targetIndex: try target?[.index].map { try FileIndex(parsing: $0.content) })
    }

    private func paths(_ plan: ScanPlan) -> [String] { plan.items.map { plan.entry(of: $0).path.rawValue } }
    private func deleted(_ plan: ScanPlan) -> [String] { plan.deletions.map(\.path.rawValue) }

    @Test("Nothing is deleted unless it was asked for")
    func noDeletionByDefault() throws {
        var target = try SampleTree.plant()
        try target.file("images/extra.jpg", "x")
        #expect(try plan(.plant(), target, SyncOptions()).deletions.isEmpty)
        #expect(try deleted(plan(.plant(), target, options)) == ["images/extra.jpg"])
    }

    @Test("Deletions come deepest first, and directories after what lies in them")
    func deletionOrder() throws {
        var target = try SampleTree.minimal()
        try target.file("Mesh/deep/deeper/a", "x")
        try target.file("Mesh/b", "x")
        let order = try deleted(plan(.minimal(), target, options))
        #expect(Set(order) == ["Mesh", "Mesh/b", "Mesh/deep", "Mesh/deep/deeper", "Mesh/deep/deeper/a"])
        for (index, path) in order.enumerated() {
            #expect(!order[..<index].contains { path.hasPrefix($0 + "/") }, "\(path) comes after its parent")
        }
    }

    @Test("F-mode 3: what could not be read at the source turns deletion off in that scan")
    func incompleteSource() throws {
        var target = try SampleTree.minimal()
        try target.file("images/extra", "x")
        for reason in SkippedEntry.Reason.allCases {
            let skipped = SkippedEntry(path: "elsewhere/\(reason)", reason: reason)
            let plan = try plan(.minimal(), target, options, skipped: [skipped])
            #expect(plan.deletions.isEmpty == skipped.hidesContent, "\(reason)")
            #expect(plan.isComplete != skipped.hidesContent)
            #expect(plan.skipped == [skipped])
        }
    }

    @Test("What the source has in a form that is not carried is not deleted at the target")
    func skippedProtects() throws {
        var target = try SampleTree.minimal()
        try target.file("images/link", "was a file")
        try target.file("folder/a/b", "was a folder")
        let skipped = ["images/link", "folder"].map { SkippedEntry(path: $0, reason: .symbolicLink) }
        #expect(try plan(.minimal(), target, options, skipped: skipped).deletions.isEmpty)
    }

    @Test("A directory in the place of a file, and what lies in it, is left alone")
    func kindConflict() throws {
        var source = try SampleTree.minimal()
        try source.file("images/thing", "file")
        var target = try SampleTree.minimal()
        try target.file("images/thing/a", "in a directory")
        let plan = try plan(source, target, options)
        #expect(plan.deletions.isEmpty)
        #expect(plan.unresolvedCount == 1)
    }

    @Test("A target that takes new scans only loses nothing")
    func newScansOnly() throws {
        var target = try SampleTree.minimal()
        try target.file("images/extra", "x")
        #expect(try plan(.minimal(), target, options, writes: .newScans).deletions.isEmpty)
    }

    @Test("Filesets that were not asked for are neither carried nor deleted")
    func filesets() throws {
        let source = try SampleTree.plant()
        var target = SampleTree()
        try target.directory("metadata")
        try target.file("Mesh_1/mesh.ply", "only here")
        try target.file("metadata/Mesh_1/mesh.json", "{}")
        try target.file("metadata/Mesh_1.json", "{}")
        try target.file("images/gone.jpg", "gone from the source")
        try target.writeIndex()
        for exclude in [false, true] {
            var options = options
            if exclude {
                options.selection.excludedFilesets = ["PointCloud*", "Mesh_?"]
            } else {
                options.selection.filesets = ["images"]
            }
            let plan = try plan(source, target, options)
            #expect(deleted(plan) == ["images/gone.jpg"])
            #expect(paths(plan).contains("images/00000_rgb.jpg"))
            #expect(paths(plan).contains("metadata/images/00000_rgb.json"))
            #expect(paths(plan).contains("metadata/metadata.json"))
            #expect(paths(plan).contains("scan.toml"))
            #expect(!paths(plan).contains { $0.contains("PointCloud") })
        }
    }

    @Test("The index then lists the filesets asked for and what was there before")
    func mergedIndex() throws {
        let source = try SampleTree.plant()
        var target = SampleTree()
        try target.directory("metadata")
        try target.file("Mesh_1/mesh.ply", "only here")
        try target.writeIndex()
        var options = options
        options.selection.filesets = ["images"]
        let first = try plan(source, target, options)
        let merged = try FileIndex(parsing: try #require(first.made[.index]))
        #expect(Set(merged.filesets.map(\.id)) == ["Mesh_1", "images"])
        #expect(merged.fileset("images")?.files.count == 3)
        let item = try #require(first.items.first { first.entry(of: $0).path == .index })
        #expect(item.action.transfersContent)
        #expect(
            first.bytesToTransfer
                == first.items.reduce(0) { sum, item in
                    let entry = first.entry(of: item)
                    guard item.action.transfersContent else { return sum }
                    return sum + entry.size
                })

        // With the merged index in place there is nothing left to do.
        var after = try applying(first, source: source, to: target)
        after.set(
            .index,
            .init(
                kind: .file, content: try #require(first.made[.index]), modified: SampleTree.time, mode: 0o644
            )
        )
        let second = try plan(source, after, options)
        #expect(!second.hasWork, "\(paths(second))")
        #expect(second.made.isEmpty)
    }

    @Test("Where a scan became a timelapse at the source, nothing in the target's directories is deleted")
    func becameTimelapse() throws {
        let target = try SampleTree.plant()
        var source = SampleTree()
        try source.file("timelapse.json", "{}")
        let plan = try plan(source, target, options)
        let deleted = plan.deletions.map(\.path.rawValue)
        #expect(!deleted.contains { $0.contains("/") || !$0.contains(".") }, "\(deleted)")
    }

    @Test("The index of a scan that is there is left alone where the target cannot change it")
    func keptIndex() throws {
        let source = try SampleTree.plant()
        var target = SampleTree()
        try target.directory("metadata")
        try target.file("Mesh_1/mesh.ply", "only here")
        try target.writeIndex()
        var options = options
        options.selection.filesets = ["images"]
        func kept(_ options: SyncOptions, _ writes: EndpointCapabilities.Writes = .files) throws
            -> PlanAction?
        {
            let plan = try plan(source, target, options, writes: writes)
            #expect(plan.made.isEmpty)
            return plan.items.first { plan.entry(of: $0).path == .index }?.action
        }
        // Nothing comes that it would have to list.
        #expect(try kept(options, .newScans) == nil)
    }

    @Test("A new scan of some filesets has an index of those alone")
    func newScanOfSomeFilesets() throws {
        var options = options
        options.selection.filesets = ["images"]
        let plan = try plan(.plant(), nil, options)
        let merged = try FileIndex(parsing: try #require(plan.made[.index]))
        #expect(merged.filesets.map(\.id) == ["images"])
        #expect(plan.isNew)
    }

    @Test("A new scan has no base, a changed one the revision it was planned against")
    func bases() throws {
        let source = try SampleTree.plant()
        #expect(try plan(source, nil, options).base == nil)
        let target = try SampleTree.minimal()
        let revision = try target.manifest(of: scan).revision
        #expect(try plan(source, target, options).base == revision)
    }

    @Test("An empty new scan is work: its folder must appear")
    func emptyNewScan() throws { #expect(try plan(SampleTree(), nil, options).hasWork) }
}
