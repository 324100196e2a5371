import PlantDBCore

/// What runs from one database to another remember of one scan: which files they brought, which
/// differences they told, and which two indexes were found to mean what they should.
///
/// It decides what may be deleted and who changed what; where there is none, the careful way is taken.
/// 24 bytes a file.
public struct ScanMemory: Sendable, Equatable {
    /// A file as a run brought it, or found it equal.
    public struct Brought: Sendable, Equatable {
        var path: UInt64
        var size: Int64
        /// In nanoseconds; `.min`: the source told none.
        var modified: Int64
    }

    /// In ascending order of ``Brought/path``.
    private(set) var brought: [Brought]
    /// When the last run published here, by this machine's clock: times of a target that keeps none lie in it.
    private(set) var published: ClosedRange<Int64>
    /// Of the two indexes (``StampPair``) whose merge was found to be the target's.
    var provenIndexes: UInt64?
    /// Differences (``StampPair``) that were told, or found to be none.
    var settled: Set<UInt64>

    /// What is to be remembered of a scan, once it is done. Made by the planner, kept small.
    public struct Draft: Sendable {
        /// Known from before, and not the source's any more, or not brought by this run.
        var carriedOver: [Brought] = []
        /// Positions in the source's manifest that the run does not bring.
        var notBrought: Set<Int32> = []
        var provenIndexes: UInt64?
        var settled: Set<UInt64> = []
        var published: ClosedRange<Int64>?
        /// Of a scan that needs nothing: its manifest is not kept.
        var brought: [Brought]?
    }

    /// Of a scan that runs brought, and whose files nobody remembers.
    public init() {
        (brought, published, settled) = ([], 0...0, [])
    }

    init(
        _ draft: Draft, source: ScanManifest, published: ClosedRange<Int64>
    ) {
        var brought = draft.brought ?? Self.files(of: source, but: draft.notBrought)
        brought += draft.carriedOver
        brought.sort { $0.path < $1.path }
        self.brought = brought
        self.published = draft.published ?? published
        provenIndexes = draft.provenIndexes
        settled = draft.settled
    }

    static func files(of source: ScanManifest, but left: Set<Int32>) -> [Brought] {
        var result: [Brought] = []
        for position in source.indices where !left.contains(Int32(position)) {
            let facts = source.facts(at: position)
            guard facts.kind == .file else { continue }
            result.append(
                Brought(
                    path: StableHash.of(source.pathBytes(at: position)), size: facts.size,
                    modified: facts.modified?.nanoseconds ?? .min))
        }
        return result
    }

    /// How a file was when a run last brought it; nil: none did. O(log n).
    func file(_ path: ScanPath) -> Brought? {
        let wanted = StableHash.of(path.rawValue.utf8)
        var (low, high) = (0, brought.count)
        while low < high {
            let middle = (low + high) / 2
            if brought[middle].path < wanted { low = middle + 1 } else { high = middle }
        }
        return low < brought.count && brought[low].path == wanted ? brought[low] : nil
    }

    /// Whether a file is one that a run brought, as it was then.
    func knows(_ scan: ScanManifest) -> Bool {
        brought.isEmpty
            || scan.contains { entry in
                guard entry.kind == .file, let brought = file(entry.path) else { return false }
                return brought.size == entry.size && brought.modified == entry.modified?.nanoseconds ?? .min
            }
    }

    /// Whether the target's file is what a run left there.
    ///
    /// - Parameters:
    ///   - precision: of times, in nanoseconds.
    ///   - keepsTimes: ``keepsTimes(_:precision:)`` of the target: else a time of the publication is ours.
    func isUntouched(_ entry: EntryFacts, since brought: Brought, precision: Int64, keepsTimes: Bool) -> Bool
    {
        guard entry.size == brought.size else { return false }
        guard let modified = entry.modified?.nanoseconds, brought.modified != .min else { return true }
        return isTime(modified, of: brought, precision) || !keepsTimes && published.contains(modified)
    }

    /// A file system may have cut it to two seconds, and told nobody.
    private func isTime(_ modified: Int64, of brought: Brought, _ precision: Int64) -> Bool {
        modified < brought.modified.addingSaturated(max(precision, 1))
            && modified > brought.modified.addingSaturated(-max(precision, 2_000_000_000))
    }

    /// Whether a file of the target has the very time that it was brought with.
    func keepsTimes(_ target: ScanManifest, precision: Int64) -> Bool {
        target.contains { entry in
            guard entry.kind == .file, let modified = entry.modified?.nanoseconds,
                let brought = file(entry.path),
                brought.modified != .min
            else { return false }
            return isTime(modified, of: brought, precision)
        }
    }

    /// Whether the source's file is a later one. An older one may have come from a backup.
    func isLater(_ entry: EntryFacts, than brought: Brought, precision: Int64) -> Bool {
        guard let modified = entry.modified?.nanoseconds, brought.modified != .min else {
            return entry.size != brought.size
        }
        return modified >= brought.modified.addingSaturated(max(precision, 1))
    }

