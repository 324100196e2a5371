import Glibc
import PlantDBTesting
import Testing

extension Faults {
    /// F23: many files. I11; FM 22. Memory and exit codes only, never times.
    @Suite("F23: scale", .serialized) struct ScaleTests {
        private struct Size: Sendable, CustomTestStringConvertible {
            var scans: Int
            var filesPerScan: Int
            var megabytes: Int
            var testDescription: String { "\(scans) scans of \(filesPerScan) files in \(megabytes) MB" }
        }

        private static let sizes: [Size] =
            Depth.isSoak
            ? [
                Size(scans: 10_000, filesPerScan: 10, megabytes: 50),
                Size(scans: 100, filesPerScan: 10_000, megabytes: 150),
                Size(scans: 1, filesPerScan: 1_000_000, megabytes: 150),
            ]
            : [
                Size(scans: 2_000, filesPerScan: 10, megabytes: 50),
                Size(scans: 1, filesPerScan: 20_000, megabytes: 50),
            ]

        private func makeDatabase(_ root: String, _ size: Size) throws {
            func make(_ path: String) throws {
                guard mkdir(path, 0o755) == 0 else { throw SpawnFailure(message: "mkdir \(path)") }
            }
            try make(root)
            try writeFile(root + "/romidb", [])
            for scan in 0..<size.scans {
                let folder = "\(root)/scan_\(scan)"
                try make(folder)
                try make(folder + "/metadata")
                try make(folder + "/images")
                try writeFile(folder + "/files.json", Array("{\"filesets\": []}".utf8))
                for file in 0..<size.filesPerScan { try writeFile("\(folder)/images/\(file).jpg", []) }
            }
        }

        @Test("F23: memory stays bounded with many files, in both a first and a second run", arguments: sizes)
        private func many(_ size: Size) async throws {
            let folder = try TemporaryDirectory()
            let (source, target) = (folder.appending("source"), folder.appending("target"))
            try makeDatabase(source, size)
            for round in ["first", "second"] {
                let run = try await Child(
                    [Command.path, "sync", source, target, "--json"], measuresMemory: true
                ).ending(within: .seconds(3_000))
                #expect(run.code == 0, "\(round): \(run.how) \(run.errors.suffix(300))")
                let files = size.scans * (size.filesPerScan + 1)
                #expect(run.total("filesMoved") == (round == "first" ? files : 0))
                #expect(run.peakKilobytes > 1_000 && run.peakKilobytes < size.megabytes * 1_000, "\(round)")
                print("F23: \(size.testDescription): the \(round) run took \(run.peakKilobytes) KiB")
            }
        }
    }
}
