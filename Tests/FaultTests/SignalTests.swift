import Glibc
import PlantDBTesting
import Testing

extension Faults {
    /// F18: signals in the middle of a transfer. I1, I4, I10, I11.
    @Suite(
        "F18: signals", .serialized, .enabled(if: Machine.hasStrace, "F18 NOT TESTED: strace is missing"))
    struct SignalTests {
        /// Five seconds, and what a busy machine may add.
        private static let limit = 8.0

        private func stop(
            _ scene: SlowScene, _ child: Child, _ signals: [CInt], code: Int32, isStuck: Bool = false
        ) async throws -> Ending {
            let old = try SlowScene.digest(scene.target + "/" + SlowScene.file)
            try await scene.waitForTransfer(bytes: isStuck ? 16 << 30 : 1)
            let clock = ContinuousClock()
            let start = clock.now
            for signal in signals {
                child.send(signal)
                try await pause(milliseconds: 200)
            }
            let ending = try await child.ending()
            let seconds = (clock.now - start) / .seconds(1)
            var problems: [String] = []
            if ending.code != code { problems.append("ended with \(ending)") }
            if seconds > Self.limit { problems.append("I11 it took \(seconds) s to end") }
            let now = try SlowScene.digest(scene.target + "/" + SlowScene.file)
            if now != old, now != (try SlowScene.digest(scene.source + "/" + SlowScene.file)) {
                problems.append("I1 torn")
            }
            if now != old || isStuck, access(scene.target + "/" + SlowScene.newFile, F_OK) == 0 {
                problems.append("the signal came too late to prove anything")
            }
            if isStuck {
                // Too large for the comparisons below.
                try shell("truncate", "-s", "1M", scene.source + "/" + SlowScene.newFile)
            } else {
                problems += scene.debris()
            }
            problems += try await scene.healingViolations()
            expectNone(problems, "signals \(signals)")
            return ending
        }

        @Test(
            "F18: a signal ends the run in seconds, with its code, and the same command finishes",
            arguments: [SIGINT, SIGTERM, SIGHUP])
        func one(signal: CInt) async throws {
            let scene = try SlowScene()
            let ending = try await stop(scene, try scene.startSlowly(), [signal], code: 128 + signal)
            #expect(ending.errors.contains("stopping"))
        }

        /// A run that reads 16 GiB of zeros to check them, which it may not stop doing.
        private func stuckRun(_ scene: SlowScene) throws -> Child {
            try shell("truncate", "-s", "16G", scene.source + "/" + SlowScene.newFile)
            try shell("cp", "-p", scene.target + "/" + SlowScene.file, scene.source + "/" + SlowScene.file)
            return try Command.start(scene.arguments + ["--verify", "full"])
        }

        private func stopStuck(_ signals: [CInt]) async throws -> Ending {
            let scene = try SlowScene()
            let child = try stuckRun(scene)
            return try await stop(scene, child, signals, code: 128 + signals[0], isStuck: true)
        }

        @Test("F18: a second SIGINT ends the run at once, though something does not stop")
        func twice() async throws {
            let ending = try await stopStuck([SIGINT, SIGINT])
            #expect(!ending.errors.contains("would not stop"))
        }

        @Test("F18: what does not stop by itself is ended")
        func forced() async throws { _ = try await stopStuck([SIGTERM]) }

        @Test("F18: whoever reads the output goes away: 141, and the same command finishes")
        func brokenPipe() async throws {
            let scene = try SlowScene()
            var ends: [CInt] = [-1, -1]
            guard pipe(&ends) == 0 else { throw SpawnFailure(message: "pipe") }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            let child = try scene.startSlowly(standardOutput: ends[1])
            close(ends[1])
            try await scene.waitForTransfer()
            close(ends[0])
            let ending = try await child.ending()
            #expect(ending.how == .exit(141) || ending.how == .signal(SIGPIPE), "\(ending)")
            expectNone(scene.debris(), "after SIGPIPE")
            expectNone(try await scene.healingViolations(), "after SIGPIPE")
        }
    }
}
