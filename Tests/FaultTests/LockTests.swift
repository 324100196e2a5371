import Glibc
import PlantDBCore
import PlantDBTesting
import Testing

extension Faults {
    /// F16, F17: several runs at once, and every kind of lock. I10; FM 16–18, 32.
    @Suite("F16, F17: locks", .serialized) struct LockTests {
        private let scene: Scene

        init() async throws {
            scene = try Scene()
            try scene.reset()
        }

        private var lock: String { scene.target + "/lock" }

        /// A lock as a plantdb of this machine writes it, taken while such a one runs.
        private func genuineLock() async throws -> String {
            let slow = try SlowScene()
            let child = try slow.startSlowly()
            try await slow.waitForTransfer()
            let text = String(decoding: try bytesOnDisk(slow.target + "/lock"), as: UTF8.self)
            child.send(SIGKILL)
            _ = try await child.ending()
            #expect(text.contains("\"process\""))
            return text
        }

        private func put(_ text: String) throws { try writeFile(lock, Array(text.utf8)) }

        /// I10: refused, named, and neither the lock nor anything else is touched.
        private func expectRefused(_ context: String, names: String) async throws {
            let before = try treeSnapshot(scene.target, includesDirectoryTimes: true)
            let run = try await Command.run(scene.arguments())
            var problems = run.code == 11 ? [] : ["ended with \(run)"]
            if !run.errors.contains(names) { problems.append("does not name \(names): \(run.errors)") }
            problems += try treeSnapshot(scene.target, includesDirectoryTimes: true)
                .differences(from: before, ignoringInodes: false)
            expectNone(problems, context)
        }

        @Test("F17: an empty lock is PlantDB 0.14's, and anything else somebody's: both are honoured")
        func foreign() async throws {
            for content in ["", "garbage", "{}", "{\"program\": \"other\"}", "\u{1b}[31m", "{\"program\""] {
                try put(content)
                try await expectRefused("a lock with the content \(content.debugDescription)", names: "0.14")
            }
            unlink(lock)
            expectNone(try await scene.healingViolations(scene.arguments()), "after it was removed")
        }

        @Test(
            "F17: a lock of a dead process of this machine is taken over, one of another machine is not",
            .enabled(if: Machine.hasStrace, "F17 NOT TESTED in part: strace is missing"))
        func leftBehind() async throws {
            let genuine = try await genuineLock()
            try put(genuine)
            expectNone(try await scene.healingViolations(scene.arguments()), "of a dead process")

            // The process id is in use again, by somebody who holds no lock: by this test.
            let value = try JSONValue(parsing: Array(genuine.utf8))
            var object = try #require(value.object)
            object["process"] = .number(Int(getpid()))
            try scene.reset()
            try writeFile(lock, JSONValue.object(object).pythonBytes())
            expectNone(try await scene.healingViolations(scene.arguments()), "of a process id in use again")

            object["host"] = "elsewhere"
            object["boot"] = "00000000-0000-0000-0000-000000000000"
            object["machine"] = "0123456789abcdef0123456789abcdef"
            try scene.reset()
            try writeFile(lock, JSONValue.object(object).pythonBytes())
            try await expectRefused("of another machine", names: "elsewhere")
        }

        @Test(
            "F16: while a run writes, another one is refused or waits, and both end well",
            .enabled(if: Machine.hasStrace, "F16 NOT TESTED: strace is missing"))
        func twoRuns() async throws {
            let slow = try SlowScene()
            let first = try slow.startSlowly()
            try await slow.waitForTransfer()
            let held = try bytesOnDisk(slow.target + "/lock")
            let refused = try await Command.run(slow.arguments)
            #expect(refused.code == 11, "\(refused)")
            #expect(refused.errors.contains("process \(first.process)"), "\(refused.errors)")
            #expect(try bytesOnDisk(slow.target + "/lock") == held, "the lock of the first is as it was")
            let waiting = try Command.start(slow.arguments + ["--lock-wait", "100s"])
            let one = try await first.ending()
            let other = try await waiting.ending()
            #expect(one.code == 0, "\(one)")
            #expect(other.code == 0 && other.total("filesMoved") == 0, "\(other)")
            expectNone(slow.debris(), "after both")
            expectNone(try await slow.healingViolations(), "after both")
        }

        @Test("F16: runs that begin at one time never write together, and one of them does the work")
        func race() async throws {
            for round in 0..<Depth.rounds(8, soak: 100) {
                try scene.reset()
                let arguments = scene.arguments()
                let children = try (0..<4).map { _ in try Command.start(arguments) }
                var endings: [Ending] = []
                for child in children { endings.append(try await child.ending()) }
                let codes = endings.compactMap(\.code)
                var problems = try scene.divergences() + scene.bystanderViolations()
                if !codes.contains(0) || codes.contains(where: { ![0, 11].contains($0) }) || codes.count < 4 {
                    problems += endings.map { "ended with \($0)" }
                }
                // Work that two of them did was done twice.
                let workers = endings.filter { ($0.total("filesMoved") ?? 0) > 0 }.count
                if workers != 1 { problems.append("\(workers) runs did the work") }
                expectNone(problems, "round \(round)")
            }
        }

        @Test("F17: scan locks: one that is held is honoured, dead ones are cleared away")
        func scanLocks() async throws {
            let path = scene.target + "/.locks/plant_0.lock"
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o755)
            try #require(descriptor >= 0 && flock(descriptor, LOCK_EX | LOCK_NB) == 0)
            let before = try treeSnapshot(scene.target + "/plant_0")
            let run = try await Command.run(scene.arguments())
            #expect(run.code == 11, "\(run)")
            #expect(try treeSnapshot(scene.target + "/plant_0") == before, "the locked scan is as it was")
            #expect(access(path, F_OK) == 0, "the lock of somebody alive stays")
            #expect(access(scene.target + "/plant_1/files.json", F_OK) == 0, "the others are done")
            close(descriptor)
            expectNone(try await scene.healingViolations(scene.arguments()), "after it was given up")
        }
    }
}
