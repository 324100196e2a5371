import PlantDBCore
import SyncEngine

/// The events of `--json`, one object a line; `docs/json-events.md` documents them.
///
/// Names of this file are a promise to programs: add, never rename, and count the schema up
/// where a meaning changes.
struct JSONEvents: Sendable {
    /// `plantdb.sync/1` or `plantdb.diff/1`.
    var schema: String
    var run: String

    static let syncSchema = "plantdb.sync/1"
    static let diffSchema = "plantdb.diff/1"

    // MARK: Events

    /// The totals of a plan; its `file` events follow.
    func plan(_ plan: SyncPlan, source: String, target: String, isDryRun: Bool) -> JSONValue {
        event(
            "plan",
            [
                ("source", .string(source)), ("target", .string(target)), ("dryRun", .bool(isDryRun)),
                ("scansToCreate", .number(plan.scans.reduce(0) { $0 + ($1.isNew ? 1 : 0) })),
                ("scansToUpdate", .number(plan.scans.reduce(0) { $0 + (!$1.isNew && $1.hasWork ? 1 : 0) })),
                ("scansToRemove", .number(plan.removedScans.count)),
                ("scansFailed", .number(plan.failures.count)),
                ("filesToMove", .number(plan.filesToTransfer)),
                ("bytesToMove", .number(plan.bytesToTransfer)),
                ("filesToDelete", .number(plan.filesToDelete)),
                ("filesUnchanged", .number(plan.scans.reduce(0) { $0 + $1.unchangedCount })),
                ("filesUnresolved", .number(plan.scans.reduce(0) { $0 + $1.unresolvedCount })),
                ("inSync", .bool(plan.isInSync)),
            ])
    }

    /// A `file` event for every entry that a plan speaks of, in its order.
    func files(of plan: SyncPlan, _ body: (JSONValue) -> Void) {
        for scan in plan.scans {
            for item in scan.items {
                let entry = scan.entry(of: item)
                let isTold = scan.toldBefore.contains(item.position)
                body(
                    file(
                        scan.scan, path: entry.path.rawValue, kind: entry.kind, size: entry.size,
                        action: isTold ? "toldBefore" : Self.name(of: item.action),
                        reason: item.action.explanation))
            }
            for deletion in scan.deletions {
                body(
                    file(
                        scan.scan, path: deletion.path.rawValue, kind: deletion.kind, size: deletion.size,
                        action: "delete", reason: "not at the source"))
            }
            for held in scan.heldDeletions {
                body(
                    file(
                        scan.scan, path: held.path.rawValue, kind: held.kind, size: held.size,
                        action: held.isTold ? "toldBefore" : "unresolved",
                        reason: "only at the target, and no run brought it"))
            }
            if scan.isOtherScan != nil {
                body(
                    whole(scan.scan, action: "unresolved", reason: "the target has another scan of this name")
                )
            }
            for skipped in scan.skipped {
                body(
                    event(
                        "file",
                        [
                            ("scan", .string(scan.scan.rawValue)), ("path", .string(skipped.path)),
                            ("action", "skip"), ("reason", .string(skipped.reason.rawValue)),
                            ("detail", .optional(skipped.detail)),
                        ]))
            }
        }
        for removal in plan.removedScans {
            body(whole(removal.scan, removal, action: "delete", reason: "not at the source"))
        }
        for held in plan.heldScans {
            body(
                whole(
                    held.scan, held, action: "unresolved",
                    reason: "only at the target, with what no run brought"))
        }
    }

    private func whole(
        _ scan: ScanID, _ removal: ScanRemoval? = nil, action: String, reason: String
    ) -> JSONValue {
        var members: [(String, JSONValue)] = [
            ("scan", .string(scan.rawValue)), ("path", .null), ("kind", "scan"),
            ("action", .string(action)), ("reason", .string(reason)),
        ]
        if let removal {
            members += [("files", .number(removal.fileCount)), ("bytes", .number(removal.byteCount))]
        }
        return event("file", members)
    }

    func scanStarted(_ scan: ScanID, files: Int, bytes: Int64) -> JSONValue {
        event(
            "scanStarted",
            [("scan", .string(scan.rawValue)), ("files", .number(files)), ("bytes", .number(bytes))])
    }

