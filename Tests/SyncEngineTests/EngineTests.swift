import Foundation
import PlantDBCore
import PlantDBTesting
import SyncEngine
import Synchronization
import Testing

/// What a run does, and what it leaves when something goes wrong.
@Suite struct EngineTests {
    private func scan(_ name: String) throws -> ScanID { try ScanID(name) }

    @Test("A first run carries everything, a second nothing")
    func firstAndSecondRun() async throws {
        let bench = EngineBench(try .plants(3))
        let first = await bench.run()
        #expect(first.errors.isEmpty && first.scansPublished == 3)
        #expect(first.totals.filesMoved == bench.source.content.fileCount)
        #expect(first.totals.bytesMoved == Int64(bench.source.content.byteCount))
        #expect(bench.target.content == bench.source.content)
        bench.expectNoDebris()
        let second = await bench.run()
        #expect(second.scansUnchanged == 3 && second.scansPublished == 0)
        #expect(second.totals.bytesMoved == 0)
        #expect(bench.target.journal.count == 3, "new scans appear whole, by one step each")
    }

    @Test("What only the target has stays, unless its deletion was asked for")
    func additive() async throws {
        var bench = EngineBench(try .plants(1), into: try .plants(2, images: 5))
        #expect(await bench.run().errors.isEmpty)
        #expect(bench.target.tree(of: try scan("plant_1")) != nil)
        #expect(bench.target.tree(of: try scan("plant_0"))?["images/00004_rgb.jpg"] != nil)
        bench.options = .mirroring
        let report = await bench.run()
        #expect(report.errors.isEmpty && report.outcome(of: "plant_1") == .removed)
        #expect(bench.target.content.scans.count == 1)
        #expect(bench.target.tree(of: try scan("plant_0"))?["images/00004_rgb.jpg"] == nil)
    }

    @Test("The deletion guard stops a run before it changes anything")
    func deletionGuard() async throws {
        let limits: [(SyncOptions.DeletionLimit, Bool)] = [
            (.files(0), true), (.files(2), true), (.percent(10), true), (.percent(100), false),
            (.files(1000), false),
        ]
        for (limit, trips) in limits {
            var bench = EngineBench(try .plants(1), into: try .plants(2))
            bench.options.deletion = .delete(limit: limit)
            let before = bench.target.content
            let report = await bench.run()
            #expect((report.error?.code == .deletionGuard) == trips, "\(limit)")
            if trips {
                #expect(bench.target.content == before && bench.target.journal.isEmpty)
            } else {
                #expect(bench.target.content == bench.source.content)
            }
            bench.expectNoDebris()
        }
    }

