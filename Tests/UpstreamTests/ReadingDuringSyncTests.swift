import FSDB
import PlantDBCore
import PlantDBTesting
import Testing

extension UpstreamTests {
    /// Whoever opens the target while we sync finds a valid database (invariant I9).
    ///
    /// The readers open it as new processes do: 0.17 with its strict check of everything in
    /// the root, 0.14 without its lock, as its server does. One of 0.15 or later at a time:
    /// two of them stumble over each other's `.write_test.tmp`.
    @Suite struct ReadingDuringSync {
        static let newer = UpstreamLibrary.tested.filter { $0 != .v014 }
        static let scanCount = 4
        static let fileCount = 6

        let temporary: TemporaryDirectory
        let shop: Workshop
        let source: String
        let target: String

        init() throws {
            temporary = try TemporaryDirectory()
            shop = Workshop(folder: temporary.path)
            source = shop("source")
            target = shop("target")
            try SampleDatabase().write(to: target)
        }

        /// New scans are seen whole or not at all; an updated one with its old files or its
        /// new ones; every file with one content.
        @Test(arguments: newer)
        func newAndChangedScans(library: UpstreamLibrary) async throws {
            let readers = try await startReaders([.v014, library])
            let generations = 1...6
            for generation in generations {
                try writeSource(generation: generation, fileCount: Self.fileCount + generation)
                try await Product.sync(source, target, folder: shop.folder)
            }
            for reader in readers {
                let result = try await stop(reader)
                #expect(result["absent"] == [], "\(result)")
                let counts = try #require(result["counts"]?.object)
                // The scans of the generations, those that each of them adds included.
                #expect(counts.count == Self.scanCount + generations.count)
                let allowed = Set(generations.map { Self.fileCount + $0 })
                for scan in counts.members {
                    let seen = Set(scan.value.array?.compactMap(\.int) ?? [-1])
                    #expect(seen.isSubset(of: allowed), "\(scan.key): \(seen)")
                    #expect(seen.contains(Self.fileCount + generations.upperBound), "\(scan.key): \(seen)")
                }
            }
        }

        /// Files may go between a reader's look at the index and at them, and yet it opens.
        @Test(arguments: newer)
        func deletions(library: UpstreamLibrary) async throws {
            let readers = try await startReaders([.v014, library])
            for generation in 1...5 {
                try removeTree(source)
                try writeSource(generation: generation, fileCount: 12 - 2 * generation, added: 0)
                try await Product.sync(
                    source, target, "--delete", "--max-delete", "100%", folder: shop.folder)
            }
            for reader in readers {
                let result = try await stop(reader)
                let counts = try #require(result["counts"]?.object)
                #expect(counts.count == Self.scanCount)
                for scan in counts.members {
                    #expect(scan.value.array?.contains(2) == true, "\(scan.key): \(scan.value)")
                }
            }
        }

        private func startReaders(_ libraries: [UpstreamLibrary]) async throws -> [ChildProcess] {
            var readers: [ChildProcess] = []
            for library in libraries {
                let reader = try shop.start(.read, [target], with: library)
                let answer = try await reader.answer()
                try #require(answer["reading"]?.bool == true)
                readers.append(reader)
            }
            return readers
        }

        private func stop(_ reader: ChildProcess) async throws -> JSONValue {
            let ended = await reader.end()
            try #require(ended.status == 0, "\(ended.errors.suffix(4000))")
            let result = try JSONValue(parsing: Array(ended.output.utf8))
            #expect(result["failures"] == [], "\(result)")
            #expect(result["torn"] == [], "\(result)")
            #expect((result["rounds"]?.int ?? 0) > 2)
            return result
        }

        /// Every generation writes all files anew, in its own length and byte, and adds scans.
        private func writeSource(generation: Int, fileCount: Int, added: Int? = nil) throws {
            let time = ModificationTime(seconds: 1_700_000_000 + 10 * Int64(generation))
            var database = SampleDatabase()
            for number in 0..<Self.scanCount + (added ?? generation) {
                var tree = SampleTree()
                try tree.directory("metadata")
                for file in 0..<fileCount {
                    let content = [UInt8](repeating: UInt8(64 + generation), count: 60_000 + 100 * generation)
                    try tree.file("images/\(file).raw", content, modified: time)
                }
                try tree.file(
                    "metadata/metadata.json",
                    "{\n    \"created\": \"\(number)\", \"generation\": \(generation)\n}", modified: time)
                try tree.writeIndex(modified: time)
                try database.add("plant_\(number)", tree)
            }
            try database.write(to: source)
        }
    }
}
