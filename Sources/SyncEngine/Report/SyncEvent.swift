import PlantDBCore

/// What happens during a run, as it happens. Delivered in order, one at a time.
public enum SyncEvent: Sendable {
    /// The plan is made; nothing has been changed yet.
    case planned(SyncPlan)
    /// What it waits for: locks, or a server's limit of requests.
    case waiting(String)
    case scanStarted(ScanID, files: Int, bytes: Int64)
    case progress(SyncProgress)
    case retrying(ScanID, attempt: Int, after: Duration, because: DatabaseError)
    case scanFinished(ScanReport)
    case notice(SyncNotice)
}

/// How far a run is. 100 % means that everything is published.
public struct SyncProgress: Sendable, Hashable {
    public var filesPlanned: Int
    public var bytesPlanned: Int64
    /// Staged, not yet visible.
    public var bytesStaged: Int64
    /// Visible at the target.
    public var filesPublished: Int
    public var bytesPublished: Int64
    public var scansPlanned: Int
    public var scansFinished: Int
    public var seconds: Double
    /// Staged bytes a second over the last seconds.
    public var bytesPerSecond: Double
    /// The scans at work.
    public var activeScans: [ScanID]

    public init(
        filesPlanned: Int, bytesPlanned: Int64, bytesStaged: Int64 = 0, filesPublished: Int = 0,
        bytesPublished: Int64 = 0, scansPlanned: Int, scansFinished: Int = 0, seconds: Double = 0,
        bytesPerSecond: Double = 0, activeScans: [ScanID] = []
    ) {
        self.filesPlanned = filesPlanned
        self.bytesPlanned = bytesPlanned
        self.bytesStaged = bytesStaged
        self.filesPublished = filesPublished
        self.bytesPublished = bytesPublished
        self.scansPlanned = scansPlanned
        self.scansFinished = scansFinished
        self.seconds = seconds
        self.bytesPerSecond = bytesPerSecond
        self.activeScans = activeScans
    }

    /// 0 to 1 of the bytes that are visible at the target; 1 only when every scan is done.
    public var fractionPublished: Double { fraction(of: bytesPublished) }
    /// 0 to 1 of the bytes that have been moved, visible or not; 1 only when every scan is done.
    public var fractionStaged: Double { fraction(of: max(bytesStaged, bytesPublished)) }

    private func fraction(of bytes: Int64) -> Double {
        if scansFinished >= scansPlanned { return 1 }
        guard bytesPlanned > 0 else { return Double(scansFinished) / Double(max(1, scansPlanned)) }
        return min(0.999, Double(bytes) / Double(bytesPlanned))
    }

    /// Seconds to go at the present rate; nil while nothing can be said.
    public var secondsRemaining: Double? {
        guard bytesPerSecond > 0, bytesPlanned > bytesStaged else { return nil }
        return Double(bytesPlanned - bytesStaged) / bytesPerSecond
    }
}
