import Foundation
import Glibc
import PlantDBCore
import PlantDBSFTP
import PlantDBSync
import PlantDBTesting
import SFTPClient
import SyncEngine
import Testing

/// Many small files go by tar where the server has one, and large ones come by it; they arrive the same
/// where it has none, or one that fails in whatever way.
@Suite(
    "Packed transfers over SSH",
    .enabled(
        if: SSHServer.isAvailable && access("/usr/bin/tar", X_OK) == 0,
        "PACKED TRANSFERS NOT TESTED: no sshd, or no tar"))
struct PackedTransferTests {
    private let folder: TemporaryDirectory
    private let server: SSHServer
    private let source: String
    private let target: String

    init() throws {
        folder = try TemporaryDirectory()
        // A place whose name a shell could take for something else.
        let place = folder.appending("a “plåce” -rf $(touch x) 'y' \\0101 %s\n")
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
        try FileManager.default.createDirectory(
            atPath: folder.appending("bin"), withIntermediateDirectories: false)
        source = place + "/source"
        target = place + "/target"
        server = try SSHServer(configuration: [
            "SetEnv PATH=\(folder.appending("bin")):/usr/bin:/bin HOME=\(folder.path)"
        ])
    }

    /// Puts a script where the server looks for tar; it can call the real one as `"$TAR" "$@"`.
    private func setTar(_ script: String) throws {
        let path = folder.appending("bin/tar")
        try writeFile(
            path,
            Array("#!/bin/sh\necho \"$*\" >>'\(folder.appending("log"))'\nTAR=/usr/bin/tar\n\(script)\n".utf8)
        )
        #expect(chmod(path, 0o755) == 0)
    }

    private static let realTar = #"exec "$TAR" "$@""#

    /// How often tar was asked to pack or to unpack.
    private func jobs() throws -> Int {
        guard FileManager.default.fileExists(atPath: folder.appending("log")) else { return 0 }
        return try String(decoding: bytesOnDisk(folder.appending("log")), as: UTF8.self)
            .split(separator: "\n").count { !$0.contains("--version") }
    }

    private func database(_ seed: UInt64, images: Int = 300) throws -> SampleDatabase {
        var database = SampleDatabase()
        var generator = SplitMix64(seed: seed)
        var tree = try SampleTree.plant(images: images, seed: seed)
        for name in [
            "-rf", "a file's “näme” $(x)", "%s \"$HOME\" `id`", "*", "#!", "._x",
            String(repeating: "long", count: 40),
        ] { try tree.file("images/\(name)", name) }
        try tree.file("images/empty", "")
        try tree.file("images/large.bin", generator.bytes(900_001))
        try tree.writeIndex()
        try database.add("many", tree)
        try database.add("few", .plant(images: 3, seed: seed))
        // More than SFTP is left with.
        var large = try SampleTree.plant(images: 2, seed: seed)
        for (index, size) in [65_537, 4_194_304, 2_500_001, 65_536, 3_000_000].enumerated() {
            try large.file("images/large_\(index).bin", generator.bytes(size))
        }
        try large.writeIndex()
        try database.add("large", large)
        return database
    }

    private func run(isDownload: Bool, _ options: SyncOptions = SyncOptions()) async throws -> SyncReport {
        let access = try Loopback.access(server)
        let one: any DatabaseEndpoint
        let two: any DatabaseEndpoint
        if isDownload {
            one = try await openNear(access)
            two = try await openDatabase(target, as: .target)
        } else {
            one = try await openDatabase(source, as: .source)
            two = try await SFTPEndpoint.open(access, path: target, .creating)
        }
        let report = await SyncEngine(source: one, target: two, options: options).run()
        await two.close()
        await one.close()
        return report
    }

    /// On a machine that is busy, a server on it may seem to be far away, from where large files do not come
    /// by tar.
    private func openNear(_ access: SFTPEndpoint.Access) async throws -> SFTPEndpoint {
        for _ in 0..<50 {
            let endpoint = try await SFTPEndpoint.open(access, path: source, .existing)
            if endpoint.capabilities.concurrentScans.lowerBound == 2 { return endpoint }
            await endpoint.close()
        }
        throw CommandRun.Failure(message: "this machine is too busy to tell how far its server is")
    }

    private func end() throws {
        server.stop()
        try folder.remove()
    }

