import Glibc
import PlantDBTesting
import Testing

extension Faults {
    /// F5: system calls fail, one at a time. I1, I3, I4, I11.
    @Suite("F5: failing system calls", .serialized) struct CallErrorTests {
        /// - `mustFail`: no call of that name is one that a run can do without.
        private static let calls: [(call: String, errors: [String], points: Int, mustFail: Bool)] = [
            ("openat2", ["EIO", "EMFILE", "ENOSPC"], 4, false), ("mkdirat", ["ENOSPC", "EIO"], 3, true),
            ("renameat", ["EIO", "ENOSPC"], 3, true), ("renameat2", ["EIO"], 3, true),
            ("unlinkat", ["EIO"], 5, false), ("copy_file_range", ["ENOSPC", "EIO", "EDQUOT"], 3, true),
            ("utimensat", ["EIO"], 3, true), ("linkat", ["EIO"], 1, true), ("flock", ["EIO"], 4, false),
            ("fsync", ["EIO", "ENOSPC"], 3, true), ("syncfs", ["EIO"], 2, true),
            ("fdatasync", ["EIO"], 1, true), ("ftruncate", ["ENOSPC"], 1, true),
            ("getdents64", ["EIO"], 4, false), ("close", ["EIO"], 4, false),
        ]
        /// A call that is interrupted, or moves less than it was asked to, is gone on with.
        private static let interrupted: [(call: String, error: String)] = [
            ("copy_file_range", "error=EINTR"), ("flock", "error=EINTR"), ("copy_file_range", "retval=0"),
            ("copy_file_range", "error=EXDEV"), ("copy_file_range", "error=EOPNOTSUPP"),
        ]
        /// Those of docs/exit-codes.md that a failing call may lead to.
        private static let documented: Set<Int32> = [1, 3, 11, 24, 26, 28]

        private struct Point: Sendable, CustomStringConvertible {
            var call: String
            var fault: String
            var number: Int
            var mustFail: Bool
            var description: String { "\(fault) at \(call) \(number)" }
        }

        private func points() async throws -> [Point] {
            let scene = try Scene()
            try scene.reset()
            let names = Set(Self.calls.map(\.call) + Self.interrupted.map(\.call)).sorted()
            let counts = try await Command.count(names, scene.arguments(fsync: "always"))
            // The loader and the runtime make some as well, which are not ours to survive.
            let startUp = try await Command.count(names, ["--version"])
            var result: [Point] = []
            for (call, errors, wanted, mustFail) in Self.calls {
                let first = startUp[call] ?? 0
                let count = max(0, (counts[call] ?? 0) - first)
                let tried = min(count, Depth.rounds(wanted, soak: wanted * 20))
                for (index, error) in errors.enumerated() {
                    // Other points for each error.
                    let numbers = (0..<tried).map { first + 1 + ($0 * count + index * count / 3) / tried }
                    result += Set(numbers.map { min($0, first + count) }).sorted().map {
                        Point(call: call, fault: "error=" + error, number: $0, mustFail: mustFail)
                    }
                }
            }
            for (call, error) in Self.interrupted {
                result.append(Point(call: call, fault: error, number: 1, mustFail: false))
            }
            return result
        }

        @Test(
            "F5: a failing call ends in a documented code, and the same command finishes",
            .enabled(if: Machine.hasStrace, "F5 NOT TESTED: strace is missing"))
        func oneAtATime() async throws {
            let points = try await points()
            let results = try await inTwoLanes(points, { try Scene() }) { scene, point in
                try await check(point, in: scene)
            }
            let injected = results.filter { $0 != nil }.count
            let failed = results.filter { $0 == true }.count
            print("F5: \(points.count) points, \(injected) injected, \(failed) runs failed")
            #expect(injected * 3 > points.count * 2 && failed > 20, "too few faults to prove anything")
        }

        /// - Returns: whether the run failed; nil where no thread came to the call.
        private func check(_ point: Point, in scene: Scene) async throws -> Bool? {
            let folder = try TemporaryDirectory()
            let arguments = scene.arguments(fsync: "always")
            try scene.reset()
            let run = try await Command.traced(
                [
                    "-e", "trace=\(point.call)", "-e",
                    "inject=\(point.call):\(point.fault):when=\(point.number)",
                    "-o", folder.appending("trace"),
                ], arguments)
            let trace = String(decoding: try bytesOnDisk(folder.appending("trace")), as: UTF8.self)
            var problems = try scene.violations() + scene.bystanderViolations()
            if run.code == 0 {
                problems += try scene.contentDivergences().map { "I3 exit 0, and \($0)" }
                if point.mustFail, trace.contains("(INJECTED)") { problems.append("I3 exit 0") }
            } else if !Self.documented.contains(run.code ?? -1) {
                problems.append("I11 ended with \(run)")
            }
            if point.fault.hasSuffix("ENOSPC") || point.fault.hasSuffix("EDQUOT"), point.mustFail,
                trace.contains("(INJECTED)"), run.code != 28
            {
                problems.append("I11 not 28: \(run)")
            }
            if !point.fault.hasPrefix("error=E")
                || Self.interrupted.contains(where: { $0.error == point.fault }),
                run.code != 0
            {
                problems.append("not gone on with: \(run)")
            }
            problems += try await scene.healingViolations(arguments)
            expectNone(problems, "\(point)")
            return trace.contains("(INJECTED)") ? run.code != 0 : nil
        }
    }
}
