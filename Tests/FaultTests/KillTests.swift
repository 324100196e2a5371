import Glibc
import PlantDBTesting
import Testing

extension Faults {
    /// F1, F2: kill -9 at any point of a run. I1, I4–I6, I8–I10; FM 7, 9, 10, 16.
    @Suite("F1, F2: kill -9", .serialized) struct KillTests {
        /// Calls that change something, and how many points of each to try.
        static let calls: [(fsync: String, points: [String: Int])] = [
            (
                "always",
                [
                    "openat2": 20, "mkdirat": 12, "renameat": 14, "renameat2": 6, "unlinkat": 14,
                    "copy_file_range": 10, "utimensat": 10, "linkat": 2, "flock": 12, "fsync": 8,
                    "syncfs": 4, "ftruncate": 2, "fchmod": 3, "close": 8,
                ]
            ), ("auto", ["renameat": 10, "write": 4, "fsync": 4, "unlinkat": 6]),
        ]

        struct Point: Sendable, CustomStringConvertible {
            var call: String
            var number: Int
            var count: Int
            var fsync: String
            var description: String { "killed at \(call) \(number) of \(count), --fsync \(fsync)" }
        }

        private func points() async throws -> [Point] {
            let scene = try Scene()
            var points: [Point] = []
            for (fsync, wanted) in Self.calls {
                try scene.reset()
                let counts = try await Command.count(wanted.keys.sorted(), scene.arguments(fsync: fsync))
                for (call, wanted) in wanted.sorted(by: { $0.key < $1.key }) {
                    guard let count = counts[call] else { continue }
                    let tried = min(count, Depth.rounds(wanted, soak: wanted * 5))
                    points += Set((0..<tried).map { 1 + $0 * count / tried }).sorted()
                        .map { Point(call: call, number: $0, count: count, fsync: fsync) }
                }
            }
            return points
        }

        @Test(
            "F1: killed at a system call, nothing is torn and the same command finishes",
            .enabled(if: Machine.hasStrace, "F1 NOT TESTED: strace is missing"))
        func atSystemCalls() async throws {
            let points = try await points()
            let kills = try await inTwoLanes(points, { try Scene() }) { scene, point in
                let arguments = scene.arguments(fsync: point.fsync)
                try scene.reset()
                let killed = try await Command.traced(
                    [
                        "-e", "trace=\(point.call)", "-e",
                        "inject=\(point.call):signal=KILL:when=\(point.number)", "-o", "/dev/null",
                    ],
                    arguments)
                var problems = try scene.violations() + scene.bystanderViolations()
                // Where no thread came that far, the run is done.
                let isKilled = killed.how == .signal(SIGKILL)
                if !isKilled, killed.code != 0 { problems.append("the run: \(killed)") }
                problems += try await scene.healingViolations(arguments)
                expectNone(problems, "\(point)")
                return isKilled ? 1 : 0
            }.reduce(0, +)
            print("F1: \(points.count) points, \(kills) kills")
            #expect(points.count > 80 && kills * 2 > points.count, "too few points to prove anything")
        }

        @Test("F2: killed at a random instant, nothing is torn and the same command finishes")
        func atRandomInstants() async throws {
            let scene = try Scene()
            let arguments = scene.arguments()
            try scene.reset()
            let whole = try await Command.run(arguments)
            #expect(whole.code == 0)
            let seeds = TestSeed.rounds(Depth.rounds(60, soak: 400), from: 4_000)
            let kills = try await inTwoLanes(seeds, { try Scene() }) { scene, seed in
                var generator = seed.generator
                let arguments = scene.arguments()
                try scene.reset()
                let child = try Command.start(arguments)
                usleep(UInt32.random(in: 0...UInt32(whole.seconds * 1.1e6), using: &generator))
                child.send(SIGKILL)
                let ending = try await child.ending()
                var problems = try scene.violations() + scene.bystanderViolations()
                problems += try await scene.healingViolations(arguments)
                expectNone(problems, "\(seed)")
                return ending.how == .signal(SIGKILL) ? 1 : 0
            }.reduce(0, +)
            print("F2: \(seeds.count) rounds, \(kills) kills, a whole run takes \(whole.seconds) s")
        }
    }
}
