import PlantDBCore

/// Decides what becomes of every entry of one scan: a pure function of two manifests and the
/// options. Reads no file and writes nothing. O(n), one pass over both manifests.
public struct Planner: Sendable {
    public let options: SyncOptions
    /// The smallest difference of times that both sides keep, in nanoseconds.
    public let timePrecisionNanoseconds: Int64
    public let targetWrites: EndpointCapabilities.Writes
    let target: EndpointCapabilities
    let canChange: @Sendable (FileEntry) -> Bool
    /// What both sides can keep.
    private let times: ClosedRange<ModificationTime>

    /// - Parameter canChange: ``PlantDBCore/ScanTarget/canChange(_:)`` of the target.
    public init(
        options: SyncOptions, source: EndpointCapabilities, target: EndpointCapabilities,
        canChange: @escaping @Sendable (FileEntry) -> Bool = { _ in true }
    ) {
        self.options = options
        self.target = target
        self.canChange = canChange
        timePrecisionNanoseconds = max(source.timePrecisionNanoseconds, target.timePrecisionNanoseconds)
        targetWrites = target.writes
        times = source.times.clamped(to: target.times)
    }

    /// Whether the content of files of equal size is equal, by their positions in the source's
    /// manifest: for those whose times prove nothing.
    public typealias ContentProofs = [Int32: Bool]

    /// What the two manifests say.
    ///
    /// - Parameter target: nil if the target does not have the scan.
    /// - Throws: ``DatabaseError/Code/unsupported`` if digests are to be compared and a side
    ///   proves none: never a silent comparison of sizes.
    public func draft(source: ScanManifest, target: ScanManifest?, proofs: ContentProofs = [:])
        throws(DatabaseError) -> ScanDraft
    {
        var draft = ScanDraft(source: source, target: target, proofs: proofs)
        if !self.target.keepsEmptyDirectories { draft.heldDirectories = source.directoriesOfFiles }
        try compare(source, with: target, into: &draft)
        return draft
    }

    /// As ``draft(source:target:proofs:)`` and ``plan(_:_:)`` together.
    public func plan(
        source: ScanManifest, target: ScanManifest?, findings: ScanFindings = ScanFindings(),
        proofs: ContentProofs = [:]
    ) throws(DatabaseError) -> ScanPlan {
        plan(try draft(source: source, target: target, proofs: proofs), findings)
    }

    /// One pass over both manifests, which are in the same order.
    private func compare(_ source: ScanManifest, with target: ScanManifest?, into draft: inout ScanDraft)
        throws(DatabaseError)
    {
        var targetIndex = 0
        let targetCount = target?.count ?? 0
        for position in source.indices {
            if let target {
                while targetIndex < targetCount,
                    target.comparePath(at: targetIndex, with: source, at: position) < 0
                {
                    noteTargetOnly(target[targetIndex], &draft)
                    targetIndex += 1
                }
            }
            let facts = source.facts(at: position)
            var counterpart: EntryFacts?
            if let target, targetIndex < targetCount,
                target.comparePath(at: targetIndex, with: source, at: position) == 0
            {
                counterpart = target.facts(at: targetIndex)
                targetIndex += 1
            }
            // Made only where the path counts: it costs more than all the rest.
            var entry: FileEntry { source[position] }
            guard !options.selection.selectsFilesets || isSelected(entry) else { continue }
            // What lies in a directory whose name is a file's on the target has no place there.
            let isBlocked = !draft.kindConflicts.isEmpty && entry.path.isWithin(anyOf: draft.kindConflicts)
            let isNotKept: Bool
            if facts.kind == .directory, counterpart == nil, let held = draft.heldDirectories {
                isNotKept = !held.contains(entry.path)
            } else {
                isNotKept = false
            }
            if let action = isBlocked
                ? .keepKindDiffers
                : isNotKept
                    ? .keepUnsupported
                    : try action(
                        for: facts, counterpart, inNewScan: target == nil,
                        isProvenEqual: draft.proofs[Int32(position)], entry: { source[position] })
            {
                draft.items.append(ScanPlan.PlanItem(position: Int32(position), action: action))
                if action == .keepKindDiffers { draft.kindConflicts.insert(entry.path) }
                if action == .updateAttributes { noteCommon(entry, facts, counterpart, &draft) }
            } else if facts.kind == .file {
                draft.unchanged += 1
                if !draft.hasCommonContent { noteCommon(entry, facts, counterpart, &draft) }
            }
        }
        while let target, targetIndex < targetCount {
            noteTargetOnly(target[targetIndex], &draft)
            targetIndex += 1
        }
    }

    /// An equal file of a fileset makes two scans one, and so does any file that has its very time too: a
    /// copy has it, and two scanners do not.
    private func noteCommon(
        _ entry: @autoclosure () -> FileEntry, _ ours: EntryFacts, _ theirs: EntryFacts?,
        _ draft: inout ScanDraft
    ) {
        guard let theirs, ours.size > 0, ours.size == theirs.size else { return }
        let isCopy = ours.modified != nil && ours.modified == theirs.modified
        if isCopy || isOneContent(ours, theirs) && entry().isData { draft.hasCommonContent = true }
    }