    func progress(_ progress: SyncProgress) -> JSONValue {
        event(
            "progress",
            [
                ("filesPlanned", .number(progress.filesPlanned)),
                ("filesPublished", .number(progress.filesPublished)),
                ("bytesPlanned", .number(progress.bytesPlanned)),
                ("bytesStaged", .number(progress.bytesStaged)),
                ("bytesPublished", .number(progress.bytesPublished)),
                ("bytesPerSecond", .decimal(progress.bytesPerSecond)),
                ("scansPlanned", .number(progress.scansPlanned)),
                ("scansFinished", .number(progress.scansFinished)),
                ("seconds", .decimal(progress.seconds)),
                ("secondsRemaining", progress.secondsRemaining.map(JSONValue.decimal) ?? .null),
                ("activeScans", .array(progress.activeScans.map { .string($0.rawValue) })),
            ])
    }

    func retry(_ scan: ScanID, attempt: Int, after: Duration, because error: DatabaseError) -> JSONValue {
        let (seconds, attoseconds) = after.components
        return event(
            "retry",
            [
                ("scan", .string(scan.rawValue)), ("attempt", .number(attempt)),
                ("afterSeconds", .decimal(Double(seconds) + Double(attoseconds) / 1e18)),
                ("because", Self.object(of: error)),
            ])
    }

    func notice(_ notice: SyncNotice) -> JSONValue {
        event("notice", Self.members(of: notice))
    }

    private static func members(of notice: SyncNotice) -> [(String, JSONValue)] {
        [
            ("kind", .string(notice.kind.rawValue)), ("scan", .optional(notice.scan)),
            ("message", .string(notice.message)),
        ]
    }

    func waiting(_ message: String) -> JSONValue { event("waiting", [("message", .string(message))]) }

    func scanFinished(_ report: ScanReport) -> JSONValue {
        event("scanFinished", Self.members(of: report))
    }

    func error(_ error: DatabaseError) -> JSONValue {
        guard case .object(let object) = Self.object(of: error) else { return event("error", []) }
        return event("error", object.members.map { ($0.key, $0.value) })
    }

    /// The end of a run; always the last event, and what `--report` writes.
    func summary(_ report: SyncReport, exitCode: Int32, left: LeftAlone = LeftAlone()) -> JSONValue {
        func scans(_ outcome: ScanReport.Outcome) -> JSONValue {
            .number(report.scans.reduce(0) { $0 + ($1.outcome == outcome ? 1 : 0) })
        }
        return event(
            "summary",
            [
                ("exitCode", .number(Int(exitCode))), ("seconds", .decimal(report.seconds)),
                ("bytesPerSecond", .decimal(report.bytesPerSecond)),
                (
                    "scans",
                    .object(
                        JSONObject([
                            ("created", scans(.created)), ("updated", scans(.updated)),
                            ("removed", scans(.removed)),
                            ("unchanged", .number(report.scansUnchanged)),
                            ("notSelected", .number(report.scansNotSelected)),
                            ("failed", scans(.failed)), ("notDone", scans(.notDone)),
                        ]))
                ),
                ("totals", Self.object(of: report.totals)),
                (
                    "perScan",
                    .array(
                        report.scans.filter(\.hasSomethingToSay).map {
                            .object(JSONObject(Self.members(of: $0)))
                        })
                ),
                ("unresolved", .array(left.unresolved.map(JSONValue.string))),
                ("waiting", .array(left.waiting.map(JSONValue.string))),
                // Those of scans that were left out are many, and counted above.
                (
                    "notices",
                    .array(
                        report.notices.filter { $0.kind != .notSelected }.map {
                            .object(JSONObject(Self.members(of: $0)))
                        })
                ),
                ("errors", .array(report.errors.map(Self.object(of:)))),
            ])
    }

    /// The end of a dry run or of `diff`.
    func summary(of plan: SyncPlan, exitCode: Int32) -> JSONValue {
        event(
            "summary",
            [
                ("exitCode", .number(Int(exitCode))), ("inSync", .bool(plan.isInSync)),
                ("errors", .array(plan.failures.flatMap(\.errors).map(Self.object(of:)))),
            ])
    }

