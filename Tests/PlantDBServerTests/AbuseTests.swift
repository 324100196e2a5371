import FSDB
import HTTPTypes
import NIOCore
import NIOEmbedded
import NIOHTTPTypes
import PlantDBClient
import PlantDBCore
import PlantDBSync
import PlantDBTesting
import PlantDBWire
import ServedHTTP
import SyncEngine
import Testing
import ZipStream

@testable import PlantDBServer

/// F24: connections that cost more than they should, and requests that are broken.
@Suite struct AbuseTests {
    private let folder: TemporaryDirectory
    private var path: String { folder.appending("db") }

    init() throws {
        folder = try TemporaryDirectory()
        try SampleDatabase.plants(1, images: 2, seed: 3).write(to: folder.appending("db"))
    }

    // MARK: One connection

    /// A connection of a test, whose time the test makes go by.
    private func connection() throws -> EmbeddedChannel {
        let channel = EmbeddedChannel(handler: RequestGuard(ConnectionRoster(limit: 10)))
        try channel.connect(to: .init(unixDomainSocketPath: "/x")).wait()
        return channel
    }

    private static let head = HTTPRequestPart.head(
        HTTPRequest(method: .post, scheme: "http", authority: "h", path: "/"))

    @Test("A connection that brings its request a byte at a time is closed")
    func trickledHead() throws {
        let channel = try connection()
        channel.embeddedEventLoop.advanceTime(by: .seconds(29))
        #expect(channel.isActive)
        try channel.writeInbound(Self.head)
        channel.embeddedEventLoop.advanceTime(by: .seconds(1000))
        // An answer may take its time, and so may what is left of a request that is answered already.
        #expect(channel.isActive)
        try channel.writeOutbound(HTTPResponsePart.end(nil))
        channel.embeddedEventLoop.advanceTime(by: .seconds(1000))
        #expect(channel.isActive)
        try channel.writeInbound(HTTPRequestPart.end(nil))
        channel.embeddedEventLoop.advanceTime(by: .seconds(119))
        #expect(channel.isActive)
        // Two at once: the second is answered later than the first.
        for _ in 0..<2 {
            try channel.writeInbound(Self.head)
            try channel.writeInbound(HTTPRequestPart.end(nil))
        }
        try channel.writeOutbound(HTTPResponsePart.end(nil))
        channel.embeddedEventLoop.advanceTime(by: .seconds(1000))
        #expect(channel.isActive)
        try channel.writeOutbound(HTTPResponsePart.end(nil))
        channel.embeddedEventLoop.advanceTime(by: .seconds(121))
        #expect(!channel.isActive)
    }

    /// Brings `bytes` every `seconds`, to somebody who wants them, until the connection is closed.
    ///
    /// - Returns: after how many seconds that was; nil: not within an hour.
    private func end(_ channel: EmbeddedChannel, bytes: Int, every seconds: Int64) throws -> Int64? {
        for time in stride(from: Int64(0), to: 3600, by: Int64.Stride(seconds)) {
            channel.read()
            channel.embeddedEventLoop.advanceTime(by: .seconds(seconds))
            guard channel.isActive else { return time + seconds }
            // Of a connection that this closes the error comes back.
            do {
                try channel.writeInbound(HTTPRequestPart.body(ByteBuffer(repeating: 0, count: bytes)))
            } catch {
                #expect(!channel.isActive)
                return time + seconds
            }
        }
        return nil
    }

    @Test("A body by a byte every ten seconds is ended, and one that is slow and goes on is not")
    func trickledBody() throws {
        let trickled = try connection()
        try trickled.writeInbound(Self.head)
        let end = try #require(try end(trickled, bytes: 1, every: 10))
        #expect(end <= 30)
        let slow = try connection()
        try slow.writeInbound(Self.head)
        #expect(try self.end(slow, bytes: 6000, every: 10) == nil)
        // Whoever may write may also stop for a while, to make an archive for instance.
        let trusted = try connection()
        try trusted.writeInbound(Self.head)
        try trusted.triggerUserOutboundEvent(RequestGuard.Event.trust).wait()
        let later = try #require(try self.end(trusted, bytes: 1, every: 10))
        #expect((100...130).contains(later))
    }

