/// A shell pattern (`*`, `?`, `[a-z]`, `[!a-z]`, `\` to quote), matched against a whole name.
/// `*` and `?` do not match `/`, as in glob(7) with FNM_PATHNAME.
public struct Glob: Sendable, Hashable {
    public let pattern: String

    public init(_ pattern: String) { self.pattern = pattern }

    /// Whether it holds any pattern character; otherwise it names one thing.
    public var isPattern: Bool { pattern.contains { "*?[\\".contains($0) } }

    public func matches(_ name: some StringProtocol) -> Bool {
        Self.matches(Array(pattern.unicodeScalars)[...], Array(name.unicodeScalars)[...])
    }

    private static func matches(
        _ pattern: ArraySlice<Unicode.Scalar>, _ text: ArraySlice<Unicode.Scalar>
    ) -> Bool {
        var pattern = pattern
        var text = text
        // Where to go back to: the pattern after the last star, and the text it may yet eat.
        var star: (pattern: ArraySlice<Unicode.Scalar>, text: ArraySlice<Unicode.Scalar>)?
        while true {
            if pattern.first == "*" {
                pattern = pattern.dropFirst()
                star = (pattern, text)
                continue
            }
            if text.isEmpty && pattern.isEmpty { return true }
            if let scalar = text.first, let rest = matchOne(pattern, scalar) {
                pattern = rest
                text = text.dropFirst()
                continue
            }
            guard let back = star, let eaten = back.text.first, eaten != "/" else { return false }
            star = (back.pattern, back.text.dropFirst())
            pattern = back.pattern
            text = back.text.dropFirst()
        }
    }

    /// The pattern after one element that matches `scalar`; nil if it does not match.
    private static func matchOne(_ pattern: ArraySlice<Unicode.Scalar>, _ scalar: Unicode.Scalar)
        -> ArraySlice<Unicode.Scalar>?
    {
        guard let first = pattern.first else { return nil }
        switch first {
        case "?":
            return scalar == "/" ? nil : pattern.dropFirst()
        case "\\":
            let quoted = pattern.dropFirst()
            return quoted.first == scalar ? quoted.dropFirst() : nil
        case "[":
            guard let (isMember, rest) = bracket(pattern.dropFirst(), scalar) else {
                // An unclosed bracket stands for itself.
                return scalar == "[" ? pattern.dropFirst() : nil
            }
            return isMember && scalar != "/" ? rest : nil
        default:
            return first == scalar ? pattern.dropFirst() : nil
        }
    }

    private static func bracket(_ body: ArraySlice<Unicode.Scalar>, _ scalar: Unicode.Scalar)
        -> (isMember: Bool, rest: ArraySlice<Unicode.Scalar>)?
    {
        var body = body
        let isNegated = body.first == "!" || body.first == "^"
        if isNegated { body = body.dropFirst() }
        var isMember = false
        var isFirst = true
        while let low = body.first, isFirst || low != "]" {
            isFirst = false
            body = body.dropFirst()
            var high = low
            if body.first == "-", let end = body.dropFirst().first, end != "]" {
                high = end
                body = body.dropFirst(2)
            }
            if low <= high && (low...high).contains(scalar) { isMember = true }
        }
        guard body.first == "]" else { return nil }
        return (isMember != isNegated, body.dropFirst())
    }
}
