import HTTPTypes
import Hummingbird
import PlantDBCore

/// What the handlers of requests know beside the request.
struct ServerContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    var caller: Caller?

    init(source: ApplicationRequestContextSource) { coreContext = CoreRequestContextStorage(source: source) }
}

/// The routes of the server, each with its access policy.
struct RouteTable {
    struct Entry: Sendable, Hashable {
        let method: HTTPRequest.Method
        let path: String
        let policy: AccessPolicy
    }

    let router = Router(context: ServerContext.self, options: .autoGenerateHeadEndpoints)
    private let gate: AccessGate
    private(set) var entries: [Entry] = []

    init(gate: AccessGate) { self.gate = gate }

    /// - Parameter path: without a slash at its beginning; `:name` stands for a component.
    mutating func on(
        _ method: HTTPRequest.Method, _ path: String, _ policy: AccessPolicy,
        _ respond: @escaping @Sendable (Request, ServerContext, Caller) async throws -> Response
    ) {
        entries.append(Entry(method: method, path: path, policy: policy))
        let gate = gate
        router.on(RouterPath("/" + path), method: method) { request, context in
            let caller = gate.caller(of: request)
            if let refusal = gate.refusal(of: caller, by: policy) { return refusal }
            return try await respond(request, context, caller)
        }
    }
}
