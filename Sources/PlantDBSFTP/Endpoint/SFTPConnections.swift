import PlantDBCore
import SFTPClient
import Synchronization

/// The connections of one endpoint: made when they are needed, made anew when they are lost.
actor SFTPConnections {
    /// - Parameter isFirst: whether ssh may ask somebody: not for a further connection, which nobody
    ///   would understand in the middle of a run, and which a run can do without.
    typealias Connect = @Sendable (_ isFirst: Bool) async throws(SFTPError) -> SFTPSession

    nonisolated let traffic = ConnectionTraffic()
    private let connect: Connect
    private let description: String
    private var sessions: [SFTPSession] = []
    private var isClosed = false
    /// One connects anew at a time, and nobody makes what another is making.
    private let turns = Turns(1)
    /// Makes further connections.
    private var growth: Task<Void, Never>?
    /// There are enough; or the server refused one, and is not asked again: it may count what it refuses.
    private var isFull = false
    /// Who takes further connections, by a number.
    private var takers: [Int: AsyncStream<SFTPSession>.Continuation] = [:]
    private var nextTaker = 0

    init(_ first: SFTPSession, description: String, connect: @escaping Connect) {
        sessions = [first]
        self.description = description
        self.connect = connect
    }

    /// One that is open.
    func session() async throws(DatabaseError) -> SFTPSession {
        if let session = sessions.first(where: \.isOpen) { return session }
        await turns.take()
        defer { turns.giveBack() }
        sessions.removeAll { !$0.isOpen }
        if let session = sessions.first { return session }
        guard !isClosed else { throw wasClosed }
        let session: SFTPSession
        do throws(SFTPError) { session = try await connect(true) } catch {
            throw .sftp(error, "connect to \(description)")
        }
        // Nobody else would end it.
        guard !isClosed else {
            await session.close()
            throw wasClosed
        }
        sessions.append(session)
        return session
    }

    /// Does what a run does last, and once more on another connection where the first is lost meanwhile:
    /// a run that says that all is done leaves nothing behind. What fails even so is left to the next run.
    func tidyUp(_ body: @Sendable (SFTPSession) async throws(SFTPError) -> Void) async {
        for _ in 0..<2 {
            guard let session = try? await session() else { return }
            do throws(SFTPError) { return try await body(session) } catch { if session.isOpen { return } }
        }
    }

    /// When further connections are made.
    enum Growth: Sendable {
        case atOnce
        /// If those that are open bring less than ``enough`` within the first second: another login takes a
        /// fifth of a second of a processor at either end.
        case whereSlow
    }

    /// In bytes a second: more than a line of a gigabit carries.
    private static let enough = 200e6

    /// Runs `body` on so many connections side by side: at once on those that are open, and on each further
    /// one as soon as it is made, if any `body` is at work still. Nobody waits for logging in, which takes
    /// some ten round trips; what the server does not let us have is done without.
    ///
    /// - Returns: what each `body` answered.
    func use<Answer: Sendable>(
        upTo count: Int, growing growth: Growth, _ body: @escaping @Sendable (SFTPSession) async -> Answer
    ) async throws(DatabaseError) -> [Answer] {
        try await use(upTo: count, growing: growth, first: nil, others: body)
    }

    /// As ``use(upTo:growing:_:)``.
    ///
    /// - Parameter first: runs instead of `body` in the place of the first connection: for what goes through
    ///   that one, and not by SFTP.
    func use<Answer: Sendable>(
        upTo count: Int, growing growth: Growth, first: (@Sendable () async -> Void)?,
        others body: @escaping @Sendable (SFTPSession) async -> Answer
    ) async throws(DatabaseError) -> [Answer] {
        let one = try await session()
        var open = sessions.filter(\.isOpen).prefix(count)
        // Lost since: whoever uses it finds why.
        if open.isEmpty { open = [one] }
        let (further, taker) = AsyncStream<SFTPSession>.makeStream()
        let number = nextTaker
        nextTaker += 1
        takers[number] = taker
        defer { takers[number] = nil }
        grow(to: count, growth)

        return await withTaskGroup(of: Event<Answer>.self) { group in
            var answers: [Answer] = []
            var begun = 0
            var ended = 0
            func begin(_ session: SFTPSession) {
                begun += 1
                group.addTask { .answer(await body(session)) }
            }
            func awaitFurther() { group.addTask { .further(await further.first { _ in true }) } }
            if let first {
                begun += 1
                group.addTask {
                    await first()
                    return .firstEnded
                }
            }
            for session in open.dropFirst(begun) { begin(session) }
            awaitFurther()
            for await event in group {
                switch event {
                case .further(let session?):
                    if begun < count { begin(session) }
                    awaitFurther()
                case .further(nil): break
                case .answer(let answer):
                    answers.append(answer)
                    ended += 1
                case .firstEnded: ended += 1
                }
                if ended == begun { taker.finish() }
            }
            return answers
        }
    }

    private enum Event<Answer: Sendable>: Sendable {
        /// nil: none comes any more.
        case further(SFTPSession?)
        case answer(Answer)
        case firstEnded
    }

    private func grow(to count: Int, _ when: Growth) {
        sessions.removeAll { !$0.isOpen }
        let missing = count - sessions.count
        guard missing > 0, growth == nil, !isFull, !isClosed else { return }
        let connect = connect
        growth = Task {
            if when == .whereSlow {
                guard await !isFast() else {
                    isFull = true
                    growth = nil
                    return
                }
                traffic.isSlow = true
            }
            await withTaskGroup(of: SFTPSession?.self) { group in
                for _ in 0..<missing {
                    group.addTask {
                        do throws(SFTPError) { return try await connect(false) } catch { return nil }
                    }
                }
                for await session in group { await admit(session) }
            }
            growth = nil
        }
    }

    private func isFast() async -> Bool {
        let clock = ContinuousClock()
        let (start, before) = (clock.now, bytesReceived)
        // Cancelled: it is over, and nothing more is to be made.
        do { try await Task.sleep(for: .seconds(1)) } catch { return true }
        return Double(bytesReceived - before) / ((clock.now - start) / .seconds(1)) >= Self.enough
    }

    private var bytesReceived: Int64 {
        sessions.reduce(traffic.besideSFTP.total) { $0 + Int64($1.bytesReceived) }
    }

    private func admit(_ session: SFTPSession?) async {
        guard let session else {
            isFull = true
            return
        }
        guard !isClosed else { return await session.close() }
        sessions.append(session)
        for taker in takers.values { taker.yield(session) }
    }

    private var wasClosed: DatabaseError {
        DatabaseError(.cancelled, "the connection to \(description) was closed")
    }

    func close() async {
        isClosed = true
        growth?.cancel()
        let open = sessions
        sessions = []
        for session in open { await session.close() }
        // What was being made ends too.
        await growth?.value
    }
}

/// What is known of an endpoint's connections.
final class ConnectionTraffic: Sendable {
    /// Counts what comes through the first one for others than SFTP.
    let besideSFTP = ByteMeter()
    private let slow = Atomic(false)

    /// One alone brings less than a line of a gigabit carries.
    var isSlow: Bool {
        get { slow.load(ordering: .relaxed) }
        set { slow.store(newValue, ordering: .relaxed) }
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