    /// Whether somebody wrote the target's file after the last run did. One that a power cut emptied is nobody's.
    func isWrittenSince(_ entry: EntryFacts, _ brought: Brought, precision: Int64, keepsTimes: Bool) -> Bool {
        entry.size > 0 && !isUntouched(entry, since: brought, precision: precision, keepsTimes: keepsTimes)
    }

    // MARK: Bytes

    /// Little-endian: a version, the times, the proof, the settled ones, the files.
    public func encoded() -> [UInt8] {
        var bytes: [UInt8] = [1]
        bytes.reserveCapacity(64 + 8 * settled.count + 24 * brought.count)
        func put(_ word: UInt64) { withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0) } }
        put(UInt64(bitPattern: published.lowerBound))
        put(UInt64(bitPattern: published.upperBound))
        put(provenIndexes == nil ? 0 : 1)
        put(provenIndexes ?? 0)
        put(UInt64(settled.count))
        for one in settled.sorted() { put(one) }
        for file in brought {
            put(file.path)
            put(UInt64(bitPattern: file.size))
            put(UInt64(bitPattern: file.modified))
        }
        return bytes
    }

    /// nil if these are not the bytes of one: nothing is remembered then.
    public init?(decoding bytes: [UInt8]) {
        guard bytes.first == 1, bytes.count >= 41, (bytes.count - 1) % 8 == 0 else { return nil }
        func word(_ index: Int) -> UInt64 {
            var result: UInt64 = 0
            for place in (0..<8).reversed() { result = result << 8 | UInt64(bytes[1 + 8 * index + place]) }
            return result
        }
        let words = (bytes.count - 1) / 8
        let (from, to) = (Int64(bitPattern: word(0)), Int64(bitPattern: word(1)))
        guard from <= to, let settledCount = Int(exactly: word(4)), settledCount <= words - 5,
            (words - 5 - settledCount) % 3 == 0
        else { return nil }
        published = from...to
        provenIndexes = word(2) == 1 ? word(3) : nil
        settled = Set((5..<(5 + settledCount)).map(word))
        brought = stride(from: 5 + settledCount, to: words, by: 3).map {
            Brought(
                path: word($0), size: Int64(bitPattern: word($0 + 1)),
                modified: Int64(bitPattern: word($0 + 2)))
        }
    }
}

/// What runs from one database to another remember, scan by scan. Calls are quick, and may come from any task.
public protocol PairMemory: Sendable {
    /// Whether anything at all is remembered of this pair.
    var isEmpty: Bool { get }
    /// Of which something is remembered.
    var scans: [ScanID] { get }
    /// Whether anything is remembered of a scan. O(1), reads nothing.
    func knows(_ scan: ScanID) -> Bool
    /// nil: nothing.
    func recall(_ scan: ScanID) throws(DatabaseError) -> ScanMemory?
    /// Replaces what was remembered. It is kept for good at the next ``flush()``, or before.
    func remember(_ memory: ScanMemory, of scan: ScanID) throws(DatabaseError)
    func forget(_ scan: ScanID) throws(DatabaseError)
    func flush() throws(DatabaseError)
}

extension PairMemory {
    /// Another scan, of whose files runs brought one that `manifest` has, as it was then; nil: none. Reads
    /// everything that is remembered.
    func scan(knowing manifest: ScanManifest) throws(DatabaseError) -> ScanID? {
        for scan in scans where scan != manifest.scan {
            if let memory = try recall(scan), !memory.brought.isEmpty, memory.knows(manifest) { return scan }
        }
        return nil
    }
}

/// One file as both sides have it, as a number: it is another as soon as either is.
enum StampPair {
    /// Of two indexes, for runs that would merge them in the same way; nil: with options that change what comes
    /// of them nothing is proven.
    static func proof(_ source: EntryFacts?, _ target: EntryFacts?, _ options: SyncOptions) -> UInt64? {
        guard options.existing == .replaceChanged, !options.selection.selectsFilesets else { return nil }
        let pair = hash(.index, source, target)
        return options.deletion == .never ? pair : ~pair
    }

    static func hash(_ path: ScanPath, _ source: EntryFacts?, _ target: EntryFacts?) -> UInt64 {
        var hash = StableHash()
        hash.combine(path.rawValue.utf8)
        for side in [source, target] {
            hash.combine(UInt64(bitPattern: side?.size ?? -1))
            hash.combine(UInt64(bitPattern: side?.modified?.nanoseconds ?? .min))
        }
        return hash.value
    }
}

/// FNV-1a with a final mixing: the same in every process and release. Not cryptographic.
struct StableHash {
    private var state: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func combine(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        state = (state ^ 0xff) &* 0x0000_0100_0000_01b3
    }

    mutating func combine(_ word: UInt64) {
        state = (state ^ word) &* 0x9e37_79b9_7f4a_7c15
        state ^= state >> 29
    }

    var value: UInt64 {
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    static func of(_ bytes: some Sequence<UInt8>) -> UInt64 {
        var hash = StableHash()
        hash.combine(bytes)
        return hash.value
    }
}
