import NIOCore
import PlantDBCore
import Synchronization
import Testing

@testable import PlantDBServer

/// What the server holds for peers.
@Suite struct PeerLeaseTests {
    @Test("A commit that is asked for again while it is at work is waited for, and done once")
    func commitAskedAgain() async throws {
        let leases = PeerLeases()
        let transaction = SlowTransaction()
        let id = try await leases.add(
            .init(scan: try ScanID("plant"), transaction: transaction), owner: "anna")
        // The first request was given up on the way.
        let first = Task { () -> DatabaseError? in
            do throws(DatabaseError) {
                try await leases.commit(id, owner: "anna")
                return nil
            } catch { return error }
        }
        while transaction.commits == 0 { try await Task.sleep(for: .milliseconds(2)) }
        first.cancel()
        await leases.dropExpired()
        let stranger = await #expect(throws: DatabaseError.self) {
            try await leases.commit(id, owner: "eve")
        }
        #expect(stranger?.code == .unreachable)
        try await leases.commit(id, owner: "anna")
        try await leases.commit(id, owner: "anna")
        #expect(await first.value == nil)
        #expect(transaction.commits == 1 && transaction.aborts == 0)
        #expect(await leases.transactionCount == 0)
    }

    @Test("A server that stops finishes what it publishes")
    func stopping() async throws {
        let leases = PeerLeases()
        let transaction = SlowTransaction()
        let id = try await leases.add(
            .init(scan: try ScanID("plant"), transaction: transaction), owner: "anna")
        async let committed: Void = leases.commit(id, owner: "anna")
        while transaction.commits == 0 { try await Task.sleep(for: .milliseconds(2)) }
        await leases.dropAll()
        #expect(transaction.aborts == 0)
        try await committed
    }
}

private final class SlowTransaction: ScanTransaction {
    private let counts = Mutex((commits: 0, aborts: 0))

    var commits: Int { counts.withLock { $0.commits } }
    var aborts: Int { counts.withLock { $0.aborts } }

    func receive(_ parts: ScanPartStream, meter: ByteMeter) async throws(DatabaseError) -> ScanManifest {
        throw DatabaseError(.unsupported, "nothing is received here")
    }

    func remove(_ paths: [ScanPath]) async throws(DatabaseError) {}
    func setAttributes(_ entries: [FileEntry]) async throws(DatabaseError) {}

    func commit() async throws(DatabaseError) {
        counts.withLock { $0.commits += 1 }
        do { try await Task.sleep(for: .milliseconds(300)) } catch {
            throw DatabaseError(.cancelled, "the commit was cancelled")
        }
    }

    func abort() async { counts.withLock { $0.aborts += 1 } }
}
