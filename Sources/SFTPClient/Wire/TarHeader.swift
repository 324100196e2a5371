/// One header of a tar archive in the format of GNU tar, as far as plain files of a short name
/// need it (tar(5) of libarchive, “GNU Tar Archives”).
public struct TarHeader: Sendable, Hashable {
    public static let blockSize = 512
    /// Longer names have headers of their own, which nobody here reads.
    public static let nameLimit = 100

    public var name: [UInt8]
    public var mode: UInt16
    /// In bytes.
    public var size: UInt64
    /// Seconds since 1970-01-01 UTC.
    public var modified: UInt64
    /// `0` for a plain file.
    public var kind: UInt8

    public var isPlainFile: Bool { kind == UInt8(ascii: "0") || kind == 0 }

    public init(name: [UInt8], mode: UInt16, size: UInt64, modified: UInt64) {
        self.name = name
        self.mode = mode
        self.size = size
        self.modified = modified
        kind = UInt8(ascii: "0")
    }

    /// The bytes that follow the header: its content, padded to whole blocks.
    public var paddedSize: UInt64 { (size + 511) / 512 * 512 }

    // MARK: Reading

    /// nil: it is no header, its checksum is wrong, or a number is larger than octal digits tell
    /// (8 GiB; times before 1970 and after 2242).
    public init?(_ block: UnsafeRawBufferPointer) {
        guard block.count == Self.blockSize, block[257..<263].elementsEqual("ustar ".utf8) else { return nil }
        guard Self.number(block[148..<156]) == Self.checksum(block), let mode = Self.number(block[100..<108]),
            let size = Self.number(block[124..<136]), let modified = Self.number(block[136..<148])
        else { return nil }
        name = Array(block[..<Self.nameLimit].prefix { $0 != 0 })
        self.mode = UInt16(truncatingIfNeeded: mode & 0o7777)
        self.size = size
        self.modified = modified
        kind = block[156]
    }

    private static func number(_ field: Slice<UnsafeRawBufferPointer>) -> UInt64? {
        var value: UInt64 = 0
        var digits = 0
        for byte in field {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "7"):
                value = value << 3 | UInt64(byte - UInt8(ascii: "0"))
                digits += 1
            case UInt8(ascii: " ") where digits == 0: continue
            case UInt8(ascii: " "), 0: return digits > 0 ? value : nil
            default: return nil
            }
        }
        return digits > 0 ? value : nil
    }

    // MARK: Writing

    /// Appends the header. The name must be shorter than ``nameLimit``, the numbers within what
    /// octal digits tell.
    public func append(to archive: inout [UInt8]) {
        let start = archive.count
        archive.append(contentsOf: repeatElement(0, count: Self.blockSize))
        archive.withUnsafeMutableBytes { bytes in
            fill(UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + Self.blockSize]))
        }
    }

    /// - Parameter block: of zeros.
    private func fill(_ block: UnsafeMutableRawBufferPointer) {
        func put(_ number: UInt64, digits: Int, at offset: Int) {
            var rest = number
            for index in (offset..<offset + digits).reversed() {
                block[index] = UInt8(ascii: "0") + UInt8(rest & 7)
                rest >>= 3
            }
        }
        for (index, byte) in name.prefix(Self.nameLimit - 1).enumerated() { block[index] = byte }
        put(UInt64(mode & 0o7777), digits: 7, at: 100)
        put(0, digits: 7, at: 108)
        put(0, digits: 7, at: 116)
        put(size, digits: 11, at: 124)
        put(modified, digits: 11, at: 136)
        block[156] = kind
        for (index, byte) in "ustar  ".utf8.enumerated() { block[257 + index] = byte }
        put(Self.checksum(UnsafeRawBufferPointer(block)), digits: 6, at: 148)
        block[155] = UInt8(ascii: " ")
    }

    /// The sum of all bytes; its own field counts as spaces.
    private static func checksum(_ block: UnsafeRawBufferPointer) -> UInt64 {
        var lanes = SIMD16<UInt16>()
        for offset in stride(from: 0, to: blockSize, by: 16) {
            let bytes = block.loadUnaligned(fromByteOffset: offset, as: SIMD16<UInt8>.self)
            lanes &+= SIMD16(truncatingIfNeeded: bytes)
        }
        var sum: UInt64 = 8 * 32
        for lane in lanes.indices { sum += UInt64(lanes[lane]) }
        for byte in block[148..<156] { sum -= UInt64(byte) }
        return sum
    }
}
