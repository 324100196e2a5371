import PlantDBCore

extension PlantDBRestClient {
    /// Logs in; all requests from now on carry the token, to this server alone.
    ///
    /// A server has room for ten sessions: log out at the end. Three wrong passwords lock an account
    /// for a quarter of an hour.
    /// - Throws: `authentication`; `unsupported` in release 0.14, which knows no logins.
    public func login(_ login: Login) async throws(DatabaseError) {
        guard dialect.needsLogin else {
            throw DatabaseError(
                .unsupported, "\(address) is PlantDB \(dialect.release), which knows no logins")
        }
        transport.authorize(with: nil)
        let body = JSONValue.object([
            "username": .string(login.user), "password": .string(login.password),
        ])
        let answer: JSONValue
        do throws(DatabaseError) {
            answer = try await json(
                .login, method: .POST, body: { .json(body) }, doing: "log \(login.user.printable) in")
        } catch {
            guard error.code == .authentication else { throw error }
            throw DatabaseError(
                .authentication,
                "\(address) did not log \(login.user.printable) in: the name or the password is wrong, the account "
                    + "is locked for a quarter of an hour, or all ten sessions of the server are taken",
                cause: error.cause)
        }
        guard let token = answer["access_token"]?.string, !token.isEmpty else {
            throw DatabaseError(
                .authentication, "\(address) logged \(login.user.printable) in without a token")
        }
        transport.authorize(with: BearerToken(token))
    }

    /// Ends the session. API tokens cannot be logged out.
    public func logout() async throws(DatabaseError) {
        _ = try await json(.logout, method: .POST, body: { .json([:]) }, doing: "log out")
        transport.authorize(with: nil)
    }

    /// The name of the user whom the token of this client belongs to.
    /// - Throws: `authentication` for a token that is not or no longer valid.
    public func validateToken() async throws(DatabaseError) -> String {
        let answer = try await json(
            .tokenValidation, method: .POST, body: { .json([:]) }, doing: "check the token")
        return answer["user"]?["username"]?.string ?? ""
    }

    /// What an API token allows.
    public enum Permission: String, Sendable, CaseIterable {
        case read, write, create
    }

    /// A token for programs, for some scans.
    ///
    /// - Parameters:
    ///   - scans: shell globs of scan ids, and what is allowed on them.
    ///   - lifetime: whole seconds, at least one.
    /// - Throws: `invalidArgument` for a lifetime below a second or for no scans: such a token would
    ///   be made and be of no use.
    public func createAPIToken(for scans: [String: Set<Permission>], lifetime: Duration)
        async throws(DatabaseError) -> BearerToken
    {
        let seconds = Int(lifetime.components.seconds)
        guard seconds >= 1, !scans.isEmpty else {
            throw DatabaseError(
                .invalidArgument, "an API token needs a lifetime of a second or more, and scans to be for")
        }
        var datasets = JSONObject()
        for (glob, permissions) in scans.sorted(by: { $0.key < $1.key }) {
            datasets[glob] = .array(permissions.map(\.rawValue).sorted().map(JSONValue.string))
        }
        let body = JSONValue.object(["token_exp": .number(seconds), "datasets": .object(datasets)])
        let answer = try await json(
            .createAPIToken, method: .POST, body: { .json(body) }, doing: "make an API token")
        guard let token = answer["api_token"]?.string, !token.isEmpty else {
            throw DatabaseError(.authentication, "\(address) made no API token")
        }
        return BearerToken(token)
    }
}

extension HTTPTransport.Body {
    static func json(_ value: JSONValue) -> HTTPTransport.Body {
        .bytes(value.pythonBytes(), type: "application/json")
    }
}
