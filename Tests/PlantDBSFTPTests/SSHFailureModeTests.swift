import Foundation
import Glibc
import PlantDBCore
import PlantDBTesting
import Testing

/// What users met with other synchronisers, over SSH, by the numbers of the failure modes (FM), and
/// sources, names and times of every kind; against the built command.
@Suite(
    "Failure modes over SSH",
    .enabled(
        if: SSHServer.isAvailable && CommandRun.isBuilt, "FM OVER SSH NOT TESTED: no sshd, or no command"))
struct SSHFailureModeTests {
    private let server: SSHServer
    private let folder: TemporaryDirectory
    private let source: String
    private let target: String

    init() throws {
        server = try SSHServer()
        folder = try TemporaryDirectory()
        source = folder.appending("source")
        target = folder.appending("target")
    }

    private func remote(_ path: String) -> String { "ssh://127.0.0.1:\(server.port)\(path)" }

    private func run(_ arguments: String...) async throws -> CommandRun.Ending {
        try await CommandRun.run(arguments + login)
    }

    private var login: [String] {
        SSHScene.login(server) + ["--identity", server.identity]
    }

    private func end() throws {
        server.stop()
        try folder.remove()
    }

    /// Source and target as they are given, by each way.
    private var ways: [(String, String)] {
        [(remote(source), target), (source, remote(target)), (remote(source), remote(target))]
    }

    @Test("FM 2: an empty source, or one without its marker, stops the run before any write")
    func emptySource() async throws {
        try SampleDatabase().write(to: source)
        try SampleDatabase.plants(2).write(to: target)
        let before = try treeSnapshot(target, includesDirectoryTimes: true)
        for hasMarker in [true, false] {
            if !hasMarker { try removeTree(source + "/romidb") }
            for (from, to) in ways {
                let ending = try await run(
                    "sync", from, to, "--delete", "--delete-unknown", "--max-delete", "100%")
                #expect(ending.code == 10, "\(ending)")
                #expect(try treeSnapshot(target, includesDirectoryTimes: true) == before)
            }
        }
        try end()
    }

