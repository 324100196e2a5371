import Glibc
import Synchronization

/// A web server for one test: serves bytes by path on a free port of the loopback interface,
/// with ranges if asked to, and can cut an answer short.
final class ArchiveServer: Sendable {
    struct File: Sendable {
        var content: [UInt8]
        var allowsRanges = true
        /// After so many bytes of a first answer the connection is closed.
        var cutsAfter: Int?
        var status = 200
    }

    private let listener: CInt
    let port: UInt16
    private let state: Mutex<(files: [String: File], requests: [String])>

    init(_ files: [String: [UInt8]]) throws {
        listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = listener
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(descriptor, pointer, length) == 0 && listen(descriptor, 16) == 0
                    && getsockname(descriptor, pointer, &length) == 0
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        state = Mutex((files.mapValues { File(content: $0) }, []))
        if !isBound { throw Failure(number: errno) }
        var thread = pthread_t()
        // The thread keeps the server alive until `stop()` ends it.
        let context = Unmanaged.passRetained(self)
        pthread_create(
            &thread, nil,
            { context in
                // Made by passRetained above.
                Unmanaged<ArchiveServer>.fromOpaque(context!).takeRetainedValue().serve()
                return nil
            }, context.toOpaque())
        pthread_detach(thread)
    }

    struct Failure: Error { var number: CInt }

    var address: String { "http://127.0.0.1:\(port)/files" }

    /// The first lines and `Range` headers of the requests so far.
    var requests: [String] { state.withLock { $0.requests } }

    func set(_ path: String, _ file: File) { state.withLock { $0.files[path] = file } }

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
            answer(connection)
            close(connection)
        }
    }

    private func answer(_ connection: CInt) {
        var request: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !String(decoding: request, as: UTF8.self).contains("\r\n\r\n") {
            let count = read(connection, &buffer, buffer.count)
            if count <= 0 { return }
            request += buffer[..<count]
        }
        let lines = String(decoding: request, as: UTF8.self).split(separator: "\r\n")
        let path = String(lines[0].split(separator: " ")[1])
        let range = lines.first { $0.lowercased().hasPrefix("range:") }
        let file = state.withLock { state in
            state.requests.append(lines[0] + (range.map { " " + $0 } ?? ""))
            let file = state.files[path]
            // The next answer is whole.
            state.files[path]?.cutsAfter = nil
            return file
        }
        guard let file, file.status == 200 else {
            send(
                connection,
                "HTTP/1.1 \(file?.status ?? 404) No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", [])
            return
        }
        var start = 0
        if let range, file.allowsRanges, let text = range.split(separator: "=").last?.dropLast(1) {
            start = Int(text) ?? 0
        }
        if start > 0, start >= file.content.count {
            send(connection, "HTTP/1.1 416 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", [])
            return
        }
        let rest = file.content[start...]
        var head = "HTTP/1.1 \(start > 0 ? "206 Partial" : "200 OK")\r\nContent-Length: \(rest.count)\r\n"
        if start > 0 {
            head += "Content-Range: bytes \(start)-\(file.content.count - 1)/\(file.content.count)\r\n"
        }
        send(connection, head + "Connection: close\r\n\r\n", Array(rest.prefix(file.cutsAfter ?? rest.count)))
    }

    private func send(_ connection: CInt, _ head: String, _ body: [UInt8]) {
        var rest = (Array(head.utf8) + body)[...]
        while !rest.isEmpty {
            // MSG_NOSIGNAL of <bits/socket.h>, an enumeration there.
            let count = rest.withUnsafeBytes { Glibc.send(connection, $0.baseAddress, $0.count, 0x4000) }
            if count <= 0 { return }
            rest = rest.dropFirst(count)
        }
    }
}
