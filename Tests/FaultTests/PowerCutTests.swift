import Glibc
import PlantDBTesting
import Testing

extension Faults {
    /// F3: the power goes, on ext4. I1, I2, I4, I8, I9; FM 7, 9, 10.
    @Suite(
        "F3: power cuts", .serialized,
        .enabled(if: Machine.hasLoopDevice, "F3 NOT TESTED: needs root, loop devices and mkfs.ext4"))
    struct PowerCutTests {
        private static let rounds = Depth.rounds(100, soak: 1_000)

        /// A scene whose target lies on a disk of its own, as it was before each round.
        private final class Bench: @unchecked Sendable {
            // Unchecked: each lane has one of its own, and works through it one step at a time.
            let disk: LoopDisk
            let scene: Scene

            init() throws {
                disk = try LoopDisk(megabytes: 24)
                scene = try Scene(target: disk.path + "/target")
                try scene.reset()
                try disk.unmount()
                try disk.saveImage()
            }

            func reset() throws {
                try disk.unmount()
                try disk.restoreImage()
                try disk.remount()
            }

            func comeBack() throws {
                try disk.unmount()
                try disk.remount()
            }
        }

        private struct Round: Sendable {
            var isInRun = false
            var reported = 0
            var damagedScans = 0
        }

        /// One cut. Even seeds cut with the journal written out, odd ones without; every fifth
        /// right after the end of the run.
        private func cut(
            _ bench: Bench, _ seed: TestSeed, fsync: String, wholeSeconds: Double
        ) async throws -> Round {
            var generator = seed.generator
            let scene = bench.scene
            let arguments = scene.arguments(fsync: fsync)
            try bench.reset()
            let child = try Command.start(arguments)
            var ended: Ending?
            if seed.value % 5 == 0 {
                ended = try await child.ending()
            } else {
                // Nothing is written before a third of the run.
                usleep(
                    UInt32.random(
                        in: UInt32(wholeSeconds * 0.3e6)...UInt32(wholeSeconds * 1.1e6), using: &generator))
            }
            let output = try child.outputSoFar()
            let reported = Ending.publishedScans(in: output)
            try bench.disk.cutPower(flushesJournal: seed.value % 2 == 0)
            if ended == nil {
                child.send(SIGKILL)
                _ = try await child.ending()
            }
            try bench.comeBack()

            var round = Round(isInRun: !output.contains("\"summary\""), reported: reported.count)
            var problems = try scene.violations(mayDamageNewFiles: fsync == "auto")
            let damage = try scene.reportedViolations(reported)
            if fsync == "always" { problems += damage }
            round.damagedScans = damage.isEmpty ? 0 : 1
            problems += try scene.bystanderViolations()
            problems += try await scene.healingViolations(arguments)
            expectNone(problems, "\(seed), --fsync \(fsync), \(output.split(separator: "\n").count) events")
            return round
        }

        private func cuts(fsync: String, from base: UInt64) async throws {
            let first = try Bench()
            try first.reset()
            let whole = try await Command.run(first.scene.arguments(fsync: fsync))
            #expect(whole.code == 0)
            let seeds = TestSeed.rounds(Self.rounds, from: base)
            let results = try await inTwoLanes(seeds, { try Bench() }) { bench, seed in
                try await cut(bench, seed, fsync: fsync, wholeSeconds: whole.seconds)
            }
            let inRun = results.filter(\.isInRun).count
            let reported = results.reduce(0) { $0 + $1.reported }
            let damaged = results.reduce(0) { $0 + $1.damagedScans }
            print(
                "F3 --fsync \(fsync): \(results.count) cuts, \(inRun) in a run of \(whole.seconds) s, "
                    + "\(reported) scans reported before, \(damaged) rounds lost some of it")
            #expect(inRun * 4 > results.count && reported > results.count, "the cuts came too early or late")
        }

        @Test("F3: with --fsync always, what was reported done survives a power cut")
        func always() async throws { try await cuts(fsync: "always", from: 10_000) }

        @Test("F3: with --fsync auto, nothing old is lost, and the same command finds what new scans lost")
        func auto() async throws { try await cuts(fsync: "auto", from: 20_000) }
    }
}
