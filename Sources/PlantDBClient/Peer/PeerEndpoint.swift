import NIOCore
import NIOHTTP1
import PlantDBCore
import PlantDBWire
import Synchronization

/// A database behind a `plantdb serve`, as a side of a synchronisation, with the guarantees of
/// the database that it serves.
public final class PeerEndpoint: DatabaseEndpoint {
    public let location: DatabaseLocation
    public let capabilities: EndpointCapabilities
    let transport: HTTPTransport
    private let session: PeerSession?

    /// - Parameters:
    ///   - hello: the server's, which the caller asked for.
    ///   - roundTrip: how long an answer takes.
    private init(
        transport: HTTPTransport, session: PeerSession?, hello: PeerHello, roundTrip: Duration
    ) {
        self.transport = transport
        self.session = session
        location = DatabaseLocation(
            description: transport.address.description,
            identity: hello.identity.map { "\(transport.address.host):\($0)" }
                ?? transport.address.description)
        var capabilities = hello.capabilities
        if !hello.mayWrite { capabilities.writes = .none }
        capabilities.concurrentScans = EndpointCapabilities.concurrentScans(roundTrip: roundTrip)
            .clamped(to: capabilities.concurrentScans)
        self.capabilities = capabilities
    }

    /// Asks a server whether it is a `plantdb serve`, and logs in where a login is given and no token.
    ///
    /// - Returns: nil if it is something else.
    /// - Throws: `unreachable`, `authentication`; `unsupported` for another version.
    static func open(_ transport: HTTPTransport, _ access: HTTPAccess) async throws(DatabaseError)
        -> PeerEndpoint?
    {
        let login = access.token == nil ? access.login : nil
        let asked = ContinuousClock.now
        var hello: PeerHello?
        do throws(DatabaseError) {
            hello = try await greet(transport)
            if hello == nil { return nil }
        } catch {
            guard error.code == .authentication, login != nil else { throw error }
        }
        // Connecting takes as long once, with TLS twice.
        let roundTrip = (ContinuousClock.now - asked) / 3
        var session: PeerSession?
        if let login {
            let begun = try PeerSession(login, access)
            session = begun
            do throws(DatabaseError) {
                try await begun.refresh(transport)
                hello = try await greet(transport)
            } catch {
                await begun.end()
                throw error
            }
        }
        guard let hello else { return nil }
        return PeerEndpoint(transport: transport, session: session, hello: hello, roundTrip: roundTrip)
    }

    /// nil: it is something else.
    private static func greet(_ transport: HTTPTransport) async throws(DatabaseError) -> PeerHello? {
        let answer = try await transport.send(.GET, PeerProtocol.base)
        let isJSON = answer.headers.first(name: "content-type")?.hasPrefix("application/json") ?? false
        let body = try await answer.collect(upTo: 1 << 20)
        guard isJSON else { return nil }
        guard answer.status == 200 else {
            if let error = DatabaseError(peerBody: body) { throw error }
            return nil
        }
        return try PeerHello(parsing: body)
    }

    // MARK: Source

    public func listing() async throws(DatabaseError) -> DatabaseListing {
        try PeerListing.parse(try await call(.GET, "/scans"))
    }

    public func manifest(of scan: ScanID, detail: ManifestDetail) async throws(DatabaseError) -> ScanManifest?
    {
        let answer = try await send(
            .GET, "/manifest",
            query: [("scan", scan.rawValue), ("digests", detail == .digests ? "1" : "0")],
            isPatient: detail == .digests)
        if answer.status == 404 {
            _ = try await answer.collect(upTo: 1 << 20)
            return nil
        }
        try await check(answer)
        var parser = PeerManifest.Parser(scan: scan)
        while let bytes = try await answer.next() { try parser.feed(bytes) }
        return try parser.finish()
    }

    public func parts(of selection: EntrySelection) async throws(DatabaseError) -> ScanPartStream {
        let parts = PeerPartStreams(selection, from: self, try await read(selection, from: 0, offset: 0))
        return ScanPartStream { () async throws(DatabaseError) in try await parts.next() }
    }

