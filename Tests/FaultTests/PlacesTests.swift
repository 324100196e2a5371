import Glibc
import PlantDBCore
import PlantDBTesting
import Testing

extension Faults {
    /// Sandboxes, containers and file systems that lack something: it works there, or is told as what it is.
    @Suite("Places that lack something", .serialized) struct PlacesTests {
        /// What a place refuses whatever it is asked for.
        struct Refusal: Sendable, CustomTestStringConvertible {
            var call: String
            var error: String
            var testDescription: String { "\(call): \(error)" }
        }

        static let refusals =
            ["openat2", "renameat2"].flatMap { call in
                ["EPERM", "ENOSYS"].map { Refusal(call: call, error: $0) }
            }
            + ["ENOSYS", "EBADF", "EOPNOTSUPP", "ENOLCK", "EPERM"].map { Refusal(call: "flock", error: $0) }

        @Test(
            "What a sandbox or a file system refuses for good is done without",
            .enabled(if: Machine.hasStrace, "REFUSED CALLS NOT TESTED: strace is missing"),
            arguments: refusals)
        func refused(_ refusal: Refusal) async throws {
            let scene = try Scene()
            try scene.reset()
            // As PlantDB 0.15 leaves it: held by nobody.
            try writeFile(scene.target + "/.locks/plant_0_images.lock", [])
            let run = try await Command.traced(
                [
                    "-e", "trace=\(refusal.call)", "-e", "inject=\(refusal.call):error=\(refusal.error)",
                    "-o", "/dev/null",
                ],
                scene.arguments(fsync: "always"))
            unlink(scene.target + "/.locks/plant_0_images.lock")
            expectNone(
                (run.code == 0 ? [] : ["ended with \(run)"]) + (try scene.divergences()), "\(refusal)")
        }

        @Test(
            "Without flock(2) a run that lives keeps others out, and one that was killed does not",
            .enabled(if: Machine.hasStrace, "LOCKS WITHOUT FLOCK NOT TESTED: strace is missing"))
        func withoutFlock() async throws {
            let slow = try SlowScene()
            let first = try Command.startTraced(
                [
                    "-e", "trace=copy_file_range,flock", "-e", "inject=copy_file_range:delay_exit=400ms",
                    "-e",
                    "inject=flock:error=ENOSYS", "-o", "/dev/null",
                ], slow.arguments)
            try await slow.waitForTransfer()
            let refusing = ["-e", "trace=flock", "-e", "inject=flock:error=ENOSYS", "-o", "/dev/null"]
            let refused = try await Command.traced(refusing, slow.arguments)
            #expect(refused.code == 11 && refused.errors.contains("process \(first.process)"), "\(refused)")
            first.send(SIGKILL)
            _ = try await first.ending()
            #expect(try await Command.traced(refusing, slow.arguments).code == 0)
            expectNone(try await slow.healingViolations(), "after both")
        }

        @Test("A container that was killed keeps its successor out no longer than any other process")
        func otherHostOfOneBoot() async throws {
            let scene = try Scene()
            try scene.reset()
            var owner =
                try JSONValue(
                    parsing: LockOwner.current(mode: .exclusive, holdsFlock: true).encoded()
                ).object ?? [:]
            (owner["host"], owner["machine"]) = ("c0ffee000001", "0123456789abcdef0123456789abcdef")
            try writeFile(scene.target + "/lock", JSONValue.object(owner).pythonBytes())
            expectNone(try await scene.healingViolations(scene.arguments()), "of another container")

            // The same words, but of another boot: another machine.
            try scene.reset()
            owner["boot"] = "00000000-0000-0000-0000-000000000000"
            try writeFile(scene.target + "/lock", JSONValue.object(owner).pythonBytes())
            let refused = try await Command.run(scene.arguments())
            #expect(refused.code == 11 && refused.errors.contains("c0ffee000001"), "\(refused)")
        }

        private static let canUnmount = Machine.isRoot && Machine.path(of: "unshare") != nil

        @Test(
            "In a jail without /proc the arguments are what they were",
            .enabled(if: canUnmount, "WITHOUT /proc NOT TESTED: needs root and unshare"))
        func withoutProc() async throws {
            let scene = try Scene()
            try scene.reset()
            let run = try await Child(
                ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "-", Command.path]
                    + scene.arguments()
            ).ending()
            #expect(run.errors.contains("there is no /proc"), "\(run)")
            // Swift's runtime may trap once it has run for a second (SIGILL), and that has been said.
            #expect(run.code == 0 || "\(run)".hasPrefix("signal(4)"), "\(run)")
            if run.code == 0 { expectNone(try scene.divergences(), "no /proc") }
        }

        @Test(
            "Too little memory or too few threads are told, and nothing is trapped",
            arguments: [220_000, 400_000])
        func limitedMemory(kilobytes: Int) async throws {
            let scene = try Scene()
            try scene.reset()
            let run = try await Child(
                ["/bin/sh", "-c", "ulimit -v \(kilobytes); exec \"$@\"", "-", Command.path]
                    + scene.arguments()
            ).ending()
            switch run.code {
            case 0: expectNone(try scene.divergences(), "limited to \(kilobytes) KiB")
            case 1: #expect(run.errors.contains("ulimit -v"), "\(run)")
            default: Issue.record("limited to \(kilobytes) KiB: \(run)")
            }
        }

