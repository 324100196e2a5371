import Glibc
import NIOCore
import PlantDBTesting
import Testing

@testable import SFTPClient

/// F11: servers that lie, cut, stall and flood. Nothing crashes, nothing hangs, and every file is
/// told exactly once.
@Suite struct HostileServerTests {
    private typealias Server = ScriptedServer
    private static let content = [UInt8](repeating: 7, count: 200_000)

    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var greeting = ScriptedServer.version(3)
        /// What replaces the honest answer; nil: the honest one.
        var lie: @Sendable (ScriptedServer.Question) -> [UInt8]??

        var code: SFTPError.Code {
            if let code = codes[testDescription] { return code }
            let isLoss = testDescription.hasSuffix("silence") || testDescription.hasSuffix("hangs up")
            return isLoss ? .connectionLost : .protocolViolation
        }

        init(
            _ name: String, greeting: [UInt8] = ScriptedServer.version(3),
            _ lie: @escaping @Sendable (ScriptedServer.Question) -> [UInt8]?? = { _ in nil }
        ) {
            testDescription = name
            self.greeting = greeting
            self.lie = lie
        }
    }

    /// What the lies that are no violation are to be called.
    private static let codes: [String: SFTPError.Code] = [
        "open: no such file": .status(.noSuchFile), "open: refused": .status(.permissionDenied),
        "open: a status without a message": .status(.failure),
        "read: end of file at once": .status(.endOfFile), "read: failure": .status(.failure),
    ]

    private static func on(_ type: PacketType, _ answer: @escaping @Sendable (UInt32) -> [UInt8]?)
        -> @Sendable (ScriptedServer.Question) -> [UInt8]??
    { { $0.type == type ? .some(answer($0.id)) : nil } }

    /// Sessions that do not even begin.
    static let deadBeginnings: [(String, [UInt8], SFTPError.Code)] = [
        ("version 2", Server.version(2), .unsupported), ("version 6", Server.version(6), .unsupported),
        (
            "a message of the day", Array("Welcome to scanner 3!\r\n".utf8) + Server.version(3),
            .protocolViolation
        ),
        ("hanging up", [], .connectionLost), ("half a packet", [0, 0, 0, 9, 2], .unreachable),
        ("another type", Server.packet(.status, nil) { $0.writeInteger(UInt32(3)) }, .protocolViolation),
        ("an empty packet", [0, 0, 0, 0], .protocolViolation),
        ("a packet of 4 GiB", [0xff, 0xff, 0xff, 0xff, 2], .protocolViolation),
        ("a version of three bytes", [0, 0, 0, 4, 2, 0, 0, 3], .protocolViolation),
        ("an extension without end", [0, 0, 0, 10, 2, 0, 0, 0, 3, 0, 0, 1, 0, 65], .protocolViolation),
    ]

    @Test(
        "A server that does not greet in order is an error of its kind", arguments: 0..<deadBeginnings.count)
    func beginnings(_ index: Int) async throws {
        let (_, greeting, code) = Self.deadBeginnings[index]
        let server = Server(greeting: greeting) { _ in nil }
        var configuration = SFTPSession.Configuration()
        configuration.handshakeLimit = .milliseconds(300)
        do throws(SFTPError) {
            await (try await SFTPSession.open(over: server.channel, configuration: configuration)).close()
            Issue.record("it was taken")
        } catch { #expect(error.code == code, "\(error)") }
    }

    static let lies: [Case] = [
        Case("open: no such file", on(.open) { Server.status($0, 2) }),
        Case("open: refused", on(.open) { Server.status($0, 3, "no") }),
        Case("open: success without a handle", on(.open) { Server.status($0, 0) }),
        Case("open: an empty handle", on(.open) { Server.handle($0, []) }),
        Case(
            "open: a handle of 300 bytes", on(.open) { Server.handle($0, [UInt8](repeating: 1, count: 300)) }),
        Case("open: data", on(.open) { Server.data($0, [1]) }),
        Case("open: attributes", on(.open) { Server.attributes($0, FileAttributes(size: 1)) }),
        Case("open: another number", on(.open) { Server.handle($0 &+ 77, [1]) }),
        Case("open: silence", on(.open) { _ in nil }),
        Case("open: hangs up", on(.open) { _ in [] }),
        Case("open: a packet of no known type", on(.open) { _ in [0, 0, 0, 5, 99, 0, 0, 0, 1] }),
        Case("open: a question in place of an answer", on(.open) { id in Server.packet(.open, id) { _ in } }),
        Case("open: a packet without a number", on(.open) { _ in [0, 0, 0, 2, 102, 0] }),
        Case("open: a packet too large", on(.open) { _ in [0, 4, 0, 1, 102] }),
        Case(
            "open: a handle longer than its packet",
            on(.open) { id in
                Server.packet(.handle, id) { $0.writeInteger(UInt32(100)) }
            }),
        Case("open: a status without a number", on(.open) { id in Server.packet(.status, id) { _ in } }),
        Case(
            "open: a status without a message",
            on(.open) { id in
                Server.packet(.status, id) { $0.writeInteger(UInt32(4)) }
            }),
        Case(
            "open: a message longer than its packet",
            on(.open) { id in
                Server.packet(.status, id) { $0.writeMultipleIntegers(UInt32(4), UInt32(0xffff_ffff)) }
            }),
        Case("read: end of file at once", on(.read) { Server.status($0, 1) }),
        Case("read: failure", on(.read) { Server.status($0, 4) }),
        Case("read: success without data", on(.read) { Server.status($0, 0) }),
        Case("read: no bytes", on(.read) { Server.data($0, []) }),
        Case(
            "read: more than was asked for",
            on(.read) { Server.data($0, [UInt8](repeating: 1, count: 100_000)) }),
        Case("read: a handle", on(.read) { Server.handle($0, [1]) }),
        Case("read: names", on(.read) { id in Server.packet(.name, id) { $0.writeInteger(UInt32(0)) } }),
        Case(
            "read: a billion names",
            on(.read) { id in Server.packet(.name, id) { $0.writeInteger(UInt32(1 << 30)) } }),
        Case("read: twice", on(.read) { Server.data($0, [1]) + Server.data($0, [1]) }),
        Case("read: silence", on(.read) { _ in nil }),
        Case("read: hangs up", on(.read) { _ in [] }),
        Case(
            "read: data longer than its packet",
            on(.read) { id in
                Server.packet(.data, id) { $0.writeInteger(UInt32(70_000)) }
            }),
        Case("fstat: another size", on(.fstat) { Server.attributes($0, FileAttributes(size: 3)) }),
        Case("fstat: hangs up", on(.fstat) { _ in [] }),
        Case("fstat: silence", on(.fstat) { _ in nil }),
        Case("fstat: data", on(.fstat) { Server.data($0, [1]) }),
        Case(
            "fstat: attributes cut short",
            on(.fstat) { id in
                Server.packet(.attributes, id) { $0.writeInteger(UInt32(0xf)) }
            }),
        Case(
            "fstat: a million extended attributes",
            on(.fstat) { id in
                Server.packet(.attributes, id) {
                    $0.writeMultipleIntegers(UInt32(0x8000_0000), UInt32(1_000_000))
                }
            }),
        Case("close: hangs up", on(.close) { _ in [] }),
        Case("close: silence", on(.close) { _ in nil }),
        Case("close: a handle", on(.close) { Server.handle($0, [1]) }),
    ]

    @Test("A server that lies while files come down", arguments: lies)
    func download(_ lie: Case) async throws {
        let folder = try TemporaryDirectory()
        let honest = Server.honest(Self.content)
        let server = Server(greeting: lie.greeting) { question in
            if let answer = lie.lie(question) { return answer }
            return honest(question)
        }
        var configuration = SFTPSession.Configuration()
        configuration.silenceLimit = .milliseconds(300)
        let session = try await SFTPSession.open(over: server.channel, configuration: configuration)
        let items = (0..<4).map { DownloadItem(index: $0, path: "f", size: UInt64(Self.content.count)) }
        let sink = CountingSink(items, folder.appending("f"))
        do throws(SFTPError) { try await session.download(to: sink) } catch {
            #expect(error.endsConnection && error.code == lie.code, "\(error)")
        }
        await session.close()
        let told = sink.told
        #expect(told.keys.sorted() == sink.taken && told.values.allSatisfy { $0.count == 1 }, "\(told)")
        #expect(
            told.values.joined().allSatisfy { $0 == .wrongSize || $0 == .failed(lie.code) }, "\(told)")
        // None of these servers delivered what it promised.
        #expect(told.values.joined().allSatisfy { $0 != .complete }, "\(told)")
        try folder.remove()
    }

    @Test("Short answers are asked for again, and small packets do as well")
    func shortReads() async throws {
        let folder = try TemporaryDirectory()
        for limit in [1000, 32 << 10] {
            let server = Server(Server.honest(Self.content, readLimit: limit))
            let session = try await SFTPSession.open(over: server.channel)
            let sink = CountingSink(
                [DownloadItem(index: 0, path: "f", size: UInt64(Self.content.count))], folder.appending("f"))
            try await session.download(to: sink)
            await session.close()
            #expect(sink.told == [0: [.complete]])
            #expect(try bytesOnDisk(folder.appending("f0")) == Self.content)
        }
        try folder.remove()
    }
}
