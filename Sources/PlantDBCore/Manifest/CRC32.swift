import CZlib

/// The CRC-32 of ZIP archives (ISO 3309; APPNOTE.TXT 4.4.7), by zlib.
public struct CRC32: Sendable, Hashable {
    public private(set) var value: UInt32 = 0

    public init() {}

    public mutating func update(_ bytes: some Sequence<UInt8>) {
        let isContiguous: Void? = bytes.withContiguousStorageIfAvailable {
            update(UnsafeRawBufferPointer($0))
        }
        guard isContiguous == nil else { return }
        Array(bytes).withUnsafeBytes { update($0) }
    }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        value = UInt32(
            truncatingIfNeeded: crc32_z(
                UInt(value), bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count))
    }
}
