import Glibc

/// What one side holds of one scan: its entries in ascending bytewise order of their paths,
/// and what it holds but does not carry.
///
/// Entries are packed: about 40 bytes each and the bytes of the path, so that a million of
/// them fit in memory twice over; ``FileEntry`` values are made on access, in O(1).
public struct ScanManifest: Sendable, RandomAccessCollection {
    public let scan: ScanID
    public let skipped: [SkippedEntry]

    private let names: [UInt8]
    private let records: [Record]
    /// 32 bytes an entry, or empty where no entry has a digest.
    private let digests: [UInt8]
    /// Where entries are spelled otherwise than the side that holds them does.
    var revisionOfHolder: ScanRevision?

    /// 40 bytes. `modified` is `.min` where it is unknown, `mode` is `.max`.
    struct Record {
        var nameOffset: UInt64
        var size: Int64
        var modified: Int64
        var nameLength: UInt32
        var mode: UInt16
        var kind: FileEntry.Kind
        var hasDigest: Bool
    }

    /// - Throws: ``DatabaseError/Code/invalidData`` if two entries have one path.
    public init(scan: ScanID, entries: some Sequence<FileEntry>, skipped: [SkippedEntry] = [])
        throws(DatabaseError)
    {
        var builder = Builder(scan: scan)
        for entry in entries { builder.append(entry) }
        for entry in skipped { builder.skip(entry) }
        self = try builder.build()
    }

    /// The scan and the skipped entries of another manifest, and no entries: what a plan
    /// keeps of a scan that needs nothing.
    public init(skippedOf other: ScanManifest) {
        self.init(scan: other.scan, skipped: other.skipped, names: [], records: [], digests: [])
    }

    private init(
        scan: ScanID, skipped: [SkippedEntry], names: [UInt8], records: [Record], digests: [UInt8]
    ) {
        self.scan = scan
        self.skipped = skipped
        self.names = names
        self.records = records
        self.digests = digests
    }

    public var startIndex: Int { 0 }
    public var endIndex: Int { records.count }

    public subscript(position: Int) -> FileEntry {
        let facts = facts(at: position)
        return FileEntry(
            path: ScanPath(unchecked: String(decoding: pathBytes(at: position), as: UTF8.self)),
            kind: facts.kind, size: facts.size, modified: facts.modified, mode: facts.mode,
            digest: facts.digest)
    }

    /// The entry but for its path, which costs more than all the rest.
    public func facts(at position: Int) -> EntryFacts {
        let record = records[position]
        return EntryFacts(
            kind: record.kind, size: record.size,
            modified: record.modified == .min ? nil : ModificationTime(nanoseconds: record.modified),
            mode: record.mode == .max ? nil : record.mode,
            digest: record.hasDigest
                ? Digest(
                    bytes: Array(
                        digests[(position * Digest.byteCount)..<((position + 1) * Digest.byteCount)]))
                : nil)
    }

    /// The bytes of the path, without a copy.
    public func pathBytes(at position: Int) -> ArraySlice<UInt8> {
        let record = records[position]
        let start = Int(record.nameOffset)
        return names[start..<(start + Int(record.nameLength))]
    }

    /// Whether every entry has a modification time.
    public var tellsAllTimes: Bool { records.allSatisfy { $0.modified != .min } }

    /// The smallest difference of modification times that its files show, in nanoseconds: a second where all
    /// of them are whole, since then the file system, or the way by which they came, keeps no more; else 1.
    public var shownTimePrecision: Int64 {
        var areWhole = false
        for record in records where record.kind == .file && record.modified != .min {
            if record.modified % 1_000_000_000 != 0 { return 1 }
            areWhole = true
        }
        return areWhole ? 1_000_000_000 : 1
    }

    /// The entry at `path`, in O(log n).
    public func entry(at path: ScanPath) -> FileEntry? {
        position(of: path).map { self[$0] }
    }

    /// Where `path` stands, in O(log n); nil if it is not there.
    public func position(of path: ScanPath) -> Int? {
        var path = path.rawValue
        return path.withUTF8 { wanted -> Int? in
            var low = 0
            var high = records.count
            while low < high {
                let middle = (low + high) / 2
                switch compareName(at: middle, to: wanted) {
                case 0: return middle
                case ..<0: low = middle + 1
                default: high = middle
                }
            }
            return nil
        }
    }

    /// Whether everything in the scan is known, so that absence is proof of absence.
    public var isComplete: Bool { !skipped.contains(where: \.hidesContent) }

    /// The number of files (not directories) and of their bytes.
    public var fileCount: Int { records.reduce(0) { $0 + ($1.kind == .file ? 1 : 0) } }
    public var byteCount: Int64 { records.reduce(0) { $0.addingSaturated($1.size) } }

