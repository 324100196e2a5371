import CPlatform
import Foundation
import Glibc
import PlantDBCore
import PlantDBSFTP
import PlantDBTesting
import SFTPClient
import Testing

/// Faults of the line and of the other machine, against the built command. Named after the faults
/// (F), invariants (I) and failure modes (FM) that they check; each prints its seed.
@Suite(
    "Faults over SSH", .serialized,
    .enabled(if: SSHServer.isAvailable && CommandRun.isBuilt, "SSH FAULTS NOT TESTED: no sshd, or no command")
)
struct SSHFaultTests {
    enum Victim: CaseIterable, Sendable { case ssh, sftpServer, ourselves }

    /// One place a lane and way, made when it is first needed.
    private actor Scenes {
        private let smallFiles: Int
        private var scenes: [SSHScene.Way: SSHScene] = [:]

        init(smallFiles: Int = 0) { self.smallFiles = smallFiles }

        func scene(_ way: SSHScene.Way) throws -> SSHScene {
            if let scene = scenes[way] { return scene }
            let scene = try SSHScene(way, largeFile: smallFiles > 0 ? 1000 : 3 << 20, smallFiles: smallFiles)
            scenes[way] = scene
            return scene
        }

        func end() throws { for scene in scenes.values { try scene.end() } }
    }

    private static func way(of seed: TestSeed) -> SSHScene.Way {
        // Up is where there is most to lose.
        [.up, .down, .up, .across][Int(seed.value % 4)]
    }

    /// Of a whole run by each way: seconds, and bytes on the line.
    private static func wholeRuns(smallFiles: Int = 0) async throws -> [SSHScene.Way: (
        seconds: Double, bytes: Int
    )] {
        var result: [SSHScene.Way: (seconds: Double, bytes: Int)] = [:]
        for way in SSHScene.Way.allCases {
            let scene = try SSHScene(
                way, largeFile: smallFiles > 0 ? 1000 : 3 << 20, smallFiles: smallFiles)
            try await scene.reset()
            let whole = try await CommandRun.run(scene.arguments())
            #expect(whole.code == 0, "\(whole)")
            let problems = try scene.divergences() + scene.bystanderViolations()
            #expect(problems.isEmpty, "\(way): \(summary(problems))")
            result[way] = (whole.seconds, scene.relay.bytes)
            try scene.end()
        }
        return result
    }

    // MARK: F2

    @Test(
        "F2: whoever is killed at a random instant, nothing is torn and the same command finishes",
        .enabled(if: SSHScene.sftpServer != nil, "F2 over SSH NOT TESTED: no sftp-server to kill"))
    func killed() async throws {
        try await killAtRandom(rounds: Depth.rounds(7, soak: 200), from: 52_000, smallFiles: 0)
    }

    @Test(
        "F2: the same while many small files go by tar",
        .enabled(if: SSHScene.sftpServer != nil, "F2 over SSH NOT TESTED: no sftp-server to kill"))
    func killedPacking() async throws {
        try await killAtRandom(rounds: Depth.rounds(2, soak: 60), from: 53_000, smallFiles: 400)
    }

