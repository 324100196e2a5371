import Foundation
import Glibc
import NIOCore
import PlantDBTesting
import Synchronization
import Testing

@testable import SFTPClient

/// F11, for what goes up, for directories, and for single questions.
@Suite struct HostileUploadTests {
    private typealias Server = ScriptedServer
    private static let size = 300_000

    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var code: SFTPError.Code
        var type: PacketType
        var answer: @Sendable (UInt32) -> [UInt8]?

        init(
            _ name: String, _ code: SFTPError.Code, _ type: PacketType,
            _ answer: @escaping @Sendable (UInt32) -> [UInt8]?
        ) {
            testDescription = "\(type): \(name)"
            self.code = code
            self.type = type
            self.answer = answer
        }
    }

    private static func quick() -> SFTPSession.Configuration {
        var configuration = SFTPSession.Configuration()
        configuration.silenceLimit = .milliseconds(300)
        return configuration
    }

    static let lies: [Case] = [
        Case("is there already", .status(.failure), .open) { Server.status($0, 4) },
        Case("success without a handle", .protocolViolation, .open) { Server.status($0, 0) },
        Case("silence", .connectionLost, .open) { _ in nil },
        Case("hangs up", .connectionLost, .open) { _ in [] },
        Case("a full disk", .status(.failure), .write) { Server.status($0, 4, "No space left on device") },
        Case("no permission", .status(.permissionDenied), .write) { Server.status($0, 3) },
        Case("a status beyond version 3", .status(.other(14)), .write) { Server.status($0, 14) },
        Case("data", .protocolViolation, .write) { Server.data($0, [1]) },
        Case("a handle", .protocolViolation, .write) { Server.handle($0, [1]) },
        Case("another number", .protocolViolation, .write) { Server.status($0 &+ 1000, 0) },
        Case("twice", .protocolViolation, .write) { Server.status($0, 0) + Server.status($0, 0) },
        Case("silence", .connectionLost, .write) { _ in nil },
        Case("hangs up", .connectionLost, .write) { _ in [] },
        Case("half an answer", .protocolViolation, .write) { Array(Server.status($0, 0).dropLast(3)) },
        Case("a packet of 4 GiB", .protocolViolation, .write) { _ in [255, 255, 255, 255] },
        Case("refused", .status(.permissionDenied), .fsetstat) { Server.status($0, 3) },
        Case("hangs up", .connectionLost, .fsetstat) { _ in [] },
        Case("fewer bytes", .status(.failure), .fstat) { Server.attributes($0, FileAttributes(size: 3)) },
        Case("more bytes", .status(.failure), .fstat) { Server.attributes($0, FileAttributes(size: .max)) },
        Case("silence", .connectionLost, .fstat) { _ in nil },
        Case("names", .protocolViolation, .fstat) { Server.names($0, []) },
        Case("refused", .status(.failure), .close) { Server.status($0, 4) },
        Case("silence", .connectionLost, .close) { _ in nil },
        Case("hangs up", .connectionLost, .close) { _ in [] },
        Case("attributes", .protocolViolation, .close) { Server.attributes($0, FileAttributes()) },
    ]

    @Test("A server that lies while files go up", .timeLimit(.minutes(1)), arguments: lies)
    func upload(_ lie: Case) async throws {
        let folder = try TemporaryDirectory()
        let path = folder.appending("f")
        try writeFile(path, [UInt8](repeating: 3, count: Self.size))
        let honest = Server.taking(size: UInt64(Self.size))
        let server = Server { $0.type == lie.type ? lie.answer($0.id) : honest($0) }
        let session = try await SFTPSession.open(over: server.channel, configuration: Self.quick())
        let source = CountingSource(Self.items(4)) { _ in path }
        let begin = ContinuousClock.now
        do throws(SFTPError) {
            try await session.upload(from: source)
            guard case .status = lie.code else {
                Issue.record("no error")
                return
            }
        } catch { #expect(error.code == lie.code && error.endsConnection, "\(error)") }
        await session.close()
        #expect(ContinuousClock.now - begin < .seconds(10))
        let told = source.told
        #expect(told.keys.sorted() == source.taken && !told.isEmpty)
        #expect(told.values.allSatisfy { $0 == [.failed(lie.code)] }, "\(told)")
        try folder.remove()
    }

    private static func items(_ count: Int) -> [UploadItem] {
        (0..<count).map {
            UploadItem(
                index: $0, path: RemotePath("f\($0)"), size: UInt64(size), attributes: FileAttributes(),
                isFlushed: false)
        }
    }

    // MARK: Directories

    static let directoryLies: [Case] = [
        Case("no such directory", .status(.noSuchFile), .opendir) { Server.status($0, 2) },
        Case("success without a handle", .protocolViolation, .opendir) { Server.status($0, 0) },
        Case("names", .protocolViolation, .opendir) { Server.names($0, []) },
        Case("hangs up", .connectionLost, .opendir) { _ in [] },
        Case("nothing, for ever", .protocolViolation, .readdir) { Server.names($0, []) },
        Case("dots, for ever", .protocolViolation, .readdir) {
            Server.names($0, [(".", .init()), ("..", .init())])
        },
        Case("names, for ever", .protocolViolation, .readdir) { Server.names($0, [("a", .init())]) },
        Case("an empty name", .protocolViolation, .readdir) { Server.names($0, [("", .init())]) },
        Case("a name with a slash", .protocolViolation, .readdir) { Server.names($0, [("../x", .init())]) },
        Case("an absolute name", .protocolViolation, .readdir) { Server.names($0, [("/etc", .init())]) },
        Case("a name with NUL", .protocolViolation, .readdir) { Server.names($0, [("a\0b", .init())]) },
        Case("a name of 100 kB", .protocolViolation, .readdir) {
            Server.names($0, [(String(repeating: "a", count: 100_000), .init())])
        },
        Case("fewer names than counted", .protocolViolation, .readdir) { id in
            Server.packet(.name, id) { buffer in
                buffer.writeInteger(UInt32(2))
                buffer.writeText([97])
                buffer.writeText([UInt8](repeating: 97, count: 40))
                FileAttributes().write(to: &buffer)
            }
        },
        Case("success without names", .protocolViolation, .readdir) { Server.status($0, 0) },
        Case("a failure", .status(.failure), .readdir) { Server.status($0, 4) },
        Case("silence", .connectionLost, .readdir) { _ in nil },
        Case("data", .protocolViolation, .readdir) { Server.data($0, [1]) },
    ]

    @Test("A server that lies about a directory", .timeLimit(.minutes(1)), arguments: directoryLies)
    func directories(_ lie: Case) async throws {
        let server = Server { question in
            if question.type == lie.type { return lie.answer(question.id) }
            return question.type == .opendir
                ? Server.handle(question.id, [1]) : Server.status(question.id, 0)
        }
        let session = try await SFTPSession.open(over: server.channel, configuration: Self.quick())
        do throws(SFTPError) {
            let names = try await session.entries(ofDirectory: "d", limit: 200)
            Issue.record("\(names.count) names were taken")
        } catch { #expect(error.code == lie.code, "\(error)") }
        await session.close()
    }

    @Test("A listing that takes too much memory or time, or tells nothing new, is cut off and named")
    func endlessDirectories() async throws {
        func failure(_ names: [String], _ change: (inout ListingLimits) -> Void = { _ in }) async throws
            -> SFTPError?
        {
            let server = Server { question in
                switch question.type {
                case .opendir: Server.handle(question.id, [1])
                case .readdir:
                    Server.names(question.id, names.map { ($0, FileAttributes(permissions: 0o100644)) })
                default: Server.status(question.id, 0)
                }
            }
            let session = try await SFTPSession.open(over: server.channel, configuration: Self.quick())
            var limits = ListingLimits()
            change(&limits)
            var result: SFTPError?
            do throws(SFTPError) {
                _ = try await session.entries(ofDirectory: "/big", within: limits)
            } catch { result = error }
            await session.close()
            return result
        }
        let long = (0..<100).map { "\($0)" + String(repeating: "x", count: 1000) }
        let large = try await failure(long) { $0.bytes = 4 << 20 }
        #expect(large?.code == .protocolViolation)
        #expect(large?.message.contains("/big take up more than 4 MiB") == true)
        let slow = try await failure(["a"]) { ($0.patience, $0.timePerName) = (.zero, .zero) }
        #expect(slow?.code == .connectionLost && slow?.message.contains("/big too slowly") == true)
        #expect(try await failure([".", ".."])?.code == .protocolViolation)
    }

    // MARK: Order and time

    @Test("Servers may answer in another order: a file is over when all is answered")
    func order() async throws {
        let folder = try TemporaryDirectory()
        let content = [UInt8](repeating: 4, count: 5000)
        try writeFile(folder.appending("f"), content)
        let honest = Server.honest(content)
        let late = Mutex<[UInt8]>([])
        let server = Server { question in
            guard let answer = honest(question) else { return nil }
            if question.type == .read || question.type == .fstat {
                late.withLock { $0 = answer + $0 }
                return nil
            }
            return question.type == .close ? answer + late.withLock { $0 } : answer
        }
        let session = try await SFTPSession.open(over: server.channel)
        let sink = CountingSink(
            [DownloadItem(index: 0, path: "f", size: 5000)], folder.appending("copy"))
        try await session.download(to: sink)
        #expect(sink.told == [0: [.complete]])
        #expect(try bytesOnDisk(folder.appending("copy0")) == content)
        await session.close()

        // A write that fails, and is answered last.
        let taking = Server.taking(size: UInt64(Self.size))
        let failure = Mutex<[UInt8]>([])
        let other = Server { question in
            if question.type == .write, failure.withLock({ $0.isEmpty }) {
                failure.withLock { $0 = Server.status(question.id, 4) }
                return nil
            }
            guard let answer = taking(question) else { return nil }
            return question.type == .close ? answer + failure.withLock { $0 } : answer
        }
        try writeFile(folder.appending("f"), [UInt8](repeating: 3, count: Self.size))
        let second = try await SFTPSession.open(over: other.channel)
        let source = CountingSource(Self.items(1)) { _ in folder.appending("f") }
        try await second.upload(from: source)
        #expect(source.told == [0: [.failed(.status(.failure))]])
        await second.close()
        try folder.remove()
    }

    @Test("Silence counts from the question on, not from the last answer")
    func patience() async throws {
        let server = Server { question in
            usleep(250_000)
            return Server.attributes(question.id, FileAttributes(size: 1))
        }
        var configuration = SFTPSession.Configuration()
        configuration.silenceLimit = .milliseconds(500)
        let session = try await SFTPSession.open(over: server.channel, configuration: configuration)
        for _ in 0..<3 {
            try await Task.sleep(for: .milliseconds(400))
            #expect(try await session.attributes(of: "a")?.size == 1)
        }
        await session.close()
    }

    @Test("Nobody at the other end any more is an error, not a signal") func broken() async throws {
        var ends: [CInt] = [-1, -1]
        socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends)
        close(ends[1])
        do throws(SFTPError) {
            _ = try await SFTPSession.open(over: DescriptorChannel(input: ends[0], output: ends[0]))
            Issue.record("it was taken")
        } catch { #expect(error.code == .connectionLost) }
    }

    @Test("A session that was closed answers at once, and is closed only once") func closed() async throws {
        let server = Server(Server.taking(size: 0))
        let session = try await SFTPSession.open(over: server.channel)
        await session.close()
        await session.close()
        #expect(!session.isOpen)
        do throws(SFTPError) {
            _ = try await session.attributes(of: "a")
            Issue.record("it answered")
        } catch { #expect(error.code == .cancelled) }
        let source = CountingSource(Self.items(3)) { _ in "/dev/null" }
        do throws(SFTPError) { try await session.upload(from: source) } catch {
            #expect(error.code == .cancelled)
        }
        #expect(source.told.keys.sorted() == source.taken)
    }

    @Test("What a server lacks is an error of its own, and nothing is sent") func lacks() async throws {
        let server = Server { _ in [] }
        let session = try await SFTPSession.open(over: server.channel)
        for request in [
            SFTPRequest.posixRename("a", to: "b"), .hardLink("a", to: "b"), .statvfs("a"), .limits,
            .lsetstat("a", .init()),
        ] {
            do throws(SFTPError) {
                try await session.request(request)
                Issue.record("it answered")
            } catch { #expect(error.code == .unsupported) }
        }
        #expect(session.isOpen)
        await session.close()
    }
}
