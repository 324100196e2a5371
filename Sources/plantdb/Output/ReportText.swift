import PlantDBCore
import SyncEngine

/// The report at the end of a run, as text.
enum ReportText {
    /// - Parameter verbose: a line for every scan that had work, not only for those that failed.
    static func lines(_ report: SyncReport, verbose: Bool) -> [String] {
        // A run that did not begin has no totals.
        var lines = report.error != nil && report.scans.isEmpty ? [] : totals(report)
        for scan in report.scans where scan.outcome.isFailure || (verbose && scan.hasSomethingToSay) {
            lines.append(line(of: scan))
        }
        lines += skipped(report)
        return lines
    }

    private static func totals(_ report: SyncReport) -> [String] {
        let totals = report.totals
        func scans(_ outcome: ScanReport.Outcome) -> Int {
            report.scans.reduce(0) { $0 + ($1.outcome == outcome ? 1 : 0) }
        }
        let scanCounts: [(String, Int)] = [
            ("created", scans(.created)), ("updated", scans(.updated)), ("removed", scans(.removed)),
            ("unchanged", report.scansUnchanged), ("failed", scans(.failed)),
            ("not done", scans(.notDone)), ("left alone", report.notices.scansLeftAlone),
        ]
        let fileCounts: [(String, Int)] = [
            ("moved", totals.filesMoved), ("unchanged", totals.filesUnchanged),
            ("deleted", totals.filesDeleted), ("attributes only", totals.filesTouched),
            ("kept as asked", totals.filesKept), ("unresolved", totals.filesUnresolved),
            ("different as told before", totals.filesToldBefore), ("skipped", totals.filesSkipped),
            ("failed", totals.filesFailed),
        ]
        let always: Set<String> = ["created", "updated", "unchanged", "failed", "moved", "deleted"]
        var table = TextTable([.left, .left])
        table.add("Scans", row(scanCounts, always: always))
        table.add("Files", row(fileCounts, always: always))
        table.add(
            "Bytes",
            "\(Sizes.bytes(totals.bytesMoved)) moved in \(Durations.text(seconds: report.seconds))"
                + (totals.bytesMoved > 0 ? ", \(Sizes.rate(report.bytesPerSecond))" : ""))
        if totals.filesetsOfTarget > 0 {
            table.add(
                "Target",
                "also has \(Sizes.count(totals.filesetsOfTarget, "fileset")) that the source has not "
                    + "(\(Sizes.bytes(totals.bytesOfTarget)))")
        }
        return table.lines
    }

    private static func row(_ counts: [(String, Int)], always: Set<String>) -> String {
        counts.filter { always.contains($0.0) || $0.1 != 0 }
            .map { "\(Sizes.grouped($0.1)) \($0.0)" }.joined(separator: ", ")
    }

    /// `scan1: updated, 3 files moved (4.6 MB), 57 unchanged, 0.4 s`.
    static func line(of report: ScanReport) -> String {
        let counts = report.counts
        var parts = [report.outcome == .notDone ? "not done" : report.outcome.rawValue]
        if counts.filesMoved > 0 {
            parts.append(
                "\(Sizes.count(counts.filesMoved, "file")) moved (\(Sizes.bytes(counts.bytesMoved)))")
        }
        let rest: [(Int, String)] = [
            (counts.filesUnchanged, "unchanged"), (counts.filesTouched, "attributes only"),
            (counts.filesDeleted, "deleted"), (counts.filesKept, "kept as asked"),
            (counts.filesUnresolved, "unresolved"), (counts.filesToldBefore, "different as told before"),
            (counts.filesSkipped, "skipped"),
            (counts.filesFailed, "failed"),
        ]
        for (count, name) in rest where count > 0 { parts.append("\(Sizes.grouped(count)) \(name)") }
        parts.append(Durations.text(seconds: report.seconds))
        return "\(report.name.printable): " + parts.joined(separator: ", ")
    }

    /// What was not carried, however quiet the run: nobody should find it missing later.
    private static func skipped(_ report: SyncReport) -> [String] {
        let limit = 20
        var lines: [String] = []
        var hidden = 0
        for scan in report.scans {
            for entry in scan.skipped {
                if lines.count < limit {
                    lines.append(ItemizedLine.line(of: entry, scan: scan.scan))
                } else {
                    hidden += 1
                }
            }
        }
        if hidden > 0 { lines.append("? … and \(Sizes.grouped(hidden)) more; -i lists them all") }
        return lines
    }

