import NIOCore

/// What is asked of a server (draft-ietf-secsh-filexfer-02, section 6, and the extensions of
/// OpenSSH's PROTOCOL file).
public enum SFTPRequest: Sendable, Hashable {
    case open(RemotePath, OpenFlags, FileAttributes = FileAttributes())
    case close(RemoteHandle)
    /// The answer may hold fewer bytes than asked for.
    case read(RemoteHandle, offset: UInt64, length: UInt32)
    case write(RemoteHandle, offset: UInt64, ByteBuffer)
    /// Of a symbolic link itself.
    case lstat(RemotePath)
    case stat(RemotePath)
    case fstat(RemoteHandle)
    case setstat(RemotePath, FileAttributes)
    case fsetstat(RemoteHandle, FileAttributes)
    case openDirectory(RemotePath)
    case readDirectory(RemoteHandle)
    case remove(RemotePath)
    case makeDirectory(RemotePath, FileAttributes = FileAttributes())
    case removeDirectory(RemotePath)
    case realPath(RemotePath)
    /// Fails where the new name is taken (OpenSSH: by anything).
    case rename(RemotePath, to: RemotePath)
    case readLink(RemotePath)

    /// Replaces what has the new name, as rename(2).
    case posixRename(RemotePath, to: RemotePath)
    case hardLink(RemotePath, to: RemotePath)
    case fsync(RemoteHandle)
    case statvfs(RemotePath)
    /// Of a symbolic link itself.
    case lsetstat(RemotePath, FileAttributes)
    /// Copies within the server; length 0: up to the end.
    case copyData(RemoteHandle, offset: UInt64, length: UInt64, to: RemoteHandle, toOffset: UInt64)
    case limits

    public struct OpenFlags: OptionSet, Sendable, Hashable {
        public var rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        public static let read = OpenFlags(rawValue: 0x01)
        public static let write = OpenFlags(rawValue: 0x02)
        public static let append = OpenFlags(rawValue: 0x04)
        public static let create = OpenFlags(rawValue: 0x08)
        public static let truncate = OpenFlags(rawValue: 0x10)
        /// With `create`: fails where the name is taken, also by a symbolic link.
        public static let exclusive = OpenFlags(rawValue: 0x20)
    }

    /// The extension that it needs; nil: version 3 has it.
    var needs: SFTPExtension? {
        switch self {
        case .posixRename: .posixRename
        case .hardLink: .hardLink
        case .fsync: .fsync
        case .statvfs: .statvfs
        case .lsetstat: .lsetstat
        case .copyData: .copyData
        case .limits: .limits
        default: nil
        }
    }

    /// Appends the packet, its length first.
    func write(to buffer: inout ByteBuffer, id: UInt32) {
        if var content = writeHead(to: &buffer, id: id) { buffer.writeBuffer(&content) }
    }

    /// Appends the packet but for the bytes of a write, which are the end of it.
    ///
    /// - Returns: those.
    func writeHead(to buffer: inout ByteBuffer, id: UInt32) -> ByteBuffer? {
        let start = buffer.writerIndex
        buffer.writeInteger(UInt32(0))
        buffer.writeInteger(type.rawValue)
        buffer.writeInteger(id)
        writeFields(to: &buffer)
        var content: ByteBuffer?
        if case .write(_, _, let data) = self { content = data }
        let length = buffer.writerIndex - start - 4 + (content?.readableBytes ?? 0)
        buffer.setInteger(UInt32(length), at: start)
        return content
    }

    private var type: PacketType {
        switch self {
        case .open: .open
        case .close: .close
        case .read: .read
        case .write: .write
        case .lstat: .lstat
        case .stat: .stat
        case .fstat: .fstat
        case .setstat: .setstat
        case .fsetstat: .fsetstat
        case .openDirectory: .opendir
        case .readDirectory: .readdir
        case .remove: .remove
        case .makeDirectory: .mkdir
        case .removeDirectory: .rmdir
        case .realPath: .realpath
        case .rename: .rename
        case .readLink: .readlink
        case .posixRename, .hardLink, .fsync, .statvfs, .lsetstat, .copyData, .limits: .extended
        }
    }

    private func writeFields(to buffer: inout ByteBuffer) {
        if let needs { buffer.writeText(needs.rawValue.utf8) }
        switch self {
        case .open(let path, let flags, let attributes):
            buffer.writeText(path.bytes)
            buffer.writeInteger(flags.rawValue)
            attributes.write(to: &buffer)
        case .close(let handle), .fstat(let handle), .readDirectory(let handle), .fsync(let handle):
            buffer.writeText(handle.bytes)
        case .read(let handle, let offset, let length):
            buffer.writeText(handle.bytes)
            buffer.writeInteger(offset)
            buffer.writeInteger(length)
        case .write(let handle, let offset, let data):
            buffer.writeText(handle.bytes)
            buffer.writeInteger(offset)
            buffer.writeInteger(UInt32(data.readableBytes))
        case .lstat(let path), .stat(let path), .openDirectory(let path), .remove(let path),
            .removeDirectory(let path), .realPath(let path), .readLink(let path), .statvfs(let path):
            buffer.writeText(path.bytes)
        case .setstat(let path, let attributes), .makeDirectory(let path, let attributes),
            .lsetstat(let path, let attributes):
            buffer.writeText(path.bytes)
            attributes.write(to: &buffer)
        case .fsetstat(let handle, let attributes):
            buffer.writeText(handle.bytes)
            attributes.write(to: &buffer)
        case .rename(let old, let new), .posixRename(let old, let new), .hardLink(let old, let new):
            buffer.writeText(old.bytes)
            buffer.writeText(new.bytes)
        case .copyData(let from, let offset, let length, let to, let toOffset):
            buffer.writeText(from.bytes)
            buffer.writeMultipleIntegers(offset, length)
            buffer.writeText(to.bytes)
            buffer.writeInteger(toOffset)
        case .limits: break
        }
    }
}

extension ByteBuffer {
    /// A length and the bytes.
    mutating func writeText(_ bytes: some Collection<UInt8>) {
        writeInteger(UInt32(bytes.count))
        writeBytes(bytes)
    }
}

/// What OpenSSH's server can do beyond version 3 (its PROTOCOL file, section 4).
public enum SFTPExtension: String, Sendable, Hashable, CaseIterable {
    case posixRename = "posix-rename@openssh.com"
    case hardLink = "hardlink@openssh.com"
    case fsync = "fsync@openssh.com"
    case statvfs = "statvfs@openssh.com"
    case lsetstat = "lsetstat@openssh.com"
    case limits = "limits@openssh.com"
    case copyData = "copy-data"
}
