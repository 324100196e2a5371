import NIOCore
import NIOPosix
import PlantDBCore

/// Generates a scan from its recipe.
struct ScanGeneration {
    let dataset: TestDataset
    let options: TestDatabaseOptions

    /// Writes the scan into the database.
    ///
    /// Files are made on at most ``TestDatabaseOptions/workers`` threads; memory is bounded by
    /// the largest picture times that number.
    func run(
        inDatabase root: String, progress: @Sendable (TestDatabaseProgress) -> Void
    ) async throws(DatabaseError) -> TestDatasetOrigin {
        let staged = try StagedScan(dataset.scan, inDatabase: root)
        do {
            let bytes = try await write(to: staged, progress: progress)
            try staged.publish()
            return bytes
        } catch {
            // What cannot be removed now is removed by the next run; the first error tells more.
            do { try staged.discard() } catch {}
            throw DatabaseError.wrapping(error, while: "generating \(dataset.rawValue)")
        }
    }

    private func write(
        to staged: StagedScan, progress: @Sendable (TestDatabaseProgress) -> Void
    ) async throws -> TestDatasetOrigin {
        let plan = ScanRecipe.lookAlike(of: dataset, seed: options.seed, detail: options.detail).plan()
        try staged.makeFolders(for: plan.map(\.path))
        var origin = TestDatasetOrigin(
            dataset: dataset, kind: .generated(seed: options.seed), files: 0, bytes: 0)
        progress(.writing(dataset, files: 0, of: plan.count))
        let clock = GeneratedTimes(dataset: dataset, seed: options.seed)
        let workers = max(1, min(8, options.workers ?? NIOSingletons.blockingPoolThreadCountSuggestion))
        // A group of at most `workers` tasks, each a file on a thread of NIO's pool.
        try await withThrowingTaskGroup(of: Int64.self) { group in
            var next = 0
            func start() {
                guard next < plan.count else { return }
                let file = plan[next]
                let time = clock.time(of: next)
                next += 1
                group.addTask {
                    try Task.checkCancellation()
                    return try await NIOThreadPool.singleton.runIfActive {
                        let content = file.content()
                        try staged.write(file.path, content, modified: time)
                        return Int64(content.count)
                    }
                }
            }
            for _ in 0..<workers { start() }
            while let bytes = try await group.next() {
                origin.files += 1
                origin.bytes += bytes
                progress(.writing(dataset, files: origin.files, of: plan.count))
                start()
            }
        }
        return origin
    }
}

/// Times of generated files: a scan takes its time, and a seed decides when it was.
struct GeneratedTimes {
    private let start: Int64
    private let seed: UInt64

    init(dataset: TestDataset, seed: UInt64) {
        self.seed = SeededNumbers.seed(seed, for: "times of " + dataset.rawValue)
        var random = SeededNumbers(seed: self.seed)
        // In the year before the genuine datasets were published, 2023-12-14.
        start = 1_702_512_000 - Int64(random.below(365 * 86_400))
    }

    /// Of the file at `position`; ascending, with a fraction of a second as real files have.
    func time(of position: Int) -> ModificationTime {
        var random = SeededNumbers(seed: seed &+ UInt64(position))
        return ModificationTime(
            seconds: start + Int64(position) * 2, nanoseconds: Int64(random.below(1_000_000_000)))
    }
}
