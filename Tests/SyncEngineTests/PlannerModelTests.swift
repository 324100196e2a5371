import PlantDBCore
import PlantDBTesting
import SyncEngine
import Testing

/// The planner against a naive model, and against what plans must do whatever the trees are.
@Suite struct PlannerModelTests {
    private static let rounds = 12_000

    /// Two random trees and what is asked for, of one seed.
    private struct Round {
        let scan: ScanID
        var options = SyncOptions()
        var source = SampleTree()
        var target: SampleTree?
        var skipped: [SkippedEntry] = []
        var sourceTells = Telling()
        var targetTells = Telling()
        var precision: Int64 = 1
        var writes = EndpointCapabilities.Writes.files

        /// What a side says of its files.
        struct Telling {
            var times = true
            var modes = true
            var digests = false
        }

        init(_ seed: TestSeed) throws {
            scan = try ScanID("plant")
            var generator = seed.generator
            precision = [1, 1, 1_000_000_000, 2_000_000_000].randomElement(using: &generator) ?? 1
            source = try Self.tree(using: &generator)
            if !generator.chance(8) {
                target = generator.chance(4) ? source : try Self.mutated(source, using: &generator)
                target = target?.rounded(to: precision)
            }
            options.comparison =
                SyncOptions.Comparison.allCases.randomElement(using: &generator) ?? .sizeAndTime
            options.existing =
                generator.chance(3)
                ? SyncOptions.ExistingFiles.allCases.randomElement(using: &generator) ?? .replaceChanged
                : .replaceChanged
            options.modifyWindowNanoseconds = generator.chance(4) ? 1_500_000_000 : 0
            if generator.chance(2) { options.deletion = .delete(limit: .percent(100)) }
            if generator.chance(4) {
                options.selection.filesets =
                    [["images"], ["PointCloud_*"], ["none"]].randomElement(using: &generator) ?? []
            }
            if generator.chance(6) { options.selection.excludedFilesets = ["image?"] }
            if generator.chance(8) {
                writes = .newScans
            }
            if generator.chance(6) {
                let reason = SkippedEntry.Reason.allCases.randomElement(using: &generator) ?? .symbolicLink
                skipped = [SkippedEntry(path: "images/sub", reason: reason)]
                source.remove(try ScanPath("images/sub"))
            }
            let proves = options.comparison == .checksum ? !generator.chance(10) : generator.chance(3)
            sourceTells = Telling(times: !generator.chance(8), modes: !generator.chance(4), digests: proves)
            targetTells = Telling(
                times: !generator.chance(8), modes: !generator.chance(4),
                digests: proves && !generator.chance(10))
        }

        var planner: Planner {
            Planner(
                options: options, source: EndpointCapabilities(),
                target: EndpointCapabilities(writes: writes, timePrecisionNanoseconds: precision))
        }

        var model: PlannerModel { PlannerModel(options: options, precision: precision, writes: writes) }

        func sourceManifest() throws -> ScanManifest {
            try Self.manifest(source, scan, sourceTells, skipped: skipped)
        }

        func targetManifest(_ tree: SampleTree?) throws -> ScanManifest? {
            try tree.map { try Self.manifest($0, scan, targetTells) }
        }

        private static func manifest(
            _ tree: SampleTree, _ scan: ScanID, _ tells: Telling, skipped: [SkippedEntry] = []
        ) throws -> ScanManifest {
            try ScanManifest(
                scan: scan,
                entries: tree.entries(digests: tells.digests).map { entry in
                    var entry = entry
                    if !tells.times { entry.modified = nil }
                    if !tells.modes { entry.mode = nil }
                    return entry
                }, skipped: skipped)
        }

        private static let folders = [
            "images", "images/sub", "PointCloud_1", "metadata", "metadata/images", "metadata/PointCloud_1",
        ]
        private static let names = ["a", "b", "images.json", "metadata.json"]

        private static func tree(using generator: inout SplitMix64) throws -> SampleTree {
            var tree = SampleTree()
            for folder in folders where !generator.chance(3) { try tree.directory(folder) }
            for _ in 0..<Int.random(in: 0...8, using: &generator) {
                try change(&tree, using: &generator)
            }
            return tree
        }

