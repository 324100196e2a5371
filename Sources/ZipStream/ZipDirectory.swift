import NIOCore

/// The directory at an archive's end: what it holds, without reading it all. Two reads of parts are
/// enough, by ranges of a file or of HTTP.
public struct ZipDirectory: Sendable {
    /// In the order of the archive.
    public let entries: [ZipEntry]
    private let start: Int64

    /// Where the directory is.
    public struct Location: Sendable, Hashable {
        /// In bytes of the archive.
        public var range: Range<Int64>
        public var count: Int
    }

    /// How many bytes of an archive's end are certain to tell where the directory is.
    public static let tailSize =
        ZipRecord.endSize + Int(UInt16.max) + ZipRecord.end64Size + ZipRecord.locator64Size

    /// - Parameters:
    ///   - tail: the last ``tailSize`` bytes, or all of a smaller archive.
    ///   - archiveSize: in bytes.
    public static func locate(in tail: ByteBuffer, archiveSize: Int64) throws(ZipError) -> Location {
        let tailStart = archiveSize - Int64(tail.readableBytes)
        guard tailStart >= 0 else { throw ZipError(.misuse, "the tail is longer than the archive") }
        guard let (end, record) = findEnd(tail) else {
            throw ZipError(.notAZip, "this is no ZIP archive, or its end is missing")
        }
        var (count, size, offset) = (UInt64(record.count), UInt64(record.size), UInt64(record.offset))
        var endPosition = tailStart + Int64(end)
        if record.count == .max || record.size == .max || record.offset == .max {
            var locator = tail
            locator.moveReaderIndex(forwardBy: max(0, end - ZipRecord.locator64Size))
            if end >= ZipRecord.locator64Size,
                let (signature, _, position, _) = locator.readMultipleIntegers(
                    endianness: .little, as: (UInt32, UInt32, UInt64, UInt32).self),
                signature == ZipRecord.locator64
            {
                let place = Int64(end) + tailStart - Int64(ZipRecord.locator64Size + ZipRecord.end64Size)
                var reader = tail
                guard position == UInt64(clamping: place), place >= tailStart else {
                    throw ZipError(.corrupt, "the archive's end is damaged")
                }
                reader.moveReaderIndex(forwardBy: Int(place - tailStart))
                guard
                    let (mark, _, _, _, _, _, _, count64, size64, offset64) = reader.readMultipleIntegers(
                        endianness: .little,
                        as: (
                            UInt32, UInt64, UInt16, UInt16, UInt32, UInt32, UInt64, UInt64, UInt64, UInt64
                        ).self), mark == ZipRecord.end64
                else { throw ZipError(.corrupt, "the archive's end is damaged") }
                (count, size, offset) = (count64, size64, offset64)
                endPosition = place
            }
        }
        guard let size = Int64(exactly: size), let offset = Int64(exactly: offset),
            size <= endPosition, offset == endPosition - size,
            count <= UInt64(size) / UInt64(ZipRecord.centralSize)
        else { throw ZipError(.corrupt, "the archive's directory is not where its end says") }
        return Location(range: offset..<endPosition, count: Int(count))
    }

    private struct End {
        var count: UInt16
        var size: UInt32
        var offset: UInt32
    }

    /// The one whose comment ends with the archive.
    private static func findEnd(_ tail: ByteBuffer) -> (Int, End)? {
        guard tail.readableBytes >= ZipRecord.endSize else { return nil }
        for place in stride(from: tail.readableBytes - ZipRecord.endSize, through: 0, by: -1) {
            var reader = tail
            reader.moveReaderIndex(forwardBy: place)
            guard
                let (signature, disk, startDisk, here, count, size, offset, comment) =
                    reader.readMultipleIntegers(
                        endianness: .little,
                        as: (UInt32, UInt16, UInt16, UInt16, UInt16, UInt32, UInt32, UInt16).self),
                signature == ZipRecord.end, Int(comment) == reader.readableBytes, disk == 0, startDisk == 0,
                here == count
            else { continue }
            return (place, End(count: count, size: size, offset: offset))
        }
        return nil
    }

