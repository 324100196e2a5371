/// CRC-32 as PNG and ZIP have it (ISO 3309).
enum CRC32 {
    private static let table: [UInt32] = (0..<256).map { index in
        var value = UInt32(index)
        for _ in 0..<8 { value = value & 1 == 1 ? 0xedb8_8320 ^ (value >> 1) : value >> 1 }
        return value
    }

    static func of(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        table.withUnsafeBufferPointer { table in
            var value: UInt32 = ~0
            for byte in bytes { value = table[Int(UInt8(truncatingIfNeeded: value) ^ byte)] ^ (value >> 8) }
            return ~value
        }
    }
}

/// Adler-32 (RFC 1950), also of runs and of stretches whose sums are known, without
/// touching every byte.
struct Adler32 {
    private var a: UInt64 = 1
    private var b: UInt64 = 0
    private static let modulus: UInt64 = 65521

    /// The sums of a stretch of bytes: of the bytes, and of what each adds to the second sum.
    struct Stretch: Sendable {
        var length: UInt64 = 0
        var sum: UInt64 = 0
        var weighted: UInt64 = 0

        init(_ bytes: UnsafeRawBufferPointer) {
            length = UInt64(bytes.count)
            var weight = length
            for byte in bytes {
                sum &+= UInt64(byte)
                weighted &+= weight &* UInt64(byte)
                weight &-= 1
            }
        }

        init(_ bytes: [UInt8]) { self = bytes.withUnsafeBytes { Self($0) } }
    }

    mutating func append(_ byte: UInt8) { append(byte, count: 1) }

    /// `count` times the same byte; up to 2³¹.
    mutating func append(_ byte: UInt8, count: Int) {
        let count = UInt64(count)
        let byte = UInt64(byte)
        b = (b + count % Self.modulus * a + count * (count + 1) / 2 % Self.modulus * byte) % Self.modulus
        a = (a + count * byte) % Self.modulus
    }

    mutating func append(_ stretch: Stretch) {
        b = (b + stretch.length * a + stretch.weighted) % Self.modulus
        a = (a + stretch.sum) % Self.modulus
    }

    var value: UInt32 { UInt32(b << 16 | a) }
}

extension [UInt8] {
    mutating func appendBigEndian(_ value: UInt32) {
        append(UInt8(value >> 24))
        append(UInt8(value >> 16 & 0xff))
        append(UInt8(value >> 8 & 0xff))
        append(UInt8(value & 0xff))
    }

    mutating func appendLittleEndian(_ value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    mutating func appendLittleEndian(_ value: Double) { appendLittleEndian(value.bitPattern) }
}
