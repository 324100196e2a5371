import PlantDBCore

/// What becomes of a scan by what it means: its index, its metadata, its identity, and what somebody
/// else did to it.
extension Planner {
    /// - Parameter findings: what was read of the documents that the draft asks for.
    public func plan(_ draft: ScanDraft, _ findings: ScanFindings) -> ScanPlan {
        let (source, target) = (draft.source, draft.target)
        if let reason = findings.otherScan, let target {
            return planOther(draft, target, reason, findings)
        }
        var work = MeaningfulPlan(planner: self, draft: draft, findings: findings)
        work.judgeItems()
        work.settleDeletions()
        work.mergeIndex()
        let items = work.items
        let needsManifest = target == nil || !items.isEmpty
        var plan = ScanPlan(
            scan: source.scan, base: target?.revisionIfPlanned(items, work.deletions),
            source: needsManifest ? source : source.withoutEntries(),
            items: items, deletions: work.deletions, unchangedCount: work.unchanged,
            skipped: source.skipped, isComplete: source.isComplete)
        plan.made = work.made
        plan.heldDeletions = work.held
        plan.keepsWhatGoes = work.keepsWhatGoes
        plan.toldBefore = work.toldBefore
        let gone = Set(work.deletions.map { String($0.path.first) })
            .subtracting(work.held.map { String($0.path.first) })
        plan.targetOnlyFilesets = draft.targetOnlyFilesets.keys.filter { !gone.contains($0) }.sorted()
        plan.targetOnlyBytes = plan.targetOnlyFilesets.reduce(0) {
            $0.addingSaturated(draft.targetOnlyFilesets[$1] ?? 0)
        }
        plan.memory = work.memory(needsManifest: needsManifest)
        return plan
    }

    /// The target has another scan of that name: nothing is done, or that one goes into the trash first.
    private func planOther(
        _ draft: ScanDraft, _ target: ScanManifest, _ reason: String, _ findings: ScanFindings
    )
        -> ScanPlan
    {
        let source = draft.source
        guard options.displacesOtherScans, targetWrites == .files, self.target.removes,
            draft.kindsDiffer == nil, options.existing == .replaceChanged, !options.selection.selectsFilesets
        else {
            var plan = ScanPlan(
                scan: source.scan, base: target.revisionIfPlanned([], []), source: source.withoutEntries(),
                items: [], deletions: [], unchangedCount: 0, skipped: source.skipped,
                isComplete: source.isComplete)
            plan.isOtherScan = reason
            return plan
        }
        let items = source.indices.map { position in
            ScanPlan.PlanItem(
                position: Int32(position),
                action: source.facts(at: position).kind == .file ? .createFile : .createDirectory)
        }
        var plan = ScanPlan(
            scan: source.scan, base: nil, source: source, items: items, deletions: [], unchangedCount: 0,
            skipped: source.skipped, isComplete: source.isComplete)
        plan.displaced = ScanRemoval(
            scan: source.scan, base: target.revision, fileCount: target.fileCount, byteCount: target.byteCount
        )
        if findings.keepsMemory { plan.memory = ScanMemory.Draft() }
        return plan
    }
}

/// The plan of one scan in the making.
private struct MeaningfulPlan {
    let planner: Planner
    let draft: ScanDraft
    let findings: ScanFindings

    var items: [ScanPlan.PlanItem]
    var unchanged: Int
    var made: [ScanPath: [UInt8]] = [:]
    var deletions: [ScanPlan.Deletion] = []
    var held: [ScanPlan.Deletion] = []
    var keepsWhatGoes = false
    var toldBefore: Set<Int32> = []
    /// Need not be looked at again while both files are as they are: pairs that were told to differ, and,
    /// with all bits turned, metadata that mean the same.
    private var settled: Set<UInt64> = []
    private var provenIndexes: UInt64?
    /// Whether times of the target tell who wrote there.
    private lazy var targetKeepsTimes: Bool =
        target.map {
            findings.memory?.keepsTimes($0, precision: planner.timePrecisionNanoseconds) ?? true
        } ?? true

    private var options: SyncOptions { planner.options }
    private var source: ScanManifest { draft.source }
    private var target: ScanManifest? { draft.target }

    init(planner: Planner, draft: ScanDraft, findings: ScanFindings) {
        self.planner = planner
        self.draft = draft
        self.findings = findings
        items = draft.items
        unchanged = draft.unchanged
    }

    // MARK: Files that both have

    mutating func judgeItems() {
        guard target != nil else { return }
        items = items.compactMap { judged($0) }
    }

