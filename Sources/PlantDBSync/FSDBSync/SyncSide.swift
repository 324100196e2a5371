import FSDB
import PlantDBCore

/// One side of an ``FSDBSync``: where a database is, or a database that this program has open.
public enum SyncSide: Sendable, ExpressibleByStringLiteral, CustomStringConvertible, CustomReflectable {
    /// A path, or a URL as ``openDatabase(_:as:access:)`` takes it.
    case location(String)
    /// Its lock is given up while it is synchronised, and taken back after.
    case database(FSDB)

    public init(stringLiteral location: String) { self = .location(location) }

    /// What ``openDatabase(_:as:access:)`` takes.
    var location: String {
        switch self {
        case .location(let location): location
        case .database(let database): database.path
        }
    }

    var database: FSDB? {
        if case .database(let database) = self { return database }
        return nil
    }

    /// The location without what may be a password in it.
    public var description: String { location.withoutSecrets.printable }

    public var customMirror: Mirror { Mirror(self, children: ["location": description]) }
}
