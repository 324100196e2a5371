/// Up to 56 bits, the most significant of them sent first in JPEG and the least significant
/// in DEFLATE.
struct BitString: Sendable, Equatable {
    var bits: UInt64 = 0
    var count = 0
}

/// The entropy-coded data of a JPEG: bits from the most significant on, and a zero byte
/// after every 0xff so that no marker appears in it (T.81, B.1.1.5).
struct JPEGBitWriter {
    private(set) var bytes: [UInt8]
    private var pending: UInt64 = 0
    private var pendingCount = 0

    init(appendingTo bytes: [UInt8]) { self.bytes = bytes }

    mutating func write(_ string: BitString) {
        pending = pending << UInt64(string.count) | string.bits
        pendingCount += string.count
        while pendingCount >= 8 {
            pendingCount -= 8
            let byte = UInt8(truncatingIfNeeded: pending >> UInt64(pendingCount))
            bytes.append(byte)
            if byte == 0xff { bytes.append(0) }
        }
    }

    /// Fills the last byte with ones.
    mutating func finish() -> [UInt8] {
        if pendingCount > 0 {
            let missing = 8 - pendingCount
            write(BitString(bits: (1 << UInt64(missing)) - 1, count: missing))
        }
        return bytes
    }
}