    /// By digests, or by times as both sides keep them, whatever `--modify-window` takes for equal.
    private func isOneContent(_ ours: EntryFacts, _ theirs: EntryFacts) -> Bool {
        if let one = ours.digest, let other = theirs.digest { return one == other }
        guard options.comparison != .sizeOnly, let one = time(of: ours), let other = time(of: theirs) else {
            return options.comparison != .sizeOnly
        }
        return one.distance(to: other) < timePrecisionNanoseconds
    }

    private func noteTargetOnly(_ entry: FileEntry, _ draft: inout ScanDraft) {
        if entry.isData, !draft.topsOfSource.contains(String(entry.path.first)) {
            let fileset = String(entry.path.first)
            draft.targetOnlyFilesets[fileset, default: 0] += entry.size
        }
        guard options.deletion != .never else { return }
        if isSelected(entry) {
            draft.targetOnly.append(entry)
        } else {
            entry.path.insertParents(into: &draft.keptDirectories)
        }
    }

    /// The files of both sides, of one size, that neither times nor digests compare: whoever plans
    /// has to ask for proof of these. O(n).
    public func unprovenFiles(source: ScanManifest, target: ScanManifest) -> [(source: Int32, target: Int32)]
    {
        guard options.comparison == .sizeAndTime, options.existing != .keepAll,
            !source.tellsAllTimes || !target.tellsAllTimes
        else { return [] }
        var result: [(source: Int32, target: Int32)] = []
        var theirs = 0
        for position in source.indices {
            while theirs < target.count, target.comparePath(at: theirs, with: source, at: position) < 0 {
                theirs += 1
            }
            guard theirs < target.count, target.comparePath(at: theirs, with: source, at: position) == 0
            else { continue }
            let (left, right) = (source[position], target[theirs])
            guard left.kind == .file, right.kind == .file, left.size == right.size, isSelected(left),
                left.modified == nil || right.modified == nil, left.digest == nil || right.digest == nil
            else { continue }
            result.append((Int32(position), Int32(theirs)))
        }
        return result
    }

    // MARK: One entry

    /// nil: equal, nothing to say.
    ///
    /// - Parameter entry: that of the source, with its path.
    private func action(
        for source: EntryFacts, _ target: EntryFacts?, inNewScan: Bool, isProvenEqual: Bool?,
        entry: () -> FileEntry
    ) throws(DatabaseError) -> PlanAction? {
        guard let target else {
            guard inNewScan || targetWrites == .files && canChange(entry()) else { return .keepUnsupported }
            return source.kind == .file ? .createFile : .createDirectory
        }
        guard source.kind == target.kind else { return .keepKindDiffers }
        if source.kind == .directory { return nil }
        guard var difference = try difference(source, target, isProvenEqual, entry) else {
            return needsAttributes(source, target) ? .updateAttributes : nil
        }
        if difference == .keepTargetNewer, options.overwritesNewer {
            difference = source.size == target.size ? .replaceContentDiffers : .replaceSizeDiffers
        }
        switch options.existing {
        case .keepAll: return .keepByOption
        case .keepNewer where isNewer(target, than: source): return .keepByOption
        case .keepNewer, .replaceChanged: break
        }
        let isPossible = targetWrites == .files && canChange(entry())
        return (difference.isWork || difference.isHeldBack) && !isPossible ? .keepUnsupported : difference
    }

    private func difference(
        _ source: EntryFacts, _ target: EntryFacts, _ isProvenEqual: Bool?, _ entry: () -> FileEntry
    ) throws(DatabaseError) -> PlanAction? {
        if source.size != target.size {
            guard options.comparison != .checksum, target.size > 0 else { return .replaceSizeDiffers }
            // Nothing never replaces something, nor older newer, unasked.
            if source.size == 0, !options.overwritesNewer { return .keepSourceEmpty }
            return isNewer(target, than: source) ? .keepTargetNewer : .replaceSizeDiffers
        }
        switch options.comparison {
        case .sizeOnly:
            return nil
        case .checksum:
            guard let ours = source.digest, let theirs = target.digest else {
                let path = entry().path
                throw DatabaseError(
                    .unsupported,
                    "\(path) cannot be compared by checksum: the "
                        + (source.digest == nil ? "source" : "target") + " proves no digest; "
                        + "run without --checksum", path: path.rawValue)
            }
            return ours == theirs ? nil : .replaceContentDiffers
        case .sizeAndTime:
            if let ours = time(of: source), let theirs = time(of: target) {
                if areEqual(ours, theirs) { return nil }
                return ours > theirs ? .replaceSourceNewer : .keepTargetNewer
            }
            if let ours = source.digest, let theirs = target.digest {
                return ours == theirs ? nil : .replaceContentDiffers
            }
            if let isProvenEqual { return isProvenEqual ? nil : .replaceContentDiffers }
            return .replaceUnproven
        }
    }

