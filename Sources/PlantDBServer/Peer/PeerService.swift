import HTTPTypes
import Hummingbird
import NIOCore
import PlantDBCore
import PlantDBWire

/// Answers the calls of ``PeerProtocol`` for one database.
///
/// Who may call what is the routes' business; here `caller` only keeps one peer's locks and
/// transactions from another's hands.
struct PeerService: Sendable {
    let endpoint: any DatabaseEndpoint
    let leases: PeerLeases
    /// Of the program.
    let version: String

    // MARK: Reading

    func hello(mayWrite: Bool) -> Response {
        json(
            PeerHello(
                version: version, identity: endpoint.location.identity, capabilities: endpoint.capabilities,
                mayWrite: mayWrite
            ).encoded())
    }

    func listing() async -> Response {
        await answering { () async throws(DatabaseError) in
            json(PeerListing.encoded(try await endpoint.listing()))
        }
    }

    func manifest(_ request: Request, caller: Caller) async -> Response {
        await answering { () async throws(DatabaseError) in
            let scan = try scan(of: request)
            let detail: ManifestDetail = request.uri.queryParameters["digests"] == "1" ? .digests : .listing
            guard let manifest = try await endpoint.manifest(of: scan, detail: detail),
                caller.mayWrite || manifest.isOfScan
            else {
                throw DatabaseError(.notFound, "there is no scan \(scan)", scan: scan)
            }
            return frames(ResponseBody(contentsOf: PeerManifest.frames(of: manifest)))
        }
    }

    func read(_ request: Request, caller: Caller) async -> Response {
        await answering { () async throws(DatabaseError) in
            let wanted = try PeerReadRequest(parsing: try await body(of: request))
            try await refuseStray(wanted.scan, caller)
            let selection = EntrySelection(
                all: try ScanManifest(scan: wanted.scan, entries: wanted.entries))
            guard wanted.offset == 0 || endpoint.fileSource != nil else {
                throw DatabaseError(.unsupported, "this server cannot go on inside a file")
            }
            if let local = endpoint.fileSource {
                let files = PeerFileFrames(
                    selection, from: try await local.openFiles(of: wanted.scan), offset: wanted.offset)
                return frames(
                    ResponseBody { writer in
                        var next = try await files.next()
                        while let buffer = next {
                            async let following = files.next()
                            try await writer.write(buffer)
                            next = try await following
                        }
                        try await writer.finish(nil)
                    })
            }
            let parts = try await endpoint.parts(of: selection)
            return frames(
                ResponseBody { writer in
                    try await PeerParts.send(parts, count: selection.count) { try await writer.write($0) }
                    try await writer.finish(nil)
                })
        }
    }

    func checksums(_ request: Request, caller: Caller) async -> Response {
        await answering { () async throws(DatabaseError) in
            let wanted = try PeerReadRequest(parsing: try await body(of: request))
            try await refuseStray(wanted.scan, caller)
            let sums = try await endpoint.checksums(
                of: EntrySelection(all: try ScanManifest(scan: wanted.scan, entries: wanted.entries)))
            return json(JSONValue.array(sums.map { .number(Int($0)) }).pythonBytes())
        }
    }

    func finds(_ request: Request) async -> Response {
        await answering { () async throws(DatabaseError) in
            let wanted = try PeerReadRequest(parsing: try await body(of: request))
            let found = try await endpoint.finds(wanted.entries.map(\.path), in: wanted.scan)
            return json(JSONValue.array(found.map(JSONValue.bool)).pythonBytes())
        }
    }

    /// What lies in a folder that is no scan is nobody's to read: but whoever writes has to know what would be in
    /// the way.
    private func refuseStray(_ scan: ScanID, _ caller: Caller) async throws(DatabaseError) {
        guard !caller.mayWrite else { return }
        guard try await endpoint.manifest(of: scan, detail: .listing)?.isOfScan == true else {
            throw DatabaseError(.notFound, "there is no scan \(scan)", scan: scan)
        }
    }

    func space() async -> Response {
        await answering { () async throws(DatabaseError) in
            let available = try await endpoint.availableBytes()
            let value: JSONValue = available.map { .number(Int($0)) } ?? .null
            return json(JSONValue.object(JSONObject([("available", value)])).pythonBytes())
        }
    }

    // MARK: Locks

    /// A shared lock for whoever may read, an exclusive one for whoever may write.
    func takeLock(_ request: Request, caller: Caller) async -> Response {
        await answering { () async throws(DatabaseError) in
            let wanted = try PeerLockRequest(parsing: try await body(of: request))
            guard wanted.mode == .shared || caller.mayWrite else {
                throw caller.refusal(of: "writing")
            }
            let wait = min(.seconds(min(wanted.wait, 1e6)), PeerProtocol.longestWait)
            let lock = try await endpoint.acquireLock(wanted.scope, mode: wanted.mode, wait: wait)
            return id(try await leases.add(lock, owner: caller.name))
        }
    }

    func keepLock(_ id: String, caller: String) async -> Response {
        await answering { () async throws(DatabaseError) in
            guard await leases.keepLock(id, owner: caller) else {
                throw DatabaseError(
                    .unreachable, "the lock is gone: the server dropped it, or was started again")
            }
            return done
        }
    }

    func releaseLock(_ id: String, caller: String) async -> Response {
        await leases.releaseLock(id, owner: caller)
        return done
    }

    // MARK: Writing

