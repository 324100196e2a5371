import PlantDBCore
import PlantDBTesting
import SyncEngine

/// What the target holds once a plan has been carried out, by the words of its actions.
///
/// - Parameter precision: what the target's file system keeps of times, in nanoseconds.
func applying(_ plan: ScanPlan, source: SampleTree, to target: SampleTree?, precision: Int64 = 1) throws
    -> SampleTree
{
    var result = target ?? SampleTree()
    for item in plan.items {
        let path = plan.entry(of: item).path
        guard var node = source[path] else { continue }
        node.modified.floor(to: precision)
        if item.action.transfersContent || item.action == .createDirectory {
            result.set(path, node)
        } else if item.action == .updateAttributes, var old = result[path] {
            old.modified = node.modified
            old.mode = node.mode
            result.set(path, old)
        }
    }
    for deletion in plan.deletions {
        if deletion.kind == .directory && result.hasChildren(deletion.path) { continue }
        result.remove(deletion.path)
    }
    return result
}
