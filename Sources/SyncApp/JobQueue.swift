import Foundation
import PlantDBCore
import PlantDBSync
import SyncEngine
import SyncHistory
import Synchronization

/// Runs, one after the other, whether a page looks or not.
final class JobQueue: Sendable {
    /// A location and how to reach it.
    struct Place: Sendable {
        var location: String
        var access: RemoteAccess
        /// Without secrets.
        var shown: String
    }

    private struct Job {
        var summary: JobSummary
        var place: (source: Place, target: Place)
        var options: SyncOptions
        var order: [String] = []
        var scans: [String: (line: JobScan, version: Int)] = [:]
        var report: SyncReport?
        var task: Task<Void, Never>?
        var version: Int
    }

    private struct State {
        var jobs: [Job] = []
        var version = 0
        var isRunning = false
        var nextID = 1

        mutating func change(_ id: String, _ body: (inout Job, Int) -> Void) {
            guard let index = jobs.firstIndex(where: { $0.summary.id == id }) else { return }
            version += 1
            body(&jobs[index], version)
            jobs[index].version = version
        }
    }

    /// Jobs that are kept when they are over.
    private static let kept = 100

    private let state = Mutex(State())
    private let keep: @Sendable (RunID, String, String) -> (@Sendable (SyncReport) -> Void)?

    /// - Parameter keep: as ``AppConfiguration/keep``.
    init(keep: @escaping @Sendable (RunID, String, String) -> (@Sendable (SyncReport) -> Void)?) {
        self.keep = keep
    }

    // MARK: Asking

    /// What changed after `version`, and the version now.
    func changes(since version: Int) -> (changes: [Update.JobChange], version: Int) {
        state.withLock { state in
            let changes = state.jobs.filter { $0.version > version }.map { job in
                Update.JobChange(
                    job: job.summary,
                    scans: job.order.compactMap { job.scans[$0] }.filter { $0.version > version }.map(\.line))
            }
            return (changes, state.version)
        }
    }

    /// nil: there is no such job, or it is not over.
    func report(of id: String) -> (summary: JobSummary, report: SyncReport)? {
        state.withLock { state in
            guard let job = state.jobs.first(where: { $0.summary.id == id }), let report = job.report else {
                return nil
            }
            return (job.summary, report)
        }
    }

    // MARK: Doing

    /// - Returns: its number.
    @discardableResult
    func add(_ options: SyncOptions, from source: Place, to target: Place) -> String {
        let id = state.withLock { state -> String in
            let id = String(state.nextID)
            state.nextID += 1
            state.version += 1
            let count = options.selection.scans.count
            var title = count == 0 ? "all scans" : count == 1 ? options.selection.scans[0] : "\(count) scans"
            if options.deletion != .never { title += ", deleting" }
            state.jobs.append(
                Job(
                    summary: JobSummary(
                        id: id, state: .queued, source: source.shown, target: target.shown, title: title),
                    place: (source, target), options: options, version: state.version))
            while state.jobs.count > Self.kept,
                let over = state.jobs.firstIndex(where: \.summary.state.isOver)
            {
                state.jobs.remove(at: over)
            }
            return id
        }
        startNext()
        return id
    }

    /// Stops it; what is published stays.
    /// - Throws: `notFound`.
    func cancel(_ id: String) throws(DatabaseError) {
        let task = try state.withLock { (state) throws(DatabaseError) -> Task<Void, Never>? in
            guard let job = state.jobs.first(where: { $0.summary.id == id }) else { throw Self.unknown(id) }
            if job.summary.state == .queued {
                state.change(id) { job, _ in
                    job.summary.state = .cancelled
                    job.report = SyncReport(
                        runID: RunID.make(), error: DatabaseError(.cancelled, "stopped before it began"))
                }
            }
            return job.task
        }
        task?.cancel()
    }

    /// The scans of it that were not published, once more.
    /// - Throws: `notFound`; `invalidArgument` while it is at work, or where nothing failed.
    func retry(_ id: String) throws(DatabaseError) -> String {
        let (options, place) = try state.withLock { (state) throws(DatabaseError) in
            guard let job = state.jobs.first(where: { $0.summary.id == id }) else { throw Self.unknown(id) }
            guard job.summary.state.isOver, job.summary.state != .finished else {
                throw DatabaseError(.invalidArgument, "job \(id) is not one that could be tried again")
            }
            var options = job.options
            let failed = (job.report?.scans ?? []).filter(\.outcome.isFailure).compactMap(\.scan?.rawValue)
            // A run that ended early is done again as it was asked for.
            if job.report?.error == nil, !failed.isEmpty { options.selection.scans = failed }
            return (options, job.place)
        }
        return add(options, from: place.source, to: place.target)
    }