    public func checksums(of selection: EntrySelection) async throws(DatabaseError) -> [UInt32] {
        var sums: [UInt32] = []
        while sums.count < selection.count {
            let request = PeerReadRequest(selection, from: sums.count)
            let value = try JSONValue(
                parsing: try await call(.POST, "/checksums", request.encoded(), isPatient: true))
            let more = value.array?.compactMap { $0.int.flatMap(UInt32.init(exactly:)) } ?? []
            guard more.count == request.entries.count else {
                throw DatabaseError(
                    .invalidData, "\(location) did not send the checksums that it was asked for")
            }
            sums += more
        }
        return sums
    }

    /// The answer to a request for selected entries from the one at `first`, which begins at `offset`, and how many
    /// it is about.
    func read(_ selection: EntrySelection, from first: Int, offset: Int64) async throws(DatabaseError)
        -> (answer: HTTPAnswer, count: Int)
    {
        let request = PeerReadRequest(selection, from: first, offset: offset)
        let answer = try await send(.POST, "/read", request.encoded())
        try await check(answer)
        return (answer, request.entries.count)
    }

    // MARK: Target

    public func finds(_ paths: [ScanPath], in scan: ScanID) async throws(DatabaseError) -> [Bool] {
        let request = PeerReadRequest(scan: scan, entries: paths.map { FileEntry(path: $0, size: 0) })
        let value = try JSONValue(parsing: try await call(.POST, "/finds", request.encoded()))
        let found = value.array?.compactMap(\.bool) ?? []
        guard found.count == paths.count else {
            throw DatabaseError(.invalidData, "\(location) did not say which of the files it finds")
        }
        return found
    }

    public func beginTransaction(
        on scan: ScanID, replacing base: ScanRevision?, options: TransactionOptions
    ) async throws(DatabaseError) -> any ScanTransaction {
        try await waiting(options.lockWait, for: "scan \(scan)") { remaining throws(DatabaseError) in
            var request = PeerBegin(scan: scan, base: base, options: options)
            request.options.lockWait = remaining
            let id = try Self.id(in: try await call(.POST, "/transactions", request.encoded()))
            return PeerTransaction(endpoint: self, scan: scan, id: id)
        }
    }

    public func removeScan(_ scan: ScanID, replacing base: ScanRevision, options: TransactionOptions)
        async throws(DatabaseError)
    {
        try await waiting(options.lockWait, for: "scan \(scan)") { remaining throws(DatabaseError) in
            var request = PeerBegin(scan: scan, base: base, options: options)
            request.options.lockWait = remaining
            _ = try await call(.POST, "/remove", request.encoded(), isPatient: true)
        }
    }

    public func currentTime() async throws(DatabaseError) -> ModificationTime? { transport.serverTime }

    public func availableBytes() async throws(DatabaseError) -> Int64? {
        let value = try JSONValue(parsing: try await call(.GET, "/space"))
        return value["available"]?.int.map(Int64.init)
    }

    // MARK: Locks

    public func acquireLock(_ scope: LockScope, mode: LockMode, wait: Duration) async throws(DatabaseError)
        -> any DatabaseLock
    {
        try await waiting(wait, for: "\(scope)") { remaining throws(DatabaseError) in
            let request = PeerLockRequest(scope: scope, mode: mode, wait: remaining / .seconds(1))
            let id = try Self.id(in: try await call(.POST, "/locks", request.encoded()))
            return PeerLock(endpoint: self, id: id)
        }
    }

    /// The server waits for ``PeerProtocol/longestWait`` at most, and is asked again.
    private func waiting<Value>(
        _ wait: Duration, for what: String,
        _ attempt: (_ remaining: Duration) async throws(DatabaseError) -> Value
    ) async throws(DatabaseError) -> Value {
        let deadline = ContinuousClock.now + wait
        while true {
            do throws(DatabaseError) { return try await attempt(max(.zero, deadline - .now)) } catch {
                guard error.code == .locked, ContinuousClock.now < deadline else { throw error }
            }
            do { try await Task.sleep(for: .milliseconds(200)) } catch {
                throw DatabaseError(.cancelled, "cancelled while waiting for the lock of \(what)")
            }
        }
    }

