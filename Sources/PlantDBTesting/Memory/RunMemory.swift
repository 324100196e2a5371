import PlantDBCore
import SyncEngine
import Synchronization

/// What runs remember, in this process only.
public final class RunMemory: PairMemory {
    private let stored = Mutex<[ScanID: ScanMemory]>([:])

    public init() {}

    /// As if runs had brought these scans, and nobody knew which of their files.
    public convenience init(knowing scans: some Sequence<ScanID>) {
        self.init()
        stored.withLock { stored in for scan in scans { stored[scan] = ScanMemory() } }
    }

    public var isEmpty: Bool { stored.withLock { $0.isEmpty } }
    public var scans: [ScanID] { stored.withLock { Array($0.keys) } }
    public func knows(_ scan: ScanID) -> Bool { stored.withLock { $0[scan] != nil } }
    public func recall(_ scan: ScanID) -> ScanMemory? { stored.withLock { $0[scan] } }
    public func remember(_ memory: ScanMemory, of scan: ScanID) { stored.withLock { $0[scan] = memory } }
    public func forget(_ scan: ScanID) { stored.withLock { $0[scan] = nil } }
    public func flush() {}
}
