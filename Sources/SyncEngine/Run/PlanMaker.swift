import PlantDBCore

/// Reads both sides and plans every scan, a few at a time.
struct PlanMaker: Sendable {
    let source: any DatabaseEndpoint
    let target: any DatabaseEndpoint
    let options: SyncOptions
    /// For `--min-age`.
    let now: ModificationTime
    /// nil: nothing is remembered of earlier runs.
    var memory: (any PairMemory)?
    let queriesReadImages = QueryRule()

    /// Manifests that are read at a time: enough to hide how long either side takes to answer.
    private var width: Int {
        // Whoever reads every byte has enough to do.
        if options.comparison == .checksum { return 4 }
        return max(4, 2 * source.capabilities.concurrentScans(with: target.capabilities))
    }

    /// What the source has of what was asked for. Cheap: one listing.
    ///
    /// - Throws: `emptySource`; `notFound` for names that are not there; what listing throws.
    func selectedScans() async throws(DatabaseError) -> (listing: DatabaseListing, scans: [ScanSummary]) {
        let listing = try await source.listing()
        let isNamed = options.selectsFromBothSides && !options.selection.scans.isEmpty
        let onlyAtTarget = isNamed ? try await target.listing().scans : []
        let selected = try ScanSelector(options.selection.scans).select(
            from: listing, of: source.location, butFor: onlyAtTarget)
        if listing.scans.allSatisfy({ $0.isStray }), !options.allowsEmptySource {
            throw DatabaseError(
                .emptySource,
                "the source \(source.location) has no scans: is its disk mounted? Nothing was changed; "
                    + "if it is meant to be empty use --allow-empty-source")
        }
        return (listing, selected)
    }

    /// - Parameters: what ``selectedScans()`` answered.
    func plan(_ listing: DatabaseListing, _ selected: [ScanSummary]) async throws(DatabaseError) -> SyncPlan {
        let targetListing = try await target.listing()
        var plan = SyncPlan(scans: [], removedScans: [], failures: [], notices: [], targetFileCount: 0)
        for side in [source, target] {
            for text in side.capabilities.weakerGuarantees {
                plan.notices.append(
                    SyncNotice(kind: .weakerGuarantee, scan: nil, message: "\(side.location): \(text)"))
            }
        }
        if target.capabilities.isNew, targetListing.scans.isEmpty {
            plan.notices.append(
                SyncNotice(
                    kind: .newTarget, scan: nil,
                    message: "there is no database at \(target.location) yet"))
        }
        for skipped in listing.skipped { plan.note(skipped) }
        let selector = ScanSelector(options.selection.scans)
        let scansAtTarget = Set(targetListing.scans.lazy.filter { !$0.isStray }.map(\.scan))
        for summary in listing.scans {
            guard case .stray(let reason) = summary.kind else { continue }
            if scansAtTarget.contains(summary.scan), selector.selects(summary.scan) {
                plan.failures.append(noScanAnyMore(summary.scan, reason))
                continue
            }
            plan.notices.append(
                SyncNotice(
                    kind: .stray, scan: summary.scan.rawValue,
                    message: "\(summary.scan) is not carried: \(reason)"))
        }
        var filesets: Set<String> = []
        var filesetsAtTarget: Set<String> = []
        var metadataKeys: Set<String>? = []
        var owners: Set<String> = []
        var groups: Set<String> = []
        let nameless = try await scansWithoutName(selected, among: listing, targetListing)
        plan.failures += nameless
        let leftOut = Set(nameless.map(\.scan))
        let named = selected.map(\.scan).filter { !leftOut.contains($0) }
        for outcome in try await forEach(named, planScanPatiently) {
            switch outcome {
            case .success(let planned):
                filesets.formUnion(planned.filesets)
                filesetsAtTarget.formUnion(planned.filesetsAtTarget)
                if let keys = planned.metadataKeys {
                    metadataKeys?.formUnion(keys)
                } else {
                    metadataKeys = nil
                }
                plan.targetFileCount += planned.targetFileCount
                plan.notices += planned.notices
                if let scan = planned.plan { plan.scans.append(scan) }
                if let owner = planned.owner { owners.insert(owner) }
                groups.formUnion(planned.groups)
            case .failure(let failure): plan.failures.append(failure)
            }
        }
        if !selected.isEmpty, !options.selection.metadata.isEmpty, plan.scans.isEmpty, plan.failures.isEmpty {
            if let metadataKeys { try refuseUnknownKeys(known: metadataKeys) }
            plan.notices.append(nothingSelected(of: selected.count))
        } else if !plan.scans.isEmpty, plan.failures.isEmpty {
            try refusePatternsWithoutFileset(among: filesets)
            plan.notices += exclusionsOfNothing(among: filesets.union(filesetsAtTarget))
        }
        try await planRemovals(from: targetListing, source: listing, into: &plan)
        refuseSecondIDs(targetListing, &plan)
        plan.notices += try await unknownAccounts(owners, groups)
        return plan
    }

