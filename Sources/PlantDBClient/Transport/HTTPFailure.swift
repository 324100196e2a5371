import AsyncHTTPClient
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import PlantDBCore

extension DatabaseError {
    /// What a failed connection means. One table: nothing else looks at these errors.
    static func http(_ error: any Error, to address: ServerAddress) -> DatabaseError {
        if let error = error as? DatabaseError { return error }
        if error is CancellationError {
            return DatabaseError(.cancelled, "cancelled while talking to \(address)")
        }
        switch error {
        case let error as HTTPClientError where error == .cancelled:
            return DatabaseError(.cancelled, "cancelled while talking to \(address)")
        case let error as HTTPClientError
        where error == .connectTimeout || error == .getConnectionFromPoolTimeout:
            return DatabaseError(
                .unreachable, "\(address) does not answer; check the address, and whether the server runs")
        case let error as HTTPClientError
        where error == .readTimeout || error == .deadlineExceeded || error == .writeTimeout:
            return DatabaseError(.unreachable, "\(address) stopped answering; run the same command again")
        case let error as HTTPClientError where error == .proxyAuthenticationRequired:
            return DatabaseError(
                .authentication,
                "\(address) was not reached: a proxy on the way wants another login, as http://user:password@proxy:3128"
            )
        case let error as HTTPClientError where error == .invalidProxyResponse:
            return DatabaseError(.unreachable, "\(address) was not reached: a proxy on the way refuses it")
        case is NIOSSLError, is NIOSSLExtraError, is BoringSSLError:
            return DatabaseError(
                .authentication,
                "\(address) is not who it should be, or speaks no TLS that is safe; if its certificate is "
                    + "your own, name its authority with --cacert", cause: reason(of: error))
        case is NIOConnectionError:
            return unreachable(address, error)
        case let error as IOError where [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH].contains(error.errnoCode):
            return unreachable(address, error)
        // The end of the connection in the middle of an answer is one of these too, and means that it was lost.
        case let error as HTTPParserError where error != .invalidEOFState:
            return DatabaseError(
                .unreachable,
                "\(address) does not speak HTTP; check the port, and whether it wants https://",
                cause: String(describing: error).printable)
        default:
            return DatabaseError(
                .unreachable, "the connection to \(address) was lost; run the same command again",
                cause: String(describing: error).printable)
        }
    }

    private static func unreachable(_ address: ServerAddress, _ error: any Error) -> DatabaseError {
        DatabaseError(
            .unreachable, "\(address) cannot be reached; check the address, and whether the server runs",
            cause: words(of: error))
    }

    /// What the system says of a connection that could not be made, of the first address that was tried.
    private static func words(of error: any Error) -> String {
        switch error {
        case let error as IOError: return String(cString: strerror(error.errnoCode))
        case let error as NIOConnectionError:
            if let first = error.connectionErrors.first { return words(of: first.error) }
            if error.dnsAError != nil || error.dnsAAAAError != nil { return "there is no host of that name" }
            return String(describing: error).printable
        default: return String(describing: error).printable
        }
    }

    /// The words of BoringSSL without the place in its sources that says them.
    private static func reason(of error: any Error) -> String {
        let text = String(describing: error).printable
        guard let start = text.firstRange(of: "OPENSSL_internal:") else { return text }
        return text[start.upperBound...].prefix { $0.isUppercase || $0 == "_" }
            .replacing("_", with: " ").lowercased()
    }
}
