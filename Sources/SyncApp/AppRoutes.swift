import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import PlantDBCore
import SyncEngine
import SyncHistory

/// The routes of the app: the page for anybody on this machine, everything else behind ``AppGate``.
struct AppRoutes: Sendable {
    let workspace: Workspace
    let gate: AppGate
    let configuration: AppConfiguration

    /// Bodies hold a location and a list of scans.
    private static let bodyLimit = 4 << 20
    private static let historyLength = 50
    private static let tick = Duration.milliseconds(200)

    private static let headers: HTTPFields = [
        .contentSecurityPolicy:
            "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
        .xContentTypeOptions: "nosniff", .cacheControl: "no-store",
        HTTPField.Name("Referrer-Policy")!: "no-referrer",  // A token of RFC 9110, as are the next two.
        HTTPField.Name("Cross-Origin-Resource-Policy")!: "same-origin",
        HTTPField.Name("Cross-Origin-Opener-Policy")!: "same-origin",
    ]

    func router() -> Router<AppContext> {
        let router = Router(context: AppContext.self)
        page("/", "text/html; charset=utf-8", PackageResources.index_html, in: router)
        page("/app.css", "text/css; charset=utf-8", PackageResources.app_css, in: router)
        page("/app.js", "text/javascript; charset=utf-8", PackageResources.app_js, in: router)
        page("/icon.svg", "image/svg+xml", PackageResources.icon_svg, in: router)
        router.post("/api/session") { request, context in
            // The command line of a browser, which the token stands in, is everybody's to read.
            guard LoopbackPeer.isOurs(context.remoteAddress, port: gate.port) else {
                return Response(status: .forbidden, headers: Self.headers)
            }
            return await answer(request, needsSession: false, logIn)
        }
        on(.get, "/api/start", in: router) { _ in
            try json(
                Start(
                    version: configuration.version, source: configuration.source,
                    target: configuration.target,
                    home: FileManager.default.currentDirectoryPath,
                    named: try configuration.namedDatabases().map {
                        .init(name: $0.name, location: $0.location)
                    }))
        }
        on(.get, "/api/events", in: router) { _ in events() }
        on(.post, "/api/folders", in: router) { request in
            try json(try FolderListing(of: try await body(FolderMessage.self, of: request).path))
        }
        on(.post, "/api/connect", in: router) { request in
            try json(try await workspace.connect(try await body(ConnectMessage.self, of: request)))
        }
        on(.get, "/api/database", in: router) { request in
            try json(try await workspace.tested(Self.query("id", of: request)))
        }
        on(.post, "/api/compare", in: router) { request in
            let message = try await body(CompareMessage.self, of: request)
            return try json(Compared(comparison: try await workspace.compare(message)))
        }
        on(.get, "/api/comparison", in: router) { request in
            try json(try await workspace.comparison(Self.query("id", of: request)))
        }
        on(.post, "/api/plan", in: router) { request in
            let message = try await body(ScansMessage.self, of: request)
            let (rows, count) = try await workspace.files(
                of: message.scans.first ?? "", in: message.comparison)
            return try json(Files(files: rows, count: count))
        }
        on(.post, "/api/details", in: router) { request in
            let message = try await body(ScansMessage.self, of: request)
            return try json(try await workspace.details(of: message.scans, in: message.comparison))
        }
        on(.get, "/api/thumbnail", in: router) { request in
            guard
                let (bytes, type) = try await workspace.thumbnail(
                    of: Self.query("scan", of: request), in: Self.query("comparison", of: request))
            else { throw DatabaseError(.notFound, "there is no image of this scan") }
            var headers = Self.headers
            headers[.contentType] = type
            // Scans have many images, and pages scroll.
            headers[.cacheControl] = "private, max-age=600"
            return Response(
                status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: bytes)))
        }
        on(.post, "/api/jobs", in: router) { request in
            try json(Job(job: try await workspace.start(try await body(JobMessage.self, of: request))))
        }
        on(.post, "/api/jobs/cancel", in: router) { request in
            try workspace.jobs.cancel(try await body(Job.self, of: request).job)
            return try json(Done())
        }
        on(.post, "/api/jobs/retry", in: router) { request in
            try json(Job(job: try workspace.jobs.retry(try await body(Job.self, of: request).job)))
        }
        on(.get, "/api/jobs/report", in: router) { request in
            let id = Self.query("job", of: request)
            guard let (summary, report) = workspace.jobs.report(of: id) else {
                throw DatabaseError(.notFound, "there is no report of job “\(id.printable)”")
            }
            var response = try json(ReportDocument(summary, report))
            response.headers[.contentDisposition] = "attachment; filename=\"plantdb-\(report.runID).json\""
            return response
        }
        on(.get, "/api/history", in: router) { _ in
            try json(try configuration.history?.list(last: Self.historyLength).map(HistoryRow.init) ?? [])
        }
        on(.get, "/api/history/report", in: router) { request in
            let run = RunID(rawValue: Self.query("run", of: request))
            guard let report = try configuration.history?.report(of: run).report else {
                throw DatabaseError(.notFound, "there is no report of run “\(run.rawValue.printable)”")
            }
            var headers = Self.headers
            headers[.contentType] = "application/json"
            headers[.contentDisposition] = "attachment; filename=\"plantdb-report.json\""
            return Response(
                status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(string: report)))
        }
        return router
    }

    // MARK: Answers

    private struct Done: Codable { var done = true }
    private struct Job: Codable { var job: String }
    private struct Compared: Codable { var comparison: String }
    private struct Files: Codable { var files: [PlanRow], count: Int }
    private struct Failure: Codable { var error: String, code: String }
    private struct Start: Codable {
        struct Named: Codable { var name: String, location: String }
        var version: String, source: String?, target: String?, home: String, named: [Named]
    }

    private func page(
        _ path: RouterPath, _ type: String, _ content: [UInt8], in router: Router<AppContext>
    ) {
        router.get(path) { request, _ in
            if let refusal = gate.refusal(of: request) {
                return Response(status: refusal, headers: Self.headers)
            }
            var headers = Self.headers
            headers[.contentType] = type
            return Response(
                status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: content)))
        }
    }

    private func on(
        _ method: HTTPRequest.Method, _ path: RouterPath, in router: Router<AppContext>,
        _ respond: @escaping @Sendable (Request) async throws -> Response
    ) {
        router.on(path, method: method) { request, _ in await answer(request, needsSession: true, respond) }
    }

    private func answer(
        _ request: Request, needsSession: Bool, _ respond: (Request) async throws -> Response
    ) async -> Response {
        if let refusal = gate.refusal(of: request) { return Response(status: refusal, headers: Self.headers) }
        if needsSession, !gate.isKnown(request) {
            return Response(status: .unauthorized, headers: Self.headers)
        }
        do { return try await respond(request) } catch let error as DatabaseError {
            // A page that works on something else than it believes is told so.
            let status: HTTPResponse.Status = error.code == .conflict ? .conflict : .unprocessableContent
            return failure(error.description, error.code.rawValue, status)
        } catch let error as DecodingError {
            return failure("the request is not what this version expects", "\(error)".printable, .badRequest)
        } catch {
            return failure("the request could not be answered", "\(error)".printable, .badRequest)
        }
    }

    private func failure(_ message: String, _ code: String, _ status: HTTPResponse.Status) -> Response {
        do {
            var response = try json(Failure(error: message, code: code))
            response.status = status
            return response
        } catch { return Response(status: .internalServerError, headers: Self.headers) }
    }

    private func json(_ value: some Encodable) throws -> Response {
        var headers = Self.headers
        headers[.contentType] = "application/json"
        return Response(
            status: .ok, headers: headers,
            body: .init(byteBuffer: ByteBuffer(bytes: try JSONEncoder().encode(value))))
    }

    private func body<Message: Decodable>(_ type: Message.Type, of request: Request) async throws -> Message {
        let bytes = try await request.body.collect(upTo: Self.bodyLimit)
        return try JSONDecoder().decode(type, from: Data(bytes.readableBytesView))
    }

    private static func query(_ name: String, of request: Request) -> String {
        request.uri.queryParameters[Substring(name)].map(String.init) ?? ""
    }

    private func logIn(_ request: Request) async throws -> Response {
        guard gate.isToken(try await body(TokenMessage.self, of: request).token) else {
            return Response(status: .unauthorized, headers: Self.headers)
        }
        var response = try json(Done())
        response.headers[.setCookie] = "\(AppGate.cookie)=\(gate.session); Path=/; HttpOnly; SameSite=Strict"
        return response
    }

    /// Server-sent events (HTML Living Standard, section 9.2): everything at first, then what changes.
    private func events() -> Response {
        var headers = Self.headers
        headers[.contentType] = "text/event-stream"
        return Response(
            status: .ok, headers: headers,
            body: ResponseBody { writer in
                var version = -1
                var last: Data?
                var silent = 0
                let encoder = JSONEncoder()
                encoder.outputFormatting = .sortedKeys
                while !Task.isCancelled, !Task.isShuttingDownGracefully {
                    let (update, now) = await workspace.update(since: version)
                    version = now
                    let data = try encoder.encode(update)
                    if data != last {
                        try await writer.write(
                            ByteBuffer(string: "data: \(String(decoding: data, as: UTF8.self))\n\n"))
                        last = data
                        silent = 0
                    } else if silent >= 50 {
                        // Finds out that nobody listens any more.
                        try await writer.write(ByteBuffer(string: ":\n\n"))
                        silent = 0
                    }
                    silent += 1
                    try await Task.sleep(for: Self.tick)
                }
                try await writer.finish(nil)
            })
    }
}

