import Glibc
import PlantDBTesting
import Testing

extension Faults {
    /// F6: the disk is full. I1, I4, I8; FM 28.
    @Suite(
        "F6: full disks", .serialized, .enabled(if: Machine.hasTmpfs, "F6 NOT TESTED: needs root and tmpfs"))
    struct DiskFullTests {
        private static let roomy = 64 << 10
        /// Each takes up a page, so what a run really writes is more than the plan says.
        private static let tinyFiles = 1_200

        private func check(
            _ scene: Scene, started: Bool?, _ context: String, makeRoom: () throws -> Void
        ) async throws {
            let arguments = scene.arguments()
            let run = try await Command.run(arguments)
            var problems: [String] = []
            if run.code != 28 { problems.append("I11 ended with \(run)") }
            if let started, run.output.contains("\"scanStarted\"") != started {
                problems.append(started ? "nothing was tried" : "something was written in vain")
            }
            problems += try scene.violations() + scene.bystanderViolations() + scene.debris()
            if started == false { problems += try scene.changesOfTarget() }
            try makeRoom()
            problems += try await scene.healingViolations(arguments)
            expectNone(problems, context)
        }

        @Test("F6: no space: exit 28, nothing is lost or left, and the same command finishes later")
        func space() async throws {
            let disk = try MemoryDisk(kilobytes: Self.roomy)
            let scene = try Scene(target: disk.path + "/target", tinyFiles: Self.tinyFiles)
            try scene.reset()
            let whole = try await Command.run(scene.arguments())
            let planned = try #require(whole.total("bytesMoved")) / 1024
            try scene.reset()
            // A run needs what is staged besides what is there.
            let extra = [16, 300, 700, 1_200, 1_600]
            for kilobytes in [-planned, -planned / 2, -64] + extra {
                try disk.resize(kilobytes: Self.roomy)
                try scene.reset()
                try disk.resize(kilobytes: try disk.usage().kilobytes + planned + kilobytes)
                try await check(scene, started: kilobytes > 0, "\(kilobytes) KiB more than planned are free")
                {
                    try disk.resize(kilobytes: Self.roomy)
                }
            }
        }

        @Test("F6: no inodes: exit 28, nothing is lost or left, and the same command finishes later")
        func inodes() async throws {
            let disk = try MemoryDisk(kilobytes: Self.roomy)
            let scene = try Scene(target: disk.path + "/target")
            for inodes in [1, 3, 6, 12, 20, 30] {
                try disk.resize(inodes: 10_000)
                try scene.reset()
                try disk.resize(inodes: try disk.usage().inodes + inodes)
                try await check(scene, started: nil, "\(inodes) inodes are free") {
                    try disk.resize(inodes: 10_000)
                }
            }
        }
    }
}
