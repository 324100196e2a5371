import PlantDBCore
import SyncEngine

/// The lines of `plantdb diff A B`, from the plan of making B like A.
///
/// | marker | meaning |
/// | --- | --- |
/// | `<` | only in A |
/// | `>` | only in B |
/// | `!` | in both, and different |
/// | `?` | not compared: a link, a special file, an invalid name, unreadable |
enum DiffLine {
    static func lines(of plan: SyncPlan, _ body: (String) -> Void) {
        for scan in plan.scans { lines(of: scan, body) }
        for removal in plan.removedScans {
            body(
                "> \(removal.scan)/  \(Sizes.bytes(removal.byteCount))  "
                    + "only in B, with \(Sizes.count(removal.fileCount, "file"))")
        }
    }

    private static func lines(of plan: ScanPlan, _ body: (String) -> Void) {
        for item in plan.items {
            guard let (marker, reason) = difference(item.action) else { continue }
            let entry = plan.entry(of: item)
            body(
                ItemizedLine.line(
                    marker, scan: plan.scan, path: entry.path, kind: entry.kind, size: entry.size,
                    reason: reason))
        }
        for deletion in plan.deletions {
            body(
                ItemizedLine.line(
                    ">", scan: plan.scan, path: deletion.path, kind: deletion.kind, size: deletion.size,
                    reason: "only in B"))
        }
        if plan.isOtherScan != nil { body("! \(plan.scan)/  another scan in B") }
        for skipped in plan.skipped { body(ItemizedLine.line(of: skipped, scan: plan.scan)) }
    }

    /// nil where the two are the same as far as `diff` is concerned.
    static func difference(_ action: PlanAction) -> (marker: String, reason: String)? {
        switch action {
        case .createFile, .createDirectory: ("<", "only in A")
        case .replaceSizeDiffers: ("!", "size differs")
        case .replaceSourceNewer: ("!", "same size, newer in A")
        case .replaceContentDiffers: ("!", "content differs")
        case .replaceUnproven: ("!", "cannot be proven equal")
        case .updateAttributes: ("!", "time or mode differs")
        case .merge: ("!", "says something else")
        case .keepTargetNewer, .keepTargetChanged: ("!", "newer in B")
        case .keepMetadata: ("!", "says something else, and is not older in B")
        case .keepSourceDamaged: ("!", "no JSON in A")
        case .keepSourceEmpty: ("!", "empty in A")
        case .keepByOption: ("!", "differs")
        case .keepKindDiffers: ("!", "a file on one side, a directory on the other")
        case .keepUnsupported: ("!", "differs")
        }
    }
}