    @Test("Deleted files and scans are in the trash of the run where that was asked for")
    func trash() async throws {
        var bench = EngineBench(try .plants(1), into: try .plants(2, images: 5))
        bench.options = .mirroring
        bench.options.usesTrash = true
        let before = bench.target.content
        #expect(await bench.run().errors.isEmpty)
        let trash = bench.target.trash("run-1")
        #expect(trash[try scan("plant_1")] == before["plant_1"])
        #expect(
            trash[try scan("plant_0")]?["images/00004_rgb.jpg"] == before["plant_0"]?["images/00004_rgb.jpg"])
    }

    @Test("A file that cannot be read fails its scan by name; nothing of the scan is published")
    func unreadableFile() async throws {
        let bench = EngineBench(try .plants(2))
        let name = try scan("plant_0")
        bench.source.setUnreadable([try ScanPath("images/00001_rgb.jpg")], in: name)
        let report = await bench.run()
        #expect(report.outcome(of: "plant_0") == .failed && report.outcome(of: "plant_1") == .created)
        let error = try #require(report.errors.first)
        #expect(error.code == .permissionDenied && error.scan == name && error.path == "images/00001_rgb.jpg")
        #expect(bench.target.tree(of: name) == nil)
        bench.expectNoDebris()
    }

    @Test("A passing failure is tried again, and told")
    func retries() async throws {
        var bench = EngineBench(try .plants(1))
        bench.options.retries = 2
        bench.sourceFaults = FaultPlan([
            // The third of each try is the copy; the two before it are read to plan.
            .init(.openParts, call: 3, .fail(.unreachable)), .init(.part, call: 90, .fail(.unreachable)),
        ])
        let log = EventLog()
        let report = await bench.run(log.record)
        #expect(report.errors.isEmpty && log.retries == 2)
        #expect(bench.target.content == bench.source.content)
        #expect(log.progress.last?.fractionPublished == 1)
        #expect(log.progress.allSatisfy { $0.bytesStaged <= $0.bytesPlanned })
    }

    @Test("What will fail again is not tried again")
    func noRetries() async throws {
        for code in [DatabaseError.Code.permissionDenied, .verificationFailed, .noSpace, .locked] {
            var bench = EngineBench(try .plants(1))
            bench.options.retries = 5
            bench.sourceFaults = FaultPlan([.init(.openParts, .fail(code))])
            let log = EventLog()
            let report = await bench.run(log.record)
            #expect(report.codes == [code] && log.retries == 0)
        }
    }

    @Test("A commit whose answer was lost is found to be done by the next try")
    func lostAnswer() async throws {
        for target in [SampleDatabase(), try .plants(1, images: 1)] {
            var bench = EngineBench(try .plants(1), into: target)
            bench.options.retries = 2
            bench.targetFaults = FaultPlan([.init(.commit, .failAfterwards(.unreachable))])
            let report = await bench.run()
            #expect(report.errors.isEmpty, "\(report.errors)")
            #expect(bench.target.tree(of: try scan("plant_0"))?["images/00002_rgb.jpg"] != nil)
            bench.expectNoDebris()
        }
    }

    @Test("A scan that became unreadable in part before its second try is not published in part")
    func incompleteRetry() async throws {
        var bench = EngineBench(try .plants(1))
        bench.options.retries = 1
        bench.sourceFaults = FaultPlan([
            .init(.part, call: 25, .fail(.unreachable)), .always(.manifest, from: 2, .hideEntries(count: 1)),
        ])
        let log = EventLog()
        let report = await bench.run(log.record)
        #expect(log.retries == 1)
        #expect(bench.target.content.scans.isEmpty)
        #expect(report.codes == [.permissionDenied] && report.outcome(of: "plant_0") == .failed)
    }

    @Test("Cancelling ends the run with a valid target and the truth in the report")
    func cancellation() async throws {
        let faults: [(source: FaultPlan, target: FaultPlan)] = [
            (FaultPlan([.init(.part, call: 7, .stall)]), FaultPlan()),
            (FaultPlan(), FaultPlan([.init(.receive, .stall)])),
            (FaultPlan(), FaultPlan([.init(.beginTransaction, .stall)])),
            (FaultPlan([.init(.manifest, .stall)]), FaultPlan()),
            (FaultPlan([.init(.listing, .stall)]), FaultPlan()),
            (FaultPlan(), FaultPlan([.init(.acquireLock, .stall)])),
            (FaultPlan(), FaultPlan([.init(.commit, .stall)])),
        ]
        for (source, target) in faults {
            var bench = EngineBench(try .plants(2), into: try .plants(2, images: 1, seed: 9))
            bench.sourceFaults = source
            bench.targetFaults = target
            bench.options.transfers = 1
            let before = bench.target.content
            let started = bench
            let run = Task { await started.run() }
            try await Task.sleep(for: .milliseconds(30))
            run.cancel()
            let report = await run.value
            #expect(report.error?.code == .cancelled, "\(source) \(target)")
            #expect(bench.target.content == before)
            bench.expectNoDebris()
            await bench.expectRecovery()
        }
    }

    @Test("Scans published before the cancellation stay, and are reported")
    func cancelledHalfway() async throws {
        var bench = EngineBench(try .plants(3))
        bench.options.transfers = 1
        // Two openings read the index and the metadata for the plan, the third is the transfer.
        bench.sourceFaults = FaultPlan([.init(.openParts, call: 3, scan: try scan("plant_1"), .stall)])
        let started = bench
        let run = Task { await started.run() }
        while bench.target.content.scans.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
        run.cancel()
        let report = await run.value
        #expect(report.scans.map(\.outcome) == [.created, .notDone, .notDone])
        #expect(bench.target.content.scans.count == 1)
        await bench.expectRecovery()
    }

    @Test("A full target ends the run; it is said before anything is written where it is known")
    func noSpace() async throws {
        var bench = EngineBench(try .plants(3))
        bench.options.transfers = 1
        bench.targetFaults = FaultPlan([.init(.receive, call: 2, .fail(.noSpace))])
        let report = await bench.run()
        #expect(report.error?.code == .noSpace)
        #expect(report.scans.map(\.outcome) == [.created, .failed, .notDone])
        await bench.expectRecovery()

        let small = MemoryDatabase()
        let engine = SyncEngine(
            source: MemoryEndpoint(bench.source), target: MemoryEndpoint(small, availableBytes: 100))
        #expect(await engine.run().error?.code == .noSpace)
        #expect(small.journal.isEmpty)
    }

    @Test("A timelapse is published before its members, and removed after them")
    func timelapses() async throws {
        var database = SampleDatabase()
        var container = SampleTree()
        try container.file("timelapse.json", "{}")
        try database.add("growth", container)
        for day in 1...3 { try database.add("growth/day_\(day)", .minimal("\(day)")) }
        try database.add("alone", .minimal())
        var bench = EngineBench(database)
        bench.options.transfers = 4
        #expect(await bench.run().errors.isEmpty)
        #expect(bench.target.content == bench.source.content)
        let order = bench.target.journal.map { step in
            if case .scan(let scan) = step { scan.rawValue } else { "?" }
        }
        let first = try #require(order.firstIndex(of: "growth"))
        #expect(order[..<first].allSatisfy { !$0.hasPrefix("growth/") })

        for name in ["growth", "growth/day_1", "growth/day_2", "growth/day_3"] {
            bench.source.set(try scan(name), to: nil)
        }
        bench.options = .mirroring
        #expect(await bench.run().errors.isEmpty)
        #expect(bench.target.content == bench.source.content)
        #expect(bench.target.journal.last == .scanRemoval(try scan("growth")))
    }

    @Test("A run that is cancelled before its removals says so")
    func cancelledRemovals() async throws {
        var bench = EngineBench(try .plants(1), into: try .plants(3))
        bench.options = .mirroring
        bench.targetFaults = FaultPlan([.init(.removeScan, .stall)])
        let log = EventLog()
        let running = Task { [bench] in await bench.run(log.record) }
        func isPlanned() -> Bool {
            log.events.contains { if case .planned = $0 { true } else { false } }
        }
        while !isPlanned() { try await Task.sleep(for: .milliseconds(5)) }
        running.cancel()
        let report = await running.value
        #expect(report.error?.code == .cancelled)
        #expect(report.scans.contains { $0.outcome == .notDone }, "\(report.scans)")
        #expect(bench.target.content.scans.count == 3)
    }

    @Test("Scans are chosen by name and by pattern; a member brings its timelapse")
    func selection() async throws {
        var database = try SampleDatabase.plants(3)
        var container = SampleTree()
        try container.file("timelapse.json", "{}")
        try database.add("growth", container)
        for day in 1...2 { try database.add("growth/day_\(day)", .minimal("\(day)")) }
        let expectations: [([String], Set<String>)] = [
            (["plant_1"], ["plant_1"]), (["plant_[02]"], ["plant_0", "plant_2"]),
            (["growth/day_1"], ["growth", "growth/day_1"]),
            (["growth"], ["growth", "growth/day_1", "growth/day_2"]),
            ([], Set(database.scans.keys.map(\.rawValue))),
        ]
        for (names, expected) in expectations {
            var bench = EngineBench(database)
            bench.options.selection.scans = names
            #expect(await bench.run().errors.isEmpty)
            #expect(Set(bench.target.content.scans.keys.map(\.rawValue)) == expected, "\(names)")
        }
    }

    @Test("Deletion stays within the selection")
    func deletionWithinSelection() async throws {
        var bench = EngineBench(try .plants(1), into: try .plants(3))
        bench.options = .mirroring
        bench.options.selection.scans = ["plant_0"]
        #expect(await bench.run().errors.isEmpty)
        #expect(bench.target.content.scans.count == 3)
    }

    @Test("Metadata conditions and a minimum age leave scans out, with a notice")
    func conditions() async throws {
        var database = try SampleDatabase.plants(1)
        try database.add("bare", .minimal())
        var bench = EngineBench(database)
        bench.options.selection.metadata = [MetadataCondition(key: "object.species", value: "Arabidopsis")]
        var report = await bench.run()
        #expect(report.errors.isEmpty && bench.target.content.scans.keys.map(\.rawValue) == ["plant_0"])
        #expect(report.notices.contains { $0.kind == .notSelected && $0.scan == "bare" })

        var fresh = try SampleTree.minimal()
        let now = Int64(Date().timeIntervalSince1970)
        try fresh.file("images/now", "x", modified: ModificationTime(seconds: now))
        bench.source.set(try scan("fresh"), to: fresh)
        bench.options.selection.metadata = []
        bench.options.selection.minimumAge = .seconds(60)
        report = await bench.run()
        #expect(bench.target.tree(of: try scan("fresh")) == nil)
        #expect(bench.target.tree(of: try scan("bare")) != nil)
        #expect(report.notices.contains { $0.kind == .notSelected && $0.scan == "fresh" })
        // It would be too young for ever, and nobody would know.
        try fresh.file("images/now", "x", modified: ModificationTime(seconds: 4_000_000_000))
        bench.source.set(try scan("fresh"), to: fresh)
        report = await bench.run()
        #expect(report.errors.contains { $0.path == "images/now" && $0.scan?.rawValue == "fresh" })
    }

    @Test(
        "A minimum age counts by the clock of the source's machine, however wrong that is; one that does not tell is named",
        arguments: [-86_400, 86_400, nil] as [Int64?])
    func minimumAgeElsewhere(_ difference: Int64?) async throws {
        let here = Int64(Date().timeIntervalSince1970)
        let there = here + (difference ?? 0)
        var database = SampleDatabase()
        for (name, age) in [("young", Int64(30)), ("old", 3600)] {
            var tree = SampleTree()
            for path in ["files.json", "metadata/metadata.json"] {
                try tree.file(
                    path, path == "files.json" ? #"{"filesets": []}"# : "{}",
                    modified: ModificationTime(seconds: there - age))
            }
            try database.add(name, tree)
        }
        var options = SyncOptions()
        options.selection.minimumAge = .seconds(600)
        let target = MemoryDatabase(SampleDatabase())
        let source = MemoryEndpoint(
            MemoryDatabase(database), name: "source",
            clock: {
                difference.map { ModificationTime(seconds: Int64(Date().timeIntervalSince1970) + $0) }
            })
        let engine = SyncEngine(
            source: source, target: MemoryEndpoint(target, name: "target"), options: options)
        let report = await engine.run()
        #expect(report.errors.isEmpty, "\(report.errors)")
        #expect(target.content.scans.keys.map(\.rawValue) == ["old"])
        let said = report.notices.contains { $0.kind == .weakerGuarantee && $0.message.contains("--min-age") }
        #expect(said == (difference == nil))
        #expect(try await engine.plan().notices.contains { $0.kind == .notSelected && $0.scan == "young" })
    }

    @Test("A fileset that no scan has ends the run before it begins, and is named")
    func mistypedFileset() async throws {
        var bench = EngineBench(try SampleDatabase.plants(2))
        bench.options.selection.filesets = ["imgs", "im*"]
        let report = await bench.run()
        #expect(report.error?.code == .notFound)
        let message = report.error?.description ?? ""
        #expect(message.contains("imgs") && message.contains("images"), "\(message)")
        #expect(bench.target.content.scans.isEmpty)
        bench.options.selection.filesets = ["im*"]
        #expect(await bench.run().errors.isEmpty)
        #expect(bench.target.content.scans.count == 2)
    }

    @Test("An exclusion that fits no fileset is told of")
    func mistypedExclusion() async throws {
        var bench = EngineBench(try SampleDatabase.plants(2))
        bench.options.selection.excludedFilesets = ["imgs", "im*"]
        let report = await bench.run()
        let told = report.notices.filter { $0.kind == .nothingExcluded }.map(\.message)
        #expect(report.errors.isEmpty && told.count == 1 && told[0].contains("imgs"), "\(told)")
        // What only the target has is kept from deletion by its exclusion.
        var computed = SampleTree()
        try computed.file("files.json", "{}")
        try computed.file("metadata/metadata.json", "{}")
        try computed.file("results/a.ply", "points")
        bench.target.set(try scan("plant_0"), to: computed)
        bench.options.selection.excludedFilesets = ["results"]
        bench.options.deletion = .delete(limit: .percent(100))
        #expect(await !bench.run().notices.contains { $0.kind == .nothingExcluded })
    }

    @Test("A key that no scan's metadata has ends the run; a value that none has is a notice")
    func mistypedCondition() async throws {
        var bench = EngineBench(try SampleDatabase.plants(2))
        bench.options.selection.metadata = [MetadataCondition(key: "object.speces", value: "Arabidopsis")]
        let report = await bench.run()
        #expect(report.error?.code == .notFound && report.error?.message.contains("object.speces") == true)
        bench.options.selection.metadata = [MetadataCondition(key: "object.species", value: "Zea")]
        let other = await bench.run()
        #expect(other.errors.isEmpty && other.notices.contains { $0.kind == .nothingSelected })
        #expect(bench.target.content.scans.isEmpty)
    }

    @Test("A folder that lost what made it a scan is an error by name, and the target keeps what it has")
    func lostIndex() async throws {
        var bench = EngineBench(try SampleDatabase.plants(2))
        bench.options = .mirroring
        #expect(await bench.run().errors.isEmpty)
        let before = bench.target.content
        var damaged = SampleTree()
        try damaged.file("notes.txt", "files.json and metadata are gone")
        bench.source.set(try scan("plant_0"), to: damaged)
        let report = await bench.run()
        #expect(report.errors.map(\.code) == [.invalidData])
        #expect(report.errors.first?.scan?.rawValue == "plant_0")
        #expect(bench.target.content == before)
        let plan = try await SyncEngine(
            source: MemoryEndpoint(bench.source), target: MemoryEndpoint(bench.target)
        ).plan()
        #expect(plan.failures.map { $0.scan?.rawValue } == ["plant_0"])
        // Nobody asked about it.
        bench.options.selection.scans = ["plant_1"]
        #expect(await bench.run().errors.isEmpty)
    }

    @Test("Strays are named and not carried; a peer's order of parts does not matter")
    func straysAndOrder() async throws {
        var database = try SampleDatabase.plants(1)
        var stray = SampleTree()
        try stray.file("notes.txt", "x")
        try database.add("stray", stray)
        let target = MemoryDatabase()
        for order in [MemoryEndpoint.PartOrder.descending, .shuffled(seed: 4)] {
            let engine = SyncEngine(
                source: MemoryEndpoint(MemoryDatabase(database), partOrder: order),
                target: MemoryEndpoint(target))
            let report = await engine.run()
            #expect(report.errors.isEmpty)
            #expect(report.notices.contains { $0.kind == .stray && $0.scan == "stray" })
            #expect(target.content.scans.keys.map(\.rawValue) == ["plant_0"])
        }
    }

    @Test("A source that cannot be written is read without locks where that was asked for")
    func withoutSourceLock() async throws {
        var bench = EngineBench(try .plants(1))
        bench.sourceFaults = FaultPlan([.always(.acquireLock, .fail(.permissionDenied))])
        #expect(await bench.run().error?.code == .permissionDenied)
        bench.options.locksSource = false
        #expect(await bench.run().errors.isEmpty)
        #expect(bench.target.content == bench.source.content)
    }

    @Test("A target that takes new scans only gets them, and says what it cannot change")
    func newScansOnly() async throws {
        var bench = EngineBench(try .plants(2), into: try .plants(1, images: 1))
        bench.targetCapabilities.writes = .newScans
        let before = bench.target.tree(of: try scan("plant_0"))
        let report = await bench.run()
        #expect(bench.target.tree(of: try scan("plant_1")) == bench.source.tree(of: try scan("plant_1")))
        #expect(bench.target.tree(of: try scan("plant_0")) == before)
        #expect(report.totals.filesUnresolved > 0 || !report.errors.isEmpty)
        #expect(try await !bench.engine().plan().isInSync)
    }

    @Test("300 random storms of faults leave every scan old or new, no debris, and a way on")
    func storms() async throws {
        for seed in TestSeed.rounds(300) {
            var bench = EngineBench(
                try .random(scans: 3, seed: seed.value), into: try .random(scans: 3, seed: seed.value &+ 7919)
            )
            bench.options = .mirroring
            bench.options.comparison = seed.value % 3 == 0 ? .checksum : .sizeAndTime
            // Empty files are among them.
            bench.options.overwritesNewer = true
            bench.sourceFaults = .random(seed: seed.value &* 2)
            bench.targetFaults = .random(seed: seed.value &* 2 &+ 1)
            let old = bench.target.content
            let source = bench.source.content
            let planned = EventLog()
            let report = await bench.run(planned.record)
            let comment: Comment = "\(seed): \(bench.sourceFaults.faults), \(bench.targetFaults.faults)"
            bench.expectNoDebris(comment)
            #expect(bench.source.content == source, comment)
            for name in Set(old.scans.keys).union(source.scans.keys) {
                let now = bench.target.tree(of: name)
                let isOldOrNew = now == old.scans[name] || now == source.scans[name]
                #expect(isOldOrNew || isPublished(name, report), comment)
            }
            // What has no error is in sync, unless the target denied having what was to be removed.
            let isListed = !bench.targetFaults.faults.contains { $0.effect == .listNothing }
            if isListed && report.errors.isEmpty && report.totals.filesUnresolved == 0 {
                #expect(bench.target.content.isLike(source), comment)
            }
            let second = await bench.runAgain()
            #expect(second.errors.isEmpty, comment)
            let third = await bench.runAgain()
            #expect(third.totals.bytesMoved == 0 && third.scansPublished == 0, comment)
            if second.totals.filesUnresolved == 0 { #expect(bench.target.content.isLike(source), comment) }
        }
    }

    /// A scan may be neither old nor new where files that are newer at the target were kept.
    private func isPublished(_ name: ScanID, _ report: SyncReport) -> Bool {
        report.scans.contains { $0.scan == name && $0.counts.filesUnresolved > 0 }
    }
}

extension SampleDatabase {
    /// Whether the two hold the same files with the same bytes, whatever their times.
    fileprivate func isLike(_ other: SampleDatabase) -> Bool {
        scans.keys == other.scans.keys
            && scans.allSatisfy { name, tree in
                let twin = other.scans[name]
                return tree.filePaths == twin?.filePaths
                    && tree.filePaths.allSatisfy { tree[$0]?.content.count == twin?[$0]?.content.count }
            }
    }
}
