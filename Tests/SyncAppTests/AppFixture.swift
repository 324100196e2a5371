import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import PlantDBTesting
import Synchronization
import Testing

@testable import SyncApp

/// The app, running, and a client of it that is let in.
final class AppFixture: Sendable {
    struct Answer {
        var status: Int
        var headers: HTTPHeaders
        var bytes: [UInt8]

        var text: String { String(decoding: bytes, as: UTF8.self) }
        func json<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
            try JSONDecoder().decode(type, from: Data(bytes))
        }
    }

    let server: AppServer
    let url: String
    let token: String
    let cookie: String
    private let work: Task<Void, any Error>

    /// - Parameter configuration: its port is chosen.
    init(_ configuration: AppConfiguration = AppConfiguration()) async throws {
        let server = AppServer(configuration: configuration)
        self.server = server
        let (addresses, ready) = AsyncStream<String>.makeStream()
        work = Task {
            defer { ready.finish() }
            try await server.run { ready.yield($0) }
        }
        var found: String?
        for await address in addresses {
            found = address
            break
        }
        let parts = try #require(found).components(separatedBy: "/#token=")
        (url, token) = (parts[0], parts[1])
        let answer = try await Self.send(
            url + "/api/session", body: #"{"token":"\#(parts[1])"}"#,
            headers: ["Origin": parts[0], "Content-Type": "application/json"])
        cookie = try #require(
            answer.headers.first(name: "Set-Cookie")?.split(separator: ";").first.map(String.init))
    }

    func stop() async throws {
        await server.stop()
        try await work.value
    }

    static func send(
        _ url: String, _ method: HTTPMethod? = nil, body: String? = nil, headers: [String: String] = [:]
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: url)
        request.method = method ?? (body == nil ? .GET : .POST)
        for (name, value) in headers { request.headers.replaceOrAdd(name: name, value: value) }
        if let body { request.body = .bytes(ByteBuffer(string: body)) }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
        let bytes = try await response.body.collect(upTo: 64 << 20)
        return Answer(
            status: Int(response.status.code), headers: response.headers,
            bytes: Array(bytes.readableBytesView))
    }

    func get(_ path: String) async throws -> Answer {
        try await Self.send(url + path, headers: ["Cookie": cookie])
    }

    func post(_ path: String, _ body: String) async throws -> Answer {
        try await Self.send(
            url + path, body: body,
            headers: ["Cookie": cookie, "Origin": url, "Content-Type": "application/json"])
    }

    /// The first update of a new stream that is as wanted.
    func update(_ isWanted: (Update) -> Bool) async throws -> Update {
        var request = HTTPClientRequest(url: url + "/api/events")
        request.headers.add(name: "Cookie", value: cookie)
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
        var text = ""
        for try await chunk in response.body {
            text += String(buffer: chunk)
            while let end = text.firstRange(of: "\n\n") {
                let event = text[..<end.lowerBound]
                text = String(text[end.upperBound...])
                guard event.hasPrefix("data: ") else { continue }
                let update = try JSONDecoder().decode(Update.self, from: Data(event.dropFirst(6).utf8))
                if isWanted(update) { return update }
            }
        }
        throw Ended()
    }

    struct Ended: Error {}

    /// Two databases that were tested, by their names.
    struct Pair {
        var source: TestedMessage
        var target: TestedMessage
    }

    struct Compared {
        var id: String
        var message: ComparisonMessage
        var rows: [ComparisonRow] { message.rows }
    }

    func connect(_ source: String, _ target: String) async throws -> Pair {
        var found: [TestedMessage] = []
        for (side, location) in [("source", source), ("target", target)] {
            let body = try JSONEncoder().encode(["side": side, "location": location])
            let answer = try await post("/api/connect", String(decoding: body, as: UTF8.self))
            try #require(answer.status == 200, "\(answer.text)")
            found.append(try answer.json())
        }
        return Pair(source: found[0], target: found[1])
    }

    func compare(_ pair: Pair, delete: Bool = false, replaces: String? = nil) async throws -> Compared {
        let message = CompareMessage(
            source: pair.source.database, target: pair.target.database, replaces: replaces, checksum: false,
            delete: delete)
        let body = String(decoding: try JSONEncoder().encode(message), as: UTF8.self)
        let answer = try await post("/api/compare", body)
        try #require(answer.status == 200, "\(answer.text)")
        let id = try #require(try answer.json([String: String].self)["comparison"])
        let after = try await update {
            $0.comparisons[id]?.isReady ?? false || $0.comparisons[id]?.error != nil
        }
        #expect(after.comparisons[id]?.error == nil)
        return Compared(id: id, message: try await get("/api/comparison?id=\(id)").json())
    }

    /// - Parameter more: of the message.
    func start(_ compared: Compared, scans: [String] = [], _ more: String = "") async throws
        -> Update.JobChange
    {
        let list = String(decoding: try JSONEncoder().encode(scans), as: UTF8.self)
        return try await job(
            #"{"comparison":"\#(compared.id)","scans":\#(list),"verify":false\#(more)}"#)
    }

    /// - Returns: its last state.
    func job(_ body: String, path: String = "/api/jobs") async throws -> Update.JobChange {
        let answer = try await post(path, body)
        try #require(answer.status == 200, "\(answer.text)")
        let id = try #require(try answer.json([String: String].self)["job"])
        let isOver: (Update) -> Bool = { $0.jobs.contains { $0.job.id == id && $0.job.state.isOver } }
        _ = try await update(isOver)
        // A new stream begins with all of it; one that was there in between has told parts before.
        let last = try await update(isOver)
        return try #require(last.jobs.first { $0.job.id == id })
    }
}
