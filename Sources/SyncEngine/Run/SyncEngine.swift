import PlantDBCore

/// Moves scans from one endpoint to another: plans, stages, publishes, and tells.
///
/// Knows no kind of location. One value may plan any number of times and run once at a time.
public struct SyncEngine: Sendable {
    public let source: any DatabaseEndpoint
    public let target: any DatabaseEndpoint
    public let options: SyncOptions

    public init(source: any DatabaseEndpoint, target: any DatabaseEndpoint, options: SyncOptions = SyncOptions()) {
        self.source = source
        self.target = target
        self.options = options
    }

    /// What a run would do now. Reads both sides, writes nothing, takes no lock.
    public func plan() async throws(DatabaseError) -> SyncPlan { fatalError() }

    /// Locks both sides, plans, and carries the plan out.
    ///
    /// Never throws: what failed is in the report. Cancelling the task ends the run within
    /// seconds with a valid target: a scan at work is dropped, published scans stay.
    ///
    /// - Parameter onEvent: called in order, one call at a time; must not block for long.
    public func run(runID: RunID, onEvent: @escaping @Sendable (SyncEvent) -> Void = { _ in }) async -> SyncReport {
        fatalError()
    }
}
