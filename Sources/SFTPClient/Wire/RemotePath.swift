/// A path on the server: bytes, since SFTP version 3 knows no encoding of names.
public struct RemotePath: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    public var bytes: [UInt8]

    public init(bytes: [UInt8]) { self.bytes = bytes }
    public init(_ text: some StringProtocol) { bytes = Array(text.utf8) }
    public init(stringLiteral text: String) { self.init(text) }

    /// The path of something in this directory.
    public func appending(_ name: some StringProtocol) -> RemotePath { appending(bytes: Array(name.utf8)) }

    public func appending(bytes name: [UInt8]) -> RemotePath {
        let slash = UInt8(ascii: "/")
        return RemotePath(bytes: bytes + (bytes.isEmpty || bytes.last == slash ? [] : [slash]) + name)
    }

    /// The directory that it is in.
    public var parent: RemotePath {
        guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == 0 ? "/" : RemotePath(bytes: Array(bytes[..<slash]))
    }

    /// For people: what is not UTF-8 is replaced.
    public var description: String { String(decoding: bytes, as: UTF8.self) }
}

/// What a server calls an open file or directory; only the session that got it may use it.
public struct RemoteHandle: Sendable, Hashable {
    var bytes: [UInt8]
}