    @Test("What goes by while nobody wants the next bytes is not the client's time")
    func pausedBody() throws {
        let channel = try connection()
        try channel.writeInbound(Self.head)
        for _ in 0..<10 {
            channel.embeddedEventLoop.advanceTime(by: .seconds(1000))
            channel.read()
            channel.embeddedEventLoop.advanceTime(by: .seconds(1))
            try channel.writeInbound(HTTPRequestPart.body(ByteBuffer(repeating: 0, count: 1000)))
        }
        #expect(channel.isActive)
    }

    @Test("An answer that nobody takes is dropped, and one that is taken now and then is not")
    func untakenAnswer() throws {
        let channel = try connection()
        try channel.writeInbound(Self.head)
        try channel.writeInbound(HTTPRequestPart.end(nil))
        for _ in 0..<10 {
            for isWritable in [false, true] {
                channel.isWritable = isWritable
                channel.pipeline.fireChannelWritabilityChanged()
                channel.embeddedEventLoop.advanceTime(by: .seconds(500))
            }
        }
        #expect(channel.isActive)
        channel.isWritable = false
        channel.pipeline.fireChannelWritabilityChanged()
        channel.embeddedEventLoop.advanceTime(by: .seconds(601))
        #expect(!channel.isActive)
    }

    @Test("A request that ends before its body does is an error")
    func cutBody() throws {
        for closesAll in [true, false] {
            let channel = try connection()
            try channel.writeInbound(Self.head)
            if closesAll {
                channel.close(promise: nil)
            } else {
                channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
            }
            #expect(throws: (any Error).self) { try channel.throwIfErrorCaught() }
        }
    }

    // MARK: Many

    /// Serves with room for so few connections and requests that a test fills it.
    private func serving(
        _ descriptors: Int, grace: TimeAmount = .zero,
        _ body: @Sendable (_ client: RestClient, _ port: Int, _ token: String) async throws -> Void
    ) async throws {
        try await withServer(
            path,
            {
                $0.capacity = ServerCapacity(descriptors: descriptors)
                $0.limits.grace = grace
            }
        ) { client, token in
            try await body(client, try ServerAddress(client.base).port, token)
        }
        try folder.remove()
    }

    private static let beginnings = [
        "", "GET /scans HTTP/1.1\r\nHost: 127.0",
        "POST /sync/v1/read HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{",
        "POST /sync/v1/locks HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{",
    ]

    @Test(
        "However many connections wait with half a request, there is room for one that asks",
        arguments: beginnings)
    func waiting(_ beginning: String) async throws {
        try await serving(150) { _, port, _ in
            var waiting: [PlainConnection] = []
            for _ in 0..<200 {
                let connection = try await PlainConnection(port: port)
                try await connection.send(Array(beginning.utf8))
                waiting.append(connection)
            }
            for _ in 0..<3 {
                // Its own kept connection may be the one that had to go.
                let asking = try await PlainConnection(port: port)
                try await asking.send(
                    Array("GET /scans HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".utf8))
                #expect(try await asking.receiveAll().hasPrefix("HTTP/1.1 200"))
                asking.close()
            }
            for connection in waiting { connection.close() }
        }
    }

    @Test("Where every connection is at work, a further one is told so")
    func full() async throws {
        try await serving(0, grace: .hours(1)) { _, port, _ in
            var uploads: [PlainConnection] = []
            for _ in 0..<4 {
                let connection = try await PlainConnection(port: port)
                let wait = "Host: 127.0.0.1\r\nExpect: 100-continue"
                try await connection.send(
                    Array(Self.beginnings[2].replacing("Host: 127.0.0.1", with: wait).dropLast().utf8))
                #expect(try await connection.receive().hasPrefix("HTTP/1.1 100"))
                uploads.append(connection)
            }
            let asking = try await PlainConnection(port: port)
            try await asking.send(Array("GET /scans HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".utf8))
            let answer = try await asking.receiveAll()
            asking.close()
            #expect(answer.hasPrefix("HTTP/1.1 503"))
            #expect(answer.contains("too many connections") && answer.contains("Retry-After"))
            for connection in uploads { connection.close() }
        }
    }

