import PlantDBCore
import PlantDBTesting
import SyncEngine
import Synchronization
import Testing

/// What bit the users of other synchronisers, by the numbers of the list of failure modes.
@Suite struct EngineFailureModeTests {
    private func scan(_ name: String) throws -> ScanID { try ScanID(name) }

    /// A source of two scans, and a target that has an older state of one and a third.
    private func bench(_ options: SyncOptions = .mirroring) throws -> EngineBench {
        var old = try SampleDatabase.plants(1, images: 2)
        try old.add("only_here", .minimal("only here"))
        var bench = EngineBench(try .plants(2), into: old)
        bench.options = options
        return bench
    }

    @Test("F-mode 1: a listing that fails deletes nothing, and is an error")
    func listingFails() async throws {
        for code in [DatabaseError.Code.unreachable, .io, .permissionDenied, .authentication] {
            for onSource in [true, false] {
                var bench = try bench()
                let before = bench.target.content
                let fault = FaultPlan([.always(.listing, .fail(code))])
                if onSource { bench.sourceFaults = fault } else { bench.targetFaults = fault }
                let report = await bench.run()
                #expect(report.error?.code == code)
                #expect(bench.target.content == before)
                #expect(bench.target.journal.isEmpty)
                bench.expectNoDebris()
            }
        }
    }

    @Test("F-mode 1: a manifest that fails is a failure of that scan; nothing of it is deleted")
    func manifestFails() async throws {
        var bench = try bench()
        let name = try scan("plant_0")
        let before = bench.target.tree(of: name)
        bench.sourceFaults = FaultPlan([.always(.manifest, scan: name, .fail(.io))])
        let report = await bench.run()
        #expect(report.outcome(of: "plant_0") == .failed)
        #expect(report.errors.contains { $0.scan == name })
        #expect(bench.target.tree(of: name) == before)
        #expect(bench.target.tree(of: try scan("plant_1")) == bench.source.tree(of: try scan("plant_1")))
        await bench.expectRecovery()
    }

    @Test("F-mode 1: a listing known in part removes no scan")
    func partialListing() async throws {
        let bench = try bench()
        bench.source.setSkippedInListing([SkippedEntry(path: "locked-away", reason: .unreadable)])
        let report = await bench.run()
        #expect(bench.target.tree(of: try scan("only_here")) != nil)
        #expect(!report.errors.isEmpty, "what could not be listed is an error")
    }

    @Test("F-mode 2: an empty source stops the run before any write")
    func emptySource() async throws {
        for faults in [FaultPlan([.always(.listing, .listNothing)]), FaultPlan()] {
            var bench =
                faults.faults.isEmpty ? EngineBench(SampleDatabase(), into: try .plants(2)) : try bench()
            bench.options = .mirroring
            bench.sourceFaults = faults
            let before = bench.target.content
            let report = await bench.run()
            #expect(report.error?.code == .emptySource)
            #expect(bench.target.content == before && bench.target.journal.isEmpty)
            bench.expectNoDebris()
        }
    }

    @Test("F-mode 2: a source that empties itself between two listings removes nothing")
    func sourceUnmountedMeanwhile() async throws {
        for call in 1...3 {
            var bench = try bench()
            let before = bench.target.content
            bench.sourceFaults = FaultPlan([.always(.listing, from: call, .listNothing)])
            let report = await bench.run()
            if report.error == nil { continue }
            #expect(report.error?.code == .emptySource)
            #expect(bench.target.content == before)
        }
    }

    @Test("F-mode 2: a source without scans is taken as it is only where that was asked for")
    func allowedEmptySource() async throws {
        var bench = EngineBench(SampleDatabase(), into: try .plants(2))
        bench.options = .mirroring
        bench.options.allowsEmptySource = true
        let report = await bench.run()
        #expect(report.errors.isEmpty)
        #expect(bench.target.content.scans.isEmpty)
    }

    @Test("F-mode 3: a scan of which something cannot be read loses nothing at the target")
    func unreadableDisablesDeletion() async throws {
        var bench = try bench()
        let name = try scan("plant_0")
        bench.target.set(name, to: try SampleTree.plant(images: 3))
        try bench.target.edit(name) { tree throws(DatabaseError) in try tree.file("images/only-here.jpg", "x")
        }
        bench.sourceFaults = FaultPlan([.always(.manifest, scan: name, .hideEntries(count: 1))])
        let report = await bench.run()
        #expect(bench.target.tree(of: name)?["images/only-here.jpg"] != nil)
        #expect(!report.errors.isEmpty)
        #expect(report.outcome(of: "plant_0") == .failed)
    }

