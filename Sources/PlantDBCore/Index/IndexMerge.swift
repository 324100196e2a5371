/// What becomes of a target's `files.json` in a one-way run: a pure function.
///
/// The identity of an entry is its id (fileset, then file); the name of its file is a value. Of entries
/// with one id the last wins, as upstream reads them. What only the target lists stays for as long as
/// its path does; what only the source lists comes if its path does. O(n) in the entries of both.
public struct IndexMerge {
    /// Which side's value an entry gets that both list.
    public enum Common: Sendable {
        /// The source's, and the target's keys that the source does not have.
        case source
        /// The target's: only additions come.
        case target
    }

    public var source: FileIndex
    public var target: FileIndex
    public var common = Common.source
    /// Whether the target will hold a path (`fileset/file`) after the run.
    public var staysAtTarget: (String) -> Bool
    /// Whether the source holds a path.
    public var isAtSource: (String) -> Bool
    /// Whether a fileset, by its id, was asked for.
    public var isSelected: (String) -> Bool = { _ in true }
    /// Whether what the source holds and does not list goes from the target's index too (`--delete`).
    public var removesUnlisted = false

    public init(
        source: FileIndex, target: FileIndex, staysAtTarget: @escaping (String) -> Bool,
        isAtSource: @escaping (String) -> Bool
    ) {
        self.source = source
        self.target = target
        self.staysAtTarget = staysAtTarget
        self.isAtSource = isAtSource
    }

    /// In the source's order, then what only the target has, in its order.
    public func merged() -> FileIndex {
        let theirs = target.items.lastEntries(\.id)
        var result = FileIndex()
        result.unknown = source.unknown.keeping(target.unknown)
        result.items = source.items.uniqued(\.id).compactMap { item in
            guard let ours = item.entry else { return item }
            return merge(ours, with: theirs[ExactText(ours.id)]).map { .entry($0) }
        }
        let ours = source.items.lastEntries(\.id)
        for item in target.items.uniqued(\.id) {
            guard let fileset = item.entry else {
                if !result.items.contains(item) { result.items.append(item) }
                continue
            }
            guard ours[ExactText(fileset.id)] == nil else { continue }
            var kept = fileset
            kept.items = fileset.items.uniqued(\.id).filter { keeps($0, of: fileset.id, names: []) }
            if !kept.items.isEmpty || staysAtTarget(fileset.id) { result.items.append(.entry(kept)) }
        }
        return result
    }

    /// nil: it has no place in the target's index.
    private func merge(_ ours: IndexedFileset, with theirs: IndexedFileset?) -> IndexedFileset? {
        guard isSelected(ours.id) else { return theirs }
        guard let theirs else {
            var result = ours
            result.items = ours.items.uniqued(\.id).compactMap { added($0, ours.id) }
            // A fileset whose files have all been left out does not come as an empty one.
            return result.items.isEmpty && !ours.items.isEmpty ? nil : result
        }
        var result = theirs
        result.unknown =
            common == .source ? ours.unknown.keeping(theirs.unknown) : theirs.unknown.keeping(ours.unknown)
        let known = theirs.items.lastEntries(\.id)
        let wanted = ours.items.lastEntries(\.id)
        result.items = ours.items.uniqued(\.id).compactMap { item in
            guard let entry = item.entry, let theirs = known[ExactText(entry.id)] else {
                return added(item, ours.id)
            }
            return .entry(value(entry, theirs, in: ours.id))
        }
        let names = Set(result.items.compactMap { $0.entry.map { ExactText($0.file) } })
        for item in theirs.items.uniqued(\.id) {
            if let entry = item.entry {
                guard wanted[ExactText(entry.id)] == nil, keeps(item, of: ours.id, names: names) else {
                    continue
                }
            } else if result.items.contains(item) {
                continue
            }
            result.items.append(item)
        }
        return result
    }

    /// Of an entry that both list.
    private func value(_ ours: IndexedFile, _ theirs: IndexedFile, in fileset: String) -> IndexedFile {
        let path = fileset + "/" + ours.file
        let comes = staysAtTarget(path) || !isAtSource(path)
        guard common == .source, comes || !staysAtTarget(fileset + "/" + theirs.file) else { return theirs }
        var result = ours
        result.unknown = ours.unknown.keeping(theirs.unknown)
        return result
    }

    /// An entry that only the source lists; nil: its file does not come.
    private func added(_ item: IndexItem<IndexedFile>, _ fileset: String) -> IndexItem<IndexedFile>? {
        guard let entry = item.entry else { return item }
        let path = fileset + "/" + entry.file
        return staysAtTarget(path) || !isAtSource(path) ? item : nil
    }

    /// Whether an entry that only the target lists stays.
    ///
    /// - Parameter names: the files that the source's entries of the fileset name.
    private func keeps(_ item: IndexItem<IndexedFile>, of fileset: String, names: Set<ExactText>) -> Bool {
        guard let entry = item.entry else { return true }
        let path = fileset + "/" + entry.file
        guard staysAtTarget(path), !names.contains(ExactText(entry.file)) else { return false }
        return !(removesUnlisted && isSelected(fileset) && isAtSource(path))
    }
}

extension FileIndex {
    /// Whether PlantDB reads the same in both: the order does not count, nor what a later entry hides.
    public func meansTheSame(as other: FileIndex) -> Bool { self == other || meaning == other.meaning }

    private struct Meaning: Hashable {
        struct Fileset: Hashable {
            var unknown: JSONObject
            var files: [ExactText: IndexedFile]
            var unusable: Set<JSONValue>
        }
        var unknown: JSONObject
        var filesets: [ExactText: Fileset]
        var unusable: Set<JSONValue>
    }

    private var meaning: Meaning {
        Meaning(
            unknown: unknown,
            filesets: items.lastEntries(\.id).mapValues {
                Meaning.Fileset(
                    unknown: $0.unknown, files: $0.items.lastEntries(\.id), unusable: $0.items.unusable())
            }, unusable: items.unusable())
    }
}

extension Array {
    fileprivate func lastEntries<Entry>(_ id: (Entry) -> String) -> [ExactText: Entry]
    where Element == IndexItem<Entry> {
        var result: [ExactText: Entry] = [:]
        for item in self { if let entry = item.entry { result[ExactText(id(entry))] = entry } }
        return result
    }

    /// Each id once: its last entry, at the place of its first.
    fileprivate func uniqued<Entry>(_ id: (Entry) -> String) -> [Element] where Element == IndexItem<Entry> {
        var last = lastEntries(id)
        return compactMap { item in
            guard let entry = item.entry else { return item }
            return last.removeValue(forKey: ExactText(id(entry))).map { .entry($0) }
        }
    }

    fileprivate func unusable<Entry>() -> Set<JSONValue> where Element == IndexItem<Entry> {
        Set(compactMap { if case .unusable(let value) = $0 { value } else { nil } })
    }
}

extension JSONObject {
    /// With the members of `other` whose keys are not here.
    fileprivate func keeping(_ other: JSONObject) -> JSONObject {
        var result = self
        for member in other.members where result[member.key] == nil { result[member.key] = member.value }
        return result
    }
}
