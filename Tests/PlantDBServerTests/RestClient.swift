import FSDB
import Foundation
import PlantDBCore
import PlantDBServer
import PlantDBTesting
import Testing

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// A client that sends what a test tells it to.
struct RestClient: Sendable {
    struct Answer {
        let status: Int
        let body: [UInt8]
        let response: HTTPURLResponse

        func header(_ name: String) -> String? { response.value(forHTTPHeaderField: name) }
        func json() throws -> JSONValue { try JSONValue(parsing: body) }
        var text: String { String(decoding: body, as: UTF8.self) }
    }

    let base: String
    var token: String?

    func send(
        _ method: String, _ path: String, _ body: [UInt8]? = nil, type: String? = nil,
        headers: [String: String] = [:]
    ) async throws -> Answer {
        var request = URLRequest(url: try #require(URL(string: base + path)))
        request.httpMethod = method
        request.cachePolicy = .reloadIgnoringLocalCacheData
        if let token { request.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization") }
        if let type { request.setValue(type, forHTTPHeaderField: "Content-Type") }
        for (name, value) in headers { request.setValue(value, forHTTPHeaderField: name) }
        if let body { request.httpBody = Data(body) }
        let (data, response) = try await URLSession.shared.data(for: request)
        return Answer(
            status: try #require(response as? HTTPURLResponse).statusCode, body: Array(data),
            response: try #require(response as? HTTPURLResponse))
    }

    func post(_ path: String, json: JSONValue) async throws -> Answer {
        try await send("POST", path, json.pythonBytes(), type: "application/json")
    }

    /// A part of a form: a field, or a file.
    struct Part {
        var name: String
        var fileName: String?
        var type: String?
        var content: [UInt8]

        static func field(_ name: String, _ text: String) -> Part {
            Part(name: name, content: Array(text.utf8))
        }

        static func archive(_ bytes: [UInt8], name: String = "zip_file") -> Part {
            Part(name: name, fileName: "scan.zip", type: "application/zip", content: bytes)
        }
    }

    func post(_ path: String, form parts: [Part]) async throws -> Answer {
        let boundary = "boundary-\(UInt64.random(in: .min ... .max))"
        return try await send(
            "POST", path, Self.form(parts, boundary), type: "multipart/form-data; boundary=\(boundary)")
    }

    static func form(_ parts: [Part], _ boundary: String) -> [UInt8] {
        var bytes: [UInt8] = []
        for part in parts {
            var head = "--\(boundary)\r\nContent-Disposition: form-data; name=\"\(part.name)\""
            if let fileName = part.fileName { head += "; filename=\"\(fileName)\"" }
            if let type = part.type { head += "\r\nContent-Type: \(type)" }
            bytes += Array((head + "\r\n\r\n").utf8) + part.content + Array("\r\n".utf8)
        }
        return bytes + Array("--\(boundary)--\r\n".utf8)
    }
}

/// Serves a database for as long as `body` runs.
func withServer(
    _ path: String, _ change: (inout ServerConfiguration) -> Void = { _ in },
    _ body: @Sendable (_ client: RestClient, _ token: String) async throws -> Void
) async throws {
    let endpoint = try await FSDBEndpoint.open(path: path, .existing)
    var configuration = ServerConfiguration()
    configuration.port = 0
    configuration.accounts = path + "/users.json"
    change(&configuration)
    let server = try PlantDBServer(endpoint, configuration: configuration)
    let (ports, ready) = AsyncStream<Int>.makeStream()
    let work = Task {
        defer { ready.finish() }
        try await server.run { ready.yield($0) }
    }
    let outcome: Result<Void, any Error>
    do {
        for await port in ports {
            try await body(RestClient(base: "http://127.0.0.1:\(port)"), configuration.token.text)
            break
        }
        outcome = .success(())
    } catch { outcome = .failure(error) }
    await server.stop()
    try await work.value
    await endpoint.close()
    try outcome.get()
}
