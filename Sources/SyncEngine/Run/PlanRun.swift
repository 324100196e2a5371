import PlantDBCore
import Synchronization

/// Carries out a plan: containers, then scans (a few at a time), then removals.
struct PlanRun: Sendable {
    let plan: SyncPlan
    let transfer: ScanTransfer
    let planMaker: PlanMaker
    let sink: EventSink
    private let progress: ProgressTracker

    private static let ticks = Duration.milliseconds(100)
    static let longestRetryDelay = Duration.seconds(60)

    init(plan: SyncPlan, transfer: ScanTransfer, planMaker: PlanMaker, sink: EventSink) {
        self.plan = plan
        self.transfer = transfer
        self.planMaker = planMaker
        self.sink = sink
        progress = ProgressTracker(plan: plan)
    }

    func execute(into report: inout SyncReport) async {
        for failure in plan.failures {
            let scan = ScanReport(
                scan: failure.scan, outcome: .failed, counts: .failed(failure.errors.count),
                errors: failure.errors)
            report.scans.append(scan)
            sink.send(.scanFinished(scan))
        }
        let ticker = Task {
            while !Task.isCancelled {
                sink.send(.progress(progress.current()))
                // Cancelled: the loop ends.
                do { try await Task.sleep(for: Self.ticks) } catch { return }
            }
        }
        let ending = Ending()
        var outcomes: [ScanReport] = []
        let containers = plan.scans.filter { scan in
            scan.scan.container == nil && scan.source.position(of: .timelapseMarker) != nil
        }
        let isContainer = Set(containers.map(\.scan))
        // A member cannot be published before its container is there.
        for container in containers { outcomes.append(await run(container, ending)) }
        outcomes += await runAll(plan.scans.filter { !isContainer.contains($0.scan) }, ending)
        for removal in plan.removedScans { outcomes.append(await run(removal, ending)) }
        for held in plan.heldScans { outcomes.append(left(held)) }
        ticker.cancel()
        await ticker.value
        sink.send(.progress(progress.current()))

        report.scansUnchanged = outcomes.reduce(0) { $0 + ($1.outcome == .unchanged ? 1 : 0) }
        report.scans += outcomes
        report.error = ending.error
    }

    /// What ends the run before its time: every scan after it would fail alike.
    private final class Ending: Sendable {
        private let stored = Mutex<DatabaseError?>(nil)

        var error: DatabaseError? { stored.withLock { $0 } }

        func note(_ error: DatabaseError) {
            guard [.cancelled, .noSpace, .unreachable, .authentication].contains(error.code) else { return }
            stored.withLock { $0 = $0 ?? error }
        }
    }

    // MARK: Scans

    private func runAll(_ scans: [ScanPlan], _ ending: Ending) async -> [ScanReport] {
        let width =
            transfer.options.transfers
            ?? transfer.source.capabilities.concurrentScans(with: transfer.target.capabilities)
        return await concurrently(scans, atATime: width) { await run($0, ending) }
    }

    private func run(_ plan: ScanPlan, _ ending: Ending) async -> ScanReport {
        let clock = ContinuousClock()
        let start = clock.now
        let began = WallClock.now
        var report = ScanReport(
            scan: plan.scan, outcome: .unchanged, counts: .left(by: plan), skipped: plan.skipped)
        report.errors += plan.hiddenContent + plan.heldBack
        guard plan.hasWork else {
            // Known in part only: what is known is equal, and the rest is an error by name.
            if !plan.isComplete { report.outcome = .failed }
            remember(plan, since: nil, &report)
            if report.isWorthTelling { sink.send(.scanFinished(report)) }
            return report
        }
        if Task.isCancelled { ending.note(DatabaseError(.cancelled, "the run was cancelled")) }
        if ending.error != nil {
            report.outcome = .notDone
            sink.send(.scanFinished(report))
            return report
        }
        sink.send(.scanStarted(plan.scan, files: plan.filesToTransfer, bytes: plan.bytesToTransfer))
        do throws(ScanTransfer.Failure) {
            // The parts that are not known are named in the report already.
            if !plan.isComplete { throw ScanTransfer.Failure(errors: []) }
            let published = try await runWithRetries(plan)
            report.outcome = plan.isNew ? .created : .updated
            // What was left may be other than in the first plan.
            report.counts = .left(by: published)
            report.counts.add(published)
            report.skipped = published.skipped
            remember(published, since: began, &report)
        } catch {
            report.errors += error.errors
            error.errors.forEach(ending.note)
            let isCancelled = error.errors.contains { $0.code == .cancelled }
            report.outcome = isCancelled ? .notDone : .failed
            report.counts.filesFailed += isCancelled ? 0 : error.errors.count
        }
        report.seconds = (clock.now - start) / .seconds(1)
        sink.send(.progress(progress.current()))
        sink.send(.scanFinished(report))
        return report
    }

