import CPlatform
import Glibc
import PlantDBTesting
import Testing

extension Faults {
    /// F14: parts of both sides are swapped for symbolic links while runs go on. I5, I6; FM 27.
    @Suite("F14: symbolic links swapped in", .serialized) struct SwapTests {
        /// Swaps two names for one another, again and again, until it is told to stop.
        private final class Flipper: Sendable {
            private let task: Task<Int, Never>

            init(_ first: String, _ second: String) {
                task = Task.detached {
                    var swaps = 0
                    while !Task.isCancelled {
                        // RENAME_EXCHANGE. Either may be away for a moment, when a run replaces it.
                        if plantdb_renameat2(AT_FDCWD, first, AT_FDCWD, second, 2) == 0 { swaps += 1 }
                        // No rhythm that could keep in step with a run.
                        usleep(UInt32.random(in: 0...3_000))
                        if swaps % 16 == 0 { await Task.yield() }
                    }
                    return swaps
                }
            }

            func stop() async -> Int {
                task.cancel()
                return await task.value
            }
        }

        /// What is swapped, relative to the side's root.
        private static let places = [
            "plant_0", "plant_0/images", "plant_0/metadata", "plant_0/images/00000_rgb.jpg",
            "plant_0/files.json",
            "plant_0/metadata/metadata.json",
        ]

        private func check(_ place: String, inSource: Bool) async throws {
            let folder = try TemporaryDirectory()
            let (source, target) = (folder.appending("source"), folder.appending("target"))
            let sentinel = folder.appending("sentinel")
            let link = folder.appending("link")
            // The same names, so that what goes astray finds something to change.
            try SampleDatabase.plants(1, images: 6, seed: 77).write(to: sentinel)
            let before = try treeSnapshot(sentinel, includesDirectoryTimes: true)
            let foreign = Set(before.files.filter { $0.value.size > 0 }.compactMap(\.value.digest))
            var problems: [String] = []
            let rounds = Depth.rounds(6, soak: 60)
            var swaps = 0
            for round in 0..<rounds {
                try removeTree(source)
                try removeTree(target)
                try removeTree(link)
                let newer = try SampleDatabase.plants(2, images: 4, seed: 900 + UInt64(round))
                try newer.write(to: source)
                try SampleDatabase.plants(2, images: 5, seed: 5).write(to: target)
                let own = Set(try treeSnapshot(source).files.compactMap(\.value.digest))
                    .union(try treeSnapshot(target).files.compactMap(\.value.digest))
                guard symlink(sentinel + "/" + place, link) == 0 else {
                    throw SpawnFailure(message: "symlink")
                }
                let flipper = Flipper((inSource ? source : target) + "/" + place, link)
                let ending = try await Command.run([
                    "sync", source, target, "--json", "--delete", "--delete-unknown", "--max-delete", "100%",
                    "--checksum",
                    "--retries", round % 2 == 0 ? "0" : "2",
                ])
                swaps += await flipper.stop()
                if ending.how == .hung { problems.append("I11 it hung") }
                if ending.code == nil { problems.append("ended with \(ending)") }
                let published = try treeSnapshot(target).files
                for (path, item) in published {
                    guard let digest = item.digest, !own.contains(digest), item.size > 0 else { continue }
                    problems.append("I5 \(foreign.contains(digest) ? "the sentinel's" : "torn"): \(path)")
                }
                problems += try treeSnapshot(sentinel, includesDirectoryTimes: true)
                    .differences(from: before, ignoringInodes: false).map { "I5 the sentinel: \($0)" }
            }
            if swaps < rounds { problems.append("only \(swaps) swaps in \(rounds) runs") }
            expectNone(problems, "\(place) of the \(inSource ? "source" : "target")")
        }

        @Test("F14: nothing outside the roots is written or read", arguments: [true, false])
        func swapped(inSource: Bool) async throws {
            _ = try await inTwoLanes(Self.places, {}) { _, place in
                try await check(place, inSource: inSource)
            }
        }
    }
}
