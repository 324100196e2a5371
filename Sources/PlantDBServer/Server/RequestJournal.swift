import HTTPTypes
import Hummingbird
import Logging
import PlantDBCore
import Synchronization

/// Counts requests, and writes a line for each to the log.
final class RequestJournal: Sendable {
    private struct Key: Hashable {
        var method: String
        var route: String
        var status: Int
    }

    private struct Counts {
        var requests: [Key: Int] = [:]
        var seconds = 0.0
        var running = 0
    }

    private let logger: Logger
    private let counts = Mutex(Counts())

    init(logger: Logger) { self.logger = logger }

    /// Until the answer begins; its content may take longer.
    func noting(
        _ request: Request, route: String, caller: Caller, _ work: () async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        counts.withLock { $0.running += 1 }
        let outcome: Result<Response, any Error>
        do { outcome = .success(try await work()) } catch { outcome = .failure(error) }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let status: Int
        switch outcome {
        case .success(let response): status = response.status.code
        case .failure(let error as HTTPError): status = error.status.code
        case .failure: status = 500
        }
        counts.withLock { counts in
            counts.running -= 1
            counts.seconds += seconds
            counts.requests[
                Key(method: request.method.rawValue, route: "/" + route, status: status), default: 0] += 1
        }
        // The path without its query, which may hold what nobody should read later.
        logger.info(
            "request",
            metadata: [
                "method": "\(request.method.rawValue)", "path": "\(request.uri.path.printable)",
                "status": "\(status)", "ms": "\(Int(seconds * 1000))", "caller": "\(caller.name.printable)",
            ])
        return try outcome.get()
    }

    /// In the text format of Prometheus, 0.0.4.
    func metrics(transactions: Int) -> Response {
        let counts = counts.withLock { $0 }
        var lines = [
            "# HELP plantdb_requests_total Requests that were answered.",
            "# TYPE plantdb_requests_total counter",
        ]
        let sorted = counts.requests.sorted {
            ($0.key.route, $0.key.method, $0.key.status) < ($1.key.route, $1.key.method, $1.key.status)
        }
        for (key, count) in sorted {
            lines.append(
                "plantdb_requests_total{method=\"\(key.method)\",route=\"\(key.route)\",status=\"\(key.status)\"} \(count)"
            )
        }
        lines += [
            "# HELP plantdb_request_seconds_total Seconds until answers began, all together.",
            "# TYPE plantdb_request_seconds_total counter",
            "plantdb_request_seconds_total \(counts.seconds)",
            "# HELP plantdb_requests_running Requests that are at work now.",
            "# TYPE plantdb_requests_running gauge",
            "plantdb_requests_running \(counts.running)",
            "# HELP plantdb_transactions Transactions of plantdb that are open now.",
            "# TYPE plantdb_transactions gauge",
            "plantdb_transactions \(transactions)",
        ]
        return Response(
            status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: lines.joined(separator: "\n") + "\n")))
    }
}
