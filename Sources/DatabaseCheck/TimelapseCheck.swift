import PlantDBCore

/// Compares where scans lie with what their metadata says about it (0.16 and later).
struct TimelapseCheck {
    let scans: [ScanSummary]
    /// One a scan.
    let timelapses: [TimelapseClaim?]

    func run(into logs: inout [FindingLog]) {
        var byName: [String: [Int]] = [:]
        var memberCounts: [ScanID: Int] = [:]
        for (position, summary) in scans.enumerated() where summary.kind == .scan {
            byName[summary.scan.name, default: []].append(position)
            if let container = summary.scan.container { memberCounts[container, default: 0] += 1 }
            compare(summary.scan, timelapses[position], log: &logs[position])
        }
        for positions in byName.values where positions.count > 1 {
            for position in positions {
                let others = positions.filter { $0 != position }.map { scans[$0].scan.rawValue }
                logs[position].add(
                    .error, .duplicateScan,
                    "releases 0.16 and later have one name space for all scans, and "
                        + others.joined(separator: ", ")
                        + " has this id too: one hides the other; rename one of them")
            }
        }
        for (position, summary) in scans.enumerated() where summary.kind == .timelapse {
            logs[position].add(
                .warning, .timelapse,
                "it is a timelapse container of 0.16 and later: 0.14 does not see it, and 0.15 takes it "
                    + "for a broken scan and, on a terminal, offers to delete it")
            if memberCounts[summary.scan, default: 0] > 0 {
                logs[position].refuse(
                    [.v016], "it is a timelapse container with scans in it, which these releases cannot open"
                )
            }
        }
    }

    private func compare(_ scan: ScanID, _ claim: TimelapseClaim?, log: inout FindingLog) {
        if claim == .unusable {
            log.add(
                .error, .timelapse, path: ScanPath.scanMetadata.rawValue,
                "the “id” of its “timelapse” is not a text, so 0.16 and later refuse to open the database; "
                    + "correct it")
            log.refuse([.v016], "the id of its timelapse is not a text")
            return
        }
        let advice = "edit “timelapse” in \(ScanPath.scanMetadata), or move the scan"
        switch (scan.container, claim) {
        case (nil, .member(let named)?):
            log.add(
                .error, .timelapse, path: ScanPath.scanMetadata.rawValue,
                "its metadata says that it belongs to the timelapse “\(named.printable)”, and it lies in "
                    + "none; \(advice)")
            log.refuse([.v016], "its metadata names a timelapse in which it does not lie")
        case (let container?, TimelapseClaim.none?):
            log.add(
                .error, .timelapse, path: ScanPath.scanMetadata.rawValue,
                "it lies in the timelapse \(container), and its metadata does not say so; \(advice)")
            log.refuse([.v016], "its metadata does not name the timelapse in which it lies")
        case (let container?, .member(let named)?) where named != container.rawValue:
            log.add(
                .error, .timelapse, path: ScanPath.scanMetadata.rawValue,
                "it lies in the timelapse \(container), and its metadata names "
                    + "“\(named.printable)”; \(advice)")
            log.refuse([.v016], "its metadata names another timelapse than the one in which it lies")
        default: break
        }
    }
}
