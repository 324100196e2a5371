/// What went wrong with a database, a scan or a file, on whatever kind of location.
///
/// One error type for the whole project: a closed ``Code`` to decide by, and a
/// message to read, which says what was tried, on what, and what to do. Two errors
/// are equal when their codes are. No message ever holds a secret.
public struct DatabaseError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The closed list of what can go wrong; decisions are taken on this alone.
    public enum Code: String, Sendable, CaseIterable, Codable {
        /// The caller asked for something that makes no sense (options, same source and target).
        case invalidArgument
        /// A name that no database may hold (see ``ScanID`` and ``ScanPath``).
        case invalidName
        /// The location exists but is no PlantDB database.
        case notADatabase
        /// The database, scan, fileset or file does not exist.
        case notFound
        /// It exists already.
        case alreadyExists
        /// The source has no scans at all: an unmounted disk looks like that.
        case emptySource
        /// Somebody else holds the lock.
        case locked
        /// Credentials or a host key were refused.
        case authentication
        /// The operating system or the server does not allow it.
        case permissionDenied
        /// The source changed while it was read.
        case sourceChanged
        /// The target is no longer what the plan was made against.
        case conflict
        /// A deletion guard tripped.
        case deletionGuard
        /// Bytes were written that are not the bytes that were read.
        case verificationFailed
        /// No space or no quota left.
        case noSpace
        /// The peer cannot be reached, or did not answer in time.
        case unreachable
        /// The peer or the file system cannot do this at all; another way may.
        case unsupported
        /// The content is not what its format promises (JSON, index, archive).
        case invalidData
        /// Any other failure of input or output.
        case io
        /// The task was cancelled.
        case cancelled
    }

    public var code: Code
    /// What was tried, on what, and what to do about it. One sentence or two, no final newline.
    public var message: String
    /// What lay beneath, in the words of the operating system or the peer.
    public var cause: String?
    public var scan: ScanID?
    /// The path inside the scan, as far as it is known, even if it is not a valid ``ScanPath``.
    public var path: String?

    public init(
        _ code: Code, _ message: String, cause: String? = nil, scan: ScanID? = nil,
        path: String? = nil
    ) {
        self.code = code
        self.message = message
        self.cause = cause
        self.scan = scan
        self.path = path
    }

    public static func == (lhs: Self, rhs: Self) -> Bool { lhs.code == rhs.code }

    public var description: String {
        guard let cause else { return message }
        return "\(message) (\(cause))"
    }

    /// The same error, said of one scan and path where it did not say so itself.
    public func locating(scan: ScanID?, path: String? = nil) -> DatabaseError {
        var error = self
        error.scan = error.scan ?? scan
        error.path = error.path ?? path
        return error
    }

    /// Any error as a `DatabaseError`: itself, cancellation, or ``Code/io`` with the
    /// description of the unknown error as its cause.
    public static func wrapping(_ error: any Error, while doing: String) -> DatabaseError {
        if let error = error as? DatabaseError { return error }
        if error is CancellationError {
            return DatabaseError(.cancelled, "cancelled while \(doing)")
        }
        return DatabaseError(.io, "failed while \(doing)", cause: String(describing: error))
    }

    /// Throws ``Code/cancelled`` if the current task is cancelled.
    public static func checkCancellation(while doing: String) throws(DatabaseError) {
        if Task.isCancelled { throw DatabaseError(.cancelled, "cancelled while \(doing)") }
    }
}