    @Test("Who may only read holds little of the server's memory, alone and with others, and gives it back")
    func memory() async throws {
        try await serving(5000) { client, _, token in
            let large = [UInt8](repeating: UInt8(ascii: " "), count: PeerProtocol.readRequestBytes + 1)
            for path in ["/sync/v1/read", "/sync/v1/checksums", "/sync/v1/locks"] {
                #expect(try await client.send("POST", path, large, type: "application/json").status == 400)
            }
            var writer = client
            writer.token = token
            // Whoever may write may send as much: this is no lock, but is read.
            let answer = try await writer.send("POST", "/sync/v1/locks", large, type: "application/json")
            #expect(answer.status == 400 && !answer.text.contains("bytes that it may have"))
        }
        let ledger = RequestLedger(requests: 100, roster: ConnectionRoster(limit: 1))
        func fill() async -> Int {
            var passes: [RequestPass] = []
            for _ in 0..<80 {
                let pass = RequestPass(ledger, isWriter: false)
                do {
                    _ = try await RequestPass.$current.withValue(pass) {
                        try await RequestPass.collect(
                            RequestBytes(.init(buffer: ByteBuffer(repeating: 1, count: 1 << 20))),
                            upTo: 64 << 20)
                    }
                    passes.append(pass)
                } catch { break }
            }
            return passes.count
        }
        #expect(await fill() == 32)
        #expect(await fill() == 32)
    }

    @Test("So many requests are at work and no more; those who may only read leave some to the others")
    func requests() throws {
        let ledger = RequestLedger(requests: 8, roster: ConnectionRoster(limit: 1))
        func begin(_ count: Int, isWriter: Bool) -> [RequestPass] {
            (0..<count).compactMap { _ in
                let pass = RequestPass(ledger, isWriter: isWriter)
                do throws(DatabaseError) { try pass.begin() } catch { return nil }
                return pass
            }
        }
        var readers = begin(20, isWriter: false)
        #expect(readers.count == 6)
        #expect(begin(20, isWriter: true).count == 2)
        readers.removeAll()
        let writers = begin(20, isWriter: true)
        #expect(writers.count == 8 && begin(1, isWriter: false).isEmpty)
    }

    @Test(
        "What a server takes on stays below the descriptors that it may have",
        arguments: [150, 256, 512, 1024, 65_536])
    func capacity(_ descriptors: Int) {
        let capacity = ServerCapacity(descriptors: descriptors)
        let most = capacity.connections + ServerCapacity.excess + capacity.requests * 12 + capacity.leases * 4
        #expect(descriptors < 512 || most + 64 <= descriptors)
        #expect(capacity.connections >= 4 && capacity.requests >= 4)
    }

