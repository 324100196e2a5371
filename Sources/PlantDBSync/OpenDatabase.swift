import FSDB
import PlantDBCore

/// Which side of a synchronisation a location is opened for.
public enum DatabaseRole: Sendable {
    /// It must exist.
    case source
    /// It is created if there is nothing at its path, or an empty directory.
    case target
    /// As a target that nothing will be written to (a dry run): it is not created; a location
    /// where there is nothing yet reads as an empty database.
    case plannedTarget
}

/// An endpoint for a location as a user writes it: a path, or a URL.
///
/// - Throws: ``PlantDBCore/DatabaseError/Code/notADatabase`` and
///   ``PlantDBCore/DatabaseError/Code/notFound`` as `FSDBEndpoint.open`;
///   ``PlantDBCore/DatabaseError/Code/unsupported`` for a kind of location that this release
///   does not have.
public func openDatabase(_ location: String, as role: DatabaseRole) async throws(DatabaseError)
    -> any DatabaseEndpoint & LockInspecting
{ fatalError() }
