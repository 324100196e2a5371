import NIOCore
import NIOHTTP1
import PlantDBCore
import Synchronization

/// The REST API of PlantDB's own servers, releases 0.14 to 0.17: the release is recognised when the
/// client is made, and every call keeps within the server's limits, waiting where it has to.
///
/// All calls may be made concurrently. They throw `unreachable`, `authentication`, `cancelled`,
/// `notFound`, `io` with the server's words as cause, and `unsupported` for what the release
/// cannot do.
public final class PlantDBRestClient: Sendable {
    public let dialect: RestDialect
    public var address: ServerAddress { transport.address }
    let transport: HTTPTransport
    let pace: RequestPace
    /// Scans whose archives were seen to be smaller than the part that is asked for first.
    let smallScans = Mutex<Set<ScanID>>([])
    /// JSON answers larger than this are refused, in bytes.
    private static let maximumAnswerBytes = 64 << 20

    init(transport: HTTPTransport, dialect: RestDialect) {
        self.transport = transport
        self.dialect = dialect
        pace = RequestPace(server: transport.address.description)
    }

    /// Connects, and recognises the release. Two requests at most.
    ///
    /// - Throws: `unreachable`; `notADatabase` for a server that is no PlantDB.
    public convenience init(_ access: HTTPAccess) async throws(DatabaseError) {
        let transport = try HTTPTransport(access)
        do throws(DatabaseError) {
            guard let dialect = try await Self.recognise(transport) else {
                throw DatabaseError(
                    .notADatabase,
                    "\(access.address) is no PlantDB server; check the address and its prefix")
            }
            self.init(transport: transport, dialect: dialect)
        } catch {
            await transport.close()
            throw error
        }
    }

    /// - Returns: nil if it is no PlantDB server.
    static func recognise(_ transport: HTTPTransport) async throws(DatabaseError) -> RestDialect? {
        var answer = try await transport.send(.GET, "")
        var isVersioned = transport.address.prefix.hasSuffix("/api/v1")
        var base: String? = isVersioned ? "" : nil
        if (300..<400).contains(answer.status) {
            // Release 0.16 and later send from their root to the API's: the one redirect that is
            // followed, below the address that was given, wherever it says that it is.
            _ = try await answer.collect(upTo: 1 << 20)
            guard let place = answer.headers.first(name: "location"),
                place.hasSuffix("/" + RestDialect.versionedBase)
            else { throw DatabaseError(.notADatabase, answer.redirectText) }
            answer = try await transport.send(.GET, RestDialect.versionedBase)
            (isVersioned, base) = (true, nil)
        }
        let body = try await answer.collect(upTo: maximumAnswerBytes)
        switch answer.status {
        case 200: break
        case 300..<400: throw DatabaseError(.notADatabase, answer.redirectText)
        case 401, 407: throw answer.foreignLogin ?? .status(answer.status, of: transport.address.description)
        case 403, 429, 500..<600:
            throw RestFailure.error(
                status: answer.status, body: body, server: transport.address.description,
                doing: "show its home page")
        default: return nil
        }
        let home: JSONValue
        // HTML or anything else that is not JSON: some other server.
        do throws(DatabaseError) { home = try JSONValue(parsing: body) } catch { return nil }
        return RestDialect(home: home, isVersioned: isVersioned, base: base)
    }

    public func tellWaits(to listener: @escaping @Sendable (String) -> Void) {
        pace.tellWaits(to: listener)
    }

    var hasToken: Bool { transport.hasToken }
    var serverTime: ModificationTime? { transport.serverTime }

    /// Ends all connections. Idempotent. It does not log out: see ``logout()``.
    public func close() async { await transport.close() }

    // MARK: Reading

    /// The ids of all scans, in the server's order; they may be no ``ScanID``s.
    public func listScanNames() async throws(DatabaseError) -> [String] {
        let answer = try await json(.scans, doing: "list its scans")
        guard let list = answer.array else { throw surprise("a list of scans", answer) }
        return try list.map { (id) throws(DatabaseError) in
            guard let id = id.string else { throw surprise("a scan's id", id) }
            return id
        }
    }

    /// Reads scans from the server's disk again: one, or all.
    ///
    /// - Important: only of a scan that is complete. Refreshing an id that is no scan yet leaves a
    ///   broken entry in the server until it refreshes all of them.
    public func refresh(_ scan: ScanID? = nil) async throws(DatabaseError) {
        _ = try await json(
            .refresh(scan: scan?.name), query: scan.map { [("scan_id", $0.name)] } ?? [],
            doing: "refresh \(scan.map { "scan \($0)" } ?? "its scans")")
    }

