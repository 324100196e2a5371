import PlantDBCore

/// An endpoint that fails, cuts, stalls and lies as its ``FaultPlan`` says, and otherwise
/// does what the endpoint does that it is wrapped around.
///
/// It offers no fast path, so that every byte passes where faults can strike.
public final class FaultyEndpoint: DatabaseEndpoint {
    public let wrapped: any DatabaseEndpoint
    private let schedule: FaultSchedule

    public init(_ wrapped: any DatabaseEndpoint, _ plan: FaultPlan) {
        self.wrapped = wrapped
        schedule = FaultSchedule(plan)
    }

    public convenience init(_ wrapped: any DatabaseEndpoint, _ faults: FaultPlan.Fault...) {
        self.init(wrapped, FaultPlan(faults))
    }

    /// The faults that have struck, in that order.
    public var struck: [FaultPlan.Fault] { schedule.struck }

    public var location: DatabaseLocation { wrapped.location }
    public var capabilities: EndpointCapabilities { wrapped.capabilities }

    public func listing() async throws(DatabaseError) -> DatabaseListing {
        try await struck(.listing, scan: nil) { (effect) async throws(DatabaseError) in
            let listing = try await wrapped.listing()
            return effect == .listNothing ? DatabaseListing(scans: []) : listing
        }
    }

    public func manifest(of scan: ScanID, detail: ManifestDetail) async throws(DatabaseError)
        -> ScanManifest?
    {
        try await struck(.manifest, scan: scan) { (effect) async throws(DatabaseError) in
            guard let manifest = try await wrapped.manifest(of: scan, detail: detail) else { return nil }
            switch effect {
            case .hideEntries(let count): return try manifest.hidingFiles(count)
            case .withholdDigests: return try manifest.withoutDigests()
            default: return manifest
            }
        }
    }

    public func parts(of selection: EntrySelection) async throws(DatabaseError) -> ScanPartStream {
        let stream = try await struck(.openParts, scan: selection.scan) { (_) async throws(DatabaseError) in
            try await wrapped.parts(of: selection)
        }
        let parts = FaultyParts(stream, scan: selection.scan, schedule: schedule)
        return ScanPartStream { () async throws(DatabaseError) in try await parts.next() }
    }

    public func acquireLock(_ scope: LockScope, mode: LockMode, wait: Duration) async throws(DatabaseError)
        -> any DatabaseLock
    {
        try await struck(.acquireLock, scan: nil) { (_) async throws(DatabaseError) in
            try await wrapped.acquireLock(scope, mode: mode, wait: wait)
        }
    }

    public func beginTransaction(
        on scan: ScanID, replacing base: ScanRevision?, options: TransactionOptions
    ) async throws(DatabaseError) -> any ScanTransaction {
        let transaction = try await struck(.beginTransaction, scan: scan) {
            (_) async throws(DatabaseError) in
            try await wrapped.beginTransaction(on: scan, replacing: base, options: options)
        }
        return FaultyTransaction(transaction, scan: scan, endpoint: self)
    }

    public func removeScan(_ scan: ScanID, replacing base: ScanRevision, options: TransactionOptions)
        async throws(DatabaseError)
    {
        try await struck(.removeScan, scan: scan) { (_) async throws(DatabaseError) in
            try await wrapped.removeScan(scan, replacing: base, options: options)
        }
    }

    public func availableBytes() async throws(DatabaseError) -> Int64? { try await wrapped.availableBytes() }

    public func currentTime() async throws(DatabaseError) -> ModificationTime? {
        try await wrapped.currentTime()
    }

    public func admit(_ scan: ScanManifest, from source: any ScanSource) async throws(DatabaseError) {
        try await wrapped.admit(scan, from: source)
    }

    public func canChange(_ entry: FileEntry) -> Bool { wrapped.canChange(entry) }

    public func finds(_ paths: [ScanPath], in scan: ScanID) async throws(DatabaseError) -> [Bool] {
        try await wrapped.finds(paths, in: scan)
    }

    public func tellWaits(to listener: @escaping @Sendable (String) -> Void) {
        wrapped.tellWaits(to: listener)
    }

    public func close() async { await wrapped.close() }

    /// Counts a call, and does what strikes it; effects that change the answer are left to
    /// `call`.
    func struck<Answer: Sendable>(
        _ site: FaultPlan.Site, scan: ScanID?,
        _ call: (FaultPlan.Effect?) async throws(DatabaseError) -> Answer
    ) async throws(DatabaseError) -> Answer {
        let effect = schedule.call(site, scan: scan)
        switch effect {
        case .fail(let code): throw FaultSchedule.error(code, at: site, scan: scan)
        case .stall: try await stallUntilCancelled(while: "waiting for a stalled \(site.rawValue)")
        default: break
        }
        let answer = try await call(effect)
        if case .failAfterwards(let code) = effect {
            throw FaultSchedule.error(code, at: site, scan: scan)
        }
        return answer
    }
}

extension ScanManifest {
    fileprivate func hidingFiles(_ count: Int) throws(DatabaseError) -> ScanManifest {
        let hidden = Set(filter { $0.kind == .file }.prefix(count).map(\.path))
        return try ScanManifest(
            scan: scan, entries: filter { !hidden.contains($0.path) },
            skipped: skipped
                + hidden.sorted().map {
                    SkippedEntry(path: $0.rawValue, reason: .unreadable, detail: "injected fault")
                })
    }

    fileprivate func withoutDigests() throws(DatabaseError) -> ScanManifest {
        try ScanManifest(
            scan: scan,
            entries: map { entry in
                var entry = entry
                entry.digest = nil
                return entry
            }, skipped: skipped)
    }
}