        /// The tree after up to five changes: a file written anew, removed, touched, or a
        /// directory put in its place.
        private static func mutated(_ tree: SampleTree, using generator: inout SplitMix64) throws
            -> SampleTree
        {
            var tree = tree
            for _ in 0..<Int.random(in: 1...5, using: &generator) {
                let path = tree.paths.randomElement(using: &generator)
                switch Int.random(in: 0..<6, using: &generator) {
                case 0: if let path { tree.remove(path) }
                case 1:
                    if let path {
                        tree.remove(path)
                        try tree.file(path.rawValue + "/inner", "i")
                    }
                case 2:
                    if let path, var node = tree[path] {
                        node.mode = 0o600
                        tree.set(path, node)
                    }
                default: try change(&tree, using: &generator)
                }
            }
            return tree
        }

        private static func change(_ tree: inout SampleTree, using generator: inout SplitMix64) throws {
            let folder = (folders + [""]).randomElement(using: &generator) ?? ""
            let name = names.randomElement(using: &generator) ?? "a"
            let path = folder.isEmpty ? name : folder + "/" + name
            // A file is not put where a directory is, nor into a file.
            if tree[path]?.kind == .directory || tree[folder]?.kind == .file { return }
            if folder.contains("/"), tree[String(folder.prefix { $0 != "/" })]?.kind == .file { return }
            let content = ["", "x", "y", "xy"].randomElement(using: &generator) ?? ""
            // A few seconds, on and beside whole ones: every precision has work to do.
            let nanoseconds =
                Int64.random(in: 0..<6, using: &generator) * 1_000_000_000
                + ([0, 0, 1, 400_000_000, 999_999_999].randomElement(using: &generator) ?? 0)
            try tree.file(
                path, content,
                modified: ModificationTime(nanoseconds: 1_700_000_000_000_000_000 + nanoseconds),
                mode: generator.chance(5) ? 0o600 : 0o644)
        }
    }

    /// Runs `body` for every seed, and stops at the third failure, each with its seed.
    private func eachRound(_ body: (Round) throws -> String?) throws {
        var failures = 0
        for seed in TestSeed.rounds(Self.rounds) {
            guard let failure = try body(try Round(seed)) else { continue }
            Issue.record("\(seed): \(failure)")
            failures += 1
            if failures == 3 { return }
        }
    }

    @Test("12,000 random pairs of trees are planned as a naive model plans them")
    func model() throws {
        try eachRound { round in
            let source = try round.sourceManifest()
            let target = try round.targetManifest(round.target)
            let expected = round.model.verdict(source, target)
            var found: PlannerModel.Verdict?
            do throws(DatabaseError) {
                let plan = try round.planner.plan(source: source, target: target)
                var verdict = PlannerModel.Verdict()
                for item in plan.items { verdict.actions[plan.entry(of: item).path] = item.action }
                verdict.deletions = Set(plan.deletions.map(\.path))
                verdict.unchanged = plan.unchangedCount
                found = verdict
            } catch {
                if error.code != .unsupported { return "it threw \(error)" }
            }
            return found == expected
                ? nil : "planned \(String(describing: found)), not \(String(describing: expected))"
        }
    }

    @Test("A plan carried out makes the target what the source is, and leaves nothing to do")
    func convergence() throws {
        try eachRound { round in
            var round = round
            // A side that tells no times is never done; it is copied again and again.
            round.sourceTells.times = true
            round.targetTells.times = true
            // Nor can content be compared that has no digest.
            if round.options.comparison == .checksum {
                round.sourceTells.digests = true
                round.targetTells.digests = true
            }
            let source = try round.sourceManifest()
            guard let plan = try plan(round, source, round.target) else { return nil }
            let after = try applying(plan, source: round.source, to: round.target, precision: round.precision)
            if let flaw = difference(round, plan, after) { return flaw }
            guard let second = try self.plan(round, source, after) else {
                return "the second plan is refused"
            }
            // Directories that were not empty when they were to go are tried again.
            let left = second.items.filter(\.action.isWork).map { second.entry(of: $0).path }
            return left.isEmpty && second.deletions.isEmpty ? nil : "left to do: \(left), \(second.deletions)"
        }
    }

