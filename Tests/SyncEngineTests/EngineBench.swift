import PlantDBCore
import PlantDBTesting
import SyncEngine
import Synchronization
import Testing

/// Two databases in memory and the faults between them: what the tests of the engine run on.
struct EngineBench: Sendable {
    let source: MemoryDatabase
    let target: MemoryDatabase
    var sourceFaults = FaultPlan()
    var targetFaults = FaultPlan()
    var sourceCapabilities = EndpointCapabilities(concurrentScans: 2...8)
    var targetCapabilities = EndpointCapabilities(concurrentScans: 2...8)
    var options = SyncOptions()
    /// Knows that the scans of both names are one; nil: nothing is remembered.
    var memory: RunMemory?

    init(
        _ source: SampleDatabase, into target: SampleDatabase = SampleDatabase(),
        targetFoldsNames: Bool = false
    ) {
        self.source = MemoryDatabase(source)
        self.target = MemoryDatabase(target, foldsNames: targetFoldsNames)
        options.retries = 0
        options.retryDelay = .milliseconds(1)
        options.deletesUnknown = true
        memory = RunMemory(knowing: target.scans.keys)
    }

    /// New connections, with the faults of this moment.
    func engine() -> SyncEngine {
        SyncEngine(
            source: FaultyEndpoint(
                MemoryEndpoint(source, name: "source", capabilities: sourceCapabilities, chunkSize: 256),
                sourceFaults),
            target: FaultyEndpoint(
                MemoryEndpoint(target, name: "target", capabilities: targetCapabilities), targetFaults),
            options: options, memory: memory)
    }

    func run(_ onEvent: @escaping @Sendable (SyncEvent) -> Void = { _ in }) async -> SyncReport {
        await engine().run(runID: RunID(rawValue: "run-1"), onEvent: onEvent)
    }

    /// The same command again, without faults.
    func runAgain() async -> SyncReport {
        var calm = self
        calm.sourceFaults = FaultPlan()
        calm.targetFaults = FaultPlan()
        return await calm.run()
    }

    /// That no lock and no staging is left on either side.
    func expectNoDebris(_ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(target.openTransactionCount == 0, comment, sourceLocation: sourceLocation)
        #expect(target.heldLockCount == 0, comment, sourceLocation: sourceLocation)
        #expect(source.heldLockCount == 0, comment, sourceLocation: sourceLocation)
    }

    /// That the same command, run without faults, makes the target what the source is, and
    /// that the run after it moves nothing.
    func expectRecovery(_ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation) async {
        let second = await runAgain()
        #expect(second.errors.isEmpty, comment, sourceLocation: sourceLocation)
        #expect(target.content == source.content, comment, sourceLocation: sourceLocation)
        let third = await runAgain()
        #expect(third.totals.bytesMoved == 0, comment, sourceLocation: sourceLocation)
        #expect(third.scansPublished == 0, comment, sourceLocation: sourceLocation)
    }
}

/// The events of a run, in order.
final class EventLog: Sendable {
    private let stored = Mutex<[SyncEvent]>([])

    var events: [SyncEvent] { stored.withLock { $0 } }

    func record(_ event: SyncEvent) { stored.withLock { $0.append(event) } }

    var progress: [SyncProgress] {
        events.compactMap { if case .progress(let progress) = $0 { progress } else { nil } }
    }

    var retries: Int {
        events.reduce(0) { count, event in if case .retrying = event { count + 1 } else { count } }
    }
}

extension SyncReport {
    var codes: Set<DatabaseError.Code> { Set(errors.map(\.code)) }

    func outcome(of scan: String) -> ScanReport.Outcome? {
        scans.first { $0.scan?.rawValue == scan }?.outcome
    }
}

extension SyncOptions {
    /// Deletion without a guard.
    static var mirroring: SyncOptions {
        var options = SyncOptions()
        options.retries = 0
        options.deletion = .delete(limit: .percent(100))
        options.deletesUnknown = true
        return options
    }
}
