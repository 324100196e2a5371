import NIOCore

/// Writes an archive as a stream: every call returns the bytes that are next.
///
/// ```swift
/// var zip = ZipWriter()
/// send(try zip.begin("scan/images/1.jpg", size: 12, modified: 1_700_000_000, method: .stored))
/// for part in try zip.write(content) { send(part) }
/// send(try zip.end())
/// send(try zip.finish())
/// ```
///
/// Names are in UTF-8 (bit 11), times in UTC (0x5455), sizes of 64 bits where they are needed, the
/// checksum behind the content (bit 3). A stored entry has its size in its local header too, so that
/// a reader of the stream finds its end. Memory: some hundred bytes an entry.
public struct ZipWriter: ~Copyable {
    fileprivate struct Written {
        var name: [UInt8]
        var isDirectory: Bool
        var method: ZipEntry.Method
        var modified: Int64
        var size: Int64
        var offset: Int64
        var isZip64: Bool
        var crc32: UInt32 = 0
        var compressedSize: Int64 = 0
    }

    private var written: [Written] = []
    private var names = ZipNames()
    private var open: Written?
    private var crc = RunningCRC32()
    private var taken: Int64 = 0
    private var deflate: DeflateStream?
    /// In bytes, of what was returned up to now.
    public private(set) var position: Int64 = 0
    private var isFinished = false

    public init() {}

    /// - Parameters:
    ///   - path: relative; a name with `/` at its end is a folder, which has no content.
    ///   - size: in bytes, of the content that follows; no more and no less.
    ///   - modified: in seconds since 1970-01-01 UTC. Beyond 2038 only the day's time of MS-DOS is kept.
    /// - Throws: `invalidName`; `corrupt` for a name that was there; `misuse`.
    public mutating func begin(
        _ path: String, size: Int64, modified: Int64, method: ZipEntry.Method
    ) throws(ZipError) -> ByteBuffer {
        guard open == nil, !isFinished, size >= 0 else {
            throw ZipError(.misuse, "an entry was begun inside another, or after the end")
        }
        let name = Array(path.utf8)
        let (checked, isDirectory) = try ZipName.path(name, isUTF8: true)
        guard name.count < ZipRecord.maximum16, !isDirectory || size == 0 else {
            throw ZipError(.invalidName, "\(ZipName.shown(name)) cannot be the name of an entry")
        }
        try names.add(checked, isDirectory: isDirectory)
        let method = isDirectory || size == 0 ? .stored : method
        // What cannot be compressed grows by less than this.
        let (largest, overflows) = size.addingReportingOverflow(size / 1000 + 1000)
        var entry = Written(
            name: name, isDirectory: isDirectory, method: method, modified: modified, size: size,
            offset: position, isZip64: overflows || largest >= ZipRecord.maximum32)
        if method == .stored { entry.compressedSize = size }
        var extra = ByteBuffer()
        let known = method == .stored
        if entry.isZip64 {
            extra.writeMultipleIntegers(
                UInt16(1), UInt16(16), UInt64(known ? size : 0), UInt64(known ? size : 0), endianness: .little
            )
        }
        Self.write(time: modified, to: &extra)
        var header = ByteBuffer()
        let (date, time) = Self.dosTime(modified)
        let short = entry.isZip64 ? ZipRecord.maximum32 : known ? UInt32(size) : 0
        header.writeMultipleIntegers(
            ZipRecord.local, UInt16(entry.isZip64 ? 45 : 20), entry.flags, method.rawValue, time, date,
            endianness: .little)
        header.writeMultipleIntegers(
            UInt32(0), short, short, UInt16(name.count), UInt16(extra.readableBytes), endianness: .little)
        header.writeBytes(name)
        header.writeBuffer(&extra)
        deflate = method == .deflated ? try DeflateStream(.compress) : nil
        open = entry
        crc = RunningCRC32()
        taken = 0
        position += Int64(header.readableBytes)
        return header
    }

    /// The next bytes of the content. What is stored comes back as it is, without a copy.
    ///
    /// - Throws: `misuse` for more than was announced.
    public mutating func write(_ content: ByteBuffer) throws(ZipError) -> [ByteBuffer] {
        guard let entry = open, taken + Int64(content.readableBytes) <= entry.size else {
            throw ZipError(.misuse, "more content than was announced")
        }
        taken += Int64(content.readableBytes)
        crc.update(content)
        guard let deflate else {
            position += Int64(content.readableBytes)
            return [content]
        }
        return try compressed(content, deflate, isLast: false)
    }

    private mutating func compressed(_ content: ByteBuffer, _ deflate: DeflateStream, isLast: Bool)
        throws(ZipError) -> [ByteBuffer]
    {
        var content = content
        var result: [ByteBuffer] = []
        while true {
            let (output, isOver) = try deflate.process(&content, isLast: isLast)
            open?.compressedSize += Int64(output.readableBytes)
            position += Int64(output.readableBytes)
            if output.readableBytes > 0 { result.append(output) }
            if isLast ? isOver : content.readableBytes == 0 && output.readableBytes == 0 { return result }
        }
    }

    /// - Throws: `misuse` where less content came than was announced.
    public mutating func end() throws(ZipError) -> ByteBuffer {
        guard let entry = open, taken == entry.size else {
            throw ZipError(.misuse, "less content than was announced")
        }
        return try close(crc.value)
    }

