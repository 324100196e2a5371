import Glibc
import PlantDBCore
import SFTPClient

/// What a server's answer means for a database: the one table.
extension DatabaseError {
    /// - Parameter what: the end of “cannot …”: what was tried, on what.
    static func sftp(_ error: SFTPError, _ what: String, scan: ScanID? = nil, path: String? = nil)
        -> DatabaseError
    {
        let code: Code
        var advice = ""
        switch error.code {
        case .status(let status):
            switch status {
            case .noSuchFile: code = .notFound
            case .permissionDenied:
                code = .permissionDenied
                advice = "; look at its permissions on the server"
            case .unsupported: code = .unsupported
            case .noConnection, .connectionLost: code = .unreachable
            case .ok, .endOfFile, .failure, .badMessage, .other: code = .io
            }
        case .unreachable, .connectionLost: code = .unreachable
        case .hostKey, .authentication: code = .authentication
        case .protocolViolation: code = .invalidData
        case .noSubsystem, .unsupported: code = .unsupported
        case .invalidArgument: code = .invalidArgument
        case .cancelled: code = .cancelled
        case .local:
            switch error.systemError {
            case ENOSPC, EDQUOT: code = .noSpace
            case ESTALE: code = .sourceChanged
            case EACCES, EPERM: code = .permissionDenied
            default: code = .io
            }
        }
        // Without words of ssh's own, those of the server are all there is.
        let reason = error.said == nil ? advice : ": \(error.message)\(advice)"
        return DatabaseError(
            code, "cannot \(what)\(reason)", cause: error.said ?? error.message, scan: scan, path: path)
    }
}

/// Runs calls of a session as calls on a database.
func translating<Value: Sendable>(
    _ what: @autoclosure () -> String, scan: ScanID? = nil,
    _ body: () async throws(SFTPError) -> Value
) async throws(DatabaseError) -> Value {
    do throws(SFTPError) { return try await body() } catch { throw .sftp(error, what(), scan: scan) }
}
