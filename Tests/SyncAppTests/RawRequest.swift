import Foundation
import Glibc
import Testing

/// What no well-behaved client sends: it goes over a connection of its own, whose sending side is then closed.
enum RawRequest {
    static func answer(to request: String, at url: String) async throws -> String {
        let port = try #require(URL(string: url)?.port.flatMap { UInt16(exactly: $0) })
        return try await withCheckedThrowingContinuation { continuation in
            // It blocks: the server of the test needs the others.
            Thread.detachNewThread { continuation.resume(with: Result { try exchange(request, port) }) }
        }
    }

    private static func exchange(_ request: String, _ port: UInt16) throws -> String {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        try #require(isConnected)
        let bytes = Array(request.utf8)
        try #require(write(descriptor, bytes, bytes.count) == bytes.count)
        shutdown(descriptor, CInt(SHUT_WR))
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while case let count = read(descriptor, &buffer, buffer.count), count > 0 {
            answer += buffer[..<count]
        }
        return String(decoding: answer, as: UTF8.self)
    }
}