    /// - Parameter bytes: of the archive, ``Location/range``.
    /// - Throws: as ``ZipReader`` does; `corrupt` where entries lie one over another.
    public init(_ bytes: ByteBuffer, at location: Location, limits: ZipLimits = ZipLimits()) throws(ZipError)
    {
        guard Int64(bytes.readableBytes) == Int64(location.range.count) else {
            throw ZipError(.misuse, "the directory has \(location.range.count) bytes")
        }
        var bytes = bytes
        var names = ZipNames()
        var entries: [ZipEntry] = []
        var total: Int64 = 0
        var totalCompressed: Int64 = 0
        while bytes.readableBytes > 0 {
            guard bytes.getInteger(at: bytes.readerIndex, endianness: .little) == ZipRecord.central,
                let header = try ZipHeader.central(&bytes)
            else { throw ZipError(.corrupt, "the directory is damaged") }
            let entry = try header.entry(offset: header.offset)
            try names.add(entry.path, isDirectory: entry.isDirectory)
            let (sum, overflows) = total.addingReportingOverflow(header.size)
            guard entries.count < limits.entries, !overflows, sum <= limits.totalSize else {
                throw ZipError(.tooLarge, "the archive holds more than is allowed")
            }
            if header.method == .stored, header.size != header.compressedSize {
                throw ZipError(.corrupt, "\(ZipName.shown(header.name)) has two sizes")
            }
            total = sum
            totalCompressed = totalCompressed.addingReportingOverflow(header.compressedSize).partialValue
            // What is said here is compared with what is there when it is read.
            guard limits.allows(header.size, from: header.compressedSize),
                limits.allows(total, from: totalCompressed)
            else {
                throw ZipError(
                    .tooLarge,
                    "\(ZipName.shown(header.name)) is compressed more than \(limits.ratio) times: it is taken for a bomb"
                )
            }
            entries.append(entry)
        }
        guard entries.count == location.count else {
            throw ZipError(
                .corrupt, "the directory has another number of entries than the archive's end says")
        }
        entries.sort { $0.offset < $1.offset }
        var free: Int64 = 0
        for entry in entries {
            let least = Int64(ZipRecord.localSize + entry.path.utf8.count)
            let (end, overflows) = entry.offset.addingReportingOverflow(least + (entry.compressedSize ?? 0))
            guard entry.offset >= free, !overflows, end <= location.range.lowerBound else {
                throw ZipError(.corrupt, "\(ZipName.shown(entry.path.utf8)) lies over another entry")
            }
            free = end
        }
        self.entries = entries
        start = location.range.lowerBound
    }

    /// Where the entry's local header and content are at most: up to the next entry.
    public func range(of entry: ZipEntry) -> Range<Int64> {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].offset <= entry.offset { low = middle + 1 } else { high = middle }
        }
        return entry.offset..<(low < entries.count ? entries[low].offset : start)
    }
}

/// Reads one entry that a ``ZipDirectory`` lists: push the bytes from its offset on, take its
/// content, and call ``finish()``.
public struct ZipEntryReader: ~Copyable {
    private let entry: ZipEntry
    private var input = ByteBuffer()
    private var content: ZipContent?

    public init(_ entry: ZipEntry) { self.entry = entry }

    public var isOver: Bool { content?.isOver == true }

    public mutating func push(_ bytes: ByteBuffer) {
        if input.readableBytes == 0 { input = bytes } else { input.writeImmutableBuffer(bytes) }
    }

    /// - Returns: nil: more bytes are needed, or the entry is over.
    public mutating func next() throws(ZipError) -> ByteBuffer? {
        if content == nil {
            guard let signature: UInt32 = input.getInteger(at: input.readerIndex, endianness: .little) else {
                return nil
            }
            guard signature == ZipRecord.local else {
                throw ZipError(.corrupt, "\(ZipName.shown(entry.path.utf8)) is not where the directory says")
            }
            guard let header = try ZipHeader.local(&input) else { return nil }
            let local = try header.entry(offset: entry.offset)
            guard local.path == entry.path, local.method == entry.method else {
                throw ZipError(.corrupt, "the directory says something else of \(ZipName.shown(header.name))")
            }
            content = try ZipContent(
                entry, compressedSize: entry.compressedSize, limit: entry.size ?? .max, limits: ZipLimits())
        }
        while content?.isOver == false {
            let before = input.readableBytes
            if let data = try content?.next(&input) { return data }
            if input.readableBytes == before { return nil }
        }
        return nil
    }

    /// - Throws: `truncated`; `corrupt` where size or checksum is not that of the directory.
    public consuming func finish() throws(ZipError) {
        let name = ZipName.shown(entry.path.utf8)
        guard let actual = content.map({ ($0.isOver, $0.size, $0.crc.value) }), actual.0 else {
            throw ZipError(.truncated, "\(name) ends before it is whole")
        }
        guard actual.1 == entry.size, actual.2 == entry.crc32 else {
            throw ZipError(.corrupt, "\(name) is damaged: its checksum or size is wrong")
        }
    }
}
