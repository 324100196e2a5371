/// The lock that others see, held only while something is published.
///
/// PlantDB 0.14 keeps out of a database in which the file `lock` lies, and for as long as it lies there.
/// So a run that stages for an hour takes it for the renames alone. Publications that come close after
/// one another, or at once, share it: making the file and flushing it costs more than a small scan.
package actor PublishingLock {
    /// How long it is kept for the next publication.
    private static let linger = Duration.milliseconds(100)
    /// How long a publication waits for somebody who holds the database, whatever was asked for: what was
    /// staged is worth more than a few seconds.
    private static let patience = Duration.seconds(5)

    private var publications = 0
    private var held: Task<any DatabaseLock, any Error>?
    private var ending: Task<Void, Never>?
    private var releasing: Task<Void, Never>?

    package init() {}

    /// Call ``end()`` once for each time that it returns.
    ///
    /// - Parameter acquire: takes the lock, where it is not held.
    /// - Throws: ``DatabaseError/Code/locked``.
    package func begin(
        wait: Duration,
        acquire: @escaping @Sendable (_ wait: Duration) async throws(DatabaseError) -> any DatabaseLock
    ) async throws(DatabaseError) {
        publications += 1
        ending?.cancel()
        ending = nil
        let task: Task<any DatabaseLock, any Error>
        if let held {
            task = held
        } else {
            let (wait, before) = (max(wait, Self.patience), releasing)
            // A task of its own: whoever else waits for it is not cancelled with the first.
            task = Task {
                // Our own is not waited for as somebody else's is.
                await before?.value
                return try await acquire(wait)
            }
            held = task
        }
        do { _ = try await task.value } catch {
            publications -= 1
            if held == task { held = nil }
            throw .wrapping(error, while: "locking the database")
        }
    }

    package func end() {
        publications -= 1
        guard publications == 0 else { return }
        ending = Task {
            // Cancelled: the next publication has come.
            do { try await Task.sleep(for: Self.linger) } catch { return }
            await self.release()
        }
    }

    /// Gives the lock back. Call it when nothing is published any more; later publications take it anew.
    package func release() async {
        guard publications == 0, let task = held else { return }
        held = nil
        // One that was never had needs no release; who asked for it was told why.
        let release = Task { if case .success(let lock) = await task.result { await lock.release() } }
        releasing = release
        await release.value
    }
}