    /// A folder that lost what made it a scan: nothing is carried, and nobody may take the two for equal.
    private func noScanAnyMore(_ scan: ScanID, _ reason: String) -> ScanFailure {
        ScanFailure(
            scan: scan,
            errors: [
                DatabaseError(
                    .invalidData,
                    "scan \(scan) is no scan at the source any more (\(reason)), and the target still has it: "
                        + "nothing of it was changed; repair it at the source (plantdb check)", scan: scan)
            ])
    }

    // MARK: One scan

    struct PlannedScan: Sendable {
        /// nil: not selected after all.
        var plan: ScanPlan?
        var notices: [SyncNotice] = []
        /// That the source has, by its index or as folders; empty unless only some are wanted.
        var filesets: [String] = []
        /// The same, of the target.
        var filesetsAtTarget: [String] = []
        /// Those of ``ScanSelection/metadata`` that the scan has; nil: nobody looked.
        var metadataKeys: Set<String>?
        var targetFileCount = 0
        /// Whom the scan's metadata name, where they come.
        var owner: String?
        var groups: [String] = []
    }

    /// Tries again after passing failures.
    private func planScanPatiently(_ scan: ScanID) async throws(DatabaseError) -> PlannedScan {
        var delay = options.retryDelay
        for _ in 0..<options.retries {
            do throws(DatabaseError) { return try await planScan(scan) } catch {
                guard error.isPassing else { throw error }
            }
            do { try await Task.sleep(for: delay) } catch {
                throw DatabaseError(.cancelled, "cancelled while planning scan \(scan)", scan: scan)
            }
            delay = min(delay * 2, PlanRun.longestRetryDelay)
        }
        return try await planScan(scan)
    }

    func planScan(_ scan: ScanID) async throws(DatabaseError) -> PlannedScan {
        let detail: ManifestDetail = options.comparison == .checksum ? .digests : .listing
        guard let ours = try await source.manifest(of: scan, detail: .listing) else {
            throw DatabaseError(.sourceChanged, "scan \(scan) vanished from the source", scan: scan)
        }
        if let leftOut = try await leavingOut(ours) { return leftOut }
        var theirs = try await target.manifest(of: scan, detail: .listing)
        var compared = ours
        if detail == .digests, theirs != nil {
            guard source.capabilities.provesDigests, target.capabilities.provesDigests else {
                let side = source.capabilities.provesDigests ? target.location : source.location
                throw DatabaseError(
                    .unsupported,
                    "\(side) proves no digests, so --checksum cannot be answered; run without it",
                    scan: scan)
            }
            async let left = source.manifest(of: scan, detail: .digests)
            async let right = target.manifest(of: scan, detail: .digests)
            do {
                compared = try await left ?? ours
                theirs = try await right
            } catch { throw .wrapping(error, while: "reading digests of scan \(scan)") }
        }
        var spelling: SyncNotice?
        if let listed = theirs { (theirs, spelling) = try await spelled(listed, as: compared) }
        if theirs == nil { try await target.admit(compared, from: source) }
        let planner = Planner(
            options: options, source: source.capabilities.keepingTimes(as: compared),
            target: target.capabilities.keepingTimes(as: theirs), canChange: target.canChange)
        var plan: ScanPlan
        let findings: ScanFindings
        do throws(DatabaseError) {
            let proofs = try await proofs(planner, source: compared, target: theirs)
            let draft = try planner.draft(source: compared, target: theirs, proofs: proofs)
            findings = try await self.findings(on: draft, planner)
            plan = planner.plan(draft, findings)
            // Equal as it was remembered.
            if draft.isIdle, memory?.knows(scan) ?? false { plan.memory = nil }
        } catch { throw error.locating(scan: scan) }
        var notices = notices(on: plan, findings, source: compared)
        if let spelling { notices.append(spelling) }
        if let notice = timesOutOfRange(of: plan) { notices.append(notice) }
        if let notice = notRemovable(from: theirs, source: compared) { notices.append(notice) }
        return PlannedScan(
            plan: plan, notices: notices, filesets: filesets(of: compared, findings.sourceIndex),
            filesetsAtTarget: theirs.map { filesets(of: $0, findings.targetIndex) } ?? [],
            targetFileCount: theirs?.fileCount ?? 0, owner: findings.owner, groups: findings.groups)
    }

    private func filesets(of scan: ScanManifest, _ index: FileIndex?) -> [String] {
        guard options.selection.selectsFilesets else { return [] }
        return (index?.filesets.map(\.id) ?? []) + scan.compactMap(Planner.fileset)
    }

