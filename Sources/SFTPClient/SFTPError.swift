/// Why an operation on a server failed.
public struct SFTPError: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Code: Sendable, Hashable {
        /// What the server answered instead of doing it.
        case status(SFTPStatus)
        /// No name, no route, nobody listening, or no answer in time.
        case unreachable
        /// The connection ended or stopped answering in the middle.
        case connectionLost
        /// The host key is unknown or has changed.
        case hostKey
        /// No key and no password was accepted.
        case authentication
        /// The server has no SFTP, or the account may not use it.
        case noSubsystem
        /// What came is not SFTP, or more than anybody asked for.
        case protocolViolation
        /// The server cannot do this.
        case unsupported
        /// A local file or process failed.
        case local
        case invalidArgument
        case cancelled
    }

    public var code: Code
    /// What was tried, on what, and what went wrong. Never a secret.
    public var message: String

    /// In the words of ssh or the server, where there are any.
    public var said: String?

    /// errno(3) of the local call that failed; nil: it was no local call.
    public var systemError: Int32?

    public init(_ code: Code, _ message: String, said: String? = nil, systemError: Int32? = nil) {
        self.code = code
        self.message = message
        self.said = said
        self.systemError = systemError
    }

    public var description: String { message + (said.map { " (\($0))" } ?? "") }

    public static func == (left: SFTPError, right: SFTPError) -> Bool { left.code == right.code }
    public func hash(into hasher: inout Hasher) { hasher.combine(code) }
}

/// The answers of draft-ietf-secsh-filexfer-02, section 7.
public enum SFTPStatus: Sendable, Hashable {
    case ok
    case endOfFile
    case noSuchFile
    case permissionDenied
    /// Everything else, a full disk too: OpenSSH tells no more.
    case failure
    case badMessage
    case noConnection
    case connectionLost
    case unsupported
    /// Beyond version 3.
    case other(UInt32)

    init(_ number: UInt32) {
        switch number {
        case 0: self = .ok
        case 1: self = .endOfFile
        case 2: self = .noSuchFile
        case 3: self = .permissionDenied
        case 4: self = .failure
        case 5: self = .badMessage
        case 6: self = .noConnection
        case 7: self = .connectionLost
        case 8: self = .unsupported
        default: self = .other(number)
        }
    }
}
