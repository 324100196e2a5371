import NIOCore

/// What SFTP version 3 tells of a file (draft-ietf-secsh-filexfer-02, section 5); nil: not told,
/// or not to be set.
public struct FileAttributes: Sendable, Hashable {
    /// In bytes.
    public var size: UInt64?
    public var owner: Owner?
    /// Type and mode bits, as `st_mode` of POSIX.
    public var permissions: UInt32?
    public var times: Times?

    public struct Owner: Sendable, Hashable {
        public var user: UInt32
        public var group: UInt32

        public init(user: UInt32, group: UInt32) {
            self.user = user
            self.group = group
        }
    }

    /// Whole seconds since 1970-01-01 UTC, up to the year 2106.
    public struct Times: Sendable, Hashable {
        public var accessed: UInt32
        public var modified: UInt32

        public init(accessed: UInt32, modified: UInt32) {
            self.accessed = accessed
            self.modified = modified
        }
    }

    public init(size: UInt64? = nil, owner: Owner? = nil, permissions: UInt32? = nil, times: Times? = nil) {
        self.size = size
        self.owner = owner
        self.permissions = permissions
        self.times = times
    }

    public enum Kind: Sendable, Hashable {
        case file
        case directory
        case symbolicLink
        /// A pipe, a socket or a device.
        case special
    }

    /// nil where the server tells no permissions.
    public var kind: Kind? {
        permissions.map { permissions in
            switch permissions & 0o170000 {
            case 0o100000: .file
            case 0o040000: .directory
            case 0o120000: .symbolicLink
            default: .special
            }
        }
    }

    // MARK: Wire

    private struct Flags: OptionSet {
        var rawValue: UInt32
        static let size = Flags(rawValue: 1)
        static let owner = Flags(rawValue: 2)
        static let permissions = Flags(rawValue: 4)
        static let times = Flags(rawValue: 8)
        static let extended = Flags(rawValue: 0x8000_0000)
    }

    /// Servers that send more extended attributes than this a file are refused.
    private static let extendedLimit = 64

    func write(to buffer: inout ByteBuffer) {
        var flags: Flags = []
        if size != nil { flags.insert(.size) }
        if owner != nil { flags.insert(.owner) }
        if permissions != nil { flags.insert(.permissions) }
        if times != nil { flags.insert(.times) }
        buffer.writeInteger(flags.rawValue)
        if let size { buffer.writeInteger(size) }
        if let owner { buffer.writeMultipleIntegers(owner.user, owner.group) }
        if let permissions { buffer.writeInteger(permissions) }
        if let times { buffer.writeMultipleIntegers(times.accessed, times.modified) }
    }

    init(reading packet: inout PacketReader) throws(SFTPError) {
        let flags = Flags(rawValue: try packet.integer())
        if flags.contains(.size) { size = try packet.integer() }
        if flags.contains(.owner) { owner = Owner(user: try packet.integer(), group: try packet.integer()) }
        if flags.contains(.permissions) { permissions = try packet.integer() }
        if flags.contains(.times) {
            times = Times(accessed: try packet.integer(), modified: try packet.integer())
        }
        if flags.contains(.extended) {
            let count: UInt32 = try packet.integer()
            guard count <= Self.extendedLimit else { throw packet.violation("\(count) extended attributes") }
            for _ in 0..<count {
                _ = try packet.string()
                _ = try packet.string()
            }
        }
    }
}
