import PlantDBCore
import PlantDBTesting
import SyncEngine

/// The rules of comparison once more, said as plainly as possible: dictionaries, one path at
/// a time, no order, no merging. Slow, and written from the documented rules alone.
struct PlannerModel {
    var options: SyncOptions
    var precision: Int64
    var writes: EndpointCapabilities.Writes

    struct Verdict: Equatable {
        var actions: [ScanPath: PlanAction] = [:]
        var deletions: Set<ScanPath> = []
        var unchanged = 0
    }

    /// nil: the plan is refused, since a digest is missing that the comparison needs.
    func verdict(_ source: ScanManifest, _ target: ScanManifest?) -> Verdict? {
        let ours = Dictionary(uniqueKeysWithValues: source.map { ($0.path, $0) })
        let theirs = Dictionary(uniqueKeysWithValues: (target.map(Array.init) ?? []).map { ($0.path, $0) })
        var verdict = Verdict()
        // Nothing is put below a name that is a file's on the target.
        let blocked = ours.values.filter { theirs[$0.path].map { other in other.kind == .file } == true }
            .filter { $0.kind == .directory && isWanted($0) }.map(\.path)
        for (path, entry) in ours where isWanted(entry) {
            if blocked.contains(where: { path.isWithin($0) }) {
                verdict.actions[path] = .keepKindDiffers
                continue
            }
            guard let other = theirs[path] else {
                let isRefused = target != nil && writes != .files
                verdict.actions[path] =
                    isRefused ? .keepUnsupported : entry.kind == .file ? .createFile : .createDirectory
                continue
            }
            if entry.kind != other.kind {
                verdict.actions[path] = .keepKindDiffers
            } else if entry.kind == .file {
                switch compare(entry, other) {
                case .refused: return nil
                case .equal: verdict.unchanged += 1
                case .action(let action): verdict.actions[path] = action
                }
            }
        }
        guard case .delete = options.deletion, writes == .files,
            source.skipped.allSatisfy({ !$0.hidesContent })
        else { return verdict }
        for (path, entry) in theirs where ours[path] == nil && isWanted(entry) {
            // What stands in the place of something that the source has otherwise.
            let isShielded = ancestors(of: path).contains { ancestor in
                verdict.actions[ancestor] == .keepKindDiffers
                    || source.skipped.contains { $0.path == ancestor.rawValue }
            }
            // The source has that directory, since it has something in it.
            let isAround = source.skipped.contains { $0.path.hasPrefix(path.rawValue + "/") }
            // A directory in which something was not asked for will not be empty.
            let holdsOthers = theirs.values.contains { other in
                other.path.isWithin(path) && !isWanted(other) && ours[other.path] == nil
            }
            if !isShielded && !isAround && !holdsOthers { verdict.deletions.insert(path) }
        }
        return verdict
    }

    private enum Comparison {
        case equal
        case refused
        case action(PlanAction)
    }

    private func compare(_ ours: FileEntry, _ theirs: FileEntry) -> Comparison {
        var change: PlanAction?
        if ours.size != theirs.size {
            change = .replaceSizeDiffers
            if options.comparison != .checksum && theirs.size > 0 {
                if ours.size == 0 {
                    change = .keepSourceEmpty
                } else if isLater(theirs, ours) && !isSameTime(ours, theirs) {
                    change = .keepTargetNewer
                }
            }
        } else if options.comparison == .checksum {
            if ours.digest == nil || theirs.digest == nil { return .refused }
            if ours.digest != theirs.digest { change = .replaceContentDiffers }
        } else if options.comparison == .sizeAndTime {
            if ours.modified != nil && theirs.modified != nil {
                if !isSameTime(ours, theirs) {
                    change = isLater(ours, theirs) ? .replaceSourceNewer : .keepTargetNewer
                }
            } else if ours.digest != nil && theirs.digest != nil {
                if ours.digest != theirs.digest { change = .replaceContentDiffers }
            } else {
                change = .replaceUnproven
            }
        }
        guard let change else { return attributes(ours, theirs) }
        if options.existing == .keepAll { return .action(.keepByOption) }
        if options.existing == .keepNewer && isLater(theirs, ours) && !isSameTime(ours, theirs) {
            return .action(.keepByOption)
        }
        if writes != .files && change != .keepTargetNewer { return .action(.keepUnsupported) }
        // Metadata are replaced only by what is known to be newer.
        guard ours.path.rawValue.hasPrefix("metadata/"), ours.path.rawValue.hasSuffix(".json") else {
            return .action(change)
        }
        if change == .keepSourceEmpty { return .action(.keepSourceDamaged) }
        return .action(isLater(ours, theirs) && !isSameTime(ours, theirs) ? change : .keepMetadata)
    }

    private func attributes(_ ours: FileEntry, _ theirs: FileEntry) -> Comparison {
        if writes != .files || options.existing != .replaceChanged { return .equal }
        if ours.mode != nil && theirs.mode != nil && ours.mode != theirs.mode {
            return .action(.updateAttributes)
        }
        let comparesTime = options.comparison == .checksum && ours.modified != nil && theirs.modified != nil
        return comparesTime && !isSameTime(ours, theirs) ? .action(.updateAttributes) : .equal
    }

    private func isLater(_ first: FileEntry, _ second: FileEntry) -> Bool {
        guard let one = first.modified, let two = second.modified else { return false }
        return one.nanoseconds > two.nanoseconds
    }

    private func isSameTime(_ ours: FileEntry, _ theirs: FileEntry) -> Bool {
        guard let one = ours.modified?.nanoseconds, let two = theirs.modified?.nanoseconds else {
            return false
        }
        let apart = one > two ? one - two : two - one
        return apart <= options.modifyWindowNanoseconds || apart < precision
    }

    /// Whether the options ask for the fileset that the entry belongs to, or it is the scan's.
    private func isWanted(_ entry: FileEntry) -> Bool {
        guard options.selection.selectsFilesets, let fileset = fileset(of: entry) else { return true }
        return options.selection.includes(fileset: fileset)
    }

    private func fileset(of entry: FileEntry) -> String? {
        var parts = entry.path.rawValue.split(separator: "/").map(String.init)
        if parts[0] != "metadata" { return parts.count == 1 && entry.kind == .file ? nil : parts[0] }
        parts.removeFirst()
        guard let first = parts.first else { return nil }
        if parts.count > 1 || entry.kind == .directory { return first }
        if first == "metadata.json" || first == "images.json" || !first.hasSuffix(".json") { return nil }
        return String(first.dropLast(".json".count))
    }

    private func ancestors(of path: ScanPath) -> [ScanPath] {
        var result = [path]
        while let parent = result.last?.parent { result.append(parent) }
        return result
    }
}