    // MARK: Parts of them

    private func event(_ name: String, _ members: [(String, JSONValue)]) -> JSONValue {
        .object(
            JSONObject(
                [("schema", .string(schema)), ("run", .string(run)), ("event", .string(name))] + members))
    }

    private func file(
        _ scan: ScanID, path: String, kind: FileEntry.Kind, size: Int64, action: String, reason: String
    ) -> JSONValue {
        event(
            "file",
            [
                ("scan", .string(scan.rawValue)), ("path", .string(path)),
                ("kind", kind == .file ? "file" : "directory"), ("size", .number(size)),
                ("action", .string(action)), ("reason", .string(reason)),
            ])
    }

    /// The word for programs; ``PlanAction/explanation`` is for people.
    static func name(of action: PlanAction) -> String {
        switch action {
        case .createFile, .createDirectory: "create"
        case .replaceSizeDiffers, .replaceSourceNewer, .replaceContentDiffers, .replaceUnproven: "replace"
        case .merge: "merge"
        case .updateAttributes: "attributes"
        case .keepTargetNewer, .keepTargetChanged, .keepMetadata, .keepKindDiffers, .keepUnsupported:
            "unresolved"
        case .keepSourceDamaged, .keepSourceEmpty: "damaged"
        case .keepByOption: "keep"
        }
    }

    static func object(of error: DatabaseError) -> JSONValue {
        .object(
            JSONObject([
                ("code", .string(error.code.rawValue)), ("message", .string(error.description)),
                ("cause", .optional(error.cause)), ("scan", .optional(error.scan?.rawValue)),
                ("path", .optional(error.path)),
            ]))
    }

    private static func members(of report: ScanReport) -> [(String, JSONValue)] {
        [
            ("scan", .optional(report.scan?.rawValue)), ("outcome", .string(report.outcome.rawValue)),
            ("counts", object(of: report.counts)), ("seconds", .decimal(report.seconds)),
            ("errors", .array(report.errors.map(object(of:)))),
            (
                "skipped",
                .array(
                    report.skipped.map {
                        .object(
                            JSONObject([
                                ("path", .string($0.path)), ("reason", .string($0.reason.rawValue)),
                                ("detail", .optional($0.detail)),
                            ]))
                    })
            ),
        ]
    }

    private static func object(of counts: ScanCounts) -> JSONValue {
        .object(
            JSONObject([
                ("filesMoved", .number(counts.filesMoved)), ("bytesMoved", .number(counts.bytesMoved)),
                ("filesDeleted", .number(counts.filesDeleted)),
                ("filesTouched", .number(counts.filesTouched)),
                ("filesUnchanged", .number(counts.filesUnchanged)),
                ("filesUnresolved", .number(counts.filesUnresolved)),
                ("filesKept", .number(counts.filesKept)), ("filesSkipped", .number(counts.filesSkipped)),
                ("filesFailed", .number(counts.filesFailed)),
                ("filesToldBefore", .number(counts.filesToldBefore)),
                ("filesetsOfTarget", .number(counts.filesetsOfTarget)),
                ("bytesOfTarget", .number(counts.bytesOfTarget)),
            ]))
    }
}

extension ScanReport {
    /// False for a scan that is equal on both sides, of which there may be very many.
    var hasSomethingToSay: Bool {
        outcome != .unchanged || counts.filesUnresolved > 0 || counts.filesKept > 0 || !skipped.isEmpty
            || !errors.isEmpty
    }
}

extension JSONEvents {
    /// What ended a command before there was a plan, said to programs as well.
    static func sayFailure(_ error: any Error, schema: String, to console: Console) {
        let failure: CommandFailure
        switch error {
        case let error as CommandFailure: failure = error
        case let error as DatabaseError: failure = CommandFailure(error)
        default: return
        }
        let events = JSONEvents(schema: schema, run: RunID.make().rawValue)
        let report = SyncReport(runID: RunID(rawValue: events.run), error: failure.error)
        console.data(events.error(failure.error).jsonLine, logged: false)
        console.data(
            events.summary(report, exitCode: failure.status.namingCause.code).jsonLine, logged: false)
        console.flush()
    }
}