    @Test("FM 4, 5: folders that are no database, and one database at both ends, are refused")
    func wrongFolders() async throws {
        try SampleDatabase.plants(1).write(to: source)
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: false)
        try writeFile(target + "/thesis.tex", [1])
        let before = try treeSnapshot(folder.path, includesDirectoryTimes: true)
        for other in [remote(target), remote("/"), remote(source)] {
            let ending = try await run("sync", remote(source), other)
            #expect(ending.code != 0 && !ending.isHung && !ending.errors.isEmpty, "\(other): \(ending)")
        }
        #expect(try treeSnapshot(folder.path, includesDirectoryTimes: true) == before)
        try end()
    }

    @Test("FM 6: a dry run changes no byte and no time on either side")
    func dryRun() async throws {
        try SampleDatabase.plants(2, seed: 4).write(to: source)
        try SampleDatabase.plants(3).write(to: target)
        let before = try treeSnapshot(folder.path, includesDirectoryTimes: true)
        for (from, to) in ways {
            let ending = try await run(
                "sync", "-n", from, to, "--delete", "--delete-unknown", "--max-delete", "100%", "-c")
            #expect(ending.code == 0, "\(ending)")
            #expect(
                try treeSnapshot(folder.path, includesDirectoryTimes: true)
                    .differences(from: before, ignoringInodes: false) == [])
        }
        try end()
    }

    @Test("FM 11, 12: damage at the target is found: by size at once, of equal size and time by --checksum")
    func damage() async throws {
        try SampleDatabase.plants(1).write(to: source)
        for (from, to) in ways {
            #expect(try await run("sync", from, to).code == 0)
            let image = target + "/plant_0/images/00000_rgb.jpg"
            let content = try bytesOnDisk(image)
            try writeFile(image, Array(content.dropLast()))
            // What is newer at the target is somebody's work.
            try setModificationTime(image, SampleTree.time)
            try removeTree(target + "/plant_0/images/00001_rgb.jpg")
            #expect(try await run("sync", from, to).code == 0)
            #expect(try SSHScene.divergences(source, target) == [])

            var other = content
            other[10] ^= 1
            try writeFile(image, other)
            try setModificationTime(image, SampleTree.time)
            #expect(try await run("diff", from, to).code == 0)
            #expect(try await run("diff", "-c", from, to).code == 4)
            #expect(try await run("sync", "-c", from, to).code == 0)
            #expect(try SSHScene.divergences(source, target) == [])
            try removeTree(target)
        }
        try end()
    }

    @Test("FM 25: times that SFTP cannot say cause no copy on the second run, and are told")
    func times() async throws {
        var database = SampleDatabase()
        var tree = try SampleTree.minimal()
        for (index, seconds) in [Int64(-86_400), 0, 1 << 31, 1 << 33].enumerated() {
            try tree.file(
                "images/\(index)", "x", modified: ModificationTime(seconds: seconds, nanoseconds: 999_999_999)
            )
        }
        try tree.writeIndex()
        try database.add("odd", tree)
        try database.write(to: source)
        let first = try await run("sync", "--json", source, remote(target))
        #expect(first.code == 0 && first.total("filesMoved") == tree.filePaths.count, "\(first)")
        #expect(first.output.contains("cannot keep the times of 2 files"))
        let second = try await run("sync", "--json", source, remote(target))
        #expect(second.code == 0 && second.total("filesMoved") == 0, "\(second)")
        try end()
    }

    @Test("FM 29: a scan that was asked for and is nowhere is an error by its name")
    func unknownScan() async throws {
        try SampleDatabase.plants(1).write(to: source)
        for (from, to) in ways {
            let ending = try await run("sync", from, to, "--scan", "plant_O")
            #expect(ending.code != 0 && ending.errors.contains("plant_O"), "\(ending)")
        }
        #expect(access(target + "/plant_0", F_OK) != 0)
        try end()
    }

    @Test("Names with spaces, quotes, dashes and other scripts arrive by every way, and compare equal")
    func names() async throws {
        let names = [
            "-rf", "--delete", "a b", "it's", "\"quoted\"", "$(id)", "`id`", "*", "?", "~root", "%s%n",
            "näme-ß", "植物", "🌱", ";ls", "a\u{301}", "{a,b}", "!!", "#x", "&",
        ]
        var database = SampleDatabase()
        var tree = try SampleTree.minimal()
        for name in names {
            try tree.file("images/\(name)", "content of \(name)")
            try tree.file("\(name)_1/\(name)", "content of \(name)")
        }
        try tree.writeIndex()
        try database.add("a-b_c.d", tree)
        try database.write(to: source)
        for (from, to) in ways {
            let ending = try await run("sync", from, to)
            #expect(ending.code == 0, "\(ending)")
            #expect(try SSHScene.divergences(source, target) == [])
            let again = try await run("sync", "-c", "--json", from, to)
            #expect(again.code == 0 && again.total("filesMoved") == 0, "\(again)")
            try removeTree(target)
        }
        try end()
    }

    @Test("A file name that cannot be carried is named as it is, and its scan left alone")
    func unspeakable() async throws {
        try SampleDatabase.plants(2).write(to: source)
        let path = Array((source + "/plant_0/images/new\nline").utf8CString)
        let descriptor = open(path, O_WRONLY | O_CREAT, 0o644)
        try #require(descriptor >= 0)
        close(descriptor)
        for (from, to) in ways.dropLast() {
            let ending = try await run("sync", from, to)
            #expect(ending.code != 0 && ending.errors.contains("new\\x0aline"), "\(ending)")
            #expect(access(target + "/plant_0", F_OK) != 0 && access(target + "/plant_1", F_OK) == 0)
            try removeTree(target)
        }
        try end()
    }

    @Test("A source that may only be read says how to read it, and is read so; it is left as it was")
    func readOnlySource() async throws {
        let readOnly = try SSHServer(sftp: "internal-sftp -R")
        try SampleDatabase.plants(2).write(to: source)
        let before = try treeSnapshot(source, includesDirectoryTimes: true)
        let arguments = [
            "sync", "ssh://127.0.0.1:\(readOnly.port)\(source)", target, "--identity", readOnly.identity,
        ]
        let refused = try await CommandRun.run(arguments + SSHScene.login(readOnly))
        #expect(refused.code == 1 && refused.errors.contains("--no-source-lock"), "\(refused)")
        #expect(access(target + "/plant_0", F_OK) != 0)
        let read = try await CommandRun.run(arguments + SSHScene.login(readOnly) + ["--no-source-lock"])
        #expect(read.code == 0, "\(read)")
        #expect(try SSHScene.divergences(source, target) == [])
        #expect(try treeSnapshot(source, includesDirectoryTimes: true) == before)
        // As a target it is refused, and told why.
        let other = folder.appending("other")
        try SampleDatabase().write(to: other)
        let written = try await CommandRun.run(
            ["sync", target, "ssh://127.0.0.1:\(readOnly.port)\(other)", "--identity", readOnly.identity]
                + SSHScene.login(readOnly))
        #expect(written.code == 1, "\(written)")
        readOnly.stop()
        try end()
    }

    @Test("A login banner disturbs nothing, and hides no reason")
    func banner() async throws {
        let text = folder.appending("banner")
        try writeFile(
            text, Array("Permission denied to all but members.\nUse of command-line tools is logged.\n".utf8))
        let polite = try SSHServer(configuration: ["Banner \(text)"])
        try SampleDatabase.plants(1).write(to: source)
        func arguments(_ identity: String) -> [String] {
            ["sync", "ssh://127.0.0.1:\(polite.port)\(source)", target, "--identity", identity]
                + SSHScene.login(polite)
        }
        let run = try await CommandRun.run(arguments(polite.identity))
        #expect(run.code == 0, "\(run)")
        let refused = try await CommandRun.run(arguments(server.identity))
        #expect(refused.code == 12 && refused.errors.contains("Permission denied ("), "\(refused)")
        polite.stop()
        let gone = try await CommandRun.run(arguments(polite.identity))
        #expect(gone.code == 30 && gone.errors.contains("nobody listens"), "\(gone)")
        try end()
    }

    @Test(
        "Configuration of ssh that would keep its answers away is undone",
        arguments: ["StdinNull=yes", "ForkAfterAuthentication=yes", "SessionType=none"])
    func configuredOtherwise(_ option: String) async throws {
        try SampleDatabase.plants(1).write(to: source)
        let ending = try await run("sync", remote(source), target, "--checksum", "--ssh-option", option)
        // OpenSSH before 8.7 has none of them.
        if !ending.errors.contains("does not know the option") {
            #expect(ending.code == 0 && !ending.isHung, "\(ending)")
            #expect(try SSHScene.divergences(source, target) == [])
        }
        try end()
    }

    @Test(
        "A scan on another disk than its database is refused by that reason",
        .enabled(if: geteuid() == 0, "A DISK BELOW THE ROOT NOT TESTED: needs root"))
    func diskBelowTheRoot() async throws {
        try SampleDatabase.plants(2).write(to: source)
        try writeFile(source + "/plant_0/images/00000_rgb.jpg", Array("changed".utf8))
        try SampleDatabase.plants(1).write(to: target)
        let scan = target + "/plant_0"
        let copy = folder.appending("copy")
        try await CommandRun.system("cp", "-a", scan, copy)
        try await CommandRun.system("mount", "-t", "tmpfs", "tmpfs", scan)
        try await CommandRun.system("cp", "-a", copy + "/.", scan)
        let ending = try await run("sync", source, remote(target))
        try await CommandRun.system("umount", scan)
        #expect(ending.code == 3, "\(ending)")
        #expect(ending.errors.contains("another file system"), "\(ending.errors)")
        #expect(access(target + "/plant_1/files.json", F_OK) == 0, "the others are done")
        try end()
    }

    @Test("Who gives up while ssh waits for an answer does not wait with it")
    func interruptedLogin() async throws {
        let silent = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(silent) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let port = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer -> UInt16 in
                guard bind(silent, pointer, length) == 0, listen(silent, 8) == 0,
                    getsockname(silent, pointer, &length) == 0
                else { return 0 }
                return pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                    UInt16(bigEndian: $0.pointee.sin_port)
                }
            }
        }
        try #require(port != 0)
        let command = try CommandRun(["scans", "ssh://127.0.0.1:\(port)/database"])
        try await Task.sleep(for: .seconds(1))
        let start = ContinuousClock.now
        kill(command.process, SIGINT)
        let ending = try await command.ending(within: .seconds(30))
        #expect(ending.code == 130 && !ending.isHung, "\(ending)")
        #expect(ContinuousClock.now - start < .seconds(8))
        try end()
    }

    @Test(
        "A password is in no output, report, log, cache or database, whether it is taken or refused",
        .enabled(if: SSHServer.canTakePasswords, "S3 NOT TESTED: no sshd with a password can be had here"))
    func canary() async throws {
        // openssl passwd -6 -salt plantdb canary-7391
        let hash = try await Self.hash("canary-7391")
        let locked = try SSHServer(hashedPassword: hash)
        try SampleDatabase.plants(1).write(to: source)
        for (password, code) in [("canary-7391", CInt(0)), ("canary-wrong", 12)] {
            let secret = folder.appending("secret")
            try writeFile(secret, Array((password + "\n").utf8))
            chmod(secret, 0o600)
            let (log, report) = (folder.appending("log"), folder.appending("report"))
            let cache = folder.appending("cache")
            let ending = try await CommandRun.run(
                [
                    "sync", source, "ssh://\(locked.user)@127.0.0.1:\(locked.port)\(target)", "--json", "-v",
                    "--log-file", log, "--report", report, "--password-file", secret,
                    "--ssh-option", "PubkeyAuthentication=no",
                ] + locked.sshOptions.flatMap { ["--ssh-option", $0] }, cache: cache)
            #expect(ending.code == code, "\(ending)")
            #expect(!(ending.output + ending.errors).contains("canary"))
            try removeTree(secret)
            let grep = try await CommandRun(["-rla", "canary", folder.path], program: "/usr/bin/grep")
                .ending()
            #expect(grep.code == 1, "the password stands in \(grep.output)")
        }
        locked.stop()
        #expect(try !locked.logText.contains("canary"))
        try end()
    }

    private static func hash(_ password: String) async throws -> String {
        let ending = try await CommandRun(
            ["passwd", "-6", "-salt", "plantdb", password], program: "/usr/bin/openssl"
        ).ending()
        try #require(ending.code == 0, "\(ending)")
        return ending.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
