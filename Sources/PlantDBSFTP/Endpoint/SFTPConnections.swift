import PlantDBCore
import SFTPClient

/// The connections of one endpoint: made when they are needed, made anew when they are lost.
actor SFTPConnections {
    /// - Parameter isFirst: whether ssh may ask somebody: not for a further connection, which nobody
    ///   would understand in the middle of a run, and which a run can do without.
    typealias Connect = @Sendable (_ isFirst: Bool) async throws(SFTPError) -> SFTPSession

    private let connect: Connect
    private let description: String
    private var sessions: [SFTPSession] = []
    private var isClosed = false
    /// One connects at a time, and nobody makes what another is making.
    private let turns = Turns(1)

    init(_ first: SFTPSession, description: String, connect: @escaping Connect) {
        sessions = [first]
        self.description = description
        self.connect = connect
    }

    /// One that is open.
    func session() async throws(DatabaseError) -> SFTPSession {
        if let session = sessions.first(where: \.isOpen) { return session }
        return try await open(1)[0]
    }

    /// So many that are open, fewer if the server allows no more, one at least.
    func open(_ count: Int) async throws(DatabaseError) -> [SFTPSession] {
        await turns.take()
        defer { turns.giveBack() }
        sessions.removeAll { !$0.isOpen }
        if sessions.isEmpty {
            guard !isClosed else { throw wasClosed }
            do throws(SFTPError) { try await add(try await connect(true)) } catch {
                throw .sftp(error, "connect to \(description)")
            }
        }
        // Side by side: logging in takes some ten round trips.
        let further = Array(sessions.count..<max(count, sessions.count))
        let connect = connect
        let made = await concurrently(further, atATime: further.count) { _ -> SFTPSession? in
            // What the server does not let us have is done without.
            do throws(SFTPError) { return try await connect(false) } catch { return nil }
        }
        for case let session? in made {
            // Closed meanwhile: as if it had not been made.
            do throws(SFTPError) { try await add(session) } catch {}
        }
        // While others logged in it may have been closed.
        guard !sessions.isEmpty else { throw wasClosed }
        return Array(sessions.prefix(count))
    }

    private var wasClosed: DatabaseError {
        DatabaseError(.cancelled, "the connection to \(description) was closed")
    }

    private func add(_ session: SFTPSession) async throws(SFTPError) {
        // Nobody else would end it.
        guard !isClosed else {
            await session.close()
            throw SFTPError(.cancelled, "the connection was closed")
        }
        sessions.append(session)
    }

    func close() async {
        isClosed = true
        let open = sessions
        sessions = []
        for session in open { await session.close() }
    }
}

extension EntrySelection {
    /// More than a few megabytes, or so many files that the waiting counts.
    func isWorthSeveralConnections(_ files: [Int]) -> Bool {
        var bytes: Int64 = 0
        for index in files {
            bytes = bytes.addingSaturated(self[index].size)
            if bytes > 8 << 20 { return true }
        }
        return files.count > 200
    }
}
