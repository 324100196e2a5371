import NIOCore

/// What a ``ZipReader`` finds, in the order of the archive.
public enum ZipEvent: Sendable {
    case begin(ZipEntry)
    /// The next bytes of the file that was begun.
    case data(ByteBuffer)
    /// The file is whole: its size and its checksum are right.
    case end(ZipEntry)
}

/// Reads an archive as it comes, without a disk: push bytes, take events until there is none, and
/// call ``finish()`` at the end of the stream.
///
/// What has been read is true only after ``finish()``: then the directory at the archive's end has
/// said the same as the entries (so that another reader, who begins with the directory, sees the
/// same files), and nothing is a link. Refused are names that lead elsewhere or stand twice,
/// encryption, other compressions, more than ``ZipLimits`` allow, and any contradiction.
///
/// Memory: one pushed buffer, 256 KiB, and some hundred bytes an entry.
public struct ZipReader: ~Copyable {
    private enum State {
        case record
        case content
        case descriptor
        case directory
        case locator64
        case end
        case over
    }

    /// What the directory must repeat.
    private struct Seen {
        var name: [UInt8]
        var method: ZipEntry.Method
        var size: Int64
        var compressedSize: Int64
        var crc32: UInt32
    }

    private let limits: ZipLimits
    private var state = State.record
    private var input = ByteBuffer()
    /// Of the first byte of `input`, in the archive.
    private var pushed: Int64 = 0
    private var names = ZipNames()
    private var seen: [Int64: Seen] = [:]
    private var entry: ZipEntry?
    private var header: ZipHeader?
    private var content: ZipContent?
    private var totalSize: Int64 = 0
    private var totalCompressedSize: Int64 = 0
    private var directoryStart: Int64?
    private var directoryEnd: Int64 = 0
    private var directoryCount = 0
    private var end64: (position: Int64, count: UInt64, size: UInt64, offset: UInt64)?

    public init(limits: ZipLimits = ZipLimits()) { self.limits = limits }

    /// Entries up to now.
    public private(set) var entryCount = 0

    private var position: Int64 { pushed - Int64(input.readableBytes) }

    public mutating func push(_ bytes: ByteBuffer) {
        pushed += Int64(bytes.readableBytes)
        if input.readableBytes == 0 {
            input = bytes
        } else {
            // A few bytes of a header: everything else has been taken.
            var joined = ByteBufferAllocator().buffer(capacity: input.readableBytes + bytes.readableBytes)
            joined.writeImmutableBuffer(input)
            joined.writeImmutableBuffer(bytes)
            input = joined
        }
    }

    /// - Returns: nil: more bytes are needed.
    /// - Throws: any ``ZipError``; the reader is of no more use then.
    public mutating func next() throws(ZipError) -> ZipEvent? {
        while true {
            switch state {
            case .record:
                guard let signature = peek() else { return nil }
                switch signature {
                case ZipRecord.local:
                    guard let event = try beginEntry() else { return nil }
                    return event
                case ZipRecord.central, ZipRecord.end, ZipRecord.end64:
                    directoryStart = position
                    state = .directory
                default:
                    throw position == 0
                        ? ZipError(.notAZip, "this is no ZIP archive")
                        : ZipError(.corrupt, "no entry where one should begin, at byte \(position)")
                }
            case .content:
                if let data = try nextData() { return .data(data) }
                guard content?.isOver == true else { return nil }
                state = .descriptor
            case .descriptor:
                guard let event = try endEntry() else { return nil }
                return event
            case .directory:
                guard let signature = peek() else { return nil }
                guard try readDirectory(signature) else { return nil }
            case .locator64:
                guard try readLocator() else { return nil }
            case .end:
                guard try readEnd() else { return nil }
            case .over:
                guard input.readableBytes == 0 else {
                    throw ZipError(.corrupt, "something follows the end of the archive")
                }
                return nil
            }
        }
    }

    /// - Throws: `truncated` where the archive has not ended, and nothing of it may be used.
    public consuming func finish() throws(ZipError) {
        guard state == .over, input.readableBytes == 0 else {
            throw ZipError(.truncated, "the archive ends before it is whole, after \(pushed) bytes")
        }
    }

