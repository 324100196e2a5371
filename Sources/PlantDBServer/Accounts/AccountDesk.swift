import Crypto
import Dispatch
import PlantDBCore
import Synchronization

/// Logs people in and out, and knows the tokens that it gave them.
///
/// Tokens are 256 random bits that mean nothing to anybody else, and of which only digests are kept; all
/// end with the server. Sessions are bounded: the oldest of an account goes when it has too many.
final class AccountDesk: Sendable {
    struct Tokens: Sendable {
        var access: String
        var refresh: String
    }

    /// Why nobody was let in.
    enum Refusal: Error, Sendable {
        case wrong
        /// Too many wrong passwords for this name.
        case throttled(seconds: Int)
        case unavailable(DatabaseError)
    }

    private enum Kind { case access, refresh, program }

    private struct Session {
        var account: Account
        var kind: Kind
        /// false: the server's own token made it.
        var isOfAccount = true
        var scope: TokenScope?
        /// Of the two tokens of a login, which end together.
        var pair: UInt64
        var expires: ContinuousClock.Instant
    }

    private struct State {
        var sessions: [SHA256.Digest: Session] = [:]
        var nextPair: UInt64 = 1
        /// Passwords that wait to be checked.
        var waiting = 0
        var failures: [String: (count: Int, until: ContinuousClock.Instant)] = [:]
    }

    static let accessSeconds = 3600
    static let refreshSeconds = 86_400
    /// Of a token for programs, at most.
    static let maximumProgramSeconds = 366 * 86_400
    private static let tokensOfOne = 100
    private static let freeTries = 3
    private static let longestPause = 60
    private static let rememberedNames = 10_000
    private static let longestQueue = 32

    private let accounts: AccountFile?
    private let state = Mutex(State())
    /// One password at a time: each costs memory and a processor.
    private let queue = DispatchQueue(label: "plantdb.passwords")

    init(accounts: AccountFile?) { self.accounts = accounts }

    // MARK: Logging in

    /// - Throws: ``Refusal``.
    func logIn(_ name: String, _ password: String) async throws(Refusal) -> (account: Account, tokens: Tokens)
    {
        let account = try await check(name, password)
        return (account, issue(account))
    }

    /// One after the other, so that no number of tries at once comes before the first failure is noted.
    ///
    /// - Throws: ``Refusal``.
    func check(_ name: String, _ password: String) async throws(Refusal) -> Account {
        let isAdmitted = state.withLock { state in
            guard state.waiting < Self.longestQueue else { return false }
            state.waiting += 1
            return true
        }
        guard isAdmitted else { throw .throttled(seconds: 1) }
        let outcome: Result<Account, Refusal> = await withCheckedContinuation { continuation in
            queue.async {
                let outcome: Result<Account, Refusal>
                do throws(Refusal) { outcome = .success(try self.checkNow(name, password)) } catch {
                    outcome = .failure(error)
                }
                self.state.withLock { $0.waiting -= 1 }
                continuation.resume(returning: outcome)
            }
        }
        return try outcome.get()
    }

    private func checkNow(_ name: String, _ password: String) throws(Refusal) -> Account {
        if let seconds = pause(for: name) { throw .throttled(seconds: seconds) }
        let account: Account?
        do throws(DatabaseError) { account = try accounts?.account(name) } catch { throw .unavailable(error) }
        // A name that nobody has takes as long as one that somebody has.
        let isRight = (account?.password ?? .nobody).matches(password)
        // Upstream's default accounts have their names as passwords, known to everybody.
        guard let account, isRight, account.isActive, password != name else {
            noteFailure(of: name)
            throw .wrong
        }
        state.withLock { $0.failures[name] = nil }
        return account
    }

    /// - Throws: what reading the accounts throws.
    func exists(_ name: String) async throws(DatabaseError) -> Bool {
        let accounts = accounts
        return try await Threads.run { () throws(DatabaseError) in try accounts?.account(name) != nil }
    }

    /// Seconds to wait; nil: none.
    private func pause(for name: String) -> Int? {
        state.withLock { state in
            guard let failure = state.failures[name], failure.count >= Self.freeTries else { return nil }
            let left = failure.until - .now
            return left > .zero ? Int(left.components.seconds) + 1 : nil
        }
    }