    /// Every error of the run, with its place and what lay beneath, for stderr.
    static func errorLines(_ report: SyncReport) -> [String] {
        var lines: [String] = []
        if let error = report.error { lines.append(line(of: error)) }
        for scan in report.scans {
            for error in scan.errors { lines.append(line(of: error.locating(scan: scan.scan))) }
        }
        return lines
    }

    /// `error: scan1/images/0001.jpg: message (cause)`; the place only where the message does
    /// not name it.
    static func line(of error: DatabaseError) -> String {
        let names = [error.scan?.rawValue, error.path?.printable].compactMap(\.self)
        let isNamed = names.allSatisfy { error.message.printable.contains($0) }
        let place = isNamed ? "" : names.joined(separator: "/") + ": "
        return "error: \(place)\(error.description.printable)"
    }

    /// What to do about differences that the run left, and that no option asked it to leave.
    static func unresolvedLine(_ count: Int) -> String {
        "\(Sizes.count(count, "file")) still \(count == 1 ? "differs" : "differ") and "
            + "\(count == 1 ? "was" : "were") left alone (-i says why, and what settles it)"
    }

    /// What a dry run found, in two lines.
    static func summary(of plan: SyncPlan, verbose: Bool) -> [String] {
        let created = plan.scans.reduce(0) { $0 + ($1.isNew ? 1 : 0) }
        let updated = plan.scans.reduce(0) { $0 + (!$1.isNew && $1.hasWork ? 1 : 0) }
        let unresolved = plan.scans.reduce(0) { $0 + $1.unresolvedCount }
        var parts = [
            "\(Sizes.count(created, "scan")) to create", "\(Sizes.grouped(updated)) to update",
            "\(Sizes.count(plan.filesToTransfer, "file")) to move (\(Sizes.bytes(plan.bytesToTransfer)))",
        ]
        if !plan.removedScans.isEmpty {
            parts.insert("\(Sizes.grouped(plan.removedScans.count)) to remove", at: 2)
        }
        if plan.filesToDelete > 0 { parts.append("\(Sizes.count(plan.filesToDelete, "file")) to delete") }
        if unresolved > 0 { parts.append("\(Sizes.grouped(unresolved)) unresolved") }
        if !plan.failures.isEmpty { parts.append("\(Sizes.count(plan.failures.count, "scan")) failed") }
        let leftAlone = plan.notices.scansLeftAlone
        if leftAlone > 0 {
            parts.append("\(Sizes.grouped(leftAlone)) left alone" + (verbose ? "" : " (-v says why)"))
        }
        return ["Plan   " + parts.joined(separator: ", ")]
    }

    /// A line for each scan that a run would touch, for a dry run without the itemised list.
    static func scanLines(of plan: SyncPlan) -> [String] {
        var lines: [String] = []
        for scan in plan.scans where scan.hasWork || scan.unresolvedCount > 0 {
            if scan.isOtherScan != nil {
                lines.append("! \(scan.scan)  the target has another scan of this name")
                continue
            }
            var parts: [String] = scan.isNew ? ["new"] : []
            if scan.filesToTransfer > 0 {
                parts.append(
                    "\(Sizes.count(scan.filesToTransfer, "file")) to move (\(Sizes.bytes(scan.bytesToTransfer)))"
                )
            }
            let touched = scan.items.reduce(0) { $0 + ($1.action == .updateAttributes ? 1 : 0) }
            if touched > 0 { parts.append("\(Sizes.grouped(touched)) attributes only") }
            if scan.filesToDelete > 0 { parts.append("\(Sizes.grouped(scan.filesToDelete)) to delete") }
            if scan.unresolvedCount > 0 { parts.append("\(Sizes.grouped(scan.unresolvedCount)) unresolved") }
            let marker = scan.isNew ? "+" : scan.hasWork ? "~" : "!"
            lines.append(
                "\(marker) \(scan.scan)  \(parts.isEmpty ? "directories only" : parts.joined(separator: ", "))"
            )
        }
        return lines + plan.removedScans.map(ItemizedLine.line(of:))
    }
}

extension [SyncNotice] {
    /// By `--min-age` or `--where`.
    fileprivate var scansLeftAlone: Int {
        reduce(0) { $0 + ($1.kind == .notSelected && $1.scan != nil ? 1 : 0) }
    }
}