    private func peek() -> UInt32? { input.getInteger(at: input.readerIndex, endianness: .little) }

    // MARK: Entries

    private mutating func beginEntry() throws(ZipError) -> ZipEvent? {
        let start = position
        guard let header = try ZipHeader.local(&input) else { return nil }
        var entry = try header.entry(offset: start)
        entryCount += 1
        guard entryCount <= limits.entries else {
            throw ZipError(.tooLarge, "the archive has more than \(limits.entries) entries")
        }
        try names.add(entry.path, isDirectory: entry.isDirectory)
        // Some writers compress even the nothing of a folder.
        let isOpen =
            header.hasDescriptor && header.compressedSize == 0
            && !(entry.isDirectory && header.method == .stored)
        if isOpen, header.method == .stored {
            throw ZipError(
                .needsRandomAccess,
                "\(ZipName.shown(header.name)) is stored without its size: it cannot be read from a stream")
        }
        if header.method == .stored, header.size != header.compressedSize {
            throw ZipError(.corrupt, "\(ZipName.shown(header.name)) has two sizes")
        }
        if header.hasDescriptor { entry.crc32 = nil }
        if isOpen { (entry.size, entry.compressedSize) = (nil, nil) }
        let limit = min(entry.size ?? .max, limits.totalSize - totalSize)
        guard entry.size ?? 0 <= limits.totalSize - totalSize else {
            throw ZipError(.tooLarge, "the archive holds more than \(limits.totalSize) bytes")
        }
        content = try ZipContent(
            entry, compressedSize: entry.compressedSize, limit: limit, limits: limits,
            after: (totalCompressedSize, totalSize))
        self.header = header
        self.entry = entry
        state = .content
        return .begin(entry)
    }

    private mutating func nextData() throws(ZipError) -> ByteBuffer? {
        try content?.next(&input)
    }

    private mutating func endEntry() throws(ZipError) -> ZipEvent? {
        guard let header, var entry, let actual = content.map({ ($0.size, $0.compressedSize, $0.crc.value) })
        else { throw ZipError(.misuse, "no entry is open") }
        let (size, compressedSize, crc) = actual
        if header.hasDescriptor, !entry.isDirectory || header.crc32 != 0 || peek() == ZipRecord.descriptor {
            guard try readDescriptor(size, compressedSize, crc, isZip64: header.isZip64) else { return nil }
        } else if header.crc32 != crc || header.size != size {
            throw ZipError(
                .corrupt, "\(ZipName.shown(header.name)) is damaged: its checksum or size is wrong")
        }
        if let known = entry.size, known != size {
            throw ZipError(.corrupt, "\(ZipName.shown(header.name)) is damaged: its size is wrong")
        }
        totalSize += size
        totalCompressedSize += compressedSize
        (entry.size, entry.compressedSize, entry.crc32) = (size, compressedSize, crc)
        seen[entry.offset] = Seen(
            name: header.name, method: header.method, size: size, compressedSize: compressedSize, crc32: crc)
        content = nil
        self.header = nil
        self.entry = nil
        state = .record
        return .end(entry)
    }

    /// The signature is optional, and the sizes have 32 or 64 bits (4.3.9).
    private mutating func readDescriptor(
        _ size: Int64, _ compressedSize: Int64, _ crc: UInt32, isZip64: Bool
    ) throws(ZipError) -> Bool {
        // Something follows any descriptor, if only the archive's end.
        guard input.readableBytes >= 24 else {
            if input.readableBytes < 16 { return false }
            return try readDescriptor(size, compressedSize, crc, widths: [4])
        }
        return try readDescriptor(size, compressedSize, crc, widths: isZip64 ? [8, 4] : [4, 8])
    }

    private mutating func readDescriptor(
        _ size: Int64, _ compressedSize: Int64, _ crc: UInt32, widths: [Int]
    ) throws(ZipError) -> Bool {
        for width in widths {
            for hasSignature in [true, false] {
                var reader = input
                if hasSignature,
                    reader.readInteger(endianness: .little, as: UInt32.self) != ZipRecord.descriptor
                {
                    continue
                }
                guard let found = reader.readInteger(endianness: .little, as: UInt32.self) else { continue }
                let sizes: [UInt64?] = (0..<2).map { _ in
                    width == 8
                        ? reader.readInteger(endianness: .little, as: UInt64.self)
                        : reader.readInteger(endianness: .little, as: UInt32.self).map(UInt64.init)
                }
                if found == crc, sizes[0] == UInt64(compressedSize), sizes[1] == UInt64(size) {
                    input = reader
                    return true
                }
            }
        }
        throw ZipError(
            .corrupt,
            "\(ZipName.shown((entry?.path ?? "").utf8)) is damaged: its checksum or size is wrong")
    }

