import PlantDBCore
import Synchronization

/// Moves scans from one endpoint to another: plans, stages, publishes, and tells.
///
/// Knows no kind of location. One value may plan any number of times and run once at a time.
public struct SyncEngine: Sendable {
    public let source: any DatabaseEndpoint
    public let target: any DatabaseEndpoint
    public let options: SyncOptions
    /// What runs of this pair remember; nil: nothing, so that what nobody can know to have been brought
    /// is kept in the trash where it is deleted, and differences are told each time.
    public let memory: (any PairMemory)?

    public init(
        source: any DatabaseEndpoint, target: any DatabaseEndpoint, options: SyncOptions = SyncOptions(),
        memory: (any PairMemory)? = nil
    ) {
        self.source = source
        self.target = target
        self.options = options
        self.memory = memory
    }

    /// A listing of the source that is older is made again once the locks are there.
    private static let freshness = Duration.seconds(2)

    private func planMaker(at now: ModificationTime = WallClock.now) -> PlanMaker {
        PlanMaker(source: source, target: target, options: options, now: now, memory: memory)
    }

    /// Plans by the clock that dates the source's files, where `--min-age` asks how old they are.
    private func plan(_ listing: DatabaseListing, _ selected: [ScanSummary]) async throws(DatabaseError) -> (
        SyncPlan, PlanMaker
    ) {
        guard options.selection.minimumAge != nil else {
            return (try await planMaker().plan(listing, selected), planMaker())
        }
        let there = try await source.currentTime()
        let planMaker = planMaker(at: there ?? WallClock.now)
        var plan = try await planMaker.plan(listing, selected)
        if there == nil {
            plan.notices.append(
                SyncNotice(
                    kind: .weakerGuarantee, scan: nil,
                    message:
                        "\(source.location) does not tell the time of its machine: --min-age counts by the "
                        + "clock of this one, and is wrong by as much as they differ"))
        }
        return (plan, planMaker)
    }

    /// What a run would do now. Reads both sides, writes nothing, takes no lock.
    ///
    /// - Throws: `invalidArgument` if the two sides are one place or lie in one another;
    ///   `emptySource`; `notFound` for scans that were asked for by name; what listing a side
    ///   throws; `cancelled`. What fails for one scan is in the plan instead.
    public func plan() async throws(DatabaseError) -> SyncPlan {
        try refuseOverlap()
        let (listing, selected) = try await planMaker().selectedScans()
        return try await plan(listing, selected).0
    }

    /// Locks both sides as ``SyncOptions/locking`` says, plans, and carries the plan out.
    ///
    /// Never throws: what failed is in the report. Cancelling the task ends the run within
    /// seconds with a valid target: a scan at work is dropped, published scans stay.
    ///
    /// - Parameter onEvent: called in order, one call at a time; must not block for long.
    public func run(
        runID: RunID = .make(), onEvent: @escaping @Sendable (SyncEvent) -> Void = { _ in }
    ) async -> SyncReport {
        let clock = ContinuousClock()
        let start = clock.now
        let sink = EventSink(onEvent)
        for side in [source, target] { side.tellWaits { sink.send(.waiting($0)) } }
        var report = SyncReport(runID: runID)
        do throws(DatabaseError) {
            try await locked(sink) { listing, selected throws(DatabaseError) in
                let (plan, planMaker) = try await plan(listing, selected)
                report.notices = plan.notices
                sink.send(.planned(plan))
                if let refusal = plan.deletionRefusal(options) { throw refusal }
                try await guardSpace(plan)
                let run = PlanRun(
                    plan: plan,
                    transfer: ScanTransfer(source: source, target: target, options: options, runID: runID),
                    planMaker: planMaker, sink: sink)
                await run.execute(into: &report)
            }
        } catch { report.error = error }
        do throws(DatabaseError) { try memory?.flush() } catch {
            sink.send(
                .notice(
                    SyncNotice(
                        kind: .weakerGuarantee, scan: nil,
                        message: "what was brought is not remembered: \(error.description)")))
        }
        report.seconds = (clock.now - start) / .seconds(1)
        return report
    }

    private func refuseOverlap() throws(DatabaseError) {
        guard !source.location.overlaps(target.location) else {
            throw DatabaseError(
                .invalidArgument,
                "source \(source.location) and target \(target.location) are the same place, or one lies in "
                    + "the other; nothing was changed")
        }
    }

    /// Runs `body` with both sides locked, and unlocks whatever happens. The source is looked
    /// at before the target is touched.
    ///
    /// - Parameter body: gets what the source has of what was asked for.
    private func locked(
        _ sink: EventSink,
        _ body: (DatabaseListing, [ScanSummary]) async throws(DatabaseError) -> Void
    ) async throws(DatabaseError) {
        try refuseOverlap()
        let looked = ContinuousClock.now
        // Before anything is locked: a source that is empty, or was mistyped, is left as it is.
        var (listing, selected) = try await planMaker().selectedScans()
        let locks = try await acquireLocks(sink)
        let outcome: Result<Void, DatabaseError>
        do throws(DatabaseError) {
            // Whoever held the target may have brought scans to both sides: they must not be taken for
            // scans that only the target has.
            if options.deletion != .never || ContinuousClock.now - looked > Self.freshness {
                (listing, selected) = try await planMaker().selectedScans()
            }
            try await body(listing, selected)
            outcome = .success(())
        } catch { outcome = .failure(error) }
        for lock in locks { await lock.release() }
        try outcome.get()
    }

    /// - Returns: the last one that was taken first.
    private func acquireLocks(_ sink: EventSink) async throws(DatabaseError) -> [any DatabaseLock] {
        let wanted: [(endpoint: any DatabaseEndpoint, scope: LockScope, mode: LockMode)] =
            switch options.locking {
            case .held: []
            case .publication:
                (options.locksSource ? [(source, .run, .shared)] : []) + [(target, .run, .exclusive)]
            case .whole:
                (options.locksSource ? [(source, .database, .shared)] : [])
                    + [(target, .database, .exclusive)]
            }
        if options.lockWait > .zero, !wanted.isEmpty {
            sink.send(.waiting("for the locks of both databases"))
        }
        var locks: [any DatabaseLock] = []
        do throws(DatabaseError) {
            for (endpoint, scope, mode) in wanted {
                locks.insert(
                    try await endpoint.acquireLock(scope, mode: mode, wait: options.lockWait), at: 0)
            }
        } catch {
            for lock in locks { await lock.release() }
            throw error
        }
        return locks
    }

    private func guardSpace(_ plan: SyncPlan) async throws(DatabaseError) {
        guard let available = try await target.availableBytes(), plan.bytesToTransfer > available else {
            return
        }
        throw DatabaseError(
            .noSpace,
            "the target \(target.location) has \(available) bytes free, and the run needs "
                + "\(plan.bytesToTransfer); no scan was changed. Free some space, or choose fewer scans")
    }
}

/// Delivers events one at a time, from whatever task they come.
final class EventSink: Sendable {
    private let deliver: Mutex<@Sendable (SyncEvent) -> Void>

    init(_ deliver: @escaping @Sendable (SyncEvent) -> Void) { self.deliver = Mutex(deliver) }

    func send(_ event: SyncEvent) { deliver.withLock { $0(event) } }
}
