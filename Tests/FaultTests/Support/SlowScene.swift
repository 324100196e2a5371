import Glibc
import PlantDBCore
import PlantDBTesting

/// Two databases with a large file to be replaced and a new scan with another, and a way to
/// copy them so slowly that a test can do something in the middle, whatever the machine.
struct SlowScene: Sendable {
    static let megabytes = 24
    static let file = "large/images/large.bin"
    static let newFile = "fresh/images/large.bin"

    let folder: TemporaryDirectory
    let source: String
    let target: String

    init() throws {
        folder = try TemporaryDirectory()
        source = folder.appending("source")
        target = folder.appending("target")
        var old = try SampleDatabase.plants(1)
        var large = try SampleTree.minimal("one")
        try large.file("images/large.bin", "the old content")
        try large.writeIndex()
        try old.add("large", large)
        try old.write(to: target)
        try old.add("fresh", large)
        try old.write(to: source)
        for path in [Self.file, Self.newFile] { try Self.fill(source + "/" + path) }
    }

    /// Writes random bytes, which no two calls have in common.
    static func fill(_ path: String, megabytes: Int = megabytes) throws {
        try shell("dd", "if=/dev/urandom", "of=" + path, "bs=1M", "count=\(megabytes)", "status=none")
    }

    var arguments: [String] { ["sync", source, target, "--json", "--transfers", "1"] }

    /// Starts a run in which each 8 MiB take at least `milliseconds`.
    func startSlowly(milliseconds: Int = 400, standardOutput: CInt? = nil, _ more: String...) throws -> Child
    {
        try Command.startTraced(
            [
                "-e", "trace=copy_file_range", "-e", "inject=copy_file_range:delay_exit=\(milliseconds)ms",
                "-o", "/dev/null",
            ], arguments + more, standardOutput: standardOutput)
    }

    /// Waits until as many bytes of a large file have arrived.
    func waitForTransfer(bytes: Int64 = 1) async throws {
        for _ in 0..<6_000 {
            let staging = target + "/.plantdb-sync"
            // It comes and goes while we look.
            let staged = (try? treeSnapshot(staging, hashesContent: false))?.items ?? [:]
            if staged.contains(where: { $0.key.hasSuffix("/large.bin") && $0.value.size >= bytes }) { return }
            try await pause(milliseconds: 10)
        }
        throw SpawnFailure(message: "no transfer began in a minute")
    }

    static func digest(_ path: String) throws -> Digest? {
        access(path, F_OK) == 0 ? Digest(of: try bytesOnDisk(path)) : nil
    }

    /// I6, I8: what a run that has ended by itself may not leave.
    func debris() -> [String] {
        let paths = ["\(source)/lock", "\(target)/lock", "\(target)/.plantdb-sync"]
        return paths.filter { access($0, F_OK) == 0 }.map { "left behind: \($0)" }
    }

    /// I4: the same command, run again, makes the two sides equal and leaves nothing.
    func healingViolations() async throws -> [String] {
        let run = try await Command.run(arguments)
        var result = run.code == 0 ? [] : ["I4 the rerun ended with \(run)"]
        result += try treeSnapshot(target).without("romidb").differences(
            from: treeSnapshot(source).without("romidb"))
        return result + debris()
    }
}
