/// Half a surrogate pair, which Python writes and reads in JSON as `\ud83d`, and which no Swift string can hold.
///
/// In a string that was read, a private character stands for it: U+10D83D. It is written as it was read. (A file
/// that holds this very character is refused: it could not be told from the other.)
package struct HalfSurrogate {
    /// U+D800 to U+DFFF.
    package let unit: UInt16

    /// nil: the character is one like others.
    package init?(_ scalar: Unicode.Scalar) {
        guard (0x10d800...0x10dfff).contains(scalar.value) else { return nil }
        unit = UInt16(truncatingIfNeeded: scalar.value)
    }

    static func scalar(for unit: UInt16) -> Unicode.Scalar {
        // Proof: from U+100000 to U+10FFFF all are scalars.
        Unicode.Scalar(0x100000 + UInt32(unit))!
    }

    static let refusal = "it holds a private character (U+10D800 to U+10DFFF) that cannot be carried"

    /// Where UTF-8 holds such a character as it is.
    static func position(in bytes: [UInt8]) -> Int? {
        var start = 0
        while let found = bytes[start...].firstIndex(of: 0xf4) {
            if found + 2 < bytes.count, bytes[found + 1] == 0x8d, bytes[found + 2] >= 0xa0 { return found }
            start = found + 1
        }
        return nil
    }
}
