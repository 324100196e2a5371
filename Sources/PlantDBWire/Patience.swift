/// How long somebody is waited for who sends slowly: a fixed time, and more for whatever came.
///
/// A byte now and then keeps a connection from being idle, and would hold it for ever (CWE-400). Whoever sends
/// ``rate`` or more is waited for without end.
package struct Patience: Sendable, Hashable {
    /// In bytes a second.
    package static let rate = 500.0

    package private(set) var left: Duration
    private var most: Duration

    package init(_ time: Duration) { (left, most) = (time, time) }

    /// - Parameter waited: for these bytes; what went by while nobody was waiting does not count.
    /// - Returns: whether there is some left.
    package mutating func spend(_ waited: Duration, for bytes: Int) -> Bool {
        left = min(most, left - waited + .seconds(Double(bytes) / Self.rate))
        return left > .zero
    }

    /// Begins anew with more.
    package mutating func raise(to time: Duration) {
        guard time > most else { return }
        (left, most) = (time, time)
    }
}