    private mutating func judged(_ item: ScanPlan.PlanItem) -> ScanPlan.PlanItem? {
        guard item.action.replaces || item.action.isUnresolved || item.action.isHeldBack else { return item }
        let path = source[Int(item.position)].path
        // Dealt with by what it lists.
        if path == .index { return item }
        let (ours, theirs) = draft.facts(of: item)
        guard let theirs else { return item }
        let pair = StampPair.hash(path, ours, theirs)
        let action =
            path.isMetadataJSON
            ? metadataAction(item.action, path, ours, theirs, pair)
            : dataAction(item.action, path, ours, theirs)
        guard let action else {
            unchanged += 1
            settled.insert(~pair)
            return nil
        }
        if action.isUnresolved {
            settled.insert(pair)
            if findings.memory?.settled.contains(pair) ?? false { toldBefore.insert(item.position) }
        }
        return ScanPlan.PlanItem(position: item.position, action: action)
    }

    private mutating func dataAction(
        _ action: PlanAction, _ path: ScanPath, _ ours: EntryFacts, _ theirs: EntryFacts
    ) -> PlanAction {
        guard options.comparison != .checksum else { return action }
        switch history(path, ours, theirs) {
        // The target keeps no times.
        case .onlySourceMoved where action == .keepTargetNewer && options.existing == .replaceChanged:
            return .replaceSourceNewer
        case .targetWritten where action.replaces && !options.overwritesNewer: return .keepTargetChanged
        case .onlySourceMoved, .targetWritten, nil: return action
        }
    }

    /// nil: they mean the same.
    private mutating func metadataAction(
        _ action: PlanAction, _ path: ScanPath, _ ours: EntryFacts, _ theirs: EntryFacts, _ pair: UInt64
    ) -> PlanAction? {
        guard action != .keepKindDiffers, action != .keepUnsupported else { return action }
        switch findings.metadata[path] {
        case .sameMeaning: return nil
        case .sourceIsDamaged: return .keepSourceDamaged
        case .targetIsDamaged: return action.replaces ? action : .replaceContentDiffers
        case .different(let merged):
            switch options.metadata {
            case .source: return action.replaces ? action : .replaceContentDiffers
            case .merge:
                guard let merged else { break }
                made[path] = merged
                return .merge
            case .keep: break
            }
        case nil:
            // As an earlier run found them: they mean the same, or it told that they do not.
            if findings.memory?.settled.contains(~pair) ?? false { return nil }
            if findings.memory?.settled.contains(pair) ?? false { return .keepMetadata }
        }
        if action == .keepSourceEmpty { return .keepSourceDamaged }
        switch history(path, ours, theirs) {
        case .onlySourceMoved: return action.replaces ? action : .replaceSourceNewer
        case .targetWritten: return .keepMetadata
        case nil: return planner.isNewer(ours, than: theirs) ? action : .keepMetadata
        }
    }

    /// What happened to a file since a run brought it.
    private enum History {
        /// The target's is what was brought, and the source's is a later one.
        case onlySourceMoved
        /// Somebody else wrote the target's.
        case targetWritten
    }

    /// nil: it is not known.
    private mutating func history(_ path: ScanPath, _ ours: EntryFacts, _ theirs: EntryFacts) -> History? {
        guard let memory = findings.memory, let brought = memory.file(path) else { return nil }
        let precision = planner.timePrecisionNanoseconds
        let keepsTimes = targetKeepsTimes
        if memory.isWrittenSince(theirs, brought, precision: precision, keepsTimes: keepsTimes) {
            return .targetWritten
        }
        guard memory.isUntouched(theirs, since: brought, precision: precision, keepsTimes: keepsTimes),
            memory.isLater(ours, than: brought, precision: precision)
        else { return nil }
        return .onlySourceMoved
    }

    // MARK: What goes

    mutating func settleDeletions() {
        guard let target else { return }
        var candidates = planner.deletions(of: draft, source: source)
        if let index = findings.sourceIndex {
            // What the index that stays lists does not go, though the source has lost it.
            let listed = Set(index.paths)
            candidates.removeAll { listed.contains($0.path) }
        }
        if !options.deletesUnknown, !candidates.isEmpty {
            if findings.remembers {
                let unknown = candidates.filter { $0.kind == .file && !isBrought($0.path, target) }
                held = unknown.map { deletion in
                    var held = deletion
                    let pair = StampPair.hash(
                        deletion.path, nil, target.position(of: deletion.path).map(target.facts(at:)))
                    settled.insert(pair)
                    held.isTold = findings.memory?.settled.contains(pair) ?? false
                    return held
                }
            } else {
                keepsWhatGoes = true
            }
        }
        if !held.isEmpty {
            var kept = Set(held.map(\.path))
            for deletion in held { deletion.path.insertParents(into: &kept) }
            // Metadata share the fate of their file.
            for fileset in findings.targetIndex?.filesets ?? [] {
                for file in fileset.files {
                    guard let path = ScanPath(ifValid: fileset.id + "/" + file.file), kept.contains(path)
                    else {
                        continue
                    }
                    for text in ["metadata/\(fileset.id)/\(file.id).json", "metadata/\(fileset.id).json"] {
                        guard let metadata = ScanPath(ifValid: text) else { continue }
                        kept.insert(metadata)
                        metadata.insertParents(into: &kept)
                    }
                }
            }
            candidates.removeAll { kept.contains($0.path) }
        }
        deletions = candidates
        removeInheritedMetadata(target)
    }

