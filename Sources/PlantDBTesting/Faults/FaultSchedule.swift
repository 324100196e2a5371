import PlantDBCore
import Synchronization

/// Counts the calls of a ``FaultyEndpoint`` and says which one is struck by what.
final class FaultSchedule: Sendable {
    private struct State: Sendable {
        /// How many matching calls each fault of the plan has seen.
        var seen: [Int]
        var struck: [FaultPlan.Fault] = []
        var bytesPassed = 0
    }

    private let faults: [FaultPlan.Fault]
    private let state: Mutex<State>

    init(_ plan: FaultPlan) {
        faults = plan.faults
        state = Mutex(State(seen: Array(repeating: 0, count: plan.faults.count)))
    }

    var struck: [FaultPlan.Fault] { state.withLock { $0.struck } }

    /// Counts one call, and returns what strikes it.
    func call(_ site: FaultPlan.Site, scan: ScanID?) -> FaultPlan.Effect? {
        state.withLock { state in
            var effect: FaultPlan.Effect?
            for (index, fault) in faults.enumerated() where fault.site == site {
                if let wanted = fault.scan, wanted != scan { continue }
                if case .cut = fault.effect { continue }
                state.seen[index] += 1
                let since = state.seen[index] - fault.call
                if effect == nil, since >= 0, since < fault.times {
                    effect = fault.effect
                    state.struck.append(fault)
                }
            }
            return effect
        }
    }

    /// Counts bytes that pass; true once they have reached the cut.
    func passes(_ bytes: Int, scan: ScanID) -> Bool {
        state.withLock { state in
            state.bytesPassed += bytes
            for fault in faults {
                guard case .cut(let limit) = fault.effect, fault.scan == nil || fault.scan == scan,
                    state.bytesPassed > limit
                else { continue }
                // A cut connection is whole again for whoever connects anew.
                if state.struck.filter({ $0 == fault }).count < fault.times {
                    state.struck.append(fault)
                    return false
                }
            }
            return true
        }
    }

    static func error(_ code: DatabaseError.Code, at site: FaultPlan.Site, scan: ScanID?) -> DatabaseError {
        DatabaseError(
            code, "injected fault at \(site.rawValue)" + (scan.map { " of scan \($0)" } ?? ""), scan: scan)
    }
}