    /// Keeps what is to be known of the scan in later runs. What cannot be kept is said, and fails nothing:
    /// those runs are the more careful.
    ///
    /// - Parameter began: when the publication did; nil: there was none.
    private func remember(_ plan: ScanPlan, since began: ModificationTime?, _ report: inout ScanReport) {
        guard let memory = planMaker.memory, let draft = plan.memory else { return }
        let now = WallClock.now.nanoseconds
        // A target may keep whole seconds only, and its clock may be a little off.
        let slack: Int64 = 2_000_000_000
        let published = ((began?.nanoseconds ?? now) - slack)...(now + slack)
        do throws(DatabaseError) {
            try memory.remember(ScanMemory(draft, source: plan.source, published: published), of: plan.scan)
        } catch {
            sink.send(
                .notice(
                    SyncNotice(
                        kind: .weakerGuarantee, scan: plan.scan.rawValue,
                        message: "what was brought is not remembered: \(error.description)")))
        }
    }

    /// The plan that was carried out in the end.
    private func runWithRetries(_ original: ScanPlan) async throws(ScanTransfer.Failure) -> ScanPlan {
        var plan = original
        var delay = transfer.options.retryDelay
        for attempt in 1... {
            do throws(ScanTransfer.Failure) {
                if attempt > 1 {
                    let next = try await planAgain(plan)
                    guard next.isComplete else {
                        throw ScanTransfer.Failure(errors: next.hiddenContent)
                    }
                    // The last try was published after all: only its answer was lost.
                    guard next.hasWork else {
                        _ = progress.begin(plan.scan)
                        progress.end(plan.scan, published: plan)
                        return plan
                    }
                    progress.replace(plan, with: next)
                    plan = next
                }
                let meter = progress.begin(plan.scan)
                try await transfer.run(plan, meter: meter)
                progress.end(plan.scan, published: plan)
                return plan
            } catch {
                progress.end(plan.scan, published: nil)
                guard attempt <= transfer.options.retries, let passing = error.errors.first,
                    error.errors.allSatisfy(\.isPassing)
                else { throw error }
                sink.send(.retrying(plan.scan, attempt: attempt, after: delay, because: passing))
                do { try await Task.sleep(for: delay) } catch {
                    throw ScanTransfer.Failure(errors: [DatabaseError(.cancelled, "the run was cancelled")])
                }
                delay = min(delay * 2, Self.longestRetryDelay)
            }
        }
        return plan
    }

    /// The scan as it is now. Nothing is deleted that the guard has not seen.
    private func planAgain(_ plan: ScanPlan) async throws(ScanTransfer.Failure) -> ScanPlan {
        do throws(DatabaseError) {
            guard var next = try await planMaker.planScan(plan.scan).plan else { return plan }
            let agreed = Set(plan.deletions)
            next.deletions.removeAll { !agreed.contains($0) }
            return next
        } catch { throw ScanTransfer.Failure(errors: [error.locating(scan: plan.scan)]) }
    }

    // MARK: Removals

    /// Only at the target, and not removed.
    private func left(_ held: ScanRemoval) -> ScanReport {
        var report = ScanReport(scan: held.scan, outcome: .unchanged)
        report.counts.filesUnresolved = held.fileCount
        sink.send(.scanFinished(report))
        return report
    }

    private func run(_ removal: ScanRemoval, _ ending: Ending) async -> ScanReport {
        var report = ScanReport(scan: removal.scan, outcome: .removed)
        if Task.isCancelled { ending.note(DatabaseError(.cancelled, "the run was cancelled")) }
        if ending.error != nil {
            report.outcome = .notDone
        } else {
            do throws(DatabaseError) {
                try await transfer.target.removeScan(
                    removal.scan, replacing: removal.base,
                    options: transfer.transactionOptions(isKept: removal.isKept))
                try planMaker.memory?.forget(removal.scan)
                report.counts.filesDeleted = removal.fileCount
                progress.endRemoval()
            } catch {
                report.outcome = .failed
                report.errors = [error.locating(scan: removal.scan)]
                ending.note(error)
            }
        }
        sink.send(.scanFinished(report))
        return report
    }
}

extension ScanReport {
    fileprivate var isWorthTelling: Bool {
        outcome != .unchanged || counts.filesUnresolved > 0 || counts.filesKept > 0 || !skipped.isEmpty
            || !errors.isEmpty
    }
}

extension ScanCounts {
    fileprivate static func failed(_ count: Int) -> ScanCounts {
        var counts = ScanCounts()
        counts.filesFailed = count
        return counts
    }

    /// What a plan leaves as it is.
    fileprivate static func left(by plan: ScanPlan) -> ScanCounts {
        var counts = ScanCounts()
        counts.filesUnchanged = plan.unchangedCount
        counts.filesUnresolved = plan.unresolvedCount
        counts.filesToldBefore = plan.toldBeforeCount
        counts.filesFailed = plan.heldBack.count
        counts.filesetsOfTarget = plan.targetOnlyFilesets.count
        counts.bytesOfTarget = plan.targetOnlyBytes
        for item in plan.items where item.action == .keepByOption { counts.filesKept += 1 }
        for skipped in plan.skipped {
            if skipped.hidesContent { counts.filesFailed += 1 } else { counts.filesSkipped += 1 }
        }
        return counts
    }

    /// What a plan that was carried out has done.
    fileprivate mutating func add(_ plan: ScanPlan) {
        filesMoved += plan.filesToTransfer
        bytesMoved += plan.bytesToTransfer
        filesDeleted += plan.filesToDelete
        for item in plan.items where item.action == .updateAttributes { filesTouched += 1 }
    }
}
