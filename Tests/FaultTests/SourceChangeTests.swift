import Glibc
import PlantDBCore
import PlantDBTesting
import Testing

extension Faults {
    /// F15: the source changes while it is read. I1, I3, I9; FM 15.
    @Suite(
        "F15: a source that changes", .serialized,
        .enabled(if: Machine.hasStrace, "F15 NOT TESTED: strace is missing"))
    struct SourceChangeTests {
        enum Change: String, CaseIterable, Sendable {
            case grows, shrinks, rewritten, replaced, deleted, scanRenamed, becomesLink, becomesPipe

            func apply(to path: String, in scene: SlowScene) throws {
                switch self {
                case .grows: try shell("sh", "-c", "head -c 100000 /dev/urandom >> \(path)")
                case .shrinks: try shell("truncate", "-s", "5M", path)
                case .rewritten:
                    // In place, the same size: from the end to the beginning.
                    for megabyte in [SlowScene.megabytes - 1, 12, 0] {
                        try shell(
                            "dd", "if=/dev/urandom", "of=\(path)", "bs=1M", "count=1", "seek=\(megabyte)",
                            "conv=notrunc", "status=none")
                    }
                case .replaced:
                    try SlowScene.fill(path + ".new")
                    try shell("mv", path + ".new", path)
                case .deleted: try shell("rm", path)
                case .scanRenamed:
                    try shell("mv", scene.source + "/large", scene.source + "/renamed")
                case .becomesLink:
                    try shell("rm", path)
                    try shell("ln", "-s", "/etc/hostname", path)
                case .becomesPipe:
                    try shell("rm", path)
                    try shell("mkfifo", path)
                }
            }
        }

        /// The file's digest, nil where there is no regular file.
        private func version(_ path: String) throws -> Digest? {
            var status = stat()
            guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
            return try SlowScene.digest(path)
        }

        /// - Parameter isOpen: whether the file itself is being read, or another one before it.
        @Test("F15: what changes while it is read is never published torn", arguments: [true, false])
        func once(isOpen: Bool) async throws {
            let noticed = try await inTwoLanes(Change.allCases, {}) { _, change in
                let scene = try SlowScene()
                let path = scene.source + "/" + SlowScene.file
                let published = scene.target + "/" + SlowScene.file
                if isOpen { try removeTree(scene.source + "/fresh") }
                var allowed: Set<Digest?> = [try version(published), try version(path)]
                let child = try scene.startSlowly()
                try await scene.waitForTransfer()
                try change.apply(to: path, in: scene)
                allowed.insert(try version(path))
                let ending = try await child.ending()
                var problems = scene.debris()
                if ![0, 3, 24].contains(ending.code) { problems.append("I11 ended with \(ending)") }
                let now = try version(published)
                if now == nil || !allowed.contains(now) { problems.append("I1 torn: \(ending)") }
                // A file that was taken away whole may still be read to its end.
                if ending.code == 0, [.grows, .shrinks, .rewritten].contains(change) || !isOpen,
                    let source = try version(path), now != source
                {
                    problems.append("I3 exit 0, and the two differ: \(ending)")
                }
                if change == .scanRenamed { try shell("rm", "-r", scene.target + "/large") }
                if ![.deleted, .becomesLink, .becomesPipe].contains(change) {
                    problems += try await scene.healingViolations()
                }
                expectNone(problems, "\(change), open: \(isOpen)")
                return ending.code != 0 || ending.output.contains("\"retry\"") ? 1 : 0
            }.reduce(0, +)
            #expect(noticed >= 2, "the changes came too late to prove anything")
        }

        @Test("F15: what never stops changing ends in 24, and is not published")
        func always() async throws {
            let scene = try SlowScene()
            let path = scene.source + "/" + SlowScene.file
            let published = scene.target + "/" + SlowScene.file
            let old = try SlowScene.digest(published)
            let child = try scene.startSlowly(milliseconds: 200)
            let writer = Task.detached {
                while !Task.isCancelled {
                    try shell(
                        "dd", "if=/dev/urandom", "of=\(path)", "bs=1k", "count=1", "conv=notrunc",
                        "status=none")
                    try await pause(milliseconds: 5)
                }
            }
            let ending = try await child.ending()
            writer.cancel()
            _ = await writer.result
            #expect(ending.code == 24, "\(ending)")
            #expect(try SlowScene.digest(published) == old)
            #expect(
                try SlowScene.digest(scene.target + "/" + SlowScene.newFile)
                    == SlowScene.digest(scene.source + "/" + SlowScene.newFile), "the other scan is done")
            expectNone(try await scene.healingViolations(), "after it stopped changing")
        }
    }
}
