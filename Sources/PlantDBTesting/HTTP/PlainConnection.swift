import Foundation
import Glibc

/// A TCP connection to this machine, for what no well-behaved client sends.
///
/// Every call waits on a thread of its own. A call that blocked where it stands would take one of
/// the few threads that the server of the same test needs to answer it.
public final class PlainConnection: Sendable {
    private let descriptor: CInt

    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// - Throws: ``Failure`` where nobody takes the connection.
    public init(port: Int) async throws {
        descriptor = try await Self.onThread {
            guard let port = UInt16(exactly: port) else { throw Failure(description: "no port: \(port)") }
            let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            let isConnected = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
            guard isConnected else {
                let failure = Failure(description: "connect: \(String(cString: strerror(errno)))")
                Glibc.close(descriptor)
                throw failure
            }
            return descriptor
        }
    }

    public func send(_ text: String) async throws { try await send(Array(text.utf8)) }

    public func send(_ bytes: [UInt8]) async throws {
        let descriptor = descriptor
        try await Self.onThread {
            var rest = bytes[...]
            while !rest.isEmpty {
                // MSG_NOSIGNAL of <bits/socket.h>, an enumeration there.
                let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, 0x4000) }
                guard count > 0 else {
                    throw Failure(description: "send: \(String(cString: strerror(errno)))")
                }
                rest = rest.dropFirst(count)
            }
        }
    }

    /// Nothing more is sent; what the other side sends still comes.
    public func endSending() { shutdown(descriptor, CInt(SHUT_WR)) }

    /// What comes first.
    public func receive() async throws -> String {
        let descriptor = descriptor
        let bytes = try await Self.onThread {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            let count = read(descriptor, &buffer, buffer.count)
            return Array(buffer.prefix(max(0, count)))
        }
        guard !bytes.isEmpty else { throw Failure(description: "nothing came") }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// To its end.
    public func receiveAll() async throws -> String {
        let descriptor = descriptor
        let bytes = try await Self.onThread {
            var all: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while case let count = read(descriptor, &buffer, buffer.count), count > 0 {
                all += buffer[..<count]
            }
            return all
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    public func close() { Glibc.close(descriptor) }

    private static func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws
        -> Value
    {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
        }
    }
}
