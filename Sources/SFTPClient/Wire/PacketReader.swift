/// Reads the fields of one packet; every read is checked against its end.
///
/// Does not own the bytes: used within one call.
struct PacketReader {
    private let packet: UnsafeRawBufferPointer
    private(set) var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { packet = bytes }

    var remaining: Int { packet.count - position }

    /// Big-endian, as SSH has it (RFC 4251, section 5).
    mutating func integer<Value: FixedWidthInteger>() throws(SFTPError) -> Value {
        let size = MemoryLayout<Value>.size
        guard remaining >= size else { throw violation("it ends in a number") }
        let value = packet.loadUnaligned(fromByteOffset: position, as: Value.self)
        position += size
        return Value(bigEndian: value)
    }

    /// A length and so many bytes.
    mutating func string() throws(SFTPError) -> UnsafeRawBufferPointer {
        let length = Int(try integer() as UInt32)
        guard length <= remaining else { throw violation("a text of \(length) bytes has \(remaining)") }
        defer { position += length }
        return UnsafeRawBufferPointer(rebasing: packet[position..<position + length])
    }

    /// All that follows.
    mutating func takeRest() -> UnsafeRawBufferPointer {
        defer { position = packet.count }
        return UnsafeRawBufferPointer(rebasing: packet[position...])
    }

    mutating func bytes() throws(SFTPError) -> [UInt8] { Array(try string()) }

    /// For messages.
    mutating func text() throws(SFTPError) -> String { String(decoding: try string(), as: UTF8.self) }

    func violation(_ reason: String) -> SFTPError {
        SFTPError(.protocolViolation, "the server sent a packet that is no SFTP: \(reason)")
    }
}
