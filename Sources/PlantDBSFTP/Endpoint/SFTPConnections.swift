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
    func session() async throws(DatabaseError) -> SFTPSession { try await open(1)[0] }

    /// So many that are open, fewer if the server allows no more, one at least.
    func open(_ count: Int) async throws(DatabaseError) -> [SFTPSession] {
        await turns.take()
        defer { turns.giveBack() }
        sessions.removeAll { !$0.isOpen }
        while sessions.count < count {
            guard !isClosed else {
                throw DatabaseError(.cancelled, "the connection to \(description) was closed")
            }
            do throws(SFTPError) {
                let session = try await connect(sessions.isEmpty)
                // Closed meanwhile: nobody else would end it.
                guard !isClosed else {
                    await session.close()
                    throw SFTPError(.cancelled, "the connection was closed")
                }
                sessions.append(session)
            } catch {
                if sessions.isEmpty { throw .sftp(error, "connect to \(description)") }
                break
            }
        }
        return Array(sessions.prefix(count))
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
