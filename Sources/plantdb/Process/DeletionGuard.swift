import PlantDBCore
import SyncEngine

/// Whether a run would refuse a plan because it deletes too much; a dry run says it too.
enum DeletionGuard {
    static func error(for plan: SyncPlan, options: SyncOptions) -> DatabaseError? {
        guard case .delete(let limit) = options.deletion, plan.filesToDelete > 0 else { return nil }
        let allowed: Int
        switch limit {
        case .files(let count): allowed = count
        case .percent(let percent): allowed = Int(Double(plan.targetFileCount) * percent / 100)
        }
        guard plan.filesToDelete > allowed else { return nil }
        return DatabaseError(
            .deletionGuard,
            "a run would refuse this: it deletes \(Sizes.count(plan.filesToDelete, "file")) of the target's "
                + "\(Sizes.grouped(plan.targetFileCount)), and \(Sizes.grouped(allowed)) are allowed; "
                + "raise --max-delete if it is right")
    }
}
