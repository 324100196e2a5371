/// What a server answers (draft-ietf-secsh-filexfer-02, section 7).
public enum SFTPReply: Sendable, Hashable {
    case status(SFTPStatus, message: String)
    case handle(RemoteHandle)
    case data([UInt8])
    case names([Name])
    case attributes(FileAttributes)
    case fileSystem(FileSystemSpace)
    case limits(ServerLimits)

    public struct Name: Sendable, Hashable {
        public var bytes: [UInt8]
        public var attributes: FileAttributes
    }
}

/// The answer to ``SFTPRequest/statvfs(_:)``.
public struct FileSystemSpace: Sendable, Hashable {
    /// What an account without privileges can still write.
    public var availableBytes: UInt64
    public var availableFiles: UInt64
    public var isReadOnly: Bool
    /// Its own, where the server's system tells one; else 0.
    public var identifier: UInt64
}

/// The answer to ``SFTPRequest/limits``; 0: the server tells none.
public struct ServerLimits: Sendable, Hashable {
    public var packetBytes: UInt64
    public var readBytes: UInt64
    public var writeBytes: UInt64
    public var openHandles: UInt64
}

/// A reply that still lies in the session's receive buffer: valid within the call that hands
/// it over.
enum ReplyView {
    case status(SFTPStatus, message: UnsafeRawBufferPointer)
    case handle(UnsafeRawBufferPointer)
    case data(UnsafeRawBufferPointer)
    case names(PacketReader, count: Int)
    case attributes(FileAttributes)
    case extended(UnsafeRawBufferPointer)

    /// - Parameter packet: after type and id.
    init(_ type: PacketType, _ packet: inout PacketReader) throws(SFTPError) {
        switch type {
        case .status:
            let status = SFTPStatus(try packet.integer())
            // Servers before version 3 send no message.
            self = .status(
                status, message: packet.remaining > 0 ? try packet.string() : .init(start: nil, count: 0))
        case .handle:
            let handle = try packet.string()
            // Section 6.3 of the draft.
            guard (1...256).contains(handle.count) else {
                throw packet.violation("a handle of \(handle.count) bytes")
            }
            self = .handle(handle)
        case .data: self = .data(try packet.string())
        case .name:
            let count: UInt32 = try packet.integer()
            // A name is two lengths and the flags of its attributes at least.
            guard Int(count) * 12 <= packet.remaining else { throw packet.violation("\(count) names") }
            self = .names(packet, count: Int(count))
        case .attributes: self = .attributes(try FileAttributes(reading: &packet))
        case .extendedReply: self = .extended(packet.takeRest())
        default: throw packet.violation("type \(type.rawValue) is no answer")
        }
    }

    /// A copy that outlives the buffer.
    func reply(to request: SFTPRequest) throws(SFTPError) -> SFTPReply {
        switch self {
        case .status(let status, let message):
            return .status(status, message: String(decoding: message.prefix(1024), as: UTF8.self))
        case .handle(let bytes): return .handle(RemoteHandle(bytes: Array(bytes)))
        case .data(let bytes): return .data(Array(bytes))
        case .names(var packet, let count):
            var names: [SFTPReply.Name] = []
            names.reserveCapacity(count)
            for _ in 0..<count {
                let name = try packet.bytes()
                _ = try packet.string()  // the line that `ls -l` would show
                names.append(.init(bytes: name, attributes: try FileAttributes(reading: &packet)))
            }
            return .names(names)
        case .attributes(let attributes): return .attributes(attributes)
        case .extended(let bytes): return try Self.extendedReply(bytes, to: request)
        }
    }

    private static func extendedReply(_ bytes: UnsafeRawBufferPointer, to request: SFTPRequest)
        throws(SFTPError) -> SFTPReply
    {
        var packet = PacketReader(bytes)
        switch request {
        case .limits:
            return .limits(
                ServerLimits(
                    packetBytes: try packet.integer(), readBytes: try packet.integer(),
                    writeBytes: try packet.integer(), openHandles: try packet.integer()))
        case .statvfs:
            // struct statvfs: bsize, frsize, blocks, bfree, bavail, files, ffree, favail, fsid, flag.
            var fields: [UInt64] = []
            for _ in 0..<10 { fields.append(try packet.integer()) }
            return .fileSystem(
                FileSystemSpace(
                    availableBytes: fields[4].multipliedReportingOverflow(by: fields[1]).partialValue,
                    availableFiles: fields[7], isReadOnly: fields[9] & 1 != 0, identifier: fields[8]))
        default: throw packet.violation("an extended answer to \(request)")
        }
    }

    /// Whether a server may answer so.
    func answers(_ request: SFTPRequest) -> Bool {
        switch (self, request) {
        case (.status, _), (.handle, .open), (.handle, .openDirectory), (.data, .read),
            (.names, .readDirectory), (.names, .realPath), (.names, .readLink), (.attributes, .lstat),
            (.attributes, .stat), (.attributes, .fstat), (.extended, .limits), (.extended, .statvfs):
            true
        default: false
        }
    }
}