    func begin(_ request: Request, caller: String) async -> Response {
        await answering { () async throws(DatabaseError) in
            let wanted = try PeerBegin(parsing: try await body(of: request))
            let transaction = try await endpoint.beginTransaction(
                on: wanted.scan, replacing: wanted.base, options: wanted.options)
            return id(
                try await leases.add(
                    PeerLeases.PeerTransaction(scan: wanted.scan, transaction: transaction), owner: caller))
        }
    }

    func removeScan(_ request: Request) async -> Response {
        await answering { () async throws(DatabaseError) in
            let wanted = try PeerBegin(parsing: try await body(of: request))
            guard let base = wanted.base else {
                throw DatabaseError(.invalidArgument, "a removal must say which state of the scan it removes")
            }
            try await endpoint.removeScan(wanted.scan, replacing: base, options: wanted.options)
            return done
        }
    }

    /// Stages the files of the body. Where their digests are to be checked (`?digests=1`) the
    /// endpoint reads the parts itself, and computes them in passing.
    func receive(_ request: Request, transaction id: String, caller: String) async -> Response {
        await using(id, caller, isLastChance: true) { held throws(DatabaseError) in
            guard request.headers[.contentType] == PeerProtocol.framesType else {
                throw DatabaseError(
                    .invalidArgument,
                    "files come as a body of type \(PeerProtocol.framesType); nothing was stored")
            }
            let body = RequestBytes(request.body)
            var staged: [FileEntry]
            var failures: [DatabaseError] = []
            let checksDigests = request.uri.queryParameters["digests"] == "1"
            if !checksDigests, let receiver = held.transaction.fileReceiver {
                let sink = PeerStagedFrames(receiver, scan: held.scan, meter: ByteMeter(), passesGate: true)
                while let bytes = try await body.next() { try await sink.write(bytes) }
                try await sink.finish()
                staged = sink.staged
                failures = sink.outcome.failures
            } else {
                let manifest = try await held.transaction.receive(
                    PeerParts.stream { () async throws(DatabaseError) in try await body.next() }
                        .passingGate(of: held.scan),
                    meter: ByteMeter())
                while try await body.next() != nil {}
                staged = Array(manifest)
            }
            var buffer = ByteBuffer()
            for entry in staged { PeerFrameEncoder.encode(.entry(entry), into: &buffer) }
            for failure in failures { PeerFrameEncoder.encode(.failed(failure), into: &buffer) }
            PeerFrameEncoder.encode(.end(count: UInt64(staged.count)), into: &buffer)
            return frames(ResponseBody(byteBuffer: buffer))
        }
    }

    func remove(_ request: Request, transaction id: String, caller: String) async -> Response {
        await using(id, caller) { held throws(DatabaseError) in
            try await held.transaction.remove(try PeerEntry.parsePaths(try await body(of: request)))
            return done
        }
    }

    func setAttributes(_ request: Request, transaction id: String, caller: String) async -> Response {
        await using(id, caller) { held throws(DatabaseError) in
            try await held.transaction.setAttributes(try PeerEntry.parse(try await body(of: request)))
            return done
        }
    }

    func commit(transaction id: String, caller: String) async -> Response {
        await answering { () async throws(DatabaseError) in
            try await leases.commit(id, owner: caller)
            return done
        }
    }

    func abort(transaction id: String, caller: String) async -> Response {
        await leases.giveUp(id, owner: caller)
        return done
    }

    // MARK: Answers

    /// - Parameter isLastChance: whether the transaction ends if the work fails: what is staged is not
    ///   what was sent, and must not be published.
    private func using(
        _ id: String, _ caller: String, isLastChance: Bool = false,
        _ work: (PeerLeases.PeerTransaction) async throws(DatabaseError) -> Response
    ) async -> Response {
        await answering { () async throws(DatabaseError) in
            let held = try await leases.takeTransaction(id, owner: caller)
            let outcome: Result<Response, DatabaseError>
            do throws(DatabaseError) { outcome = .success(try await work(held)) } catch {
                outcome = .failure(error)
            }
            if isLastChance, case .failure = outcome { await leases.doom(id) }
            await leases.giveBack(id)
            return try outcome.get()
        }
    }

    private func answering(_ work: () async throws(DatabaseError) -> Response) async -> Response {
        do throws(DatabaseError) { return try await work() } catch {
            return json(error.peerBody, status: HTTPResponse.Status(code: error.peerStatus))
        }
    }

    private var done: Response { Response(status: .noContent) }

    private func id(_ id: String) -> Response {
        json(JSONValue.object(JSONObject([("id", .string(id))])).pythonBytes(), status: .created)
    }

    private func json(_ bytes: [UInt8], status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    private func frames(_ body: ResponseBody) -> Response {
        Response(status: .ok, headers: [.contentType: PeerProtocol.framesType], body: body)
    }

    private func scan(of request: Request) throws(DatabaseError) -> ScanID {
        guard let text = request.uri.queryParameters["scan"] else {
            throw DatabaseError(.invalidArgument, "the request names no scan")
        }
        return try ScanID(String(text))
    }

    private func body(of request: Request) async throws(DatabaseError) -> [UInt8] {
        try await RequestPass.collect(RequestBytes(request.body), upTo: PeerProtocol.maximumRequestBytes)
    }
}

extension ScanManifest {
    /// Whether it is that of a scan or a timelapse, and not of another folder.
    var isOfScan: Bool {
        entry(at: .index) != nil && entry(at: .metadata) != nil || entry(at: .timelapseMarker) != nil
    }
}
