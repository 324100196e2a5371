/// When a file's content last changed, in nanoseconds since 1970-01-01 00:00 UTC.
///
/// Covers the years 1678 to 2262; times outside are clamped to them.
public struct ModificationTime: Hashable, Sendable, Comparable {
    public var nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    public init(seconds: Int64, nanoseconds: Int64 = 0) {
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflow2) = product.addingReportingOverflow(nanoseconds)
        self.nanoseconds = overflow || overflow2 ? (seconds < 0 ? .min : .max) : sum
    }

    /// Whole seconds, rounded down.
    public var seconds: Int64 {
        let quotient = nanoseconds / 1_000_000_000
        return nanoseconds % 1_000_000_000 < 0 ? quotient - 1 : quotient
    }

    /// Nanoseconds past ``seconds``: 0 to 999,999,999.
    public var subsecondNanoseconds: Int64 {
        let remainder = nanoseconds % 1_000_000_000
        return remainder < 0 ? remainder + 1_000_000_000 : remainder
    }

    /// Of the Gregorian calendar, within a day of its turn.
    public var year: Int { 1970 + Int((Double(seconds) / 31_556_952).rounded(.down)) }

    public static let earliest = ModificationTime(nanoseconds: .min)
    public static let latest = ModificationTime(nanoseconds: .max)

    public static func < (lhs: Self, rhs: Self) -> Bool { lhs.nanoseconds < rhs.nanoseconds }

    /// How far apart two times are, in nanoseconds (saturating).
    public func distance(to other: ModificationTime) -> Int64 {
        let (difference, overflow) = nanoseconds.subtractingReportingOverflow(other.nanoseconds)
        return overflow || difference == .min ? .max : abs(difference)
    }
}
