import HTTPTypes
import Hummingbird
import PlantDBCore

/// The calls about accounts and tokens of upstream's REST API.
struct RestAccounts: Sendable {
    let desk: AccountDesk
    let rest: RestService

    /// Anybody may send these: none is larger, in bytes.
    private static let bodyLimit = 16 << 10

    private func body(of request: Request) async throws(DatabaseError) -> JSONObject {
        try await rest.jsonBody(request, upTo: Self.bodyLimit)
    }

    /// Whether there is such an account.
    func exists(_ request: Request) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            guard let name = request.query("username"), !name.isEmpty else {
                throw DatabaseError(.invalidArgument, "the query names no username")
            }
            return restJSON([
                "username": .string(name), "exists": .bool(try await desk.exists(name)),
            ])
        }
    }

    /// 0.14 has no tokens: it says whether the password is right, always with 200.
    func logIn(_ request: Request, _ dialect: ServedDialect) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let body = try await body(of: request)
            let name = try RestService.text("username", of: body)
            let password = try RestService.text("password", of: body)
            do throws(AccountDesk.Refusal) {
                if dialect == .root {
                    let account = try await desk.check(name, password)
                    return Self.authenticated(true, account.fullName, "the password is right")
                }
                let (account, tokens) = try await desk.logIn(name, password)
                return Self.answer("logged in", account, tokens)
            } catch {
                switch error {
                case .wrong where dialect == .root:
                    return Self.authenticated(false, "", "no such account, or the wrong password")
                case .wrong: return restFailure("no such account, or the wrong password", .unauthorized)
                case .throttled(let seconds):
                    var response = restFailure(
                        "too many passwords are tried at present: try again in \(seconds) s", .tooManyRequests
                    )
                    response.headers[.retryAfter] = String(seconds)
                    return response
                case .unavailable(let error): throw error
                }
            }
        }
    }

    private static func authenticated(_ isSo: Bool, _ name: String, _ message: String) -> Response {
        restJSON(["authenticated": .bool(isSo), "fullname": .string(name), "message": .string(message)])
    }

    func logOut(_ caller: Caller) -> Response {
        guard let token = caller.token, desk.logOut(token) else {
            return restFailure("this is no token of a login", .unauthorized)
        }
        return restJSON(["message": "logged out"])
    }

    func validate(_ caller: Caller) -> Response {
        guard caller.isKnown else { return restFailure("this token is not valid", .unauthorized) }
        let name = caller.account ?? caller.name
        return restJSON([
            "message": "this token is valid",
            "user": ["username": .string(name), "fullname": .string(caller.fullName ?? name)],
        ])
    }

    func refresh(_ request: Request) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            let token = try RestService.text("refresh_token", of: try await body(of: request))
            guard let (account, tokens) = try await desk.refresh(token) else {
                return restFailure("this is no token to refresh a login with", .unauthorized)
            }
            return Self.answer("logged in anew", account, tokens)
        }
    }

    /// A token for programs.
    func createToken(_ request: Request, _ caller: Caller) async -> Response {
        await restAnswering { () async throws(DatabaseError) in
            guard caller.isKnown, caller.scope == nil else {
                return restFailure("only who has logged in makes tokens", .unauthorized)
            }
            let body = try await body(of: request)
            guard let seconds = body["token_exp"]?.int,
                (1...AccountDesk.maximumProgramSeconds).contains(seconds)
            else {
                throw DatabaseError(
                    .invalidArgument,
                    "“token_exp” must be a number of seconds, at most \(AccountDesk.maximumProgramSeconds)")
            }
            guard let datasets = body["datasets"]?.object else {
                throw DatabaseError(
                    .invalidArgument, "“datasets” must be an object: a pattern of scans, and permissions")
            }
            let token = desk.issue(for: caller, scope: try TokenScope(datasets), seconds: seconds)
            let end = ModificationTime(seconds: WallClock.now.seconds + Int64(seconds))
            return restJSON([
                "message": "the token is made", "api_token": .string(token),
                "expiration date": .string(end.calendarText),
            ])
        }
    }

    private static func answer(_ message: String, _ account: Account, _ tokens: AccountDesk.Tokens)
        -> Response
    {
        restJSON([
            "message": .string(message),
            "user": ["username": .string(account.name), "fullname": .string(account.fullName)],
            "access_token": .string(tokens.access), "refresh_token": .string(tokens.refresh),
        ])
    }
}
