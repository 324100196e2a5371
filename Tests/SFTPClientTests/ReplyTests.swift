import NIOCore
import Testing

@testable import SFTPClient

/// Answers out of bytes, however they arrive.
@Suite struct ReplyTests {
    private typealias Server = ScriptedServer
    private static let handle = RemoteHandle(bytes: [1])
    private static let all = FileAttributes(
        size: .max, owner: .init(user: 1, group: 2), permissions: 0o040_755,
        times: .init(accessed: 3, modified: 4))

    /// - Parameter shortest: so many bytes of it are an answer of their own.
    struct Sample: Sendable {
        var packet: [UInt8]
        var request: SFTPRequest
        var reply: SFTPReply
        var shortest: Set<Int> = []
    }

    static let samples: [Sample] = [
        // Type, number and status: an old server's answer. With the message, only the language lacks.
        Sample(
            packet: Server.status(9, 4, "no"), request: .close(handle),
            reply: .status(.failure, message: "no"),
            shortest: Set([9] + Array(15...20))),
        Sample(
            packet: Server.handle(9, [0, 255]), request: .open("a", .read),
            reply: .handle(.init(bytes: [0, 255]))),
        Sample(
            packet: Server.data(9, Array("bytes".utf8)), request: .read(handle, offset: 0, length: 5),
            reply: .data(Array("bytes".utf8))),
        Sample(packet: Server.attributes(9, all), request: .stat("a"), reply: .attributes(all)),
        Sample(packet: Server.attributes(9, .init()), request: .stat("a"), reply: .attributes(.init())),
        Sample(
            packet: Server.names(9, [("a", all), ("ü", .init(size: 3))]), request: .readDirectory(handle),
            reply: .names([
                .init(bytes: Array("a".utf8), attributes: all),
                .init(bytes: Array("ü".utf8), attributes: .init(size: 3)),
            ])),
        Sample(
            packet: Server.packet(.extendedReply, 9) { buffer in
                for number in 1...4 { buffer.writeInteger(UInt64(number)) }
            }, request: .limits,
            reply: .limits(.init(packetBytes: 1, readBytes: 2, writeBytes: 3, openHandles: 4))),
        Sample(
            packet: Server.packet(.extendedReply, 9) { buffer in
                for number in 1...10 { buffer.writeInteger(UInt64(number)) }
            }, request: .statvfs("a"),
            reply: .fileSystem(.init(availableBytes: 10, availableFiles: 8, isReadOnly: false, identifier: 9))
        ),
    ]

    /// A packet without its length.
    private static func decode(_ body: [UInt8], _ request: SFTPRequest) -> Result<SFTPReply, SFTPError> {
        body.withUnsafeBytes { bytes in
            Result { () throws(SFTPError) in
                var packet = PacketReader(bytes)
                let number: UInt8 = try packet.integer()
                let _: UInt32 = try packet.integer()
                guard let type = PacketType(rawValue: number) else { throw packet.violation("type") }
                return try ReplyView(type, &packet).reply(to: request)
            }
        }
    }

    private static func feed(_ bytes: some Collection<UInt8>, to frames: inout FrameBuffer) {
        let space = frames.space()
        for (index, byte) in bytes.enumerated() { space[index] = byte }
        frames.arrived(bytes.count)
    }

    @Test("Every answer is understood, one byte at a time", arguments: samples.indices)
    func bytewise(_ index: Int) throws {
        let sample = Self.samples[index]
        var frames = FrameBuffer(capacity: 0)
        for round in 0..<3 {
            for (position, byte) in sample.packet.enumerated() {
                Self.feed([byte], to: &frames)
                let whole = try frames.next().map { Array($0) }
                #expect((whole != nil) == (position == sample.packet.count - 1), "\(round) \(position)")
                if let whole { #expect(try Self.decode(whole, sample.request).get() == sample.reply) }
            }
        }
    }

    @Test("Every truncation is a violation", arguments: samples.indices)
    func truncations(_ index: Int) {
        let sample = Self.samples[index]
        let body = Array(sample.packet.dropFirst(4))
        for count in 0..<body.count {
            switch Self.decode(Array(body.prefix(count)), sample.request) {
            case .failure(let error): #expect(error.code == .protocolViolation, "\(count)")
            case .success(let reply): #expect(sample.shortest.contains(count), "\(count): \(reply)")
            }
        }
    }

    @Test("Lengths are checked before anything is kept", arguments: [0, 262_145, 1 << 31, 0xffff_ffff])
    func lengths(_ length: UInt32) throws {
        var frames = FrameBuffer()
        Self.feed(withUnsafeBytes(of: length.bigEndian) { Array($0) }, to: &frames)
        do throws(SFTPError) {
            _ = try frames.next()
            Issue.record("it was taken")
        } catch { #expect(error.code == .protocolViolation) }
    }

    @Test("The largest packets fit, one behind the other") func largest() throws {
        var frames = FrameBuffer(capacity: 0)
        let packet = Server.data(1, [UInt8](repeating: 5, count: 262_144 - 9))
        var stream = (packet + packet + packet)[...]
        var found = 0
        while !stream.isEmpty {
            let count = min(stream.count, 100_000, frames.space().count)
            try #require(count > 0)
            Self.feed(stream.prefix(count), to: &frames)
            stream = stream.dropFirst(count)
            while let whole = try frames.next() {
                found += 1
                #expect(whole.count == 262_144)
            }
        }
        #expect(found == 3)
    }

    @Test("Every combination of attributes is read back") func attributes() throws {
        for flags in 0..<16 {
            var attributes = FileAttributes()
            if flags & 1 != 0 { attributes.size = Self.all.size }
            if flags & 2 != 0 { attributes.owner = Self.all.owner }
            if flags & 4 != 0 { attributes.permissions = Self.all.permissions }
            if flags & 8 != 0 { attributes.times = Self.all.times }
            let body = Array(Server.attributes(1, attributes).dropFirst(4))
            #expect(try Self.decode(body, .stat("a")).get() == .attributes(attributes))
        }
        #expect(Self.all.kind == .directory && FileAttributes().kind == nil)
        #expect(FileAttributes(permissions: 0o120_777).kind == .symbolicLink)
        #expect(FileAttributes(permissions: 0o010_600).kind == .special)
    }

    @Test("Extended attributes are skipped, up to 64 of them") func extended() throws {
        func packet(count: UInt32, told: Int) -> [UInt8] {
            let whole = Server.packet(.attributes, 1) { buffer in
                buffer.writeMultipleIntegers(UInt32(0x8000_0001), UInt64(77), count)
                for _ in 0..<told {
                    buffer.writeText("name@example.com".utf8)
                    buffer.writeText([0, 1, 2])
                }
            }
            return Array(whole.dropFirst(4))
        }
        for count in [0, 1, 64] {
            #expect(
                try Self.decode(packet(count: UInt32(count), told: count), .stat("a")).get()
                    == .attributes(FileAttributes(size: 77)))
        }
        for (count, told) in [(UInt32(65), 65), (0xffff_ffff, 1), (3, 2)] {
            guard case .failure(let error) = Self.decode(packet(count: count, told: told), .stat("a")) else {
                Issue.record("\(count) were taken")
                continue
            }
            #expect(error.code == .protocolViolation)
        }
    }
}
