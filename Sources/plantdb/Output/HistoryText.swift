import PlantDBCore
import SyncHistory

/// What `plantdb history` prints.
enum HistoryText {
    /// One line a run.
    static func lines(_ runs: [RecordedRun]) -> [String] {
        var table = TextTable([.left, .left, .left, .right, .right, .left])
        for run in runs {
            var took = ""
            var moved = ""
            if let seconds = run.seconds { took = Durations.text(seconds: seconds) }
            if case .finished(let outcome) = run.state { moved = Sizes.bytes(outcome.bytesMoved) }
            table.add(
                run.run.rawValue.printable, CalendarText.local(run.begun), word(for: run.state), took, moved,
                "\(run.source.printable) → \(run.target.printable)")
        }
        return table.lines
    }

    /// One run at length.
    ///
    /// - Throws: ``DatabaseError/Code/invalidData`` for a report that is no JSON.
    static func lines(_ run: RecordedRun, report: String?) throws(DatabaseError) -> [String] {
        var lines = [
            "run     \(run.run.rawValue.printable)",
            "source  \(run.source.printable)",
            "target  \(run.target.printable)",
            "begun   \(CalendarText.local(run.begun))",
        ]
        if let ended = run.ended, let seconds = run.seconds {
            lines.append("ended   \(CalendarText.local(ended)), after \(Durations.text(seconds: seconds))")
        }
        lines.append("state   \(word(for: run.state))")
        let summary = try report.map { (report) throws(DatabaseError) in try JSONValue(parsing: report.utf8) }
        if case .finished(let outcome) = run.state {
            let removed = summary?["scans"]?["removed"]?.int ?? 0
            lines.append(
                "moved   \(Sizes.count(max(0, outcome.scansPublished - removed), "scan")), "
                    + "\(Sizes.count(outcome.filesMoved, "file")), \(Sizes.bytes(outcome.bytesMoved))")
            if removed > 0 { lines.append("removed \(Sizes.count(removed, "scan"))") }
        }
        guard let summary else { return lines }
        if let alone = summary["scans"]?["notSelected"]?.int, alone > 0 {
            lines.append(
                "alone   \(Sizes.count(alone, "scan")) that --where or --min-age left out "
                    + "(the same command with -n -v names \(alone == 1 ? "it" : "them"))")
        }
        if let left = summary["totals"]?["filesUnresolved"]?.int, left > 0 {
            lines.append(
                "left    \(Sizes.count(left, "file")) that \(left == 1 ? "differs" : "differ") "
                    + "(the same command with -n -i lists \(left == 1 ? "it" : "them"))")
        }
        for file in summary["unresolved"]?.array ?? [] {
            lines.append("differs \((file.string ?? "–").printable)")
        }
        for scan in summary["waiting"]?.array ?? [] {
            lines.append("waits   \((scan.string ?? "–").printable)")
        }
        if let deleted = summary["totals"]?["filesDeleted"]?.int, deleted > 0 {
            lines.append("deleted \(Sizes.count(deleted, "file"))")
        }
        for scan in summary["perScan"]?.array ?? [] {
            let name = scan["scan"]?.string ?? scan["errors"]?.array?.first?["path"]?.string ?? "–"
            lines.append("scan    \(name.printable): \((scan["outcome"]?.string ?? "–").printable)")
        }
        for notice in summary["notices"]?.array ?? [] {
            lines.append("note    \((notice["message"]?.string ?? "–").printable)")
        }
        for error in summary["errors"]?.array ?? [] {
            let message = error["message"]?.string ?? "–"
            // Each is said once, whichever release wrote it.
            let place = error["scan"]?.string.map { message.contains($0) ? "" : "\($0.printable): " } ?? ""
            let cause = error["cause"]?.string.map { message.contains($0) ? "" : " (\($0.printable))" } ?? ""
            lines.append("error   \(place)\(message.printable)\(cause)")
        }
        return lines
    }

    static func json(of run: RecordedRun) -> JSONValue {
        var object = JSONObject([
            ("schema", "plantdb.history/1"), ("run", .string(run.run.rawValue)),
            ("source", .string(run.source)), ("target", .string(run.target)),
            ("begun", .string(CalendarText.utc(run.begun))),
            ("ended", .optional(run.ended.map(CalendarText.utc))),
        ])
        switch run.state {
        case .running: object["state"] = "running"
        case .unfinished: object["state"] = "unfinished"
        case .finished(let outcome):
            object["state"] = "finished"
            object["exitCode"] = .number(Int(outcome.exitCode))
            object["scansPublished"] = .number(outcome.scansPublished)
            object["filesMoved"] = .number(outcome.filesMoved)
            object["bytesMoved"] = .number(outcome.bytesMoved)
        }
        return .object(object)
    }

    private static func word(for state: RecordedRun.State) -> String {
        switch state {
        case .running: "running"
        case .unfinished: "unfinished"
        case .finished(let outcome) where outcome.exitCode == 0: "done"
        case .finished(let outcome):
            "\(ExitStatus(code: outcome.exitCode).words) (exit \(outcome.exitCode))"
        }
    }
}