    /// Stops everything, and returns when it has ended.
    func stop() async {
        let (ids, task) = state.withLock { state in
            (
                state.jobs.filter { !$0.summary.state.isOver }.map(\.summary.id),
                state.jobs.first { $0.summary.state == .running }?.task
            )
        }
        for id in ids.reversed() {
            do throws(DatabaseError) { try cancel(id) } catch {
                // Forgotten meanwhile: it is over.
            }
        }
        await task?.value
    }

    private static func unknown(_ id: String) -> DatabaseError {
        DatabaseError(.notFound, "there is no job “\(id.printable)”")
    }

    // MARK: Running

    private func startNext() {
        state.withLock { state in
            guard !state.isRunning, let job = state.jobs.first(where: { $0.summary.state == .queued }) else {
                return
            }
            state.isRunning = true
            let id = job.summary.id
            let (options, place) = (job.options, job.place)
            state.change(id) { job, _ in
                job.summary.state = .running
                job.summary.started = Int64(Date().timeIntervalSince1970)
                job.task = Task { await self.run(id, options, place) }
            }
        }
    }

    /// As of a run of the command. Where it cannot be read, the more careful way is taken.
    static func memory(from source: any DatabaseEndpoint, to target: any DatabaseEndpoint, creates: Bool)
        -> (any PairMemory)?
    {
        do throws(DatabaseError) {
            return try SyncMemory.ofUser(from: source, to: target, creates: creates)
        } catch {
            return nil
        }
    }

    private func run(_ id: String, _ options: SyncOptions, _ place: (source: Place, target: Place)) async {
        var report = SyncReport(runID: .make())
        let kept = keep(report.runID, place.source.shown, place.target.shown)
        do throws(DatabaseError) {
            let source = try await openDatabase(
                place.source.location, as: .source, access: place.source.access)
            do throws(DatabaseError) {
                let target = try await openDatabase(
                    place.target.location, as: .target, access: place.target.access)
                report = await SyncEngine(
                    source: source, target: target, options: options,
                    memory: Self.memory(from: source, to: target, creates: true)
                )
                .run(runID: report.runID) { self.note($0, of: id) }
                await target.close()
            } catch {
                await source.close()
                throw error
            }
            await source.close()
        } catch { report.error = error }
        let final = report
        kept?(final)
        state.withLock { state in
            state.change(id) { job, _ in
                job.report = final
                job.task = nil
                job.summary.ended = Int64(Date().timeIntervalSince1970)
                job.summary.error = final.error?.description
                job.summary.scansFailed = final.scansFailed
                job.summary.waiting = nil
                job.summary.secondsRemaining = nil
                if final.error?.code == .cancelled {
                    job.summary.state = .cancelled
                } else if final.errors.isEmpty {
                    job.summary.state = .finished
                    job.summary.percent = 100
                } else {
                    job.summary.state = .failed
                }
            }
            state.isRunning = false
        }
        startNext()
    }

    private func note(_ event: SyncEvent, of id: String) {
        state.withLock { state in
            state.change(id) { job, version in
                func put(_ scan: ScanID, _ body: (inout JobScan) -> Void) {
                    let key = scan.rawValue
                    var line =
                        job.scans[key]?.line
                        ?? JobScan(scan: key, state: "running", files: 0, bytes: 0, errors: [])
                    if job.scans[key] == nil { job.order.append(key) }
                    body(&line)
                    job.scans[key] = (line, version)
                }
                switch event {
                case .planned(let plan):
                    job.summary.waiting = nil
                    job.summary.filesPlanned = plan.filesToTransfer
                    job.summary.bytesPlanned = plan.bytesToTransfer
                case .waiting(let what): job.summary.waiting = what
                case .scanStarted(let scan, let files, let bytes):
                    put(scan) { ($0.state, $0.files, $0.bytes, $0.errors) = ("running", files, bytes, []) }
                case .progress(let progress):
                    job.summary.percent = min(99.9, progress.fractionStaged * 100)
                    job.summary.filesPlanned = progress.filesPlanned
                    job.summary.filesPublished = progress.filesPublished
                    job.summary.bytesPlanned = progress.bytesPlanned
                    job.summary.bytesStaged = progress.bytesStaged
                    job.summary.bytesPerSecond = progress.bytesPerSecond
                    job.summary.secondsRemaining = progress.secondsRemaining
                    job.summary.scansPlanned = progress.scansPlanned
                    job.summary.scansFinished = progress.scansFinished
                case .retrying(let scan, _, _, let error):
                    put(scan) { ($0.state, $0.errors) = ("retrying", [error.description]) }
                case .scanFinished(let report):
                    guard let scan = report.scan else { return }
                    if report.outcome.isFailure { job.summary.scansFailed += 1 }
                    put(scan) {
                        ($0.state, $0.errors) = (report.outcome.rawValue, report.errors.map(\.description))
                    }
                case .notice: break
                }
            }
        }
    }
}
