import Glibc
import HTTPTypes
import Hummingbird
import PlantDBCore
import PlantDBWire

/// Which generation of upstream's REST API a route belongs to.
enum ServedDialect: Sendable, CaseIterable {
    /// Release 0.14, at the server's root.
    case root
    /// Releases 0.16 and later, below `api/v1`.
    case v1

    /// Without a slash at its beginning, with one at its end, or empty.
    var base: String { self == .root ? "" : "api/v1/" }
    /// Of files, images and archives.
    var assets: String { self == .root ? "" : "api/v1/assets/" }
}

/// Runs the work of a call, and answers its error in the words of both generations.
func restAnswering(_ work: () async throws(DatabaseError) -> Response) async -> Response {
    do throws(DatabaseError) { return try await work() } catch {
        return restFailure(error.description, HTTPResponse.Status(code: error.peerStatus))
    }
}

/// Releases 0.14 and 0.15 say `message`, later ones `error`; clients look for their own.
func restFailure(_ text: String, _ status: HTTPResponse.Status) -> Response {
    restJSON(["error": .string(text), "message": .string(text)], status)
}

func restJSON(_ value: JSONValue, _ status: HTTPResponse.Status = .ok) -> Response {
    Response(
        status: status, headers: [.contentType: "application/json"],
        body: ResponseBody(byteBuffer: ByteBuffer(bytes: value.pythonBytes(sortedKeys: false))))
}

extension ModificationTime {
    /// As `Last-Modified` has it (RFC 9110, section 5.6.7).
    var httpDate: String { text("%a, %d %b %Y %H:%M:%S GMT") }

    /// `2026-11-26 18:00:00`, in UTC.
    var calendarText: String { text("%Y-%m-%d %H:%M:%S") }

    private func text(_ format: String) -> String {
        var time = time_t(seconds)
        var parts = tm()
        gmtime_r(&time, &parts)
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            let count = strftime(buffer.baseAddress, buffer.count, format, &parts)
            return String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
    }
}

extension Request {
    /// A value of the query, decoded (application/x-www-form-urlencoded, URL Living Standard).
    func query(_ name: String) -> String? {
        guard let text = uri.queryParameters[Substring(name)] else { return nil }
        return text.replacing("+", with: " ").percentDecoded
    }
}