    public func close() async {
        await session?.end()
        await transport.close()
    }

    // MARK: Calls

    func send(
        _ method: HTTPMethod, _ path: String, query: [(name: String, value: String)] = [],
        _ body: [UInt8]? = nil, isPatient: Bool = false
    ) async throws(DatabaseError) -> HTTPAnswer {
        try await session?.refresh(transport)
        return try await transport.send(
            method, PeerProtocol.base + path, query: query,
            body: body.map { .bytes($0, type: "application/json") } ?? .none, isPatient: isPatient)
    }

    /// A small answer, whole.
    func call(_ method: HTTPMethod, _ path: String, _ body: [UInt8]? = nil, isPatient: Bool = false)
        async throws(DatabaseError) -> [UInt8]
    {
        let answer = try await send(method, path, body, isPatient: isPatient)
        try await check(answer)
        return try await answer.collect(upTo: HTTPTransport.maximumAnswerBytes)
    }

    /// - Throws: what the server says went wrong.
    func check(_ answer: HTTPAnswer) async throws(DatabaseError) {
        guard !(200..<300).contains(answer.status) else { return }
        let body = try await answer.collect(upTo: 1 << 20)
        if let error = DatabaseError(peerBody: body) { throw error }
        if (300..<400).contains(answer.status) { throw DatabaseError(.unreachable, answer.redirectText) }
        throw answer.foreignLogin ?? .status(answer.status, of: location.description)
    }

    private static func id(in body: [UInt8]) throws(DatabaseError) -> String {
        guard let id = try JSONValue(parsing: body)["id"]?.string, !id.isEmpty,
            id.utf8.allSatisfy({ ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x66) })
        else { throw DatabaseError(.invalidData, "the server sent an id that is none") }
        return id
    }
}

/// The selected files, by as many requests as it takes. One task pulls.
private actor PeerPartStreams {
    private let selection: EntrySelection
    private let endpoint: PeerEndpoint
    private var parts: ScanPartStream
    /// How many entries were asked for.
    private var asked: Int

    init(_ selection: EntrySelection, from endpoint: PeerEndpoint, _ first: (answer: HTTPAnswer, count: Int))
    {
        self.selection = selection
        self.endpoint = endpoint
        parts = Self.parts(of: first.answer)
        asked = first.count
    }

    func next() async throws(DatabaseError) -> ScanPart? {
        while true {
            // Its iterators share one source, so a new one goes on where the last one was.
            var iterator = parts.makeAsyncIterator()
            if let part = try await iterator.next(isolation: self) { return part }
            guard asked < selection.count else { return nil }
            let (answer, count) = try await endpoint.read(selection, from: asked, offset: 0)
            parts = Self.parts(of: answer)
            asked += count
        }
    }

    private static func parts(of answer: HTTPAnswer) -> ScanPartStream {
        PeerParts.stream { () async throws(DatabaseError) in try await answer.next() }
    }
}

/// A lock on the server, kept by asking for it again and again until it is released.
private final class PeerLock: DatabaseLock {
    private let endpoint: PeerEndpoint
    private let id: String
    private let keeping: Task<Void, Never>
    private let isReleased = Mutex(false)

    init(endpoint: PeerEndpoint, id: String) {
        self.endpoint = endpoint
        self.id = id
        keeping = Task {
            while !Task.isCancelled {
                do { try await Task.sleep(for: .seconds(PeerProtocol.leaseSeconds / 4)) } catch { return }
                do { _ = try await endpoint.call(.PUT, "/locks/\(id)") } catch {
                    // The next one may get through; a lock that is lost makes the commit fail,
                    // since the target is then no longer what was planned against.
                }
            }
        }
    }

    func release() async {
        let first = isReleased.withLock { released in
            defer { released = true }
            return !released
        }
        guard first else { return }
        keeping.cancel()
        // Also in a cancelled task: it has a task of its own.
        await Task { [endpoint, id] in
            do { _ = try await endpoint.call(.DELETE, "/locks/\(id)") } catch {
                // The server drops it by itself when its lease ends.
            }
        }.value
    }

    deinit { keeping.cancel() }
}
