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

    func connect(_ source: String, _ target: String) async throws {
        for (side, location) in [("source", source), ("target", target)] {
            let body = try JSONEncoder().encode(["side": side, "location": location])
            let answer = try await post("/api/connect", String(decoding: body, as: UTF8.self))
            try #require(answer.status == 200, "\(answer.text)")
        }
    }

    func compare(_ options: String = #"{"checksum":false,"delete":false}"#) async throws -> [ComparisonRow] {
        let before = try await update { _ in true }.comparison
        #expect(try await post("/api/compare", options).status == 200)
        let after = try await update { $0.comparison > before || $0.comparisonError != nil }
        #expect(after.comparisonError == nil)
        return try await get("/api/comparison").json()
    }

    /// - Returns: its last state.
    func job(_ body: String, path: String = "/api/jobs") async throws -> Update.JobChange {
        let answer = try await post(path, body)
        try #require(answer.status == 200, "\(answer.text)")
        let id = try #require(try answer.json([String: String].self)["job"])
        let last = try await update { update in
            update.jobs.contains { $0.job.id == id && $0.job.state.isOver }
        }
        return try #require(last.jobs.first { $0.job.id == id })
    }
}
