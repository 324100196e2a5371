import Glibc
import PlantDBTesting
import Testing

extension Faults {
    /// F1, F2: kill -9 at any point of a run. I1, I4–I6, I8–I10; FM 7, 9, 10, 16.
    @Suite("F1, F2: kill -9", .serialized) struct KillTests {
        /// Calls that change something, and how many points of each to try.
        static let calls: [(call: String, fsync: String, points: Int)] = [
            ("openat2", "always", 24), ("mkdirat", "always", 14), ("renameat", "always", 16),
            ("renameat2", "always", 6), ("unlinkat", "always", 20), ("copy_file_range", "always", 12),
            ("utimensat", "always", 12), ("linkat", "always", 4), ("flock", "always", 14),
            ("fsync", "always", 8), ("syncfs", "always", 4), ("ftruncate", "always", 2),
            ("fchmod", "always", 4), ("close", "always", 14), ("renameat", "auto", 14), ("write", "auto", 6),
            ("pwrite64", "auto", 4), ("fsync", "auto", 4),
        ]

        @Test(
            "F1: killed at a system call, nothing is torn and the same command finishes",
            .enabled(if: Machine.hasStrace, "F1 NOT TESTED: strace is missing"))
        func atSystemCalls() async throws {
            let scene = try Scene()
            var points = 0
            for (call, fsync, wanted) in Self.calls {
                let arguments = scene.arguments(fsync: fsync)
                try scene.reset()
                let count = try await Command.count(call, arguments)
                guard count > 0 else { continue }
                let tried = min(count, Depth.rounds(wanted, soak: wanted * 5))
                for point in Set((0..<tried).map { 1 + $0 * count / tried }).sorted() {
                    points += 1
                    try scene.reset()
                    let killed = try await Command.traced(
                        [
                            "-e", "trace=\(call)", "-e", "inject=\(call):signal=KILL:when=\(point)", "-o",
                            "/dev/null",
                        ],
                        arguments)
                    var problems = try scene.violations() + scene.bystanderViolations()
                    if case .exit(let code) = killed.how, code != 0, code != 137 {
                        problems.append("run: \(killed)")
                    }
                    problems += try await scene.healingViolations(arguments)
                    #expect(problems.isEmpty, "killed at \(call) \(point) of \(count), --fsync \(fsync)")
                }
            }
            print("F1: \(points) points")
        }

        @Test("F2: killed at a random instant, nothing is torn and the same command finishes")
        func atRandomInstants() async throws {
            let scene = try Scene()
            let arguments = scene.arguments()
            try scene.reset()
            let whole = try await Command.run(arguments)
            #expect(whole.code == 0)
            for seed in TestSeed.rounds(Depth.rounds(60, soak: 400), from: 4_000) {
                var generator = seed.generator
                try scene.reset()
                let child = try Command.start(arguments)
                usleep(UInt32.random(in: 0...UInt32(whole.seconds * 1.1e6), using: &generator))
                child.send(SIGKILL)
                _ = try await child.ending()
                var problems = try scene.violations() + scene.bystanderViolations()
                problems += try await scene.healingViolations(arguments)
                #expect(problems.isEmpty, "\(seed)")
            }
        }
    }
}
