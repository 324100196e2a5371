/// A token that lets its bearer in: it appears in no description, dump or mirror.
public struct BearerToken: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable
{
    let text: String

    public init(_ text: String) { self.text = text }

    public var description: String { "‹token›" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
