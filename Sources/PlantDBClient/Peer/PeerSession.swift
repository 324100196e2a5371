import PlantDBCore

/// A login at a `plantdb serve`: made anew before it ends, so that a run may take days.
actor PeerSession {
    /// Of an hour that the server gives.
    private static let age = Duration.seconds(2400)

    private let client: PlantDBRestClient
    /// Its own, since requests are under way on the other while it logs in.
    private let own: HTTPTransport
    private let login: Login
    private var began: ContinuousClock.Instant?
    private var renewal: Task<Void, any Error>?

    init(_ login: Login, _ access: HTTPAccess) throws(DatabaseError) {
        own = try HTTPTransport(access)
        self.login = login
        client = PlantDBRestClient(
            transport: own, dialect: RestDialect(generation: .v016, release: "plantdb"))
    }

    /// Lets `transport` carry a token that is valid for a while.
    ///
    /// - Throws: `authentication`, `unreachable`.
    func refresh(_ transport: HTTPTransport) async throws(DatabaseError) {
        if let began, .now - began < Self.age { return }
        let task =
            renewal
            ?? Task {
                try await client.login(login)
                transport.authorize(with: own.token)
                began = .now
            }
        renewal = task
        let result = await task.result
        renewal = nil
        do { try result.get() } catch { throw .wrapping(error, while: "logging in") }
    }

    func end() async {
        if began != nil {
            // Also in a cancelled task: it has a task of its own.
            await Task { [client] in
                do { try await client.logout() } catch {
                    // It ends by itself within the hour.
                }
            }.value
        }
        await client.close()
    }
}
