import Glibc
import NIOPosix
import PlantDBCore
import Synchronization

/// The threads on which blocking system calls are made: never on the cooperative pool,
/// which has as many threads as there are processors and must not wait for a disk.
enum BlockingThreads {
    /// Processors that this process may use.
    static let processorCount = max(1, Int(sysconf(CInt(_SC_NPROCESSORS_ONLN))))

    private static let pool = makePool()
    /// For ``forEach(_:workers:while:_:)``, which keeps its threads for as long as a scan takes: nobody who
    /// reads or writes a piece of a file waits for those.
    private static let workerPool = makePool()

    /// More threads than processors, since most of them wait for a disk most of the time.
    private static func makePool() -> NIOThreadPool {
        let pool = NIOThreadPool(numberOfThreads: max(4, min(16, 2 * processorCount)))
        pool.start()
        return pool
    }

    /// Runs `body` on one of the threads.
    static func run<Result: Sendable>(
        while doing: String, _ body: @escaping @Sendable () throws(DatabaseError) -> Result
    ) async throws(DatabaseError) -> Result {
        try await run(on: pool, while: doing, body)
    }

    private static func run<Result: Sendable>(
        on pool: NIOThreadPool, while doing: String,
        _ body: @escaping @Sendable () throws(DatabaseError) -> Result
    ) async throws(DatabaseError) -> Result {
        do { return try await pool.runIfActive { try body() } } catch {
            throw .wrapping(error, while: doing)
        }
    }

    /// Runs `body` even in a cancelled task, to its end: for releasing and tidying up.
    static func runToTheEnd(_ body: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            pool.submit { _ in
                body()
                continuation.resume()
            }
        }
    }

    /// Calls `body` for every index below `count`, on `workers` threads, until one throws or
    /// the task is cancelled.
    static func forEach(
        _ count: Int, workers: Int, while doing: String,
        _ body: @escaping @Sendable (Int) throws(DatabaseError) -> Void
    ) async throws(DatabaseError) {
        let queue = WorkQueue(count: count)
        do {
            try await withTaskCancellationHandler {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<max(1, min(workers, count)) {
                        group.addTask {
                            try await run(on: workerPool, while: doing) { () throws(DatabaseError) in
                                while let index = queue.next() {
                                    do throws(DatabaseError) { try body(index) } catch {
                                        queue.stop()
                                        throw error
                                    }
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            } onCancel: {
                queue.stop()
            }
        } catch { throw .wrapping(error, while: doing) }
        try DatabaseError.checkCancellation(while: doing)
    }

    /// Hands out indexes to several threads, a few at a time costs nothing and one is fair.
    private final class WorkQueue: Sendable {
        private let position = Atomic(0)
        private let count: Int

        init(count: Int) { self.count = count }

        func next() -> Int? {
            let index = position.wrappingAdd(1, ordering: .relaxed).oldValue
            return index < count ? index : nil
        }

        func stop() { position.store(count, ordering: .relaxed) }
    }
}