    @Test("F-mode 5: one database as source and target is refused")
    func sameDatabase() async throws {
        let database = MemoryDatabase(try .plants(1))
        let before = database.content
        let engine = SyncEngine(
            source: MemoryEndpoint(database), target: MemoryEndpoint(database), options: .mirroring)
        let report = await engine.run()
        #expect(report.error?.code == .invalidArgument)
        #expect(database.content == before && database.journal.isEmpty)
        await #expect(throws: DatabaseError(.invalidArgument, "")) { try await engine.plan() }
    }

    @Test("F-mode 6: a dry run changes nothing and takes no lock")
    func dryRun() async throws {
        let bench = try bench()
        let (source, target) = (bench.source.content, bench.target.content)
        let lock = try await MemoryEndpoint(bench.target).acquireLock(
            .database, mode: .exclusive, wait: .zero)
        let plan = try await bench.engine().plan()
        #expect(!plan.isEmpty && !plan.isInSync)
        #expect(bench.source.content == source && bench.target.content == target)
        #expect(bench.target.journal.isEmpty)
        await lock.release()
        bench.expectNoDebris()
    }

    @Test("F-mode 6: a run does what the dry run before it said, item by item")
    func dryRunIsTrue() async throws {
        for seed in TestSeed.rounds(30) {
            var bench = EngineBench(try .random(seed: seed.value), into: try .random(seed: seed.value + 1))
            bench.options = .mirroring
            // Empty files are among them.
            bench.options.overwritesNewer = true
            let plan = try await bench.engine().plan()
            let report = await bench.run()
            #expect(report.errors.isEmpty, "\(seed)")
            #expect(report.totals.filesMoved == plan.filesToTransfer, "\(seed)")
            #expect(report.totals.bytesMoved == plan.bytesToTransfer, "\(seed)")
            #expect(report.totals.filesDeleted == plan.filesToDelete, "\(seed)")
            let again = try await bench.engine().plan()
            #expect(again.isEmpty, "\(seed)")
        }
    }

