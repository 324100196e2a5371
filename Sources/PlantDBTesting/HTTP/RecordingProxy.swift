import Foundation
import Glibc
import Synchronization

/// Stands before a server on the loopback interface, and keeps what it is sent: tests look there for
/// secrets.
public final class RecordingProxy: Sendable {
    public let url: String
    private let listener: CInt
    private let serverPort: UInt16
    private let seen = Mutex<[UInt8]>([])

    public struct Failure: Error {}

    /// - Parameter url: of the server, `http://127.0.0.1:port`.
    public init(before url: String) throws {
        guard let port = url.split(separator: ":").last.flatMap({ UInt16($0) }) else { throw Failure() }
        serverPort = port
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        listener = descriptor
        var address = Self.loopback(0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && listen(descriptor, 16) == 0
                    && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard isBound else { throw Failure() }
        self.url = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
        Thread.detachNewThread { self.serve() }
    }

    /// Whether this came, in whatever request.
    public func received(_ text: String) -> Bool {
        seen.withLock { String(decoding: $0, as: UTF8.self) }.contains(text)
    }

    /// Whether anything came.
    public var isUsed: Bool { seen.withLock { !$0.isEmpty } }

    public func stop() {
        shutdown(listener, CInt(SHUT_RDWR))
        close(listener)
    }

    private static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return address
    }

    private func serve() {
        while true {
            let client = accept(listener, nil, nil)
            if client < 0 {
                if errno == EINTR { continue }
                return
            }
            let server = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
            var address = Self.loopback(serverPort)
            let isConnected = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
            guard isConnected else {
                close(client)
                close(server)
                continue
            }
            Thread.detachNewThread {
                let answers = DispatchGroup()
                answers.enter()
                Thread.detachNewThread {
                    self.copy(server, client, records: false)
                    answers.leave()
                }
                self.copy(client, server, records: true)
                answers.wait()
                close(client)
                close(server)
            }
        }
    }

    private func copy(_ from: CInt, _ into: CInt, records: Bool) {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while case let count = read(from, &buffer, buffer.count), count > 0 {
            if records { seen.withLock { $0 += buffer[..<count] } }
            var rest = buffer[..<count]
            while !rest.isEmpty {
                // MSG_NOSIGNAL of <bits/socket.h>, an enumeration there.
                let sent = rest.withUnsafeBytes { Glibc.send(into, $0.baseAddress, $0.count, 0x4000) }
                if sent <= 0 { break }
                rest = rest.dropFirst(sent)
            }
            if !rest.isEmpty { break }
        }
        shutdown(into, CInt(SHUT_WR))
        shutdown(from, CInt(SHUT_RD))
    }
}
