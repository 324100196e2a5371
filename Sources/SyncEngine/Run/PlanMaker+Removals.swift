import PlantDBCore

/// The scans that only the target has, where they are to go.
extension PlanMaker {
    func planRemovals(
        from targetListing: DatabaseListing, source: DatabaseListing, into plan: inout SyncPlan
    ) async throws(DatabaseError) {
        // Who asks for some filesets asks for no whole scan to go.
        guard options.deletion != .never, options.selection.metadata.isEmpty,
            !options.selection.selectsFilesets
        else { return }
        guard !source.skipped.contains(where: \.hidesContent) else {
            plan.notices.append(
                SyncNotice(
                    kind: .weakerGuarantee, scan: nil,
                    message: "no scan is removed from the target: the source could not be listed completely"))
            return
        }
        let known = SourceNames(source)
        let selector = ScanSelector(options.selection.scans)
        var staying = targetListing.scans
        let isGone = { (summary: ScanSummary) in
            !summary.isStray && !known.has(summary.scan) && selector.selects(summary.scan)
        }
        // Members before their containers.
        var order: [ScanID] = []
        let gone = staying.filter(isGone).map(\.scan).sorted(by: >)
        let spelled = SpelledScans(gone.isEmpty ? [] : source.scans.map(\.scan))
        for scan in gone {
            guard let twin = try await spelling(scan, among: spelled, targetListing) else {
                order.append(scan)
                continue
            }
            plan.notices.append(
                SyncNotice(
                    kind: .weakerGuarantee, scan: scan.rawValue,
                    message: "not removed from the target: the source has it as \(twin), and the target does "
                        + "not tell the two names apart. " + Self.advice))
        }
        guard target.capabilities.removes else {
            plan.notices += order.map { notRemoved($0, because: "its server cannot remove scans") }
            return
        }
        let going = Set(order)
        staying.removeAll { going.contains($0.scan) }
        let target = target
        let outcomes = try await forEach(order) { scan throws(DatabaseError) in
            try await target.manifest(of: scan, detail: .listing)
        }
        // What stays keeps the timelapse that it is in.
        var keptContainers = Set(staying.compactMap(\.scan.container))
        for outcome in outcomes {
            switch outcome {
            case .success(let manifest?) where isTooYoung(manifest):
                if let container = manifest.scan.container { keptContainers.insert(container) }
                plan.notices.append(
                    notRemoved(manifest.scan, because: "it changed less than the minimum age ago"))
            case .success(let manifest?) where keptContainers.contains(manifest.scan):
                plan.notices.append(notRemoved(manifest.scan, because: "it holds what is not removed"))
            case .success(let manifest?):
                plan.targetFileCount += manifest.fileCount
                var removal = ScanRemoval(
                    scan: manifest.scan, base: manifest.revision, fileCount: manifest.fileCount,
                    byteCount: manifest.byteCount)
                if let own = try filesNotBrought(manifest) {
                    plan.heldScans.append(removal)
                    if let container = manifest.scan.container { keptContainers.insert(container) }
                    plan.notices.append(
                        SyncNotice(
                            kind: .notBrought, scan: manifest.scan.rawValue,
                            message:
                                "scan \(manifest.scan) is only at the target, with \(own) that no run brought "
                                + "there: left alone (--delete-unknown deletes it too)"))
                    continue
                }
                if !options.deletesUnknown, memory?.isEmpty ?? true, !options.usesTrash {
                    removal.isKept = true
                    plan.notices.append(
                        SyncNotice(
                            kind: .keptInTrash, scan: manifest.scan.rawValue,
                            message:
                                "scan \(manifest.scan) goes into the trash, since nobody knows whether a run "
                                + "brought it"))
                }
                plan.removedScans.append(removal)
            case .success(nil): break
            case .failure(let failure): plan.failures.append(failure)
            }
        }
    }

    /// What of a scan no run brought, to read; nil: nothing, or nobody knows.
    private func filesNotBrought(_ manifest: ScanManifest) throws(DatabaseError) -> String? {
        guard !options.deletesUnknown, let memory, !memory.isEmpty,
            manifest.position(of: .timelapseMarker) == nil
        else { return nil }
        let remembered = try memory.recall(manifest.scan)
        let precision = max(
            source.capabilities.timePrecisionNanoseconds, target.capabilities.timePrecisionNanoseconds)
        let keepsTimes = remembered?.keepsTimes(manifest, precision: precision) ?? true
        let unknown = manifest.indices.lazy.filter { position in
            let (facts, path) = (manifest.facts(at: position), manifest[position].path)
            guard facts.kind == .file, path != .index else { return false }
            guard let remembered, let brought = remembered.file(path) else { return true }
            return !remembered.isUntouched(
                facts, since: brought, precision: precision, keepsTimes: keepsTimes)
        }.map { manifest[$0] }
        guard let first = unknown.first else { return nil }
        let bytes = unknown.reduce(Int64(0)) { $0.addingSaturated($1.size) }
        return
            "\(first.path)\(unknown.count > 1 ? " and \(unknown.count - 1) more files" : "") (\(bytes) bytes)"
    }

    private func notRemoved(_ scan: ScanID, because reason: String) -> SyncNotice {
        SyncNotice(
            kind: .notSelected, scan: scan.rawValue,
            message: "scan \(scan) is not removed from the target: \(reason)")
    }
}

/// What the source has under the name of a scan, in whatever form: the target's is not removed
/// for it, since nobody took it away.
private struct SourceNames {
    private let scans: Set<ScanID>
    private let timelapses: Set<ScanID>
    /// Links and the like, as they are shown.
    private let skipped: Set<String>

    init(_ listing: DatabaseListing) {
        scans = Set(listing.scans.map(\.scan))
        timelapses = Set(listing.scans.filter { $0.kind == .timelapse }.map(\.scan))
        skipped = Set(listing.skipped.map(\.path))
    }

    func has(_ scan: ScanID) -> Bool {
        if isListed(scan) { return true }
        // Only where the source's is a timelapse too is known what is not in it.
        guard let container = scan.container else { return false }
        return isListed(container) && !timelapses.contains(container)
    }

    private func isListed(_ scan: ScanID) -> Bool {
        scans.contains(scan) || skipped.contains(scan.rawValue.printable)
    }
}
