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
        if case .finished(let outcome) = run.state {
            lines.append(
                "moved   \(Sizes.count(outcome.scansPublished, "scan")), "
                    + "\(Sizes.count(outcome.filesMoved, "file")), \(Sizes.bytes(outcome.bytesMoved))")
        }
        guard let report else { return lines }
        let summary = try JSONValue(parsing: report.utf8)
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
        if let deleted = summary["totals"]?["filesDeleted"]?.int, deleted > 0 {
            lines.append("deleted \(Sizes.count(deleted, "file"))")
        }
        for scan in summary["perScan"]?.array ?? [] {
            let name = scan["scan"]?.string ?? "–"
            lines.append("scan    \(name.printable): \((scan["outcome"]?.string ?? "–").printable)")
        }
        for notice in summary["notices"]?.array ?? [] {
            lines.append("note    \((notice["message"]?.string ?? "–").printable)")
        }
        for error in summary["errors"]?.array ?? [] {
            let place = error["scan"]?.string.map { "\($0.printable): " } ?? ""
            let cause = error["cause"]?.string.map { " (\($0.printable))" } ?? ""
            lines.append("error   \(place)\((error["message"]?.string ?? "–").printable)\(cause)")
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
        case .finished(let outcome): "exit \(outcome.exitCode)"
        }
    }
}