    /// Identifies this state of the scan: differs whenever a path, kind, size or time does.
    /// (Modes and digests do not count.) O(n).
    public var revision: ScanRevision {
        if let revisionOfHolder { return revisionOfHolder }
        var hash = StateHash()
        for record in records where record.kind == .file {
            hash.combine(UInt64(record.nameLength))
            let start = Int(record.nameOffset)
            for byte in names[start..<(start + Int(record.nameLength))] { hash.combine(byte) }
            hash.combine(UInt64(bitPattern: record.size))
            hash.combine(UInt64(bitPattern: record.modified))
        }
        return ScanRevision(rawValue: hash.description)
    }

    /// -1, 0 or 1: how the path at `index` compares with the path at `otherIndex` of `other`.
    public func comparePath(at index: Int, with other: ScanManifest, at otherIndex: Int) -> Int {
        let record = other.records[otherIndex]
        return other.names.withUnsafeBufferPointer { buffer in
            let start = Int(record.nameOffset)
            return compareName(
                at: index, to: UnsafeBufferPointer(rebasing: buffer[start..<(start + Int(record.nameLength))])
            )
        }
    }

    private func compareName(at index: Int, to other: UnsafeBufferPointer<UInt8>) -> Int {
        let record = records[index]
        return names.withUnsafeBufferPointer { buffer in
            let start = Int(record.nameOffset)
            return compareBytes(
                UnsafeBufferPointer(rebasing: buffer[start..<(start + Int(record.nameLength))]), other)
        }
    }

    /// Collects entries in any order.
    public struct Builder: Sendable {
        public let scan: ScanID
        private var names: [UInt8] = []
        private var records: [Record] = []
        private var digests: [UInt8] = []
        private var skipped: [SkippedEntry] = []

        public init(scan: ScanID) { self.scan = scan }

        public var count: Int { records.count }

        public mutating func append(_ entry: FileEntry) {
            var path = entry.path.rawValue
            path.withUTF8 { append(validated: $0, entry) }
        }

        /// Appends what lies at `path` (raw bytes), or records it as skipped if the path is
        /// not a valid ``ScanPath``. For listings of directories, where names come as bytes.
        public mutating func append(
            rawPath path: UnsafeBufferPointer<UInt8>, kind: FileEntry.Kind, size: Int64,
            modified: ModificationTime?, mode: UInt16?
        ) {
            if let flaw = ScanPath.flaw(in: path) {
                skip(
                    SkippedEntry(
                        path: String(decoding: path, as: UTF8.self).printable, reason: .invalidName,
                        detail: flaw.rawValue))
                return
            }
            store(path, kind: kind, size: size, modified: modified, mode: mode, digest: nil)
        }

        public mutating func skip(_ entry: SkippedEntry) { skipped.append(entry) }

        private mutating func append(validated path: UnsafeBufferPointer<UInt8>, _ entry: FileEntry) {
            store(
                path, kind: entry.kind, size: entry.size, modified: entry.modified, mode: entry.mode,
                digest: entry.digest)
        }

        private mutating func store(
            _ path: UnsafeBufferPointer<UInt8>, kind: FileEntry.Kind, size: Int64,
            modified: ModificationTime?, mode: UInt16?, digest: Digest?
        ) {
            if let digest {
                // Entries before the first digest get 32 zero bytes that nobody reads.
                digests.append(
                    contentsOf: repeatElement(0, count: records.count * Digest.byteCount - digests.count))
                digests.append(contentsOf: digest.bytes)
            }
            records.append(
                Record(
                    nameOffset: UInt64(names.count), size: size, modified: modified?.nanoseconds ?? .min,
                    nameLength: UInt32(path.count), mode: mode.map { $0 & 0o777 } ?? .max, kind: kind,
                    hasDigest: digest != nil))
            names.append(contentsOf: path)
        }

