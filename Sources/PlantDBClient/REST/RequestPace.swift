import PlantDBCore
import Synchronization

/// Keeps the requests to one server within its limits, from the first one on.
final class RequestPace: Sendable {
    private let windows = Mutex<[RestDialect.Pace: RequestWindow]>([:])
    private let listener = Mutex<(@Sendable (String) -> Void)?>(nil)
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant
    private let server: String
    /// How long a server that refuses is asked again.
    private static let patience = Duration.seconds(240)
    /// Waits shorter than this are not told.
    private static let worthTelling = Duration.seconds(2)

    init(server: String) {
        self.server = server
        start = clock.now
    }

    func tellWaits(to listener: (@Sendable (String) -> Void)?) { self.listener.withLock { $0 = listener } }

    /// How long the last of so many requests would wait.
    func delay(of count: Int, _ pace: RestDialect.Pace) -> Duration {
        with(pace) { window, now in window.delay(of: count, at: now) }
    }

    /// Sends a request when it may be sent, and again where the server says 429.
    ///
    /// - Throws: `cancelled`; `unreachable` if the server refuses for minutes.
    func paced(
        _ pace: RestDialect.Pace, _ send: () async throws(DatabaseError) -> HTTPAnswer
    ) async throws(DatabaseError) -> HTTPAnswer {
        var firstRefusal: ContinuousClock.Instant?
        while true {
            try await wait(for: pace)
            let answer = try await send()
            guard answer.status == 429 else {
                with(pace) { window, _ in window.serve() }
                return answer
            }
            _ = try await answer.collect(upTo: 1 << 20)
            let refused = firstRefusal ?? clock.now
            firstRefusal = refused
            guard clock.now - refused < Self.patience else {
                throw DatabaseError(
                    .unreachable,
                    "\(server) has refused \(pace.description) for minutes: somebody else asks it too often "
                        + "from this address; try again later")
            }
            let seconds = answer.headers.first(name: "retry-after").flatMap(Int.init)
            with(pace) { window, now in
                window.refuse(at: now, retryAfter: seconds.map { .seconds(min(max(1, $0), 300)) })
            }
        }
    }

    private func wait(for pace: RestDialect.Pace) async throws(DatabaseError) {
        while true {
            let wait = with(pace) { window, now in window.admit(at: now) }
            guard wait > .zero else { return }
            if wait >= Self.worthTelling, let listener = listener.withLock({ $0 }) {
                let seconds = Int((wait / .seconds(1)).rounded(.up))
                listener(
                    "\(seconds) s for \(server), which allows \(pace.perMinute) \(pace.description) a minute")
            }
            do { try await Task.sleep(for: wait) } catch {
                throw DatabaseError(.cancelled, "cancelled while waiting for \(server)")
            }
        }
    }

    private func with<Value>(
        _ pace: RestDialect.Pace, _ body: (inout RequestWindow, Duration) -> Value
    ) -> Value {
        let now = clock.now - start
        return windows.withLock { body(&$0[pace, default: RequestWindow(limit: pace.perMinute)], now) }
    }
}