    private mutating func close(_ checksum: UInt32) throws(ZipError) -> ByteBuffer {
        var result = ByteBuffer()
        if let deflate {
            for part in try compressed(ByteBuffer(), deflate, isLast: true) {
                result.writeImmutableBuffer(part)
            }
        }
        guard var entry = open else { throw ZipError(.misuse, "no entry is open") }
        entry.crc32 = checksum
        if entry.hasDescriptor {
            let before = result.readableBytes
            result.writeMultipleIntegers(ZipRecord.descriptor, entry.crc32, endianness: .little)
            if entry.isZip64 {
                result.writeMultipleIntegers(
                    UInt64(entry.compressedSize), UInt64(entry.size), endianness: .little)
            } else {
                result.writeMultipleIntegers(
                    UInt32(entry.compressedSize), UInt32(entry.size), endianness: .little)
            }
            position += Int64(result.readableBytes - before)
        }
        written.append(entry)
        open = nil
        deflate = nil
        return result
    }

    /// The directory, which ends the archive.
    public mutating func finish() throws(ZipError) -> ByteBuffer {
        guard open == nil, !isFinished else { throw ZipError(.misuse, "an entry is open still") }
        isFinished = true
        let start = position
        var result = ByteBuffer()
        for entry in written { Self.write(central: entry, to: &result) }
        let length = Int64(result.readableBytes)
        let isLarge =
            written.count >= ZipRecord.maximum16 || start >= ZipRecord.maximum32
            || length >= ZipRecord.maximum32
        if isLarge {
            result.writeMultipleIntegers(
                ZipRecord.end64, UInt64(ZipRecord.end64Size - 12), UInt16(3 << 8 | 45), UInt16(45), UInt32(0),
                UInt32(0), UInt64(written.count), UInt64(written.count), UInt64(length), UInt64(start),
                endianness: .little)
            result.writeMultipleIntegers(
                ZipRecord.locator64, UInt32(0), UInt64(start + length), UInt32(1), endianness: .little)
        }
        let count = isLarge ? ZipRecord.maximum16 : UInt16(written.count)
        result.writeMultipleIntegers(
            ZipRecord.end, UInt16(0), UInt16(0), count, count, isLarge ? ZipRecord.maximum32 : UInt32(length),
            isLarge ? ZipRecord.maximum32 : UInt32(start), UInt16(0), endianness: .little)
        position += Int64(result.readableBytes)
        return result
    }

    /// How long an archive of such entries, all of them stored, is going to be, in bytes.
    ///
    /// - Throws: as ``begin(_:size:modified:method:)``.
    public static func exactSize(of entries: some Sequence<(path: String, size: Int64, modified: Int64)>)
        throws(ZipError) -> Int64
    {
        var writer = ZipWriter()
        for entry in entries {
            _ = try writer.begin(
                entry.path, size: entry.size, modified: entry.modified, method: .stored)
            writer.position += entry.size
            _ = try writer.close(0)
        }
        _ = try writer.finish()
        return writer.position
    }

    private static func write(central entry: Written, to buffer: inout ByteBuffer) {
        var extra = ByteBuffer()
        let isFar = entry.offset >= ZipRecord.maximum32
        if entry.isZip64 || isFar {
            extra.writeMultipleIntegers(
                UInt16(1), UInt16((entry.isZip64 ? 16 : 0) + (isFar ? 8 : 0)), endianness: .little)
            if entry.isZip64 {
                extra.writeMultipleIntegers(
                    UInt64(entry.size), UInt64(entry.compressedSize), endianness: .little)
            }
            if isFar { extra.writeInteger(UInt64(entry.offset), endianness: .little) }
        }
        write(time: entry.modified, to: &extra)
        let (date, time) = dosTime(entry.modified)
        buffer.writeMultipleIntegers(
            ZipRecord.central, UInt16(3 << 8 | 45), UInt16(entry.isZip64 || isFar ? 45 : 20), entry.flags,
            entry.method.rawValue, time, date, entry.crc32, endianness: .little)
        let mode: UInt32 = entry.isDirectory ? 0o040755 : 0o100644
        buffer.writeMultipleIntegers(
            entry.isZip64 ? ZipRecord.maximum32 : UInt32(entry.compressedSize),
            entry.isZip64 ? ZipRecord.maximum32 : UInt32(entry.size), UInt16(entry.name.count),
            UInt16(extra.readableBytes), UInt16(0), UInt16(0), UInt16(0),
            mode << 16 | (entry.isDirectory ? 0x10 : 0),
            isFar ? ZipRecord.maximum32 : UInt32(entry.offset), endianness: .little)
        buffer.writeBytes(entry.name)
        buffer.writeBuffer(&extra)
    }

    private static func write(time: Int64, to extra: inout ByteBuffer) {
        guard let seconds = Int32(exactly: time) else { return }
        extra.writeMultipleIntegers(UInt16(0x5455), UInt16(5), UInt8(1), seconds, endianness: .little)
    }

    /// MS-DOS's date and time (4.4.6), here of UTC: from 1980 to 2107, in steps of two seconds.
    private static func dosTime(_ seconds: Int64) -> (date: UInt16, time: UInt16) {
        let seconds = min(max(seconds, 315_532_800), 4_354_819_198)
        // Days to a date of the Gregorian calendar, with years that begin in March.
        let days = seconds / 86_400 + 719_468
        let era = days / 146_097
        let dayOfEra = days % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let part = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * part + 2) / 5 + 1
        let month = part < 10 ? part + 3 : part - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let second = seconds % 86_400
        return (
            UInt16((year - 1980) << 9 | month << 5 | day),
            UInt16(second / 3600 << 11 | second / 60 % 60 << 5 | second % 60 / 2)
        )
    }
}

extension ZipWriter.Written {
    fileprivate var hasDescriptor: Bool { size > 0 }
    fileprivate var flags: UInt16 { ZipRecord.utf8 | (hasDescriptor ? ZipRecord.hasDescriptor : 0) }
}