    /// What the server tells about a scan, as it tells it.
    public func scan(_ scan: ScanID) async throws(DatabaseError) -> JSONValue {
        try await json(.scan(scan.name), doing: "describe scan \(scan)")
    }

    /// What the server tells about all scans. One broken scan makes it fail.
    public func scansInfo() async throws(DatabaseError) -> [JSONValue] {
        let answer = try await json(.scansInfo, doing: "describe its scans")
        guard let list = answer.array else { throw surprise("a list of scans", answer) }
        return list
    }

    /// Whether the server answers and says that it is well. Never throws but for cancellation.
    public func isAvailable() async throws(DatabaseError) -> Bool {
        do throws(DatabaseError) {
            return try await json(.health, doing: "say how it is")["status"]?.string == "healthy"
        } catch {
            if error.code == .cancelled { throw error }
            return false
        }
    }

    // MARK: Requests

    /// A request within the limits; the answer may have any status but 429.
    ///
    /// - Parameter body: made anew for every try.
    func send(
        _ method: HTTPMethod, _ route: RestDialect.Route, query: [(name: String, value: String)] = [],
        headers: [(String, String)] = [], body: () throws(DatabaseError) -> HTTPTransport.Body = { .none }
    ) async throws(DatabaseError) -> HTTPAnswer {
        guard let path = dialect.path(of: route) else {
            throw DatabaseError(
                .unsupported, "\(address) is PlantDB \(dialect.release), which cannot do this over HTTP")
        }
        return try await pace.paced(RestDialect.pace(of: route, isWrite: method == .POST)) {
            () async throws(DatabaseError) in
            try await transport.send(
                method, PercentEncoding.path(path), query: query, headers: headers, body: try body())
        }
    }

    /// - Throws: what the server says went wrong.
    func check(_ answer: HTTPAnswer, doing: String) async throws(DatabaseError) {
        guard !(200..<300).contains(answer.status) else { return }
        let body = try await answer.collect(upTo: 1 << 20)
        throw answer.foreignLogin
            ?? RestFailure.error(status: answer.status, body: body, server: address.description, doing: doing)
    }

    /// A small answer, whole.
    func json(
        _ route: RestDialect.Route, method: HTTPMethod = .GET,
        query: [(name: String, value: String)] = [], headers: [(String, String)] = [],
        body: () throws(DatabaseError) -> HTTPTransport.Body = { .none }, doing: String
    ) async throws(DatabaseError) -> JSONValue {
        let answer = try await send(method, route, query: query, headers: headers, body: body)
        try await check(answer, doing: doing)
        let bytes = try await answer.collect(upTo: Self.maximumAnswerBytes)
        do throws(DatabaseError) { return try JSONValue(parsing: bytes) } catch {
            throw DatabaseError(
                .invalidData, "\(address) did not \(doing): its answer is no JSON", cause: error.message)
        }
    }

    private func surprise(_ wanted: String, _ value: JSONValue) -> DatabaseError {
        DatabaseError(
            .invalidData, "\(address) sent \(value.kindDescription) where \(wanted) was expected")
    }
}

/// A timelapse of release 0.16 and later, and the scans in it.
public struct Timelapse: Sendable, Hashable {
    public var scan: ScanID
    public var members: [ScanID]
}

extension PlantDBRestClient {
    /// All timelapses; none in releases before 0.16.
    public func listTimelapses() async throws(DatabaseError) -> [Timelapse] {
        guard dialect.path(of: .timelapses) != nil else { return [] }
        var result: [Timelapse] = []
        let ids = try await json(.timelapses, doing: "list its timelapses").array ?? []
        for id in ids {
            let container = try ScanID(id.string ?? "")
            let answer = try await json(
                .timelapseScans(container.name), doing: "list the scans of timelapse \(container)")
            var timelapse = Timelapse(scan: container, members: [])
            for member in answer.array ?? [] {
                timelapse.members.append(try container.member(member.string ?? ""))
            }
            result.append(timelapse)
        }
        return result
    }

    /// The content of `timelapse.json`; nil if there is none.
    func timelapseMarker(of container: ScanID) async throws(DatabaseError) -> [UInt8]? {
        let answer = try await send(.GET, .file("\(container)/\(ScanPath.timelapseMarker)"))
        guard answer.status != 404 else {
            _ = try await answer.collect(upTo: 1 << 20)
            return nil
        }
        try await check(answer, doing: "send the marker of timelapse \(container)")
        return try await answer.collect(upTo: 1 << 20)
    }
}