    private func plan(_ round: Round, _ source: ScanManifest, _ target: SampleTree?) throws -> ScanPlan? {
        let target = try round.targetManifest(target)
        do throws(DatabaseError) {
            return try round.planner.plan(source: source, target: target)
        } catch {
            if error.code == .unsupported { return nil }
            throw error
        }
    }

    /// What is wrong with the target after the plan; nil: nothing.
    private func difference(_ round: Round, _ plan: ScanPlan, _ after: SampleTree) -> String? {
        var left: Set<ScanPath> = []
        for item in plan.items where !item.action.isWork { left.insert(plan.entry(of: item).path) }
        let isSelective = round.options.selection.selectsFilesets
        let loose = round.options.comparison == .sizeOnly
        for (path, node) in round.source.nodes {
            if left.contains(where: { path.isWithin($0) }) || isSelective && after[path] == nil { continue }
            guard let other = after[path] else { return "\(path) is missing" }
            if isSelective { continue }
            if other.kind != node.kind { return "\(path) is of another kind" }
            if loose || node.kind == .directory { continue }
            if other.content.count != node.content.count { return "\(path) has another size" }
            if round.options.comparison == .checksum, other.content != node.content {
                return "\(path) has other bytes"
            }
        }
        // What only the target had is still there, but what was to be deleted.
        let deleted = Set(plan.deletions.map(\.path))
        for (path, node) in round.target?.nodes ?? [:] where round.source[path] == nil {
            if after[path] == nil && !deleted.contains(path) { return "\(path) was lost" }
            if let kept = after[path], kept.content != node.content { return "\(path) was changed" }
        }
        let isMirror =
            round.options.deletion != .never && !isSelective && round.skipped.isEmpty
            && round.writes == .files
        if isMirror && left.isEmpty {
            let extra = after.nodes.keys.filter { round.source[$0] == nil }
            if !extra.isEmpty { return "only at the target: \(extra)" }
        }
        return nil
    }

    @Test("One pair of trees has one plan")
    func determinism() throws {
        for seed in TestSeed.rounds(500) {
            let round = try Round(seed)
            let plans = try (0..<2).map { _ in try plan(round, round.sourceManifest(), round.target) }
            #expect(plans[0]?.items == plans[1]?.items, "\(seed)")
            #expect(plans[0]?.deletions == plans[1]?.deletions, "\(seed)")
            #expect(plans[0]?.base == plans[1]?.base, "\(seed)")
        }
    }

    @Test("F-mode 25: coarse times at the target cause no copy on the second run")
    func coarseTimes() throws {
        let precisions: [Int64] = [1_000, 1_000_000, 1_000_000_000, 2_000_000_000]
        for seed in TestSeed.rounds(2_000) {
            var generator = seed.generator
            let source = try SampleTree.random(using: &generator)
            let precision = precisions.randomElement(using: &generator) ?? 1
            let planner = Planner(
                options: SyncOptions(), source: EndpointCapabilities(),
                target: EndpointCapabilities(timePrecisionNanoseconds: precision))
            let scan = try ScanID("plant")
            let first = try planner.plan(source: source.manifest(of: scan), target: nil)
            let after = try applying(first, source: source, to: nil, precision: precision)
            let second = try planner.plan(source: source.manifest(of: scan), target: after.manifest(of: scan))
            #expect(!second.hasWork, "\(seed)")
            // And back again, from the coarse side to the fine one.
            let back = Planner(
                options: SyncOptions(), source: EndpointCapabilities(timePrecisionNanoseconds: precision),
                target: EndpointCapabilities())
            let third = try back.plan(source: after.manifest(of: scan), target: source.manifest(of: scan))
            #expect(!third.hasWork && third.unresolvedCount == 0, "\(seed)")
        }
    }
}
