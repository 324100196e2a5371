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

    public init(description: String, identity: String? = nil) {
        self.description = description.printable
        self.identity = identity
    }
}
