import PlantDBCore

/// What a route asks of its caller. Every route has one; ``RouteTable`` takes no route without.
public enum AccessPolicy: String, Sendable, Hashable, CaseIterable {
    /// Anybody: what says that the server is there, and nothing of what it holds.
    case anybody
    /// Whoever may read the database.
    case read
    /// Whoever may change it.
    case write
}

/// Who sent a request.
struct Caller: Sendable {
    /// What its locks and transactions belong to.
    var name: String
    var mayRead: Bool
    var mayWrite: Bool
    /// Whoever logged in, or made the token for programs.
    var account: String?
    var fullName: String?
    /// Of a token for programs: what it is limited to.
    var scope: TokenScope?
    /// What was presented and is valid.
    var token: String?

    /// Whether it presented one that is not.
    var presentsUnknownToken = false

    /// Whether it presented a valid token.
    var isKnown: Bool { token != nil }

    /// Why it is not let in.
    func refusal(of verb: String) -> DatabaseError {
        if isKnown {
            return DatabaseError(
                .permissionDenied,
                "the account \(account ?? name) may not change this database: only contributors and admins may"
            )
        }
        return DatabaseError(
            .authentication,
            presentsUnknownToken
                ? "the token is none of this server's, which wants one for \(verb): plantdb serve prints a new "
                    + "one each time it starts (--token-file), and those of logins end"
                : "this server wants its token for \(verb), the one that plantdb serve printed when it started "
                    + "(--token-file), or an account of its users.json (--user)")
    }

    func satisfies(_ policy: AccessPolicy) -> Bool {
        switch policy {
        case .anybody: true
        case .read: mayRead
        case .write: mayWrite
        }
    }
}