    @Test(
        "Names, modes, times and content of every kind arrive, and a second run moves nothing",
        arguments: [true, false])
    func arrival(isDownload: Bool) async throws {
        try setTar(Self.realTar)
        try database(1).write(to: source)
        let images = source + "/many/images/"
        #expect(chmod(images + "00000_rgb.jpg", 0o600) == 0 && chmod(images + "00001_rgb.jpg", 0o755) == 0)
        // tar would tell the second as a link to the first.
        try removeTree(images + "00003_rgb.jpg")
        #expect(link(images + "00002_rgb.jpg", images + "00003_rgb.jpg") == 0)
        let report = try await run(isDownload: isDownload)
        #expect(report.errors.isEmpty && report.scansPublished == 3, "\(report.errors)")
        #expect(try databaseDifferences(source, target) == [])
        for (name, mode) in [("00000_rgb.jpg", 0o600), ("00001_rgb.jpg", 0o755)] {
            let found = try FileManager.default.attributesOfItem(atPath: target + "/many/images/" + name)
            #expect(found[.posixPermissions] as? Int == mode)
        }
        #expect(try jobs() == (isDownload ? 2 : 1))
        let again = try await run(isDownload: isDownload)
        #expect(again.errors.isEmpty && again.totals.filesMoved == 0)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: target).sorted() == [
                "few", "large", "many", "romidb",
            ])
        try end()
    }

    @Test("Files that replace others arrive as well, and those that are flushed do not go by tar")
    func updates() async throws {
        try setTar(Self.realTar)
        // What both have makes them one scan.
        func write(_ seed: UInt64) throws {
            var database = try database(seed)
            for name in database.scans.keys {
                try database.scans[name]?.file("images/same.txt", "of both")
            }
            try database.write(to: source)
        }
        try write(1)
        #expect(try await run(isDownload: false).errors.isEmpty)
        try removeTree(source)
        try write(2)
        var options = SyncOptions()
        options.comparison = .checksum
        options.metadata = .source
        #expect(try await run(isDownload: false, options).errors.isEmpty)
        #expect(try databaseDifferences(source, target) == [])
        try removeTree(target)
        let before = try jobs()
        options.durability = .always
        #expect(try await run(isDownload: false, options).errors.isEmpty)
        #expect(try databaseDifferences(source, target) == [])
        #expect(try jobs() == before)
        try end()
    }

    /// What may be wrong with a tar, and still everything arrives.
    enum Fault: String, CaseIterable, Sendable {
        case isAnother = #"echo "bsdtar 3.6.2 - libarchive 3.6.2""#
        case isMissing = "exit 127"
        case refuses = #"case "$1" in --version) exec "$TAR" --version;; *) exit 2;; esac"#
        case breaksOff =
            #"case "$1" in --version) exec "$TAR" "$@";; esac; "$TAR" "$@" | head -c 70000; exit 2"#
        case complains = #"case "$1" in --version) exec "$TAR" "$@";; esac; "$TAR" "$@"; exit 1"#
        case forgets = """
            case "$1" in -c) tr '\\0' '\\n' | grep -v 00007 | tr '\\n' '\\0' | "$TAR" "$@";; \
            *) exec "$TAR" "$@";; esac
            """
        case findsOneInTheWay = """
            case "$1" in -x) mkdir -p images; echo old >images/00009_rgb.jpg;; esac; exec "$TAR" "$@"
            """
        case sendsZeros =
            #"case "$1" in --version) exec "$TAR" "$@";; esac; head -c 100000 /dev/zero; sleep 60"#
        case sendsMore = """
            case "$1" in -c) mkdir -p "${0%/bin/tar}/x/images"; cd "${0%/bin/tar}/x"; truncate -s 2G images/large_1.bin; \
            exec "$TAR" -c --format=gnu -f - ./images/large_1.bin;; *) exec "$TAR" "$@";; esac
            """
        case hangs = #"case "$1" in -c) sleep 600;; *) exec "$TAR" "$@";; esac"#
        case talksNonsense =
            #"case "$1" in --version) exec "$TAR" "$@";; esac; head -c 100000 /dev/urandom; exit 2"#
    }

    @Test("Whatever a tar does wrong, all of it arrives", arguments: Fault.allCases, [true, false])
    func faults(_ fault: Fault, isDownload: Bool) async throws {
        try setTar(fault.rawValue)
        // Nobody else may write to what may be being unpacked: that is waited for longer than a test may take.
        if fault == .hangs, !isDownload { return try end() }
        try database(3).write(to: source)
        let report = try await run(isDownload: isDownload)
        if [.talksNonsense, .sendsZeros].contains(fault), !isDownload {
            // Whether it is still unpacking nobody knows: the scan is left to the next run.
            #expect(report.errors.map(\.code) == [.invalidData])
            #expect(!FileManager.default.fileExists(atPath: target + "/many"))
            try setTar(Self.realTar)
            #expect(try await run(isDownload: isDownload).errors.isEmpty)
        } else {
            #expect(report.errors.isEmpty, "\(report.errors)")
        }
        #expect(try databaseDifferences(source, target) == [])
        #expect(!FileManager.default.fileExists(atPath: target + "/.plantdb-sync"))
        try end()
    }

    @Test(
        "A shell that dies on the way: what was on the way is said or done again, and a rerun finishes",
        arguments: [true, false])
    func dies(isDownload: Bool) async throws {
        try setTar(
            #"case "$1" in --version) exec "$TAR" "$@";; esac; kill -9 $PPID; "$TAR" "$@" | head -c 70000"#)
        try database(4).write(to: source)
        let report = try await run(isDownload: isDownload)
        #expect(report.errors.isEmpty == isDownload, "\(report.errors)")
        if !isDownload {
            #expect(Set(report.errors.map(\.code)) == [.unreachable])
            #expect(!FileManager.default.fileExists(atPath: target + "/many"))
        }
        try setTar(Self.realTar)
        #expect(try await run(isDownload: isDownload).errors.isEmpty)
        #expect(try databaseDifferences(source, target) == [])
        try end()
    }

    @Test("A file that changes while it is packed is named, and nothing is published")
    func changes() async throws {
        let image = "many/images/00005_rgb.jpg"
        try setTar(
            #"case "$1" in -c) echo longer >>images/00005_rgb.jpg;; esac; exec "$TAR" "$@""#)
        try database(5).write(to: source)
        let report = try await run(isDownload: true)
        #expect(report.errors.map(\.code) == [.sourceChanged], "\(report.errors)")
        #expect(report.errors.first?.message.contains("00005_rgb.jpg") == true)
        #expect(!FileManager.default.fileExists(atPath: target + "/" + image))
        try end()
    }

    @Test("A head that reads more than it was told, as busybox's, would swallow the next job: it is not used")
    func headReadsAhead() async throws {
        try setTar(Self.realTar)
        let head = folder.appending("bin/head")
        try writeFile(head, Array("#!/bin/sh\ndd bs=64k count=1 2>/dev/null | /usr/bin/head \"$@\"\n".utf8))
        #expect(chmod(head, 0o755) == 0)
        try database(9).write(to: source)
        #expect(try await run(isDownload: true).errors.isEmpty)
        #expect(try databaseDifferences(source, target) == [])
        #expect(try jobs() == 0)
        try end()
    }

    @Test(
        "A large file that becomes a pipe while it is packed stays behind, and nobody waits for a writer",
        .timeLimit(.minutes(3)))
    func becomesPipe() async throws {
        try setTar(
            """
            case "$1" in -c) [ -f images/large_2.bin ] && rm images/large_2.bin && mkfifo images/large_2.bin;; esac
            exec "$TAR" "$@"
            """)
        try database(5).write(to: source)
        let report = try await run(isDownload: true)
        #expect(report.errors.isEmpty, "\(report.errors)")
        #expect(report.scans.contains { $0.skipped.contains { $0.path == "images/large_2.bin" } })
        #expect(FileManager.default.fileExists(atPath: target + "/large/images/large_1.bin"))
        #expect(!FileManager.default.fileExists(atPath: target + "/large/images/large_2.bin"))
        try end()
    }

    @Test("A large file that changes while it is packed is named, and nothing of its scan is published")
    func largeChanges() async throws {
        try setTar(#"case "$1" in -c) echo longer >>images/large_2.bin;; esac; exec "$TAR" "$@""#)
        try database(5).write(to: source)
        let report = try await run(isDownload: true)
        #expect(report.errors.map(\.code) == [.sourceChanged], "\(report.errors)")
        #expect(report.errors.first?.message.contains("large_2.bin") == true)
        #expect(!FileManager.default.fileExists(atPath: target + "/large"))
        try end()
    }

    @Test(
        "No space for what comes by tar: that is said, and nothing is left",
        .enabled(if: SSHFaultTests.canMount, "A FULL DISK HERE NOT TESTED: needs root and tmpfs"))
    func fullDisk() async throws {
        // There is space when the run begins, and none when the files come.
        try setTar(
            """
            case "$1" in -c) for place in "${0%/bin/tar}"/a*/target; do cat /dev/zero >"$place/fill"; done;; esac
            exec "$TAR" "$@"
            """)
        try database(8).write(to: source)
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: false)
        guard mount("tmpfs", target, "tmpfs", 0, "size=32m") == 0 else {
            throw CommandRun.Failure(message: "mount")
        }
        defer { umount2(target, 2) }
        let report = try await run(isDownload: true)
        #expect(report.errors.contains { $0.code == .noSpace }, "\(report.errors)")
        #expect(!FileManager.default.fileExists(atPath: target + "/large"))
        #expect(!FileManager.default.fileExists(atPath: target + "/.plantdb-sync"))
        umount2(target, 2)
        try setTar(Self.realTar)
        #expect(try await run(isDownload: true).errors.isEmpty)
        #expect(try databaseDifferences(source, target) == [])
        try end()
    }

    @Test(
        "A second connection helps tar where the line is slow, and where it is lost nothing else is",
        arguments: [nil, 8 << 20])
    func furtherConnection(lostAfter lost: Int?) async throws {
        try setTar(Self.realTar)
        var database = SampleDatabase()
        var generator = SplitMix64(seed: 9)
        for scan in 0..<5 {
            var tree = try SampleTree.plant(images: 2, seed: 9)
            for index in 0..<8 { try tree.file("images/\(index).bin", generator.bytes(4 << 20)) }
            try tree.writeIndex()
            try database.add("large_\(scan)", tree)
        }
        try database.write(to: source)
        let relay = try FaultyRelay(to: server.port)
        defer { relay.close() }
        var access = try Loopback.access(server)
        access.destination = try SSHDestination(host: "127.0.0.1", port: relay.port)
        access.destination.options = server.sshOptions + ["HostKeyAlias=[127.0.0.1]:\(server.port)"]
        access.destination.identity = server.identity
        let one = try await openNear(access)
        // Each connection gets a part of the line.
        relay.set(.slow(bytesPerSecond: 25_000_000, cuttingLaterOnesAfter: lost))
        let two = try await openDatabase(target, as: .target)
        let report = await SyncEngine(source: one, target: two, options: SyncOptions()).run()
        await two.close()
        await one.close()
        #expect(report.errors.isEmpty, "\(report.errors)")
        #expect(try databaseDifferences(source, target) == [])
        #expect(try jobs() > 0)
        let bytes = relay.bytesByConnection
        #expect(bytes.count >= 2 && bytes.prefix(2).allSatisfy { $0 > 4 << 20 }, "\(bytes)")
        // Five times 32 MiB: no scan came twice, but for what was on the lines that were lost.
        let wasted = lost == nil ? 0 : bytes.dropFirst().reduce(0, +)
        #expect(bytes.reduce(0, +) - wasted < 185 << 20, "\(bytes)")
        try end()
    }

    @Test("A cancelled run ends soon, whatever tar does", arguments: [true, false])
    func cancelled(isDownload: Bool) async throws {
        try setTar(#"case "$1" in --version) exec "$TAR" "$@";; esac; sleep 600"#)
        try database(6).write(to: source)
        let task = Task { try await run(isDownload: isDownload) }
        for _ in 0..<600 where try jobs() == 0 { try await Task.sleep(for: .milliseconds(50)) }
        #expect(try jobs() > 0)
        let start = ContinuousClock.now
        task.cancel()
        let report = try await task.value
        // It would take ten minutes.
        #expect(ContinuousClock.now - start < .seconds(60))
        #expect(!report.errors.isEmpty || report.error != nil || report.scansPublished < 3)
        #expect(!FileManager.default.fileExists(atPath: target + "/many"))
        try end()
    }

    @Test("An account that may only use SFTP gets its files as well", arguments: [true, false])
    func withoutCommands(isDownload: Bool) async throws {
        let restricted = try SSHServer(isSFTPOnly: true)
        defer { restricted.stop() }
        try database(7).write(to: source)
        let access = try Loopback.access(restricted)
        let remote = try await SFTPEndpoint.open(
            access, path: isDownload ? source : target, isDownload ? .existing : .creating)
        let local = try await openDatabase(isDownload ? target : source, as: isDownload ? .target : .source)
        let report = await SyncEngine(
            source: isDownload ? remote : local, target: isDownload ? local : remote, options: SyncOptions()
        ).run()
        await remote.close()
        await local.close()
        #expect(report.errors.isEmpty, "\(report.errors)")
        #expect(try databaseDifferences(source, target) == [])
        try end()
    }
}
