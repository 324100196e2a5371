/// An opaque token for one state of a scan on one side; equal tokens mean the same state.
/// Tokens of different endpoints are not comparable.
public struct ScanRevision: Hashable, Sendable, CustomStringConvertible, Codable {
    public let rawValue: String

    public init(rawValue: String) { self.rawValue = rawValue }

    public var description: String { rawValue }
}
