import PlantDBCore
import SyncEngine

/// Both sides, scan by scan, as a plan would make them equal.
struct Comparison: Sendable {
    let plan: SyncPlan
    let rows: [ComparisonRow]
    private let positions: [String: Int]

    /// - Parameters:
    ///   - targetOnly: scans that the source does not have.
    ///   - locked: scans that somebody holds, and who.
    init(_ plan: SyncPlan, targetOnly: [ScanID], locked: [ScanID: String]) {
        self.plan = plan
        var rows: [ComparisonRow] = plan.scans.map { scan in
            ComparisonRow(
                scan: scan.scan.rawValue,
                state: !scan.isComplete
                    ? .incomplete
                    : scan.isNew
                        ? .sourceOnly : scan.hasWork || scan.unresolvedCount > 0 ? .different : .same,
                files: scan.hasWork ? scan.source.fileCount : scan.unchangedCount + scan.unresolvedCount,
                moveFiles: scan.filesToTransfer, moveBytes: scan.bytesToTransfer,
                deleteFiles: scan.filesToDelete, unresolved: scan.unresolvedCount,
                message: scan.isComplete ? nil : "parts of it could not be read")
        }
        for failure in plan.failures {
            let isLocked = failure.errors.contains { $0.code == .locked }
            rows.append(
                ComparisonRow(
                    scan: failure.name.printable, state: isLocked ? .locked : .incomplete, files: nil,
                    moveFiles: 0, moveBytes: 0, deleteFiles: 0, unresolved: 0,
                    message: failure.errors.first?.description))
        }
        let removed = Dictionary(uniqueKeysWithValues: plan.removedScans.map { ($0.scan, $0) })
        for scan in targetOnly {
            rows.append(
                ComparisonRow(
                    scan: scan.rawValue, state: .targetOnly, files: removed[scan]?.fileCount, moveFiles: 0,
                    moveBytes: 0, deleteFiles: removed[scan]?.fileCount ?? 0, unresolved: 0, message: nil))
        }
        for index in rows.indices {
            guard let (_, holder) = locked.first(where: { $0.key.rawValue == rows[index].scan }) else {
                continue
            }
            rows[index].state = .locked
            rows[index].message = "locked by \(holder)"
        }
        rows.sort { $0.scan < $1.scan }
        self.rows = rows
        positions = Dictionary(
            plan.scans.enumerated().map { ($1.scan.rawValue, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// What would happen to the files of a scan, the first `limit` of them, and how many there are.
    func files(of scan: String, limit: Int = 5000) -> (rows: [PlanRow], count: Int) {
        guard let position = positions[scan] else { return ([], 0) }
        let plan = plan.scans[position]
        var rows: [PlanRow] = []
        for item in plan.items.prefix(limit) {
            let entry = plan.entry(of: item)
            rows.append(
                PlanRow(
                    path: entry.path.rawValue,
                    action: item.action.isWork ? (item.action.transfersContent ? "copy" : "touch") : "keep",
                    reason: item.action.explanation, size: entry.size))
        }
        for deletion in plan.deletions.prefix(limit) {
            rows.append(
                PlanRow(
                    path: deletion.path.rawValue, action: "delete", reason: "not at the source",
                    size: deletion.size))
        }
        return (rows, plan.items.count + plan.deletions.count)
    }
}
