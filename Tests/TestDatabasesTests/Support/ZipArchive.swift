/// A ZIP of stored entries (PKWARE APPNOTE 4.3), with whatever names a test wants.
struct ZipArchive {
    struct Entry {
        var name: String
        var content: [UInt8]
        /// Unix mode, with the kind of file; nil: a regular file.
        var mode: UInt32 = 0o100644
        /// In place of the size of the content.
        var declaredSize: UInt32?
        var damagesChecksum = false
    }

    static func bytes(_ entries: [Entry]) -> [UInt8] {
        var bytes: [UInt8] = []
        var directory: [UInt8] = []
        for entry in entries {
            let offset = bytes.count
            let checksum = crc(entry.content) ^ (entry.damagesChecksum ? 1 : 0)
            let size = entry.declaredSize ?? UInt32(entry.content.count)
            // Version, flags (bit 11: UTF-8), method, time and date (2021-03-04 05:06:08), sizes.
            let common =
                half(20) + half(0x0800) + half(0) + half(0x28c4) + half(0x5264) + word(checksum) + word(size)
                + word(size) + half(UInt16(entry.name.utf8.count)) + half(0)
            bytes += word(0x0403_4b50) + common + Array(entry.name.utf8) + entry.content
            directory +=
                word(0x0201_4b50) + half(0x0314) + common + half(0) + half(0) + half(0)
                + word(entry.mode << 16)
                + word(UInt32(offset)) + Array(entry.name.utf8)
        }
        let start = bytes.count
        bytes += directory
        bytes +=
            word(0x0605_4b50) + half(0) + half(0) + half(UInt16(entries.count)) + half(UInt16(entries.count))
        bytes += word(UInt32(directory.count)) + word(UInt32(start)) + half(0)
        return bytes
    }

    private static func half(_ value: UInt16) -> [UInt8] { [UInt8(value & 0xff), UInt8(value >> 8)] }

    private static func word(_ value: UInt32) -> [UInt8] {
        half(UInt16(value & 0xffff)) + half(UInt16(value >> 16))
    }

    private static func crc(_ bytes: [UInt8]) -> UInt32 {
        var value: UInt32 = ~0
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 1 ? 0xedb8_8320 ^ value >> 1 : value >> 1 }
        }
        return ~value
    }
}