        /// - Throws: ``DatabaseError/Code/invalidData`` if two entries have one path.
        public consuming func build() throws(DatabaseError) -> ScanManifest {
            let order = sortedOrder()
            var sorted: [Record] = []
            var sortedDigests: [UInt8] = []
            if let order {
                sorted.reserveCapacity(records.count)
                for index in order { sorted.append(records[Int(index)]) }
                if !digests.isEmpty {
                    digests.append(
                        contentsOf: repeatElement(0, count: records.count * Digest.byteCount - digests.count))
                    sortedDigests.reserveCapacity(digests.count)
                    for index in order {
                        let start = Int(index) * Digest.byteCount
                        sortedDigests.append(contentsOf: digests[start..<(start + Digest.byteCount)])
                    }
                }
            } else {
                sorted = records
                if !digests.isEmpty {
                    digests.append(
                        contentsOf: repeatElement(0, count: records.count * Digest.byteCount - digests.count))
                }
                sortedDigests = digests
            }
            let manifest = ScanManifest(
                scan: scan, skipped: skipped, names: names, records: sorted, digests: sortedDigests)
            for index in manifest.indices.dropFirst()
            where manifest.comparePath(at: index - 1, with: manifest, at: index) == 0 {
                let path = manifest[index].path
                throw DatabaseError(
                    .invalidData, "“\(path)” is listed twice in scan \(scan)", scan: scan,
                    path: path.rawValue)
            }
            return manifest
        }

        /// nil if the records are in order already, as listings of our own peers are.
        private func sortedOrder() -> [UInt32]? {
            names.withUnsafeBufferPointer { buffer -> [UInt32]? in
                func name(_ index: UInt32) -> UnsafeBufferPointer<UInt8> {
                    let record = records[Int(index)]
                    let start = Int(record.nameOffset)
                    return UnsafeBufferPointer(rebasing: buffer[start..<(start + Int(record.nameLength))])
                }
                func isSorted(_ order: some RandomAccessCollection<UInt32>) -> Bool {
                    zip(order, order.dropFirst()).allSatisfy { compareBytes(name($0), name($1)) < 0 }
                }
                let listed = 0..<UInt32(records.count)
                if isSorted(listed) { return nil }
                // Listings come directory by directory: each is sorted for itself, which makes
                // what remains a merging of a few.
                var order: [UInt32] = []
                order.reserveCapacity(records.count)
                var rest = listed
                while let first = rest.first {
                    let directory = name(first).directory
                    let run = rest.prefix { compareBytes(name($0).directory, directory) == 0 }
                    order += Self.sorted(run, name)
                    rest = rest.dropFirst(run.count)
                }
                if isSorted(order) { return order }
                return order.sorted { compareBytes(name($0), name($1)) < 0 }
            }
        }

        /// By the eight bytes that follow what all of them have in common, compared as one number: of the
        /// files of a directory these mostly tell.
        private static func sorted(
            _ run: Range<UInt32>, _ name: (UInt32) -> UnsafeBufferPointer<UInt8>
        ) -> [UInt32] {
            guard let first = run.first.map(name) else { return [] }
            var common = first.count
            for index in run {
                let path = name(index)
                let shorter = Swift.min(common, path.count)
                common = (0..<shorter).first { path[$0] != first[$0] } ?? shorter
            }
            var keyed = run.map { index in
                let path = name(index)
                var key: UInt64 = 0
                for place in common..<(common + 8) {
                    key = key << 8 | (place < path.count ? UInt64(path[place]) : 0)
                }
                return (key: key, index: index)
            }
            keyed.sort {
                $0.key != $1.key ? $0.key < $1.key : compareBytes(name($0.index), name($1.index)) < 0
            }
            return keyed.map(\.index)
        }
    }
}

extension UnsafeBufferPointer<UInt8> {
    /// Of a path, up to its last `/`; empty without one.
    fileprivate var directory: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(rebasing: self[..<((lastIndex(of: UInt8(ascii: "/")) ?? -1) + 1)])
    }
}

private func compareBytes(_ lhs: UnsafeBufferPointer<UInt8>, _ rhs: UnsafeBufferPointer<UInt8>) -> Int {
    let common = Swift.min(lhs.count, rhs.count)
    // Of two empty ones there may be no address.
    if common > 0, let left = lhs.baseAddress, let right = rhs.baseAddress {
        let order = memcmp(left, right, common)
        if order != 0 { return order < 0 ? -1 : 1 }
    }
    return lhs.count == rhs.count ? 0 : (lhs.count < rhs.count ? -1 : 1)
}

/// Two lanes of FNV-1a with different offsets: 128 bits that tell states of one scan apart.
/// Not a cryptographic hash: who can write the database need not forge it.
private struct StateHash: CustomStringConvertible {
    private var first: UInt64 = 0xcbf2_9ce4_8422_2325
    private var second: UInt64 = 0x6c62_272e_07bb_0142

    mutating func combine(_ byte: UInt8) {
        first = (first ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
        second = (second ^ UInt64(byte)) &* 0x9e37_79b9_7f4a_7c15
        second ^= second >> 29
    }

    mutating func combine(_ word: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) {
            combine(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
        }
    }

    var description: String {
        func hex(_ word: UInt64) -> String {
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
        return hex(first) + hex(second)
    }
}
