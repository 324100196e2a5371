import Glibc

/// The seed of a random test: a fixed one, or what the environment variable `PLANTDB_SEED`
/// asks for.
///
/// A random test makes one value per round from `TestSeed(round:)` and puts it into every
/// failure message; setting `PLANTDB_SEED` to the printed number replays that round alone.
public struct TestSeed: Sendable, Hashable, CustomStringConvertible {
    public let value: UInt64

    public init(value: UInt64) { self.value = value }

    /// The seeds of `rounds` rounds; only the one in `PLANTDB_SEED` where that is set.
    public static func rounds(_ rounds: Int, from base: UInt64 = 1) -> [TestSeed] {
        if let replayed { return [replayed] }
        return (0..<UInt64(rounds)).map { TestSeed(value: base &+ $0) }
    }

    /// What `PLANTDB_SEED` holds; nil where it is unset or no number.
    public static var replayed: TestSeed? {
        guard let text = getenv("PLANTDB_SEED"), let value = UInt64(String(cString: text)) else { return nil }
        return TestSeed(value: value)
    }

    public var generator: SplitMix64 { SplitMix64(seed: value) }

    public var description: String { "PLANTDB_SEED=\(value)" }
}
