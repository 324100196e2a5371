import PlantDBCore
import SyncEngine

/// The report of a job, to download.
struct ReportDocument: Codable, Sendable {
    struct Scan: Codable, Sendable {
        var scan: String
        var outcome: String
        var counts: ScanCounts
        var errors: [String]
        var seconds: Double
    }

    var schema = "plantdb.app-report/1"
    var run: String
    var job: JobSummary
    var totals: ScanCounts
    var scansUnchanged: Int
    var seconds: Double
    var errors: [String]
    var notices: [String]
    var scans: [Scan]

    init(_ job: JobSummary, _ report: SyncReport) {
        run = report.runID.rawValue
        self.job = job
        totals = report.totals
        scansUnchanged = report.scansUnchanged
        seconds = report.seconds
        errors = report.errors.map(\.description)
        notices = report.notices.map(\.message)
        scans = report.scans.filter { $0.outcome != .unchanged || !$0.errors.isEmpty }.map {
            Scan(
                scan: $0.name, outcome: $0.outcome.rawValue, counts: $0.counts,
                errors: $0.errors.map(\.description), seconds: $0.seconds)
        }
    }
}