    @Test("F-mode 8: content that fails its check replaces no good file")
    func corruptUpdate() async throws {
        let name = try scan("plant_0")
        var codes: Set<DatabaseError.Code> = []
        // Of what is read to plan, and of what is copied.
        for call in stride(from: 3, through: 120, by: 9) {
            var bench = EngineBench(try .plants(1), into: try .plants(1, images: 3, seed: 77))
            bench.source.set(name, to: try SampleTree.plant(seed: 5))
            let before = bench.target.content
            bench.options.comparison = .checksum
            bench.options.metadata = .source
            bench.sourceFaults = FaultPlan([.init(.part, call: call, .corrupt)])
            let report = await bench.run()
            codes.formUnion(report.codes)
            if report.codes.contains(.verificationFailed) { #expect(bench.target.content == before) }
            bench.expectNoDebris()
            await bench.expectRecovery("\(call)")
        }
        #expect(codes.contains(.verificationFailed))
    }

    @Test("F-mode 9: a run cut at any part is finished by the same command")
    func interruptedAnywhere() async throws {
        for call in 1...1000 {
            var bench = try bench()
            bench.sourceFaults = FaultPlan([.always(.part, from: call, .fail(.unreachable))])
            let report = await bench.run()
            if report.errors.isEmpty { return }
            bench.expectNoDebris("cut at part \(call)")
            await bench.expectRecovery("cut at part \(call)")
        }
        Issue.record("the source has more parts than were cut")
    }

    @Test("F-mode 10: files.json never lists what is not there")
    func indexLast() async throws {
        let name = try scan("plant_0")
        let bench = try bench()
        let flaws = Mutex<[String]>([])
        bench.target.onPublish { step in
            guard let tree = bench.target.tree(of: name), let index = tree[.index] else { return }
            do {
                for fileset in try FileIndex(parsing: index.content).filesets {
                    for file in fileset.files where tree["\(fileset.id)/\(file.file)"] == nil {
                        flaws.withLock { $0.append("\(step): \(fileset.id)/\(file.file) is missing") }
                    }
                }
            } catch {
                flaws.withLock { $0.append("\(step): \(error)") }
            }
        }
        // A change that adds, replaces and removes listed files.
        var next = try SampleTree.plant(images: 5, seed: 3)
        try next.remove("images/00000_rgb.jpg")
        try next.writeIndex(
            modified: ModificationTime(nanoseconds: SampleTree.time.nanoseconds + 5_000_000_000))
        bench.source.set(name, to: next)
        var options = bench.options
        options.comparison = .checksum
        var asked = bench
        asked.options = options
        let report = await asked.run()
        #expect(report.errors.isEmpty)
        #expect(flaws.withLock { $0 } == [])
        #expect(bench.target.journal.count > 4)
    }

    @Test("F-mode 11: a second run notices what was deleted or truncated at the target")
    func damagedTarget() async throws {
        var bench = EngineBench(try .plants(1))
        #expect(await bench.run().errors.isEmpty)
        // What is damaged is newer than what it was.
        bench.options.overwritesNewer = true
        let name = try scan("plant_0")
        let damages: [(inout SampleTree) throws -> Void] = [
            { try $0.remove("images/00001_rgb.jpg") },
            { try $0.file("images/00001_rgb.jpg", "cut", modified: SampleTree.time) },
            { try $0.file("images/00001_rgb.jpg", "", modified: ModificationTime(seconds: 2_000_000_000)) },
            { try $0.remove("metadata/images") },
        ]
        for damage in damages {
            var tree = try #require(bench.target.tree(of: name))
            try damage(&tree)
            bench.target.set(name, to: tree)
            let report = await bench.run()
            #expect(report.outcome(of: "plant_0") == .updated)
            #expect(bench.target.content == bench.source.content)
        }
    }

    @Test("F-mode 13: half a file with a newer time is not taken as up to date")
    func partialNewerFile() async throws {
        let bench = EngineBench(try .plants(1), into: try .plants(1))
        let name = try scan("plant_0")
        let node = try #require(bench.source.tree(of: name)?["images/00000_rgb.jpg"])
        try bench.target.edit(name) { tree throws(DatabaseError) in
            try tree.file(
                "images/00000_rgb.jpg", node.content.prefix(node.content.count / 2),
                modified: ModificationTime(seconds: 2_000_000_000))
        }
        let report = await bench.run()
        #expect(report.errors.isEmpty && report.totals.filesUnresolved == 1)
        var settled = bench
        settled.options.overwritesNewer = true
        #expect(await settled.run().errors.isEmpty)
        #expect(bench.target.content == bench.source.content)
    }

    @Test("F-mode 14: --checksum against a peer without digests is an error, and publishes nothing")
    func noDigests() async throws {
        for onSource in [true, false] {
            var bench = try bench()
            bench.options.comparison = .checksum
            bench.options.deletion = .never
            if onSource {
                bench.sourceCapabilities.provesDigests = false
            } else {
                bench.targetCapabilities.provesDigests = false
            }
            let before = bench.target.tree(of: try scan("plant_0"))
            let report = await bench.run()
            #expect(report.codes.contains(.unsupported))
            #expect(bench.target.tree(of: try scan("plant_0")) == before)
        }
    }

    @Test("F-mode 14: a peer that withholds the digests it promised is not believed")
    func withheldDigests() async throws {
        var bench = EngineBench(try .plants(1), into: try .plants(1))
        bench.options.comparison = .checksum
        bench.targetFaults = FaultPlan([.always(.manifest, .withholdDigests)])
        #expect(await bench.run().codes == [.unsupported])
    }

    @Test("F-mode 15: a file that changes before it is read is carried as it is now")
    func sourceChanges() async throws {
        let name = try scan("plant_0")
        var bench = EngineBench(try .plants(1))
        bench.options.retries = 2
        let changed = Mutex(false)
        let source = bench.source
        let log = EventLog()
        let report = await bench.run { event in
            log.record(event)
            guard case .scanStarted = event, !changed.withLock({ $0 }) else { return }
            changed.withLock { $0 = true }
            // The path is a valid one.
            try? source.edit(name) { tree throws(DatabaseError) in
                try tree.file("images/00000_rgb.jpg", "shot again", modified: ModificationTime(seconds: 9))
            }
        }
        #expect(report.errors.isEmpty)
        #expect(log.retries == 1)
        #expect(bench.target.content == bench.source.content)
    }

    @Test("F-mode 15: a file that keeps changing is reported, and nothing of its scan published")
    func sourceKeepsChanging() async throws {
        var bench = EngineBench(try .plants(1))
        bench.options.retries = 1
        bench.sourceFaults = FaultPlan([.always(.part, from: 8, .fail(.sourceChanged))])
        let report = await bench.run()
        #expect(report.codes == [.sourceChanged])
        #expect(bench.target.content.scans.isEmpty)
        await bench.expectRecovery()
    }

    @Test("F-mode 18: a database that somebody else holds is an error, never a silent success")
    func lockedDatabase() async throws {
        for (database, mode) in [(0, LockMode.shared), (0, .exclusive), (1, .exclusive)] {
            let bench = try bench()
            let before = bench.target.content
            let holder = MemoryEndpoint(database == 0 ? bench.target : bench.source)
            let lock = try await holder.acquireLock(.database, mode: mode, wait: .zero)
            let report = await bench.run()
            #expect(report.error?.code == .locked)
            #expect(bench.target.content == before)
            await lock.release()
            bench.expectNoDebris()
            await bench.expectRecovery()
        }
    }

    @Test("F-mode 18, 32: a scan that somebody holds fails by name, and the others are carried")
    func lockedScan() async throws {
        for (onSource, locking) in [
            (true, SyncOptions.Locking.whole), (false, .whole), (false, .publication),
        ] {
            var bench = try bench()
            bench.options.locking = locking
            let name = try scan("plant_0")
            let before = bench.target.tree(of: name)
            let holder = MemoryEndpoint(onSource ? bench.source : bench.target)
            let lock = try await holder.acquireLock(.scan(name), mode: .exclusive, wait: .zero)
            let report = await bench.run()
            #expect(report.outcome(of: "plant_0") == .failed)
            #expect(report.codes == [.locked])
            #expect(bench.target.tree(of: name) == before)
            #expect(bench.target.tree(of: try scan("plant_1")) != nil)
            await lock.release()
            await bench.expectRecovery()
        }
    }

    @Test(
        "A run that locks only to publish keeps nobody out while bytes move, and takes no lock at the source")
    func narrowLocks() async throws {
        var bench = try bench()
        bench.options.transfers = 1
        bench.options.locking = .publication
        let name = try scan("plant_0")
        // Somebody writes at the source under a lock, as PlantDB does.
        let writer = MemoryEndpoint(bench.source)
        let lock = try await writer.acquireLock(.scan(name), mode: .exclusive, wait: .zero)
        let (source, target) = (bench.source, bench.target)
        let held = Mutex<[Int]>([])
        let engine = SyncEngine(
            source: MemoryEndpoint(source), target: MemoryEndpoint(target), options: bench.options)
        let report = await engine.run { event in
            guard case .scanStarted = event else { return }
            held.withLock { $0 += [source.heldLockCount, target.heldLockCount] }
        }
        #expect(report.errors.isEmpty)
        #expect(target.content == source.content)
        // The writer's at the source; at the target that of the run, which only other runs mind.
        #expect(held.withLock { $0.max() } == 1)
        await lock.release()
    }

    @Test("F-mode 18: --lock-wait waits for the lock")
    func lockWait() async throws {
        var bench = try bench()
        bench.options.lockWait = .seconds(60)
        let lock = try await MemoryEndpoint(bench.target).acquireLock(
            .database, mode: .exclusive, wait: .zero)
        let waiting = bench
        async let report = waiting.run()
        try await Task.sleep(for: .milliseconds(40))
        #expect(bench.target.journal.isEmpty)
        await lock.release()
        #expect(await report.errors.isEmpty)
        #expect(bench.target.content == bench.source.content)
    }

    @Test("F-mode 24: a name that the target cannot hold is an error, not in sync")
    func impossibleName() async throws {
        var bench = try bench()
        let name = try scan("plant_1")
        bench.targetFaults = FaultPlan([.always(.receive, scan: name, .fail(.invalidName))])
        let report = await bench.run()
        #expect(report.codes == [.invalidName])
        #expect(report.outcome(of: "plant_1") == .failed)
        #expect(bench.target.tree(of: name) == nil)
        #expect(try await !bench.engine().plan().isInSync)
    }

    @Test("F-mode 24: a name that no database may hold is an error for that file")
    func invalidName() async throws {
        let bench = try bench()
        let name = try scan("plant_1")
        bench.source.setSkipped([SkippedEntry(path: "images/a\\x0ab", reason: .invalidName)], in: name)
        let report = await bench.run()
        #expect(report.codes == [.invalidName])
        #expect(report.errors.first?.path == "images/a\\x0ab")
        #expect(try await !bench.engine().plan().isInSync)
    }

    @Test("F-mode 25: times of one and of two seconds cause no copy on the second run")
    func coarseTimes() async throws {
        for precision: Int64 in [1_000_000_000, 2_000_000_000] {
            for onSource in [true, false] {
                var bench = EngineBench(try .plants(2))
                if onSource {
                    bench.sourceCapabilities.timePrecisionNanoseconds = precision
                } else {
                    bench.targetCapabilities.timePrecisionNanoseconds = precision
                }
                #expect(await bench.run().totals.filesMoved > 0)
                let second = await bench.run()
                #expect(second.totals.filesMoved == 0 && second.scansUnchanged == 2)
            }
        }
    }

    @Test("F-mode 26: what is newer at the target is reported, not overwritten")
    func newerTarget() async throws {
        let bench = EngineBench(try .plants(1), into: try .plants(1))
        let name = try scan("plant_0")
        let size = try #require(bench.source.tree(of: name)?["images/00000_rgb.jpg"]).content.count
        let edited = Array(repeating: UInt8(7), count: size)
        try bench.target.edit(name) { tree throws(DatabaseError) in
            try tree.file("images/00000_rgb.jpg", edited, modified: ModificationTime(seconds: 1_700_003_600))
        }
        let report = await bench.run()
        #expect(report.totals.filesUnresolved == 1)
        #expect(bench.target.tree(of: name)?["images/00000_rgb.jpg"]?.content == edited)
        #expect(try await !bench.engine().plan().isInSync)
    }

    @Test("F-mode 29: scans asked for that do not exist are an error by name")
    func unknownScans() async throws {
        var bench = try bench()
        let before = bench.target.content
        bench.options.selection.scans = ["plant_0", "plant_7", "tomato*"]
        let report = await bench.run()
        #expect(report.error?.code == .notFound)
        let message = try #require(report.error?.message)
        #expect(message.contains("plant_7") && message.contains("tomato*") && !message.contains("plant_0"))
        #expect(bench.target.content == before)
    }

    @Test("F-mode 30: progress is at 100 % only once everything is published")
    func progress() async throws {
        let bench = EngineBench(try .plants(4, images: 6))
        let log = EventLog()
        let early = Mutex(0)
        let report = await bench.run { event in
            log.record(event)
            guard case .progress(let progress) = event else { return }
            let isDone = bench.target.content == bench.source.content
            if (progress.fractionPublished >= 1 || progress.fractionStaged >= 1) && !isDone {
                early.withLock { $0 += 1 }
            }
        }
        #expect(report.errors.isEmpty)
        #expect(early.withLock { $0 } == 0)
        let published = log.progress.map(\.bytesPublished)
        #expect(published == published.sorted(), "it went backwards")
        let last = try #require(log.progress.last)
        #expect(last.fractionPublished == 1 && last.bytesPublished == last.bytesPlanned)
        #expect(last.bytesPublished == report.totals.bytesMoved)
        #expect(last.filesPublished == report.totals.filesMoved)
    }

    @Test("F-mode 30: a run of which something failed does not reach 100 %")
    func progressOfFailure() async throws {
        var bench = try bench()
        bench.sourceFaults = FaultPlan([.always(.openParts, scan: try scan("plant_1"), .fail(.io))])
        let log = EventLog()
        let report = await bench.run(log.record)
        #expect(report.scansFailed == 1)
        #expect(log.progress.allSatisfy { $0.fractionPublished < 1 && $0.fractionStaged < 1 })
    }
}