    private func killAtRandom(rounds: Int, from first: UInt64, smallFiles: Int) async throws {
        let whole = try await Self.wholeRuns(smallFiles: smallFiles)
        let seeds = TestSeed.rounds(rounds * Victim.allCases.count, from: first)
        let kills = try await inTwoLanes(Array(seeds.enumerated()), { Scenes(smallFiles: smallFiles) }) {
            scenes, item in
            let (index, seed) = (item.offset, item.element)
            let victim = Victim.allCases[index % Victim.allCases.count]
            var generator = seed.generator
            let scene = try await scenes.scene(Self.way(of: seed))
            try await scene.reset()
            let arguments = scene.arguments()
            let run = try CommandRun(arguments)
            let limit = UInt32((whole[scene.way]?.seconds ?? 1) * 1.05e6)
            try await Task.sleep(for: .microseconds(UInt32.random(in: 0...limit, using: &generator)))
            var candidates: [pid_t]
            switch victim {
            case .ourselves: candidates = [run.process]
            case .ssh:
                candidates = Processes.children(of: run.process)
                    .filter { Processes.program(of: $0).hasSuffix("/ssh") }
            case .sftpServer: candidates = scene.sftpServers
            }
            candidates.sort()
            let killed = candidates.randomElement(using: &generator)
            if let killed { kill(killed, SIGKILL) }
            let ending = try await run.ending()
            var problems: [String] = []
            if ending.isHung { problems.append("I11 \(ending)") }
            if victim != .ourselves {
                // A lost connection is made anew, and the run goes on; what could not be saved is said.
                if ending.code != 0, ![3, 30].contains(ending.code) { problems.append("I11 \(ending)") }
                if ending.code == 0 { problems += try scene.divergences() }
            }
            // In half of the rounds the next run meets what the dead one's servers still do.
            if victim != .ourselves || index % 2 == 0 {
                try await scene.waitForServers()
                problems += try scene.violations() + scene.bystanderViolations(mayHoldLock: true)
            }
            problems += try await scene.healingViolations(arguments)
            #expect(
                problems.isEmpty, "\(seed), \(victim) killed, \(scene.way), \(ending): \(summary(problems))")
            if index >= seeds.count - 2 { try await scenes.end() }
            return killed == nil ? 0 : 1
        }.reduce(0, +)
        print("F2 over SSH: \(seeds.count) rounds from \(seeds.first?.description ?? ""), \(kills) kills")
        #expect(kills * 4 >= seeds.count, "too few kills to prove anything")
    }

    // MARK: F8

    @Test("F8: cut at a random byte, the run goes on or says why not, and the same command finishes")
    func cut() async throws {
        let whole = try await Self.wholeRuns()
        let seeds = TestSeed.rounds(Depth.rounds(16, soak: 200), from: 58_000)
        let outcomes = try await inTwoLanes(Array(seeds.enumerated()), { Scenes() }) { scenes, item in
            let (index, seed) = (item.offset, item.element)
            var generator = seed.generator
            let scene = try await scenes.scene(Self.way(of: seed))
            try await scene.reset()
            let arguments = scene.arguments()
            let bytes = Int.random(in: 0...(whole[scene.way]?.bytes ?? 1), using: &generator)
            let isForGood = Bool.random(using: &generator)
            scene.relay.set(isForGood ? .cutForGood(afterBytes: bytes) : .cutOnce(afterBytes: bytes))
            let ending = try await CommandRun.run(arguments)
            let struck = scene.relay.hasStruck
            var problems: [String] = []
            if ending.isHung { problems.append("I11 \(ending)") }
            switch ending.code {
            case 0: problems += try scene.divergences().filter { !struck || !$0.contains("left behind") }
            case 30?, 3?: if !struck { problems.append("I3 nothing was cut: \(ending)") }
            default: problems.append("I11 \(ending)")
            }
            if ending.code == 30, ending.errors.isEmpty { problems.append("no word of what happened") }
            try await scene.waitForServers()
            problems += try scene.violations() + scene.bystanderViolations(mayHoldLock: true)
            scene.relay.set(.none)
            problems += try await scene.healingViolations(arguments)
            #expect(
                problems.isEmpty,
                "\(seed), cut \(isForGood ? "for good" : "once") after \(bytes) bytes, \(scene.way), \(ending): \(summary(problems))"
            )
            if index >= seeds.count - 2 { try await scenes.end() }
            return (struck: struck, isForGood: isForGood, code: ending.code)
        }
        let once = outcomes.filter { $0.struck && !$0.isForGood }
        print(
            "F8 over SSH: \(seeds.count) rounds from \(seeds.first?.description ?? ""), \(outcomes.count(where: \.struck)) cuts, "
                + "\(once.count(where: { $0.code == 0 })) of \(once.count) single cuts survived")
        #expect(outcomes.contains { $0.struck && $0.isForGood && $0.code == 30 })
        // Most single cuts fall into a transfer, and a run makes its connection anew.
        #expect(once.count(where: { $0.code == 0 }) * 2 > once.count)
    }

    @Test("F8: a line that is cut while the lock is given back leaves no lock behind")
    func cutWhileUnlocking() async throws {
        let scene = try SSHScene(.down)
        try await scene.reset()
        var destination = try SSHDestination(host: "127.0.0.1", port: scene.relay.port)
        destination.options =
            scene.server.sshOptions + ["HostKeyAlias=[127.0.0.1]:\(scene.server.port)"]
        destination.identity = scene.server.identity
        let access = SFTPEndpoint.Access(destination)
        // Some fall before the request is there, some between it and its answer.
        for bytes in stride(from: 1, through: 801, by: 100) {
            scene.relay.set(.none)
            let endpoint = try await SFTPEndpoint.open(access, path: scene.source, .existing)
            let lock = try await endpoint.acquireLock(.database, mode: .exclusive, wait: .zero)
            #expect(try scene.debris().count == 1, "the lock is there")
            scene.relay.set(.cutOnce(afterBytes: bytes))
            await lock.release()
            #expect(bytes > 201 || scene.relay.hasStruck, "nothing was cut after \(bytes) bytes")
            #expect(try scene.debris() == [], "cut after \(bytes) bytes")
            await endpoint.close()
        }
        try scene.end()
    }

    @Test("What whoever was killed while it took the lock has left goes with the next run")
    func unwrittenLock() async throws {
        let scene = try SSHScene(.down)
        try await scene.reset()
        let staging = scene.source + "/.plantdb-sync/staging"
        for content in [[], Array("{\"program\": \"plantdb-sw".utf8)] {
            try FileManager.default.createDirectory(atPath: staging, withIntermediateDirectories: true)
            try writeFile(staging + "/lock-0123456789abcdef", content)
            let ending = try await CommandRun.run(scene.arguments())
            #expect(ending.code == 0, "\(ending)")
            #expect(try scene.debris() == [], "\(content.count) bytes were written")
        }
        try scene.end()
    }

    // MARK: F9

    @Test(
        "F9: a line that goes dead ends the run with 30 within ssh's limits",
        arguments: [SSHScene.Way.down, .up])
    func stalled(_ way: SSHScene.Way) async throws {
        let scene = try SSHScene(way)
        try await scene.reset()
        _ = try await CommandRun.run(scene.arguments())
        let whole = scene.relay.bytes
        let limits = ["ServerAliveInterval=1", "ServerAliveCountMax=2", "ConnectTimeout=2"]
            .flatMap { ["--ssh-option", $0] }
        // Before the server says anything, while logging in, and in the middle of the transfer.
        for bytes in [0, 3_000, whole / 2] {
            try await scene.reset()
            scene.relay.set(.stall(afterBytes: bytes))
            let ending = try await CommandRun.run(scene.arguments() + limits)
            var problems: [String] = []
            if ending.code != 30 { problems.append("I11 \(ending)") }
            if ending.seconds > 45 { problems.append("I11 it took \(ending.seconds) s") }
            if !(ending.errors + ending.output).contains("127.0.0.1") {
                problems.append("whose fault it is was not said: \(ending)")
            }
            scene.relay.set(.none)
            try await scene.waitForServers()
            problems += try scene.violations() + scene.bystanderViolations(mayHoldLock: true)
            problems += try await scene.healingViolations(scene.arguments())
            #expect(problems.isEmpty, "\(way), dead after \(bytes) bytes: \(summary(problems))")
        }
        try scene.end()
    }

    // MARK: F6

    /// Whether a small file system can be mounted: as root, where that is allowed.
    static let canMount: Bool = {
        guard geteuid() == 0, let folder = try? TemporaryDirectory() else { return false }
        guard mount("tmpfs", folder.path, "tmpfs", 0, "size=256k") == 0 else { return false }
        umount2(folder.path, 2)
        return true
    }()

    @Test(
        "F6: the server's disk is full: exit 28, nothing is lost or left, and the same command finishes later",
        .enabled(if: canMount, "F6 over SSH NOT TESTED: needs root and tmpfs"))
    func fullDisk() async throws {
        let disk = try TemporaryDirectory()
        guard mount("tmpfs", disk.path, "tmpfs", 0, "size=64m") == 0 else {
            throw CommandRun.Failure(message: "mount")
        }
        // MNT_DETACH
        defer { umount2(disk.path, 2) }
        let scene = try SSHScene(.up, target: disk.path + "/target")
        func resize(_ kilobytes: Int) async throws {
            try await CommandRun.system("mount", "-o", "remount,size=\(kilobytes)k", disk.path)
        }
        func usedKilobytes() throws -> Int {
            var info = statvfs()
            guard statvfs(disk.path, &info) == 0 else { throw CommandRun.Failure(message: "statvfs") }
            return Int(info.f_blocks - info.f_bfree) * Int(info.f_frsize) / 1024
        }
        try await scene.reset()
        let planned = try #require(try await CommandRun.run(scene.arguments()).total("bytesMoved")) / 1024
        // Less than is planned is found before the first byte; what directories take, only on the way.
        for kilobytes in [-planned, -64, 16, 60] {
            try await resize(64 << 10)
            try await scene.reset()
            try await resize(try usedKilobytes() + planned + kilobytes)
            let ending = try await CommandRun.run(scene.arguments())
            var problems: [String] = []
            if ending.code != 28 { problems.append("I11 \(ending)") }
            problems += try scene.violations() + scene.bystanderViolations() + scene.debris()
            try await resize(64 << 10)
            problems += try await scene.healingViolations(scene.arguments())
            #expect(problems.isEmpty, "\(kilobytes) KiB more than planned are free: \(summary(problems))")
        }
        try scene.end()
    }

    // MARK: F14

    /// What is swapped for a link to the same name in a tree beside the databases.
    private static let places = [
        "plant_0", "plant_0/images", "plant_0/metadata", "plant_0/images/00000_rgb.jpg", "plant_0/files.json",
        ".plantdb-sync",
    ]

    @Test(
        "F14: a link that lies in the target when the run comes is neither followed nor replaced",
        arguments: places)
    func linked(_ place: String) async throws {
        let folder = try TemporaryDirectory()
        let server = try SSHServer()
        defer { server.stop() }
        let (source, target) = (folder.appending("source"), folder.appending("target"))
        let sentinel = folder.appending("sentinel")
        try SampleDatabase.plants(2, images: 4, seed: 900).write(to: source)
        try SampleDatabase.plants(2, images: 5, seed: 900).write(to: target)
        try SampleDatabase.plants(1, images: 6, seed: 77).write(to: sentinel)
        try FileManager.default.createDirectory(
            atPath: sentinel + "/.plantdb-sync/staging/somebody", withIntermediateDirectories: true)
        try writeFile(sentinel + "/.plantdb-sync/staging/somebody/file", [1])
        let before = try treeSnapshot(sentinel, includesDirectoryTimes: true)
        try removeTree(target + "/" + place)
        #expect(symlink(sentinel + "/" + place, target + "/" + place) == 0)
        let ending = try await CommandRun.run(
            [
                "sync", source, "ssh://127.0.0.1:\(server.port)\(target)", "--json", "--delete",
                "--delete-unknown", "--max-delete",
            ]
                + ["100%", "--checksum", "--identity", server.identity] + SSHScene.login(server))
        #expect(!ending.isHung && ending.code != nil, "\(ending)")
        let problems = try treeSnapshot(sentinel, includesDirectoryTimes: true)
            .differences(from: before, ignoringInodes: false)
        #expect(problems.isEmpty, "I5, \(place), \(ending): \(summary(problems))")
        try folder.remove()
    }

    @Test(
        "F14: what is swapped for a link while the run is at work is found before anything is published",
        arguments: places.dropLast())
    func swapped(_ place: String) async throws {
        let scene = try SSHScene(.up, largeFile: 24 << 20)
        try await scene.reset()
        let sentinel = scene.folder.appending("sentinel")
        let link = scene.folder.appending("link")
        #expect(symlink(sentinel + "/" + place, link) == 0)
        // It stands still in the middle of what comes before publishing.
        let run = try CommandRun(scene.arguments("--transfers", "1"))
        let target = scene.target
        // On a thread of its own: tasks of other tests may keep this one waiting for longer than staging takes.
        let isSwapped = await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                let deadline = ContinuousClock.now + .seconds(30)
                while ContinuousClock.now < deadline {
                    usleep(500)
                    // Staging has begun: the plan is made.
                    guard access(target + "/.plantdb-sync/staging", F_OK) == 0 else { continue }
                    // RENAME_EXCHANGE
                    if plantdb_renameat2(AT_FDCWD, target + "/" + place, AT_FDCWD, link, 2) == 0 {
                        return continuation.resume(returning: true)
                    }
                }
                continuation.resume(returning: false)
            }
        }
        let ending = try await run.ending()
        #expect(isSwapped && !ending.isHung, "\(ending)")
        // The link that this test made lies beside the databases.
        let problems = try scene.bystanderViolations().filter { !$0.hasSuffix(": link") }
        #expect(problems.isEmpty, "\(place), \(ending): \(summary(problems))")
        try scene.end()
    }
}
