import PlantDBCore

/// What goes wrong in a ``FaultyEndpoint``, and when: written by hand, or drawn from a seed.
public struct FaultPlan: Sendable, Hashable {
    /// Where a fault can strike. Calls are counted per site.
    public enum Site: String, Sendable, Hashable, CaseIterable {
        case listing
        case manifest
        /// The call that opens a stream of parts.
        case openParts
        /// The parts that a stream hands out, counted one by one over all streams.
        case part
        case acquireLock
        case beginTransaction
        case receive
        case remove
        case setAttributes
        case commit
        case removeScan
    }

    /// What happens there.
    public enum Effect: Sendable, Hashable {
        /// The call fails, and nothing was done.
        case fail(DatabaseError.Code)
        /// The call does its work, and then fails: the answer was lost.
        case failAfterwards(DatabaseError.Code)
        /// Nothing comes until the task is cancelled.
        case stall
        /// At sites of streams: bytes pass up to and including byte `count` of all streams,
        /// then the connection breaks.
        case cut(afterBytes: Int)
        /// At ``Site/part``: the stream ends there as if it were complete.
        case endEarly
        /// At ``Site/part``: the first byte that passes has one bit flipped. Where the peer
        /// announces a digest, it stays that of the true bytes.
        case corrupt
        /// At ``Site/part``: the file is announced larger (or smaller) than it is.
        case lieAboutSize(by: Int64)
        /// At ``Site/manifest``: the first `count` files are reported as unreadable.
        case hideEntries(count: Int)
        /// At ``Site/manifest``: digests are left out that the peer has promised.
        case withholdDigests
        /// At ``Site/listing``: all scans are missing, as in an unmounted disk.
        case listNothing
    }

    public struct Fault: Sendable, Hashable {
        public var site: Site
        /// The first call at the site that is struck: 1 is the first.
        public var call: Int
        /// How many calls in a row are struck.
        public var times: Int
        /// Only calls about this scan are counted and struck; nil: all.
        public var scan: ScanID?
        public var effect: Effect

        public init(_ site: Site, call: Int = 1, times: Int = 1, scan: ScanID? = nil, _ effect: Effect) {
            self.site = site
            self.call = call
            self.times = times
            self.scan = scan
            self.effect = effect
        }

        /// At every call from `call` on.
        public static func always(_ site: Site, from call: Int = 1, scan: ScanID? = nil, _ effect: Effect)
            -> Fault
        {
            Fault(site, call: call, times: .max, scan: scan, effect)
        }
    }

    public var faults: [Fault]

    public init(_ faults: [Fault] = []) { self.faults = faults }

    /// One to `count` faults of any kind but stalls, equal for equal seeds.
    public static func random(seed: UInt64, count: Int = 3) -> FaultPlan {
        var generator = SplitMix64(seed: seed)
        return FaultPlan(
            (0..<Int.random(in: 1...max(1, count), using: &generator)).map { _ in
                let site = Site.allCases[Int.random(in: 0..<Site.allCases.count, using: &generator)]
                let call = Int.random(in: 1...(site == .part ? 40 : 4), using: &generator)
                return Fault(site, call: call, randomEffect(at: site, using: &generator))
            })
    }

    private static func randomEffect(at site: Site, using generator: inout SplitMix64) -> Effect {
        let codes: [DatabaseError.Code] = [.unreachable, .io, .permissionDenied, .noSpace]
        let code = codes[Int.random(in: 0..<codes.count, using: &generator)]
        let effects: [Effect] =
            switch site {
            case .part:
                [
                    .fail(code), .fail(.sourceChanged), .endEarly, .corrupt, .lieAboutSize(by: 1),
                    .lieAboutSize(by: -1), .cut(afterBytes: Int.random(in: 0..<5000, using: &generator)),
                ]
            case .manifest: [.fail(code), .hideEntries(count: 1)]
            case .listing: [.fail(code), .listNothing]
            case .beginTransaction: [.fail(code), .fail(.conflict), .fail(.locked)]
            case .acquireLock: [.fail(code), .fail(.locked)]
            case .commit: [.fail(code), .fail(.conflict), .failAfterwards(code)]
            case .removeScan: [.fail(code), .failAfterwards(code)]
            case .openParts, .receive, .remove, .setAttributes: [.fail(code)]
            }
        return effects[Int.random(in: 0..<effects.count, using: &generator)]
    }
}
