import Foundation
import Glibc
import Synchronization

/// A server that answers what a test tells it to, whatever that is: a connection a request.
final class ScriptedServer: Sendable {
    struct Request: Sendable {
        var method: String
        /// With its query.
        var path: String
        var headers: [String: String]
    }

    /// The bytes of an answer; nil: none ever comes.
    typealias Script = @Sendable (Request) -> [UInt8]?

    let url: String
    private let listener: CInt
    private let script: Script
    /// How an answer of more than 2,000 bytes goes out: so many bytes, and a pause of so many milliseconds.
    private let pace: (bytes: Int, milliseconds: Int)?
    private let seen = Mutex<[Request]>([])

    init(pace: (bytes: Int, milliseconds: Int)? = nil, _ script: @escaping Script) throws {
        self.script = script
        self.pace = pace
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        listener = descriptor
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && listen(descriptor, 16) == 0
                    && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard isBound else { throw Trouble("no port to listen on") }
        url = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
        Thread.detachNewThread { self.serve() }
    }

    var requests: [Request] { seen.withLock { $0 } }

    func stop() {
        shutdown(listener, CInt(SHUT_RDWR))
        close(listener)
    }

    private func serve() {
        while true {
            let connection = accept(listener, nil, nil)
            if connection < 0 {
                if errno == EINTR { continue }
                return
            }
            Thread.detachNewThread {
                self.answer(connection)
                close(connection)
            }
        }
    }

    private func answer(_ connection: CInt) {
        guard let request = readRequest(connection) else { return }
        seen.withLock { $0.append(request) }
        guard let bytes = script(request) else {
            // Until the client gives up.
            var byte: UInt8 = 0
            while read(connection, &byte, 1) > 0 {}
            return
        }
        guard let pace, bytes.count > 2000, let end = bytes.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound
        else {
            _ = send(bytes[...], to: connection)
            return
        }
        var piece = bytes[..<end]
        while !piece.isEmpty, send(piece, to: connection) {
            piece = bytes[piece.endIndex...].prefix(pace.bytes)
            usleep(UInt32(pace.milliseconds * 1000))
        }
    }

    /// - Returns: whether the client took all of it.
    private func send(_ bytes: ArraySlice<UInt8>, to connection: CInt) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            // MSG_NOSIGNAL of <bits/socket.h>, an enumeration there.
            let count = rest.withUnsafeBytes { Glibc.send(connection, $0.baseAddress, $0.count, 0x4000) }
            if count <= 0 { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    private func readRequest(_ connection: CInt) -> Request? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        var head: String?
        while head == nil {
            let count = read(connection, &buffer, buffer.count)
            if count <= 0 { return nil }
            bytes += buffer[..<count]
            let text = String(decoding: bytes, as: UTF8.self)
            if let end = text.range(of: "\r\n\r\n") { head = String(text[..<end.lowerBound]) }
        }
        let lines = (head ?? "").components(separatedBy: "\r\n")
        let words = lines[0].split(separator: " ")
        guard words.count == 3 else { return nil }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            headers[line[..<colon].lowercased()] =
                line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        }
        return Request(method: String(words[0]), path: String(words[1]), headers: headers)
    }
}

/// An answer as it goes over the line.
func answer(
    _ status: Int, _ body: [UInt8], type: String = "application/json", headers: [String] = []
) -> [UInt8] {
    let head = [
        "HTTP/1.1 \(status) Whatever", "Content-Length: \(body.count)", "Content-Type: \(type)",
        "Connection: close",
    ]
    return Array(((head + headers).joined(separator: "\r\n") + "\r\n\r\n").utf8) + body
}

func answer(_ status: Int, _ text: String, type: String = "application/json", headers: [String] = [])
    -> [UInt8]
{ answer(status, Array(text.utf8), type: type, headers: headers) }

func answer(_ body: [UInt8], type: String) -> [UInt8] { answer(200, body, type: type) }

func answer(_ text: String, type: String = "application/json") -> [UInt8] {
    answer(200, Array(text.utf8), type: type)
}
