/// Where a database is, as its user wrote it, without any secret.
///
/// The list of kinds of location lives in `PlantDBSync`, not here: to everything else a
/// location is a text to show, and two things to compare.
public struct DatabaseLocation: Hashable, Sendable, CustomStringConvertible {
    /// What messages show: a path or a URL, printable, without credentials.
    public let description: String
    /// Identifies the physical database where that is known (for a directory: device and
    /// inode), so that two spellings of one place are recognised.
    public let identity: String?

    /// The same in every run on this machine, however it is written: for a directory its real path.
    public let lasting: String

    /// The identities of the places around it, up to the root.
    public let enclosing: Set<String>

    public init(
        description: String, identity: String? = nil, enclosing: Set<String> = [], lasting: String? = nil
    ) {
        self.lasting = lasting ?? description
        self.description = description.printable
        self.identity = identity
        self.enclosing = enclosing
    }

    /// Whether the two are one place, or one lies in the other.
    public func overlaps(_ other: DatabaseLocation) -> Bool {
        // A place that does not exist yet has no identity, and lies in others all the same.
        if let identity, identity == other.identity || other.enclosing.contains(identity) { return true }
        guard let otherIdentity = other.identity else { return false }
        return enclosing.contains(otherIdentity)
    }
}
