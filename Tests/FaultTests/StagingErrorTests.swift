import Glibc
import PlantDBTesting
import Testing

extension Faults {
    /// F5 where it depends on what a call is made on. I3.
    @Suite(
        "F5: errors of one file", .serialized,
        .enabled(if: CallShim.compiler != nil, "F5 NOT TESTED in part: there is no C compiler"))
    struct StagingErrorTests {
        private let folder: TemporaryDirectory
        private let shim: CallShim
        private var source: String { folder.appending("source") }
        private var target: String { folder.appending("target") }

        init() throws {
            folder = try TemporaryDirectory()
            shim = try CallShim()
            var tree = try SampleTree.minimal()
            try tree.file("metadata/metadata.json", "{}")
            try tree.file("images/lost.jpg", [UInt8](repeating: 7, count: 5000))
            try tree.writeIndex()
            var database = SampleDatabase()
            try database.add("plant", tree)
            try database.write(to: source)
        }

        @Test(
            "F5: what a file system says only when a file is closed keeps the scan from being called copied",
            arguments: [[], ["--verify", "full"], ["--fsync", "always"], ["--bwlimit", "1G"]])
        func closing(_ options: [String]) async throws {
            let run = try await Command.run(
                ["sync", source, target] + options,
                environment: shim.environment(["SHIM_CLOSE": "images/lost.jpg"]))
            #expect(run.code == 28 && run.errors.contains("images/lost.jpg"), "\(run)")
            #expect(access(target + "/plant", F_OK) != 0, "published")
            let again = try await Command.run(["sync", source, target] + options)
            #expect(again.code == 0, "\(again)")
            #expect(try bytesOnDisk(target + "/plant/images/lost.jpg").count == 5000)
        }

        @Test("F19: where times are kept in whole seconds, and not set alone, a second run is idle")
        func coarseTimes() async throws {
            let environment = shim.environment(["SHIM_TIMES": "1"])
            let first = try await Command.run(["sync", source, target], environment: environment)
            #expect(first.code == 0, "\(first)")
            let dry = try await Command.run(
                ["sync", "-n", "--exit-code", source, target], environment: environment)
            #expect(dry.code == 0, "\(dry)")
            let second = try await Command.run(["sync", source, target, "--json"], environment: environment)
            #expect(second.code == 0 && second.total("filesMoved") == 0, "\(second)")
        }

        @Test("F5: so do the report, a new database, a generated one and the configuration")
        func closingOthers() async throws {
            let (report, new) = (folder.appending("report.json"), folder.appending("new"))
            let cases: [([String], String, [String: String])] = [
                (["sync", source, target, "--report", report], "report.json", [:]),
                (["init", new], "/new/romidb", [:]),
                (["testdb", folder.appending("generated"), "virtual_plant"], "/staging/testdb-", [:]),
                (
                    ["remote", "add", "lab", source], "/config.toml",
                    ["PLANTDB_CONFIG": folder.appending("config.toml")]
                ),
            ]
            for (arguments, path, variables) in cases {
                let environment = shim.environment(["SHIM_CLOSE": path]).merging(variables) { $1 }
                let run = try await Command.run(arguments, environment: environment)
                #expect(run.code != 0 && !run.errors.isEmpty, "\(arguments[0]): \(run)")
            }
            for name in ["report.json", "generated/virtual_plant", "config.toml"] {
                #expect(access(folder.appending(name), F_OK) != 0, "\(name) was put into place")
            }
        }

        @Test(
            "F5: an error while the staged tree is looked at drops nothing from what is published",
            arguments: ["images", "files.json", "a.txt"], [true, false])
        func looking(_ name: String, isNew: Bool) async throws {
            if !isNew {
                var old = SampleDatabase()
                var tree = try SampleTree.minimal("older")
                // By which it is the same scan.
                try tree.file("metadata/metadata.json", "{}")
                try tree.file("images/lost.jpg", [UInt8](repeating: 7, count: 5000))
                try tree.file("images/gone.txt", "gone")
                try tree.writeIndex()
                try old.add("plant", tree)
                try old.write(to: target)
                for path in ["images/a.txt", "images/gone.txt", "files.json"] {
                    try setModificationTime(
                        target + "/plant/" + path, .init(seconds: SampleTree.time.seconds - 60))
                }
            }
            let before = isNew ? nil : try treeSnapshot(target + "/plant")
            let arguments = ["sync", source, target, "--delete", "--max-delete", "100%"]
            let run = try await Command.run(arguments, environment: shim.environment(["SHIM_LOOK": name]))
            #expect(run.code == 3 && run.errors.contains(name), "\(run)")
            if let before { #expect(try treeSnapshot(target + "/plant") == before) }
            if isNew { #expect(access(target + "/plant", F_OK) != 0, "published") }
            let again = try await Command.run(arguments)
            #expect(again.code == 0, "\(again)")
            #expect(
                try treeSnapshot(target + "/plant").differences(from: treeSnapshot(source + "/plant")) == [])
        }
    }
}