    private func noteFailure(of name: String) {
        state.withLock { state in
            let count = (state.failures[name]?.count ?? 0) + 1
            let seconds = min(Self.longestPause, 1 << min(16, max(0, count - Self.freeTries)))
            if state.failures.count >= Self.rememberedNames {
                let now = ContinuousClock.now
                state.failures = state.failures.filter { $0.value.until > now }
                if state.failures.count >= Self.rememberedNames { state.failures.removeAll() }
            }
            state.failures[name] = (count, .now + .seconds(seconds))
        }
    }

    // MARK: Tokens

    private func issue(_ account: Account) -> Tokens {
        let tokens = Tokens(access: ServerToken.random().text, refresh: ServerToken.random().text)
        state.withLock { state in
            let pair = state.nextPair
            state.nextPair += 1
            for (text, kind, seconds) in [
                (tokens.access, Kind.access, Self.accessSeconds),
                (tokens.refresh, .refresh, Self.refreshSeconds),
            ] {
                add(
                    Session(account: account, kind: kind, pair: pair, expires: .now + .seconds(seconds)),
                    as: text, to: &state)
            }
        }
        return tokens
    }

    private func add(_ session: Session, as text: String, to state: inout State) {
        let now = ContinuousClock.now
        state.sessions = state.sessions.filter { $0.value.expires > now }
        let own = state.sessions.filter { $0.value.account.name == session.account.name }
        if own.count >= Self.tokensOfOne, let oldest = own.min(by: { $0.value.expires < $1.value.expires }) {
            state.sessions[oldest.key] = nil
        }
        state.sessions[Self.digest(text)] = session
    }

    /// A token for a program, which does what `scope` says and what its owner may.
    func issue(for caller: Caller, scope: TokenScope, seconds: Int) -> String {
        let text = ServerToken.random().text
        let account = Account(
            name: caller.account ?? "token", fullName: caller.account ?? "token", mayWrite: caller.mayWrite,
            isActive: true)
        state.withLock { state in
            let pair = state.nextPair
            state.nextPair += 1
            add(
                Session(
                    account: account, kind: .program, isOfAccount: caller.account != nil, scope: scope,
                    pair: pair,
                    expires: .now + .seconds(seconds)), as: text, to: &state)
        }
        return text
    }

    /// A new pair for a token of the refreshing kind; the old ones end. nil for any other token, and for
    /// an account that is gone or was closed.
    func refresh(_ text: String) async throws(DatabaseError) -> (account: Account, tokens: Tokens)? {
        guard let session = session(text), session.kind == .refresh else { return nil }
        let (accounts, name) = (accounts, session.account.name)
        let account = try await Threads.run { () throws(DatabaseError) in try accounts?.account(name) }
        // Of two that ask with one token, the first gets the pair.
        guard end(session.pair), let account, account.isActive else { return nil }
        return (account, issue(account))
    }

    /// - Returns: whether there was such a login.
    func logOut(_ text: String) -> Bool {
        guard let session = session(text), session.kind != .program else { return false }
        return end(session.pair)
    }

    /// - Returns: whether there was such a login still.
    private func end(_ pair: UInt64) -> Bool {
        state.withLock { state in
            let before = state.sessions.count
            state.sessions = state.sessions.filter { $0.value.pair != pair }
            return state.sessions.count < before
        }
    }

    /// Who bears a token; nil for one that is none, has expired, or only renews a login.
    func bearer(of text: String) -> (account: Account, scope: TokenScope?)? {
        guard let session = session(text), session.kind != .refresh else { return nil }
        guard session.isOfAccount else { return (session.account, session.scope) }
        // As it is now: who was closed, or may no longer write, is so at once. Accounts that cannot be
        // read let nobody in.
        let account: Account?
        do throws(DatabaseError) { account = try accounts?.account(session.account.name) } catch {
            return nil
        }
        guard let account, account.isActive else { return nil }
        return (account, session.scope)
    }

    private func session(_ text: String) -> Session? {
        let key = Self.digest(text)
        return state.withLock { state in
            guard let session = state.sessions[key] else { return nil }
            guard session.expires > .now else {
                state.sessions[key] = nil
                return nil
            }
            return session
        }
    }

    private static func digest(_ text: String) -> SHA256.Digest { SHA256.hash(data: Array(text.utf8)) }
}
