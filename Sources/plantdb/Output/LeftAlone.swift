import SyncEngine

/// What a run leaves as it is, by name: the first of each kind.
struct LeftAlone: Sendable {
    static let most = 50

    /// Files that differ, `scan/path`.
    var unresolved: [String] = []
    /// Scans that `--where` or `--min-age` leaves out.
    var waiting: [String] = []

    init() {}

    init(_ plan: SyncPlan) {
        let differing = plan.scans.lazy.filter { $0.unresolvedCount > 0 }.flatMap { scan in
            scan.items.lazy.filter { ItemizedLine.marker(of: $0.action) == "!" }
                .map { "\(scan.scan)/\(scan.entry(of: $0).path)" }
        }
        unresolved = Array(differing.prefix(Self.most))
        waiting = Array(
            plan.notices.lazy.filter { $0.kind == .notSelected }.compactMap(\.scan).prefix(Self.most))
    }
}