    /// Compares the checksums of the files that times cannot compare.
    private func proofs(_ planner: Planner, source ours: ScanManifest, target theirs: ScanManifest?)
        async throws(DatabaseError) -> Planner.ContentProofs
    {
        guard let theirs else { return [:] }
        let pairs = planner.unprovenFiles(source: ours, target: theirs)
        if pairs.isEmpty { return [:] }
        let (source, target) = (source, target)
        async let left = source.checksums(
            of: EntrySelection(manifest: ours, positions: pairs.map(\.source)))
        async let right = target.checksums(
            of: EntrySelection(manifest: theirs, positions: pairs.map(\.target)))
        do {
            let (left, right) = (try await left, try await right)
            return Dictionary(
                uniqueKeysWithValues: pairs.indices.map { (pairs[$0].source, left[$0] == right[$0]) })
        } catch { throw .wrapping(error, while: "reading checksums of scan \(ours.scan)") }
    }

    func absentFiles(of index: FileIndex, in manifest: ScanManifest) -> [SyncNotice] {
        var absent: [String] = []
        for fileset in index.filesets where options.selection.includes(fileset: fileset.id) {
            for file in fileset.files {
                let path = fileset.id + "/" + file.file
                do throws(DatabaseError) {
                    if manifest.position(of: try ScanPath(path)) == nil { absent.append(path) }
                } catch { absent.append(path.printable) }
            }
        }
        guard let first = absent.first else { return [] }
        let more = absent.count > 1 ? " and \(absent.count - 1) more" : ""
        return [
            SyncNotice(
                kind: .listedButAbsent, scan: manifest.scan.rawValue,
                message:
                    "scan \(manifest.scan): files.json lists \(first)\(more), which the source does not have")
        ]
    }

    /// For a target that cannot remove: what `--delete` would have removed.
    private func notRemovable(from theirs: ScanManifest?, source: ScanManifest) -> SyncNotice? {
        guard options.deletion != .never, !target.capabilities.removes, let theirs else { return nil }
        let extra = theirs.lazy.filter { $0.kind == .file && source.position(of: $0.path) == nil }
        guard let first = extra.first else { return nil }
        let more = extra.count > 1 ? " and \(extra.count - 1) more" : ""
        return SyncNotice(
            kind: .weakerGuarantee, scan: theirs.scan.rawValue,
            message:
                "scan \(theirs.scan): \(first.path)\(more) stays on the target, which cannot remove files")
    }

    private func timesOutOfRange(of plan: ScanPlan) -> SyncNotice? {
        let range = target.capabilities.times
        let count = plan.items.lazy.filter { item in
            let facts = plan.facts(of: item)
            guard item.action.isWork, facts.kind == .file, let time = facts.modified else { return false }
            return !range.contains(time)
        }.count
        guard count > 0 else { return nil }
        return SyncNotice(
            kind: .weakerGuarantee, scan: plan.scan.rawValue,
            message:
                "scan \(plan.scan): the target cannot keep the times of \(count) files, which are before "
                + "\(range.lowerBound.year) or after \(range.upperBound.year); they get the nearest it can")
    }

    // MARK: A few at a time

    enum Outcome<Value: Sendable>: Sendable {
        case success(Value)
        case failure(ScanFailure)
    }

    /// In the order of `scans`, whatever finishes first.
    /// - Throws: cancellation only.
    func forEach<Value: Sendable>(
        _ scans: [ScanID], _ body: @escaping @Sendable (ScanID) async throws(DatabaseError) -> Value
    ) async throws(DatabaseError) -> [Outcome<Value>] {
        let outcomes = await concurrently(scans, atATime: width) { scan in
            do throws(DatabaseError) {
                try DatabaseError.checkCancellation(while: "comparing the two databases")
                return Outcome.success(try await body(scan))
            } catch {
                return .failure(ScanFailure(scan: scan, errors: [error.locating(scan: scan)]))
            }
        }
        try DatabaseError.checkCancellation(while: "comparing the two databases")
        return outcomes
    }
}

extension DatabaseError {
    /// Whether the same attempt may succeed a moment later.
    var isPassing: Bool { code == .sourceChanged || code == .unreachable }
}

extension ScanSummary {
    var isStray: Bool {
        if case .stray = kind { return true }
        return false
    }
}

extension SyncPlan {
    fileprivate mutating func note(_ skipped: SkippedEntry) {
        let detail = skipped.detail.map { ": \($0)" } ?? ""
        switch skipped.reason {
        case .unreadable, .invalidName:
            failures.append(
                ScanFailure(
                    scan: nil,
                    errors: [
                        DatabaseError(
                            skipped.reason == .unreadable ? .permissionDenied : .invalidName,
                            "\(skipped.path) of the source was not carried\(detail)", path: skipped.path)
                    ]))
        case .symbolicLink:
            notices.append(
                SyncNotice(
                    kind: .stray, scan: nil, message: "\(skipped.path) is not carried: a symbolic link"))
        case .specialFile, .notAScan:
            notices.append(
                SyncNotice(kind: .stray, scan: nil, message: "\(skipped.path) is not carried\(detail)"))
        }
    }
}
