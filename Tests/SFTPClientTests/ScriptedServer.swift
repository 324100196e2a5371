import Foundation
import Glibc
import NIOCore
import Synchronization

@testable import SFTPClient

/// A server of the test's making at the other end of a socket pair.
final class ScriptedServer: Sendable {
    /// What came in: type, number, and the bytes after them.
    struct Question: Sendable {
        var type: PacketType
        var id: UInt32
        var fields: [UInt8]

        /// The first text field: a path or a handle.
        var text: [UInt8] {
            guard fields.count >= 4 else { return [] }
            return Array(fields[4...].prefix(fields[..<4].reduce(0) { $0 << 8 | Int($1) }))
        }

        /// Offset and length of a read.
        var range: (offset: UInt64, length: UInt32) {
            let rest = fields[(4 + text.count)...]
            let offset = rest.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return (offset, rest.dropFirst(8).prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
        }
    }

    /// nil: says nothing. Empty bytes: hangs up.
    typealias Script = @Sendable (Question) -> [UInt8]?

    let channel: DescriptorChannel
    private let other: CInt

    /// - Parameter greeting: the answer to the first packet.
    init(greeting: [UInt8] = ScriptedServer.version(3), _ script: @escaping Script) {
        var ends: [CInt] = [-1, -1]
        socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends)
        channel = DescriptorChannel(input: ends[0], output: ends[0])
        other = ends[1]
        let other = ends[1]
        Thread.detachNewThread {
            Self.serve(other, greeting, script)
            shutdown(other, CInt(SHUT_RDWR))
            close(other)
        }
    }

    private static func serve(_ socket: CInt, _ greeting: [UInt8], _ script: Script) {
        var isFirst = true
        while let packet = read(socket) {
            let answer: [UInt8]?
            if isFirst {
                answer = greeting
                isFirst = false
            } else {
                guard let type = PacketType(rawValue: packet[0]), packet.count >= 5 else { return }
                let id = packet[1..<5].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                answer = script(Question(type: type, id: id, fields: Array(packet[5...])))
            }
            guard let answer else { continue }
            guard !answer.isEmpty, send(socket, answer, answer.count, CInt(MSG_NOSIGNAL)) == answer.count
            else {
                return
            }
        }
    }

    static func read(_ socket: CInt) -> [UInt8]? {
        guard let head = read(socket, 4) else { return nil }
        return read(socket, head.reduce(0) { $0 << 8 | Int($1) })
    }

    private static func read(_ socket: CInt, _ count: Int) -> [UInt8]? {
        var result = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let more = result.withUnsafeMutableBytes {
                recv(socket, $0.baseAddress?.advanced(by: done), count - done, 0)
            }
            if more <= 0 { return nil }
            done += more
        }
        return result
    }

    // MARK: Answers

    static func packet(_ type: PacketType, _ id: UInt32?, _ body: (inout ByteBuffer) -> Void) -> [UInt8] {
        var buffer = ByteBuffer()
        buffer.writeInteger(type.rawValue)
        if let id { buffer.writeInteger(id) }
        body(&buffer)
        var whole = ByteBuffer()
        whole.writeInteger(UInt32(buffer.readableBytes))
        whole.writeBuffer(&buffer)
        return Array(whole.readableBytesView)
    }

    static func version(_ number: UInt32, _ extensions: [SFTPExtension] = []) -> [UInt8] {
        packet(.version, nil) { buffer in
            buffer.writeInteger(number)
            for name in extensions {
                buffer.writeText(name.rawValue.utf8)
                buffer.writeText("1".utf8)
            }
        }
    }

    static func status(_ id: UInt32, _ number: UInt32, _ message: String = "") -> [UInt8] {
        packet(.status, id) { buffer in
            buffer.writeInteger(number)
            buffer.writeText(message.utf8)
            buffer.writeText("en".utf8)
        }
    }

    static func handle(_ id: UInt32, _ bytes: [UInt8]) -> [UInt8] {
        packet(.handle, id) { $0.writeText(bytes) }
    }
    static func data(_ id: UInt32, _ bytes: [UInt8]) -> [UInt8] { packet(.data, id) { $0.writeText(bytes) } }

    static func attributes(_ id: UInt32, _ attributes: FileAttributes) -> [UInt8] {
        packet(.attributes, id) { attributes.write(to: &$0) }
    }

    static func names(_ id: UInt32, _ names: [(String, FileAttributes)]) -> [UInt8] {
        packet(.name, id) { buffer in
            buffer.writeInteger(UInt32(names.count))
            for (name, attributes) in names {
                buffer.writeText(name.utf8)
                buffer.writeText("-rw-r--r-- \(name)".utf8)
                attributes.write(to: &buffer)
            }
        }
    }

    /// Takes files of so many bytes, honestly.
    static func taking(size: UInt64) -> Script {
        { question in
            switch question.type {
            case .open: handle(question.id, [1])
            case .write, .fsetstat, .close: status(question.id, 0)
            case .fstat: attributes(question.id, FileAttributes(size: size))
            default: status(question.id, 8)
            }
        }
    }

    /// Serves one file under every name, honestly.
    static func honest(_ content: [UInt8], readLimit: Int = .max) -> Script {
        { question in
            switch question.type {
            case .open: return handle(question.id, [1])
            case .read:
                let (offset, length) = question.range
                let rest = content.dropFirst(Int(offset)).prefix(min(Int(length), readLimit))
                return rest.isEmpty ? status(question.id, 1) : data(question.id, Array(rest))
            case .fstat: return attributes(question.id, FileAttributes(size: UInt64(content.count)))
            case .close: return status(question.id, 0)
            default: return status(question.id, 8)
            }
        }
    }
}