    @Test("A scan of more files than one request may ask for comes whole, to somebody who may only read")
    func manyFiles() async throws {
        var tree = try SampleTree.minimal("many")
        for number in 0..<9000 {
            try tree.file("images/a_name_that_is_long_enough_\(number).txt", "\(number)")
        }
        try tree.writeIndex()
        try tree.write(to: path + "/many")
        try await serving(5000) { client, _, _ in
            let endpoint = try await openServer(HTTPAccess(try ServerAddress(client.base)))
            let manifest = try #require(try await endpoint.manifest(of: ScanID("many"), detail: .listing))
            let all = EntrySelection(all: manifest)
            #expect(PeerReadRequest(all, from: 0).entries.count < all.count / 2)
            var names: [String] = []
            for try await part in try await endpoint.parts(of: all) {
                if case .begin(let entry) = part { names.append(entry.path.rawValue) }
            }
            #expect(names == all.map(\.path.rawValue))
            let local = try await FSDBEndpoint.open(path: path, .existing)
            #expect(try await endpoint.checksums(of: all) == local.checksums(of: all))
            await local.close()
            await endpoint.close()
            let target = folder.appending("target")
            try FSDB.createEmptyDatabase(at: target)
            let (from, to) = (
                try await openDatabase(client.base, as: .source), try await openDatabase(target, as: .target)
            )
            let report = await SyncEngine(source: from, target: to, options: SyncOptions()).run()
            await from.close()
            await to.close()
            #expect(report.errors.isEmpty, "\(report.errors)")
            #expect(
                try databaseDifferences(path, target).filter { !$0.hasPrefix(".plantdb-sync") } == [])
        }
    }

    // MARK: Broken requests

    private func archive() throws -> [UInt8] {
        var zip = ZipWriter()
        var bytes: [UInt8] = []
        for (name, text) in [("files.json", #"{"filesets":[]}"#), ("metadata/metadata.json", "{}")] {
            bytes += Array(
                buffer: try zip.begin(name, size: Int64(text.utf8.count), modified: 0, method: .stored))
            for piece in try zip.write(ByteBuffer(string: text)) { bytes += Array(buffer: piece) }
            bytes += Array(buffer: try zip.end())
        }
        return bytes + Array(buffer: try zip.finish())
    }

    @Test("A body that is cut, or badly framed, is a bad request, and nothing of it is stored")
    func brokenBodies() async throws {
        try await serving(5000) { _, port, token in
            let before = try treeSnapshot(path).without(".plantdb-sync")
            let json = "Content-Type: application/json\r\n"
            let requests: [(head: String, body: [UInt8])] = [
                ("POST /api/v1/scans/new HTTP/1.1\r\n\(json)", Array("{}".utf8)),
                (
                    "POST /api/v1/scans/plant_0/metadata HTTP/1.1\r\n\(json)",
                    Array(#"{"metadata": {"a": 1}}"#.utf8)
                ),
                ("POST /files/plant_0 HTTP/1.1\r\nX-File-Path: images/new.txt\r\n", Array("content".utf8)),
                ("POST /files/plant_0 HTTP/1.1\r\nX-File-Path: metadata/metadata.json\r\n", Array("{}".utf8)),
                ("POST /sync/v1/transactions HTTP/1.1\r\n\(json)", Array("{}".utf8)),
                ("POST /sync/v1/read HTTP/1.1\r\n\(json)", Array("{}".utf8)),
                (
                    "POST /api/v1/files/plant_0/images/new HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n",
                    RestClient.form(
                        [
                            .init(name: "file", fileName: "a", content: Array("text".utf8)),
                            .field("ext", "txt"),
                        ], "b")
                ),
                (
                    "POST /archive/new HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n",
                    RestClient.form([.archive(try archive())], "b")
                ),
            ]
            for (head, body) in requests {
                let start = head + "Host: 127.0.0.1\r\nAuthorization: Bearer \(token)\r\n"
                let chunked = start + "Transfer-Encoding: chunked\r\n\r\n"
                let chunk = Array("\(String(body.count, radix: 16))\r\n".utf8) + body + Array("\r\n".utf8)
                for (kind, start, rest) in [
                    ("short", start + "Content-Length: \(body.count + 50)\r\n\r\n", body),
                    ("without its last chunk", chunked, chunk),
                    (
                        "a chunk without size", chunked,
                        Array("ZZ\r\n".utf8) + body + Array("\r\n0\r\n\r\n".utf8)
                    ),
                    ("a chunk that goes on", chunked, chunk + Array("ZZ\r\n0\r\n\r\n".utf8)),
                ] {
                    let connection = try await PlainConnection(port: port)
                    try await connection.send(Array(start.utf8) + rest)
                    connection.endSending()
                    let answer = try await connection.receiveAll()
                    #expect(answer.hasPrefix("HTTP/1.1 400"), "\(kind): \(head)\n\(answer)")
                    connection.close()
                }
            }
            let after = try treeSnapshot(path).without(".plantdb-sync")
            #expect(after == before)
        }
    }
}