/// The folders in a folder, for choosing a database on this machine.
struct FolderListing: Codable, Sendable {
    struct Folder: Codable, Sendable {
        var name: String
        var isDatabase: Bool
    }

    var path: String
    var parent: String?
    var isDatabase: Bool
    var folders: [Folder]

    /// - Throws: `notFound`; `permissionDenied`.
    init(of path: String) throws(DatabaseError) {
        let url = URL(fileURLWithPath: path.isEmpty ? "/" : path).standardizedFileURL
        self.path = url.path
        parent = url.path == "/" ? nil : url.deletingLastPathComponent().path
        let files = FileManager.default
        let names: [String]
        do { names = try files.contentsOfDirectory(atPath: url.path) } catch {
            throw DatabaseError(
                .notFound, "the folder \(path.printable) cannot be listed", cause: error.localizedDescription)
        }
        isDatabase = names.contains(DatabaseLayout.marker)
        folders = names.sorted().compactMap { name in
            var isFolder: ObjCBool = false
            let child = url.path + "/" + name
            guard !name.hasPrefix("."), files.fileExists(atPath: child, isDirectory: &isFolder),
                isFolder.boolValue
            else { return nil }
            return Folder(name: name, isDatabase: files.fileExists(atPath: child + "/romidb"))
        }
    }
}
