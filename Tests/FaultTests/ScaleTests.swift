import Glibc
import PlantDBTesting
import Testing

extension Faults {
    /// F23: many files. I11; FM 22. Memory and exit codes only, never times.
    @Suite("F23: scale", .serialized) struct ScaleTests {
        private struct Size: Sendable, CustomTestStringConvertible {
            var scans: Int
            var filesPerScan: Int
            /// What may be taken up more than by a run over one small scan: the program itself is
            /// twice as large in a debug build. The aim is 50 MB in all for 100,000 files, 150 MB
            /// for a million.
            var megabytes: Int
            var testDescription: String { "\(scans) scans of \(filesPerScan) files in \(megabytes) MB" }
        }

        private static let sizes: [Size] =
            Depth.isSoak
            ? [
                Size(scans: 1_000, filesPerScan: 100, megabytes: 30),
                Size(scans: 1, filesPerScan: 100_000, megabytes: 30),
                Size(scans: 1_000, filesPerScan: 1_000, megabytes: 110),
            ]
            : [
                Size(scans: 2_000, filesPerScan: 10, megabytes: 25),
                Size(scans: 1, filesPerScan: 20_000, megabytes: 15),
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

        private func run(_ source: String, _ target: String) async throws -> Ending {
            try await Child([Command.path, "sync", source, target, "--json"], measuresMemory: true)
                .ending(within: .seconds(3_000))
        }

        @Test("F23: memory stays bounded with many files, in a first and in a second run", arguments: sizes)
        private func many(_ size: Size) async throws {
            let folder = try TemporaryDirectory()
            let (source, target) = (folder.appending("source"), folder.appending("target"))
            let small = folder.appending("small")
            try makeDatabase(small, Size(scans: 1, filesPerScan: 1, megabytes: 0))
            let least = try await run(small, small + "_target").peakKilobytes
            #expect(least > 1_000)
            try makeDatabase(source, size)
            for round in ["first", "second"] {
                let ending = try await run(source, target)
                #expect(ending.code == 0, "\(round): \(ending.how) \(ending.errors.suffix(300))")
                let files = size.scans * (size.filesPerScan + 1)
                #expect(ending.total("filesMoved") == (round == "first" ? files : 0))
                print(
                    "F23: \(size.testDescription): \(least) + \(ending.peakKilobytes - least) KiB, \(round) run"
                )
                #expect(ending.peakKilobytes - least < size.megabytes * 1_000, "the \(round) run")
            }
        }
    }
}