    // MARK: The directory

    private mutating func readDirectory(_ signature: UInt32) throws(ZipError) -> Bool {
        switch signature {
        case ZipRecord.central:
            guard let header = try ZipHeader.central(&input) else { return false }
            let entry = try header.entry(offset: header.offset)
            directoryCount += 1
            guard let known = seen.removeValue(forKey: entry.offset), known.name == header.name,
                known.method == header.method, known.size == header.size,
                known.compressedSize == header.compressedSize, known.crc32 == header.crc32
            else {
                throw ZipError(
                    .corrupt, "the directory says something else of \(ZipName.shown(header.name))")
            }
            return true
        case ZipRecord.end64:
            guard input.readableBytes >= ZipRecord.end64Size else { return false }
            directoryEnd = position
            var reader = input
            guard
                let (_, length, _, _, disk, startDisk, here, count, size, offset) =
                    reader.readMultipleIntegers(
                        endianness: .little,
                        as: (
                            UInt32, UInt64, UInt16, UInt16, UInt32, UInt32, UInt64, UInt64, UInt64, UInt64
                        ).self), disk == 0, startDisk == 0, here == count,
                length == UInt64(ZipRecord.end64Size - 12)
            else { throw ZipError(.unsupported, "the archive's end is of an unknown kind") }
            end64 = (position, count, size, offset)
            input = reader
            state = .locator64
            return true
        case ZipRecord.end:
            directoryEnd = position
            state = .end
            return true
        default:
            throw ZipError(.corrupt, "the directory is damaged at byte \(position)")
        }
    }

    private mutating func readLocator() throws(ZipError) -> Bool {
        guard input.readableBytes >= ZipRecord.locator64Size else { return false }
        guard
            let (signature, disk, offset, disks) = input.readMultipleIntegers(
                endianness: .little, as: (UInt32, UInt32, UInt64, UInt32).self),
            signature == ZipRecord.locator64, disk == 0, disks <= 1, let end64,
            offset == UInt64(end64.position)
        else { throw ZipError(.corrupt, "the archive's end is damaged") }
        guard peek() ?? ZipRecord.end == ZipRecord.end else {
            throw ZipError(.corrupt, "the archive's end is damaged")
        }
        state = .end
        return true
    }

    private mutating func readEnd() throws(ZipError) -> Bool {
        var reader = input
        guard
            let (signature, disk, startDisk, here, count, size, offset, commentLength) =
                reader.readMultipleIntegers(
                    endianness: .little,
                    as: (UInt32, UInt16, UInt16, UInt16, UInt16, UInt32, UInt32, UInt16).self),
            reader.readSlice(length: Int(commentLength)) != nil
        else { return false }
        guard signature == ZipRecord.end, disk == 0, startDisk == 0, here == count else {
            throw ZipError(.unsupported, "the archive is split into volumes, or its end is damaged")
        }
        let start = directoryStart ?? 0
        let length = directoryEnd - start
        let total = UInt64(directoryCount)
        // The old fields hold the value, or all ones where the new record has it.
        func agrees(_ old: UInt64, _ allOnes: UInt64, _ new: UInt64?, _ actual: UInt64) -> Bool {
            if let new, new != actual { return false }
            return old == actual || new != nil && old == allOnes
        }
        guard seen.isEmpty, agrees(UInt64(count), 0xffff, end64?.count, total),
            agrees(UInt64(size), 0xffff_ffff, end64?.size, UInt64(length)),
            agrees(UInt64(offset), 0xffff_ffff, end64?.offset, UInt64(start))
        else {
            throw ZipError(.corrupt, "the archive's directory is not that of its entries")
        }
        input = reader
        state = .over
        return true
    }
}
