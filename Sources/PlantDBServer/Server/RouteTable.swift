import HTTPTypes
import Hummingbird
import NIOCore
import PlantDBCore
import ServedHTTP

/// What the handlers of requests know beside the request.
struct ServerContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    var caller: Caller?
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }
}

/// The routes of the server, each with its access policy.
struct RouteTable {
    struct Entry: Sendable, Hashable {
        let method: HTTPRequest.Method
        let path: String
        let policy: AccessPolicy
        /// nil: no call of the REST API, but of ``PlantDBWire/PeerProtocol``, or of the page itself.
        var about: RouteDescription?
    }

    let router = Router(context: ServerContext.self, options: .autoGenerateHeadEndpoints)
    private let gate: AccessGate
    private let journal: RequestJournal
    private let ledger: RequestLedger
    private(set) var entries: [Entry] = []

    init(gate: AccessGate, journal: RequestJournal, ledger: RequestLedger) {
        self.gate = gate
        self.journal = journal
        self.ledger = ledger
    }

    /// - Parameter path: without a slash at its beginning; `:name` stands for a component.
    mutating func on(
        _ method: HTTPRequest.Method, _ path: String, _ policy: AccessPolicy,
        _ about: RouteDescription? = nil,
        _ respond: @escaping @Sendable (Request, ServerContext, Caller) async throws -> Response
    ) {
        entries.append(Entry(method: method, path: path, policy: policy, about: about))
        let (gate, journal, ledger) = (gate, journal, ledger)
        let permission: TokenScope.Permission =
            policy == .read ? .read : about?.makesScan == true ? .create : .write
        router.on(RouterPath("/" + path), method: method) { request, context in
            let caller = gate.caller(of: request)
            return try await journal.noting(request, route: path, caller: caller) {
                let scan =
                    context.parameters.get("scan")
                    ?? (path.hasSuffix("/**") ? context.parameters.getCatchAll().first.map(String.init) : nil)
                // Whoever is limited to some scans may still ask what the server is, and log out.
                let isLimited = policy != .anybody && about?.isAboutNoScan != true
                if let refusal = gate.refusal(
                    of: caller, by: isLimited || caller.scope == nil ? policy : .anybody,
                    permission: permission,
                    scan: scan.flatMap(\.percentDecoded))
                {
                    return refusal
                }
                let pass = RequestPass(ledger, isWriter: caller.mayWrite)
                // What is read by somebody who may only read comes with a small body, if with any.
                if caller.mayWrite || method == .get || method == .delete {
                    do throws(DatabaseError) { try pass.begin() } catch {
                        return restFailure(error.description, .serviceUnavailable)
                    }
                }
                if caller.mayWrite {
                    context.channel.triggerUserOutboundEvent(RequestGuard.Event.trust, promise: nil)
                }
                var response = try await RequestPass.$current.withValue(pass) {
                    try await respond(request, context, caller)
                }
                response.body = response.body.paced(by: context.channel.eventLoop, holding: pass)
                return response
            }
        }
    }
}

extension ResponseBody {
    /// The same body, each part of it handed over when the one before has reached the channel.
    ///
    /// A writer waits for a channel that can take no more, but knows of that only once the event loop has
    /// seen what was written. Where its thread is kept from the processor, one file after another was
    /// read and waited there: four clients on two cores were 300 MB.
    ///
    /// - Parameter pass: given back when the body has gone.
    func paced(by eventLoop: any EventLoop, holding pass: RequestPass) -> ResponseBody {
        if let contentLength, contentLength <= 256 << 10 { return self }
        let body = self
        return ResponseBody(contentLength: contentLength) { writer in
            defer { withExtendedLifetime(pass) {} }
            try await body.write(
                writer.map { part in
                    try await eventLoop.submit {}.get()
                    return part
                })
        }
    }
}
