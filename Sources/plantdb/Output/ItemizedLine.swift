import PlantDBCore
import SyncEngine

/// The itemised list of a plan: one line an entry, `marker path  size  reason`.
///
/// A dry run and a real run print what this makes of the same plan, so their lines are equal.
///
/// | marker | meaning |
/// | --- | --- |
/// | `+` | new at the target |
/// | `~` | replaced |
/// | `t` | time or mode made equal, no byte moves |
/// | `-` | deleted |
/// | `!` | different, and left alone although no option asked for it |
/// | `=` | left alone because an option asked for it, or equal (shown with `-v` only) |
/// | `?` | not carried: a link, a special file, an invalid name, unreadable |
enum ItemizedLine {
    /// Every line of a plan, in the order of the plan.
    ///
    /// - Parameter showsEqual: also what is left alone as asked, and how many files are equal.
    static func lines(of plan: SyncPlan, showsEqual: Bool, _ body: (String) -> Void) {
        for scan in plan.scans { lines(of: scan, showsEqual: showsEqual, body) }
        for removal in plan.removedScans { body(line(of: removal)) }
        for held in plan.heldScans {
            body(
                "! \(held.scan)/  \(Sizes.bytes(held.byteCount))  only at the target, with what no run brought; "
                    + "left alone")
        }
    }

    static func lines(of plan: ScanPlan, showsEqual: Bool, _ body: (String) -> Void) {
        for item in plan.items {
            let marker = marker(of: item.action)
            if marker == "=" && !showsEqual { continue }
            body(
                line(
                    marker, plan.entry(of: item), item.action, scan: plan.scan,
                    isTold: plan.toldBefore.contains(item.position)))
        }
        for deletion in plan.deletions { body(line(of: deletion, scan: plan.scan)) }
        for held in plan.heldDeletions {
            body(
                line(
                    "!", scan: plan.scan, path: held.path, kind: held.kind, size: held.size,
                    reason: "only at the target, and no run brought it; left alone"
                        + (held.isTold ? "; told before" : "")))
        }
        if plan.isOtherScan != nil {
            body("! \(plan.scan)/  the target has another scan of this name; left alone")
        }
        for skipped in plan.skipped { body(line(of: skipped, scan: plan.scan)) }
        if showsEqual && plan.unchangedCount > 0 {
            body("= \(plan.scan)  \(Sizes.count(plan.unchangedCount, "file")) equal")
        }
    }

    static func marker(of action: PlanAction) -> String {
        switch action {
        case .createFile, .createDirectory: "+"
        case .replaceSizeDiffers, .replaceSourceNewer, .replaceContentDiffers, .replaceUnproven, .merge: "~"
        case .updateAttributes: "t"
        case .keepTargetNewer, .keepTargetChanged, .keepMetadata, .keepSourceDamaged, .keepSourceEmpty,
            .keepKindDiffers, .keepUnsupported:
            "!"
        case .keepByOption: "="
        }
    }

    private static func line(
        _ marker: String, _ entry: FileEntry, _ action: PlanAction, scan: ScanID, isTold: Bool
    ) -> String {
        line(
            marker, scan: scan, path: entry.path, kind: entry.kind, size: entry.size,
            reason: action.explanation + (isTold ? "; told before" : ""))
    }

    static func line(of deletion: ScanPlan.Deletion, scan: ScanID) -> String {
        line(
            "-", scan: scan, path: deletion.path, kind: deletion.kind, size: deletion.size, reason: "deleted")
    }

    static func line(of removal: ScanRemoval) -> String {
        "- \(removal.scan)/  \(Sizes.bytes(removal.byteCount))  "
            + "deleted with \(Sizes.count(removal.fileCount, "file"))"
    }

    static func line(of skipped: SkippedEntry, scan: ScanID?) -> String {
        let place = scan.map { "\($0)/" } ?? ""
        return "? \(place)\(skipped.path.printable)  \(reason(of: skipped))"
    }

    /// `skipped: symbolic link`, with the peer's words where there are any.
    static func reason(of skipped: SkippedEntry) -> String {
        let reason =
            switch skipped.reason {
            case .symbolicLink: "skipped: symbolic link"
            case .specialFile: "skipped: special file"
            case .invalidName: "skipped: invalid name"
            case .unreadable: "cannot be read"
            case .notAScan: "skipped: not a scan"
            }
        guard let detail = skipped.detail else { return reason }
        return "\(reason) (\(detail.printable))"
    }

    static func line(
        _ marker: String, scan: ScanID, path: ScanPath, kind: FileEntry.Kind, size: Int64, reason: String
    ) -> String {
        let name = "\(marker) \(scan)/\(path.rawValue.printable)"
        return switch kind {
        case .directory: "\(name)/  \(reason)"
        case .file: "\(name)  \(Sizes.bytes(size))  \(reason)"
        }
    }
}