    /// Whether a run brought it, and nobody wrote it since.
    private mutating func isBrought(_ path: ScanPath, _ target: ScanManifest) -> Bool {
        guard let memory = findings.memory, let brought = memory.file(path),
            let facts = target.position(of: path).map(target.facts(at:))
        else { return false }
        return memory.isUntouched(
            facts, since: brought, precision: planner.timePrecisionNanoseconds, keepsTimes: targetKeepsTimes)
    }

    /// A file that comes under the id of another must not take over what was said of that one.
    private mutating func removeInheritedMetadata(_ target: ScanManifest) {
        guard let index = findings.sourceIndex, planner.targetWrites == .files, planner.target.removes,
            source.isComplete, options.existing == .replaceChanged
        else { return }
        let source = source
        let coming = Set(
            items.lazy.filter { $0.action.transfersContent }.map { source[Int($0.position)].path })
        // Of the same size and newer it may be the same one: then only what runs brought goes.
        let maybeSame = Set(
            items.lazy.filter { $0.action == .replaceSourceNewer || $0.action == .replaceUnproven }.map {
                source[Int($0.position)].path
            })
        guard !coming.isEmpty || findings.targetIndex != nil else { return }
        let going = Set(deletions.map(\.path))
        for fileset in index.filesets where options.selection.includes(fileset: fileset.id) {
            let theirs = findings.targetIndex?.fileset(fileset.id)
            for file in fileset.files {
                guard let path = ScanPath(ifValid: fileset.id + "/" + file.file) else { continue }
                let isRenamed =
                    theirs?.file(file.id).map { !$0.file.utf8.elementsEqual(file.file.utf8) } ?? false
                guard coming.contains(path) || isRenamed && source.position(of: path) != nil,
                    let metadata = ScanPath(ifValid: "metadata/\(fileset.id)/\(file.id).json"),
                    source.position(of: metadata) == nil, !going.contains(metadata),
                    let position = target.position(of: metadata), target.facts(at: position).kind == .file,
                    isRenamed || !maybeSame.contains(path) || isBrought(metadata, target)
                else { continue }
                deletions.insert(
                    ScanPlan.Deletion(path: metadata, kind: .file, size: target.facts(at: position).size),
                    at: 0)
                held.removeAll { $0.path == metadata }
                keepsWhatGoes = true
            }
        }
    }

    // MARK: The index

    mutating func mergeIndex() {
        guard let position = source.position(of: .index), let ours = findings.sourceIndex else {
            if let memory = findings.memory, draft.isProven(by: memory, options) { dropIndex() }
            return
        }
        let itemIndex = items.firstIndex { Int($0.position) == position }
        let theirs = findings.targetIndex
        guard target == nil || theirs != nil || itemIndex != nil else { return }
        if theirs == nil, !options.selection.selectsFilesets {
            // Absent or unreadable there: the source's bytes, whatever the times say.
            if let itemIndex, target != nil, !items[itemIndex].action.isWork { replaceIndex(itemIndex) }
            if findings.targetIndexIsDamaged, findings.damagedIndexHasText { keepsWhatGoes = true }
            return
        }
        let merged = merge(ours, theirs ?? FileIndex()).merged()
        let sourceFacts = source.facts(at: position)
        if let theirs, merged.meansTheSame(as: theirs) {
            dropIndex()
            let targetFacts = target.flatMap { $0.position(of: .index).map($0.facts(at:)) }
            provenIndexes = StampPair.proof(sourceFacts, targetFacts, options)
            return
        }
        let isSource = merged.meansTheSame(as: ours)
        if target == nil {
            if !isSource { made[.index] = merged.encoded() }
            return
        }
        var action: PlanAction = isSource ? .replaceContentDiffers : .merge
        if planner.targetWrites != .files || !planner.canChange(source[position]) {
            action = .keepUnsupported
        } else if target?.position(of: .index) == nil {
            action = .createFile
        } else if isSource, let itemIndex, items[itemIndex].action.replaces {
            action = items[itemIndex].action
        }
        setIndex(action, at: itemIndex, position)
        guard action.isWork else { return }
        if !isSource { made[.index] = merged.encoded() }
        var written = sourceFacts
        written.size = made[.index].map { Int64($0.count) } ?? sourceFacts.size
        provenIndexes = StampPair.proof(sourceFacts, written, options)
    }

