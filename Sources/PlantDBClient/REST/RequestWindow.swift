/// A rate limit as its server counts it: so many requests in any span of time, refused ones not
/// counted. Pure: whoever uses it brings the time, as a duration since any fixed moment.
///
/// Paced from the first request on, a client never sees status 429 unless somebody else asks from
/// the same address.
struct RequestWindow: Sendable, Hashable {
    let limit: Int
    let span: Duration
    /// When the last requests were admitted, ascending; no more than `limit`.
    private var admitted: [Duration] = []
    /// After a refusal: nothing is sent before.
    private var closedUntil: Duration = .zero
    private var refusals = 0

    /// The longest wait between two tries after a refusal that does not say how long.
    private static let longestGuess = Duration.seconds(20)

    /// - Parameter span: upstream counts over 60 s, and was seen to admit again after 60.3.
    init(limit: Int, span: Duration = .milliseconds(60_500)) {
        self.limit = limit
        self.span = span
    }

    /// Takes a place for a request now, if there is one.
    ///
    /// - Returns: zero: send it. Else how long to wait before asking again.
    mutating func admit(at now: Duration) -> Duration {
        let wait = delay(at: now)
        guard wait == .zero else { return wait }
        admitted.removeAll { $0 + span <= now }
        admitted.append(now)
        return .zero
    }

    /// How long the last of `count` requests would wait if they began now; zero changes nothing.
    func delay(of count: Int = 1, at now: Duration) -> Duration {
        let used = admitted.filter { $0 + span > now }
        var wait = max(.zero, closedUntil - now)
        let beyond = used.count + count - limit
        if beyond > 0 {
            // The first `limit` of them follow the ones that leave; further ones wait whole spans.
            let (rounds, rest) = (beyond - 1).quotientAndRemainder(dividingBy: limit)
            let leaving = rest < used.count ? used[rest] + span - now : span
            wait = max(wait, leaving + span * rounds)
        }
        return wait
    }

    /// The server refused a request that was admitted (status 429).
    ///
    /// - Parameter retryAfter: what the server said, if it did.
    mutating func refuse(at now: Duration, retryAfter: Duration? = nil) {
        // It did not count.
        if !admitted.isEmpty { admitted.removeLast() }
        let guess = min(.seconds(2) * (1 << min(refusals, 4)), Self.longestGuess)
        closedUntil = max(closedUntil, now + (retryAfter ?? guess))
        refusals += 1
    }

    /// The server served a request: the next refusal is a new one.
    mutating func serve() { refusals = 0 }
}
