import PlantDBCore
import SyncEngine
import Synchronization

/// What a synchronisation says while it runs and when it has ended: text, or JSON events.
///
/// The itemised list of a real run is printed from the plan that the run announces, by the
/// lines that print a dry run's plan: the two are equal by construction.
final class SyncPrinter: Sendable {
    private let console: Console
    private let events: JSONEvents?
    private let itemizes: Bool
    private let source: String
    private let target: String
    private let runID: RunID
    private let ending: RunEnding
    /// For the history: in the morning nobody can ask for it any more.
    private let left = Mutex(LeftAlone())
    private let lastProgress = Mutex<ContinuousClock.Instant?>(nil)

    init(
        console: Console, events: JSONEvents?, itemizes: Bool, source: String, target: String, runID: RunID,
        ending: RunEnding
    ) {
        self.console = console
        self.events = events
        self.itemizes = itemizes
        self.source = source
        self.target = target
        self.runID = runID
        self.ending = ending
    }

    // MARK: While it runs

    func handle(_ event: SyncEvent) {
        switch event {
        case .planned(let plan):
            show(plan, isDryRun: false)
        case .waiting(let message):
            console.note("waiting \(message.printable)")
            emit { $0.waiting(message) }
        case .scanStarted(let scan, let files, let bytes):
            emit { $0.scanStarted(scan, files: files, bytes: bytes) }
        case .progress(let progress):
            console.show(progress)
            if isProgressDue { emit { $0.progress(progress) } }
        case .retrying(let scan, let attempt, let after, let error):
            console.note(
                "\(scan): trying again in \(Durations.text(after)) (attempt \(attempt)): "
                    + error.description.printable)
            emit { $0.retry(scan, attempt: attempt, after: after, because: error) }
        case .scanFinished(let scan):
            console.logOnly(ReportText.line(of: scan))
            emit { $0.scanFinished(scan) }
        case .notice(let notice):
            say(notice)
        }
    }

    private func show(_ plan: SyncPlan, isDryRun: Bool) {
        for notice in plan.notices { say(notice) }
        left.withLock { $0 = LeftAlone(plan) }
        if itemizes && events == nil && !console.isQuiet {
            ItemizedLine.lines(of: plan, showsEqual: console.isVerbose) { console.data($0) }
        }
        if let events, !console.isQuiet {
            console.data(
                events.plan(plan, source: source, target: target, isDryRun: isDryRun).jsonLine, logged: false)
            events.files(of: plan) { console.data($0.jsonLine, logged: false) }
        }
        console.flush()
    }

    private func say(_ notice: SyncNotice) {
        // Most messages name it themselves.
        let place = notice.scan.map { notice.message.contains($0) ? "" : "\($0.printable): " } ?? ""
        let line = "note: \(place)\(notice.message.printable)"
        switch notice.kind {
        // Left out because it was asked for: worth a line only to who wants every line.
        case .notSelected where !console.isVerbose: console.logOnly(line)
        default: console.note(line)
        }
        emit { $0.notice(notice) }
    }

    /// At most two progress events a second.
    private var isProgressDue: Bool {
        guard events != nil else { return false }
        return lastProgress.withLock { last in
            let now = ContinuousClock.now
            if let last, now - last < .milliseconds(500) { return false }
            last = now
            return true
        }
    }

    private func emit(_ event: (JSONEvents) -> JSONValue) {
        guard let events, !console.isQuiet else { return }
        console.data(event(events).jsonLine, logged: false)
        console.flush()
    }

    // MARK: When it has ended

    /// - Throws: ``ExitStatus`` unless all is in sync.
    func finish(_ result: SyncReport) async throws {
        let status = ExitStatus(result).namingCause
        for line in ReportText.lines(result, verbose: console.isVerbose) { sayAtEnd(line) }
        console.flush()
        if let events {
            for error in result.errors { console.data(events.error(error).jsonLine, logged: false) }
            console.data(
                events.summary(result, exitCode: status.code, left: left.withLock { $0 }).jsonLine,
                logged: false)
        }
        for line in ReportText.errorLines(result) { console.error(line) }
        let unresolved = result.totals.filesUnresolved
        if unresolved > 0 {
            let line = ReportText.unresolvedLine(unresolved)
            // The one thing that such a run has to say, however quiet.
            status == .differences ? console.error(line) : console.note(line)
        }
        console.flush()
        let summary = summaryWriter.summary(result, exitCode: status.code, left: left.withLock { $0 })
            .jsonLine
        let unwritten = await ending.take(result, exitCode: status.code, summary: summary)
        if status != .inSync { throw status }
        if let unwritten { throw ExitStatus(unwritten) }
    }

    /// - Parameter exitCode: whether differences make the status 4.
    /// - Throws: ``ExitStatus`` unless it is 0.
    func finish(dryRun plan: SyncPlan, options: SyncOptions, exitCode: Bool) throws {
        show(plan, isDryRun: true)
        var status = ExitStatus(plan, reportsDifferences: exitCode)
        if !itemizes {
            for line in ReportText.scanLines(of: plan) { sayAtEnd(line) }
        }
        for line in ReportText.summary(of: plan, verbose: console.isVerbose) { sayAtEnd(line) }
        console.flush()
        for error in plan.errors {
            console.error(ReportText.line(of: error))
            if let events { console.data(events.error(error).jsonLine, logged: false) }
        }
        if let error = plan.deletionRefusal(options) {
            console.error(ReportText.line(of: error))
            if let events { console.data(events.error(error).jsonLine, logged: false) }
            status = ExitStatus(error)
        }
        if let events {
            console.data(events.summary(of: plan, exitCode: status.code).jsonLine, logged: false)
        }
        console.flush()
        let unwritten = ending.writeReport(summaryWriter.summary(of: plan, exitCode: status.code).jsonLine)
        if status != .inSync { throw status }
        if let unwritten { throw ExitStatus(unwritten) }
    }

    /// The report is what stdout carries, unless a list or events were asked for: then they
    /// are, and nothing else, and the report goes to stderr.
    private func sayAtEnd(_ line: String) {
        if events != nil {
            console.logOnly(line)
        } else if itemizes {
            console.note(line)
        } else if !console.isQuiet {
            console.data(line)
        } else {
            console.logOnly(line)
        }
    }

    private var summaryWriter: JSONEvents {
        events ?? JSONEvents(schema: JSONEvents.syncSchema, run: runID.rawValue)
    }
}