    private mutating func dropIndex() {
        guard let itemIndex = items.firstIndex(where: { source[Int($0.position)].path == .index }) else {
            return
        }
        items.remove(at: itemIndex)
        unchanged += 1
    }

    private mutating func replaceIndex(_ itemIndex: Int) {
        let position = Int(items[itemIndex].position)
        let isPossible = planner.targetWrites == .files && planner.canChange(source[position])
        items[itemIndex].action = isPossible ? .replaceContentDiffers : .keepUnsupported
    }

    private mutating func setIndex(_ action: PlanAction, at itemIndex: Int?, _ position: Int) {
        let item = ScanPlan.PlanItem(position: Int32(position), action: action)
        if let itemIndex {
            items[itemIndex] = item
        } else {
            unchanged -= 1
            let place = items.firstIndex { $0.position > position } ?? items.endIndex
            items.insert(item, at: place)
        }
    }

    private func merge(_ ours: FileIndex, _ theirs: FileIndex) -> IndexMerge {
        let (source, target) = (self.source, self.target)
        let created = Set(items.lazy.filter { $0.action.isWork }.map { source[Int($0.position)].path })
        let gone = Set(deletions.map(\.path))
        let keepsEmpty = planner.target.keepsEmptyDirectories
        var merge = IndexMerge(
            source: ours, target: theirs,
            staysAtTarget: { text in
                guard let path = ScanPath(ifValid: text) else { return false }
                if created.contains(path) { return true }
                if path.parent == nil, !keepsEmpty { return !gone.contains(path) }
                return target?.position(of: path) != nil && !gone.contains(path)
            },
            isAtSource: { text in ScanPath(ifValid: text).map { source.position(of: $0) != nil } ?? false })
        merge.isSelected = { options.selection.includes(fileset: $0) }
        merge.removesUnlisted = options.deletion != .never
        merge.common = options.existing == .replaceChanged ? .source : .target
        return merge
    }

    // MARK: What is remembered

    /// nil: as it is remembered already.
    func memory(needsManifest: Bool) -> ScanMemory.Draft? {
        guard findings.keepsMemory else { return nil }
        var draft = ScanMemory.Draft()
        draft.settled = settled
        draft.provenIndexes = provenIndexes
        let hasWork = target == nil || !deletions.isEmpty || items.contains { $0.action.isWork }
        if let memory = findings.memory {
            // A run with other options does not know what was told of all the others.
            if memory.settled.count < 10_000 { draft.settled.formUnion(memory.settled) }
            if !hasWork, memory.settled == draft.settled,
                provenIndexes == nil || memory.provenIndexes == provenIndexes
            {
                return nil
            }
            if provenIndexes == nil, !hasWork { draft.provenIndexes = memory.provenIndexes }
            if !hasWork { draft.published = memory.published }
        }
        // What differs after the run is not what a run brought, but what one brought earlier.
        for item in items where !item.action.isWork { draft.notBrought.insert(item.position) }
        if options.selection.selectsFilesets {
            for position in source.indices where !planner.isSelected(source[position]) {
                draft.notBrought.insert(Int32(position))
            }
        }
        if let memory = findings.memory, let target {
            let brought = Set(ScanMemory.files(of: source, but: draft.notBrought).map(\.path))
            let gone = Set(deletions.map { StableHash.of($0.path.rawValue.utf8) })
            let present = Set(target.indices.map { StableHash.of(target.pathBytes(at: $0)) })
            draft.carriedOver = memory.brought.filter {
                !brought.contains($0.path) && !gone.contains($0.path) && present.contains($0.path)
            }
        }
        if !needsManifest { draft.brought = ScanMemory.files(of: source, but: draft.notBrought) }
        return draft
    }
}

extension FileIndex {
    /// Of the files that it lists, as far as they are paths.
    var paths: [ScanPath] {
        filesets.flatMap { fileset in
            fileset.files.compactMap { ScanPath(ifValid: fileset.id + "/" + $0.file) }
        }
    }
}

extension ScanPath {
    /// nil: it is no path in a scan.
    init?(ifValid text: String) {
        do throws(DatabaseError) { try self.init(text) } catch { return nil }
    }
}