    /// As both sides can keep it.
    private func time(of entry: EntryFacts) -> ModificationTime? {
        entry.modified.map { min(max($0, times.lowerBound), times.upperBound) }
    }

    /// At the coarser precision of the two sides, which the endpoints tell.
    private func areEqual(_ source: ModificationTime, _ target: ModificationTime) -> Bool {
        let distance = source.distance(to: target)
        return distance <= options.modifyWindowNanoseconds || distance < timePrecisionNanoseconds
    }

    func isNewer(_ entry: EntryFacts, than other: EntryFacts) -> Bool {
        guard let own = time(of: entry), let theirs = time(of: other) else { return false }
        return own > theirs && !areEqual(own, theirs)
    }

    private func needsAttributes(_ source: EntryFacts, _ target: EntryFacts) -> Bool {
        guard targetWrites == .files, options.existing == .replaceChanged else { return false }
        if let ours = source.mode, let theirs = target.mode, ours != theirs { return true }
        guard options.comparison == .checksum, let ours = time(of: source), let theirs = time(of: target)
        else { return false }
        return !areEqual(ours, theirs)
    }

    // MARK: Filesets

    func isSelected(_ entry: FileEntry) -> Bool {
        guard options.selection.selectsFilesets, let fileset = Self.fileset(of: entry) else { return true }
        return options.selection.includes(fileset: fileset)
    }

    /// The fileset that an entry belongs to; nil for the scan's own files: its index, its
    /// metadata (`metadata/images.json` is, for PlantDB 0.14 and 0.15), and what lies at its top.
    static func fileset(of entry: FileEntry) -> String? {
        let components = entry.path.components
        guard components.count > 1 || entry.kind == .directory, components[0] != "metadata" else {
            guard components[0] == "metadata", components.count > 1 else { return nil }
            if components.count > 2 || entry.kind == .directory { return String(components[1]) }
            guard components[1] != "metadata.json", components[1] != "images.json",
                components[1].hasSuffix(".json")
            else { return nil }
            return String(components[1].dropLast(5))
        }
        return String(components[0])
    }

    // MARK: Deletion

    /// Deepest first. Nothing goes where the source is known in part only, and nothing that
    /// the source has in a form that is not carried.
    func deletions(of draft: ScanDraft, source: ScanManifest) -> [ScanPlan.Deletion] {
        guard options.deletion != .never, targetWrites == .files, target.removes, source.isComplete else {
            return []
        }
        var protected = draft.kindConflicts
        for skipped in source.skipped {
            // A path that is no valid one hides content, and was dealt with above.
            do throws(DatabaseError) { protected.insert(try ScanPath(skipped.path)) } catch { return [] }
        }
        var kept = draft.keptDirectories
        for path in protected { path.insertParents(into: &kept) }
        // A timelapse's own manifest tells nothing of its directories, whatever the target has there.
        let isTimelapse = source.scan.container == nil && source.position(of: .timelapseMarker) != nil
        return draft.targetOnly.reversed()
            .filter { entry in !isTimelapse || entry.kind == .file && entry.path.parent == nil }
            .filter { entry in !kept.contains(entry.path) && !entry.path.isWithin(anyOf: protected) }
            .map { ScanPlan.Deletion(path: $0.path, kind: $0.kind, size: $0.size) }
    }
}

extension FileEntry {
    /// A file of a fileset, no metadata.
    var isData: Bool {
        kind == .file && path.parent != nil && !path.isWithin(.metadata)
            && path.first != ScanPath.webcacheName
    }
}

extension ScanPath {
    /// Whether it, or a directory around it, is one of them.
    fileprivate func isWithin(anyOf paths: Set<ScanPath>) -> Bool {
        guard !paths.isEmpty else { return false }
        var next: ScanPath? = self
        while let path = next {
            if paths.contains(path) { return true }
            next = path.parent
        }
        return false
    }

    /// All directories around it.
    func insertParents(into directories: inout Set<ScanPath>) {
        var next = parent
        while let directory = next, directories.insert(directory).inserted { next = directory.parent }
    }
}

extension ScanManifest {
    /// The directories that hold a file, however deep.
    fileprivate var directoriesOfFiles: Set<ScanPath> {
        var directories: Set<ScanPath> = []
        for entry in self where entry.kind == .file { entry.path.insertParents(into: &directories) }
        return directories
    }

    /// The same scan and skipped entries, without the memory of its entries.
    func withoutEntries() -> ScanManifest { ScanManifest(skippedOf: self) }

    /// The revision to check against; computed only if there is something to publish, but
    /// never nil: nil means a new scan.
    func revisionIfPlanned(_ items: [ScanPlan.PlanItem], _ deletions: [ScanPlan.Deletion])
        -> ScanRevision
    {
        deletions.isEmpty && !items.contains { $0.action.isWork }
            ? ScanRevision(rawValue: "unchanged") : revision
    }
}
