import FSDB
import PlantDBCore
import SyncEngine

/// Both databases, open for one run or between ``FSDBSync/lock()`` and ``FSDBSync/unlock()``.
struct OpenSides: Sendable {
    let source: any DatabaseEndpoint
    let target: any DatabaseEndpoint
    /// Locks taken by ``lock(locksSource:wait:)``, the last one first.
    private var locks: [any DatabaseLock] = []
    /// Databases of this program whose lock was given up, and comes back at the end.
    private let suspended: [FSDB]

    static func open(
        _ source: SyncSide, _ sourceAccess: RemoteAccess, _ target: SyncSide, _ targetAccess: RemoteAccess
    ) async throws(DatabaseError) -> OpenSides {
        let suspended = [source, target].compactMap(\.database).filter(\.isLocked)
        for database in suspended { database.unlock() }
        do throws(DatabaseError) {
            let one = try await openDatabase(source.location, as: .source, access: sourceAccess)
            do throws(DatabaseError) {
                let two = try await openDatabase(target.location, as: .target, access: targetAccess)
                return OpenSides(one, two, suspended)
            } catch {
                await one.close()
                throw error
            }
        } catch {
            try resume(suspended)
            throw error
        }
    }

    private init(_ source: any DatabaseEndpoint, _ target: any DatabaseEndpoint, _ suspended: [FSDB]) {
        self.source = source
        self.target = target
        self.suspended = suspended
    }

    /// Locks the source for reading and the target for writing.
    mutating func lock(locksSource: Bool, wait: Duration) async throws(DatabaseError) {
        // Once more is a contradiction that no lock would find.
        guard !source.location.overlaps(target.location) else {
            throw DatabaseError(
                .invalidArgument,
                "source \(source.location) and target \(target.location) are the same place, or one lies in "
                    + "the other")
        }
        if locksSource { locks.append(try await source.acquireLock(.database, mode: .shared, wait: wait)) }
        locks.insert(try await target.acquireLock(.database, mode: .exclusive, wait: wait), at: 0)
    }

    /// How a run over them locks what is not locked yet: both databases, as the documented API has it.
    var locking: SyncOptions.Locking { locks.isEmpty ? .whole : .held }

    /// Unlocks, closes, and gives databases of this program their locks back, all of it whatever
    /// happens on the way.
    ///
    /// - Throws: `locked` if somebody else took such a database meanwhile.
    func close() async throws(DatabaseError) {
        for lock in locks { await lock.release() }
        await target.close()
        await source.close()
        try Self.resume(suspended)
    }

    private static func resume(_ databases: [FSDB]) throws(DatabaseError) {
        var failure: DatabaseError?
        for database in databases {
            do throws(DatabaseError) { try database.lock() } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }
}
