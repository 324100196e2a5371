import Synchronization

/// Counts bytes as they are staged, from any thread. Readers poll it; nobody waits for it.
public final class ByteMeter: Sendable {
    private let count = Atomic<Int64>(0)

    public init() {}

    public func add(_ bytes: Int64) { count.add(bytes, ordering: .relaxed) }

    public var total: Int64 { count.load(ordering: .relaxed) }
}