        // MARK: File systems

        @Test(
            "An overlay: what comes from its lower layer is updated, removed and kept in the trash",
            .enabled(if: Machine.hasOverlay, "OVERLAY NOT TESTED: needs root and overlayfs"),
            arguments: [false, true])
        func overlay(isKept: Bool) async throws {
            let disk = try MemoryDisk(kilobytes: 64 << 10)
            var scene = try Scene()
            scene.target = disk.path + "/lower"
            try scene.reset()
            let place = try OverlayDisk(on: disk)
            scene.target = place.path
            var arguments = scene.arguments()
            if isKept { arguments.append("--trash") }
            let run = try await Command.run(arguments)
            #expect(run.code == 0, "\(run)")
            #expect(try scene.contentDivergences() == [])
            #expect(access(place.path + "/gone", F_OK) != 0)
            let kept = try treeSnapshot(place.path).items.keys.filter { $0.contains("gone/images/0000") }
            #expect(kept.count == (isKept ? 2 : 0), "\(kept)")
            #expect(try await Command.run(arguments).total("filesMoved") == 0)
        }

        @Test(
            "--fsync always flushes each file where syncfs(2) does nothing",
            .enabled(
                if: Machine.hasOverlay && Machine.hasStrace,
                "FLUSHES WITHOUT SYNCFS NOT TESTED: needs root, overlayfs and strace"))
        func flushes() async throws {
            let disk = try MemoryDisk(kilobytes: 64 << 10)
            let place = try OverlayDisk(on: disk)
            let folder = try TemporaryDirectory()
            try SampleDatabase.plants(1, images: 20).write(to: folder.appending("source"))
            let file = folder.appending("trace")
            let run = try await Command.traced(
                ["-e", "trace=fsync,syncfs", "-y", "-o", file],
                ["sync", folder.appending("source"), place.path + "/new", "--fsync", "always"])
            #expect(run.code == 0, "\(run)")
            let flushed = String(decoding: try bytesOnDisk(file), as: UTF8.self).split(separator: "\n")
                .filter { $0.contains("fsync(") && $0.contains(".jpg>") }
            #expect(flushed.count == 20)
            try folder.remove()
        }

        @Test(
            "A name that the target's file system does not take is told as that, and so are two that are one",
            .enabled(
                if: Machine.hasLoopDevice && Machine.path(of: "mount.exfat-fuse") != nil
                    && Machine.path(of: "mkfs.exfat") != nil,
                "NAMES ON exFAT NOT TESTED: needs root, loop devices, exfat-fuse and exfatprogs"))
        func namesOfTheTarget() async throws {
            let folder = try TemporaryDirectory()
            let source = folder.appending("source")
            var database = SampleDatabase()
            for scan in ["Plant", "plant", "good"] { try database.add(scan, .minimal(scan)) }
            var tree = try SampleTree.minimal("odd")
            try tree.file("images/2023:12:25.jpg", "x")
            try tree.writeIndex()
            try database.add("odd", tree)
            try database.write(to: source)
            let image = folder.appending("image")
            try shell("truncate", "-s", "64M", image)
            try shell("mkfs.exfat", image)
            try shell("mkdir", folder.appending("disk"))
            let device = try shell("losetup", "-f", "--show", image).output.split(separator: "\n").joined()
            try shell("mount.exfat-fuse", device, folder.appending("disk"))
            let run = try await Command.run(
                ["sync", source, folder.appending("disk/target"), "--transfers", "1"])
            try shell("umount", folder.appending("disk"))
            try shell("losetup", "-d", device)
            #expect(run.code == 3, "\(run)")
            #expect(
                run.errors.contains("2023:12:25.jpg") && run.errors.contains("takes no such name"), "\(run)")
            #expect(run.errors.contains("plant and “Plant” have one name"), "\(run.errors)")
            #expect(!run.errors.contains("run the same command again"), "\(run.errors)")
            #expect(run.output.contains("2 created"), "\(run.output)")
            try folder.remove()
        }

        @Test(
            "A scan on another disk than its database is refused by that reason",
            .enabled(if: Machine.hasTmpfs, "A DISK BELOW THE ROOT NOT TESTED: needs root and tmpfs"))
        func diskBelowTheRoot() async throws {
            let scene = try Scene()
            try scene.reset()
            let disk = try MemoryDisk(kilobytes: 16 << 10)
            let scan = scene.target + "/plant_0"
            try shell("cp", "-a", scan + "/.", disk.path)
            try shell("mount", "--bind", disk.path, scan)
            let run = try await Command.run(["sync", scene.source, scene.target])
            try shell("umount", scan)
            #expect(run.code == 3, "\(run)")
            #expect(
                run.errors.contains("another file system") && !run.errors.contains("symbolic"),
                "\(run.errors)")
            #expect(access(scene.target + "/plant_1/files.json", F_OK) == 0, "the others are done")
        }
    }
}
