import NIOCore

/// The records of an archive (APPNOTE.TXT 6.3.10, section 4.3), their fixed fields in bytes.
enum ZipRecord {
    static let local: UInt32 = 0x0403_4b50
    static let descriptor: UInt32 = 0x0807_4b50
    static let central: UInt32 = 0x0201_4b50
    static let end: UInt32 = 0x0605_4b50
    static let end64: UInt32 = 0x0606_4b50
    static let locator64: UInt32 = 0x0706_4b50

    static let localSize = 30
    static let centralSize = 46
    static let endSize = 22
    static let end64Size = 56
    static let locator64Size = 20

    static let maximum16 = UInt16.max
    static let maximum32 = UInt32.max

    /// General purpose bits (4.4.4).
    static let encrypted: UInt16 = 1 << 0
    static let hasDescriptor: UInt16 = 1 << 3
    static let patched: UInt16 = 1 << 5
    static let stronglyEncrypted: UInt16 = 1 << 6
    static let utf8: UInt16 = 1 << 11
    static let masked: UInt16 = 1 << 13
}

/// What the local and the central header of an entry have in common.
struct ZipHeader {
    var flags: UInt16
    var method: ZipEntry.Method
    var crc32: UInt32
    var compressedSize: Int64
    var size: Int64
    var name: [UInt8]
    var modified: Int64?
    /// Sizes are of 64 bits in what follows the content.
    var isZip64: Bool
    /// Of the central header.
    var offset: Int64 = 0
    var isLink = false

    var hasDescriptor: Bool { flags & ZipRecord.hasDescriptor != 0 }

    /// - Parameter buffer: at the signature; left alone where it holds too little.
    /// - Returns: nil: more bytes are needed.
    static func local(_ buffer: inout ByteBuffer) throws(ZipError) -> ZipHeader? {
        var reader = buffer
        guard
            let (_, _, flags, method, _, _, crc, compressed, size, nameLength, extraLength) =
                reader.readMultipleIntegers(
                    endianness: .little,
                    as: (
                        UInt32, UInt16, UInt16, UInt16, UInt16, UInt16, UInt32, UInt32, UInt32, UInt16,
                        UInt16
                    ).self),
            let name = reader.readBytes(length: Int(nameLength)),
            let extra = reader.readSlice(length: Int(extraLength))
        else { return nil }
        var header = ZipHeader(
            flags: flags, method: try Self.method(method, flags, name), crc32: crc,
            compressedSize: Int64(compressed), size: Int64(size), name: name, isZip64: false)
        try header.read(
            extra, has64: (size == ZipRecord.maximum32, compressed == ZipRecord.maximum32, false))
        buffer = reader
        return header
    }

    static func central(_ buffer: inout ByteBuffer) throws(ZipError) -> ZipHeader? {
        var reader = buffer
        guard
            let (_, madeBy, _, flags, method, _, _, crc, compressed, size) = reader.readMultipleIntegers(
                endianness: .little,
                as: (
                    UInt32, UInt16, UInt16, UInt16, UInt16, UInt16, UInt16, UInt32, UInt32, UInt32
                ).self),
            let (nameLength, extraLength, commentLength, disk, _, attributes, offset) =
                reader.readMultipleIntegers(
                    endianness: .little,
                    as: (UInt16, UInt16, UInt16, UInt16, UInt16, UInt32, UInt32).self),
            let name = reader.readBytes(length: Int(nameLength)),
            let extra = reader.readSlice(length: Int(extraLength)),
            reader.readSlice(length: Int(commentLength)) != nil
        else { return nil }
        guard disk == 0 || disk == ZipRecord.maximum16 else {
            throw ZipError(.unsupported, "the archive is split into volumes")
        }
        var header = ZipHeader(
            flags: flags, method: try Self.method(method, flags, name), crc32: crc,
            compressedSize: Int64(compressed), size: Int64(size), name: name, isZip64: false,
            offset: Int64(offset))
        try header.read(
            extra,
            has64: (
                size == ZipRecord.maximum32, compressed == ZipRecord.maximum32,
                offset == ZipRecord.maximum32
            ))
        // Made on Unix or macOS: the upper half is st_mode (4.4.15).
        if [3, 19].contains(madeBy >> 8) {
            let kind = attributes >> 16 & 0o170000
            header.isLink = kind == 0o120000
            guard [0, 0o100000, 0o040000, 0o120000].contains(kind) else {
                throw ZipError(.unsupported, "\(ZipName.shown(name)) is a device or a pipe")
            }
        }
        buffer = reader
        return header
    }

    private static func method(_ number: UInt16, _ flags: UInt16, _ name: [UInt8]) throws(ZipError)
        -> ZipEntry.Method
    {
        let unreadable =
            ZipRecord.encrypted | ZipRecord.stronglyEncrypted | ZipRecord.masked | ZipRecord.patched
        guard flags & unreadable == 0 else {
            throw ZipError(.unsupported, "\(ZipName.shown(name)) is encrypted or patched")
        }
        guard let method = ZipEntry.Method(rawValue: number) else {
            throw ZipError(.unsupported, "\(ZipName.shown(name)) is compressed by method \(number)")
        }
        return method
    }

    /// The fields that follow the name (4.5): sizes of 64 bits (0x0001), the time (0x5455).
    private mutating func read(
        _ extra: ByteBuffer, has64: (size: Bool, compressed: Bool, offset: Bool)
    ) throws(ZipError) {
        var extra = extra
        func large(_ field: inout ByteBuffer) throws(ZipError) -> Int64 {
            guard let value = field.readInteger(endianness: .little, as: UInt64.self),
                let result = Int64(exactly: value)
            else { throw ZipError(.corrupt, "\(ZipName.shown(name)) has no size that can be") }
            return result
        }
        var found64 = false
        // Some writers pad with less than a field needs.
        while extra.readableBytes >= 4 {
            guard let id = extra.readInteger(endianness: .little, as: UInt16.self),
                let length = extra.readInteger(endianness: .little, as: UInt16.self),
                var field = extra.readSlice(length: Int(length))
            else { throw ZipError(.corrupt, "\(ZipName.shown(name)) has a damaged header") }
            switch id {
            case 0x0001:
                guard !found64 else {
                    throw ZipError(.corrupt, "\(ZipName.shown(name)) has its sizes twice")
                }
                found64 = true
                isZip64 = true
                if has64.size { size = try large(&field) }
                if has64.compressed { compressedSize = try large(&field) }
                if has64.offset { offset = try large(&field) }
            case 0x5455:
                guard let flags = field.readInteger(as: UInt8.self), flags & 1 != 0,
                    let seconds = field.readInteger(endianness: .little, as: Int32.self)
                else { break }
                modified = Int64(seconds)
            default: break
            }
        }
        if !found64, has64.size || has64.compressed || has64.offset {
            throw ZipError(.corrupt, "\(ZipName.shown(name)) lacks its sizes")
        }
    }

    func entry(offset: Int64) throws(ZipError) -> ZipEntry {
        let (path, isDirectory) = try ZipName.path(name, isUTF8: flags & ZipRecord.utf8 != 0)
        guard !isLink else { throw ZipError(.unsupported, "\(ZipName.shown(name)) is a symbolic link") }
        if isDirectory, size != 0 {
            throw ZipError(.corrupt, "the folder \(ZipName.shown(name)) has content")
        }
        return ZipEntry(
            path: path, isDirectory: isDirectory, method: method, size: size,
            compressedSize: compressedSize, crc32: crc32, modified: modified, offset: offset)
    }
}
