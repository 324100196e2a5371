import FSDB
import PlantDBCore

/// Which side of a synchronisation a location is opened for.
public enum DatabaseRole: Sendable {
    /// It must exist.
    case source
    /// Where there is nothing, or an empty directory, a database is made when it is locked
    /// for writing; until then it reads as one without scans.
    case target
}

/// An endpoint for a location as a user writes it: a path, or a URL.
///
/// - Throws: ``PlantDBCore/DatabaseError/Code/notADatabase`` and
///   ``PlantDBCore/DatabaseError/Code/notFound`` as `FSDBEndpoint.open`;
///   ``PlantDBCore/DatabaseError/Code/unsupported`` for a kind of location that this release
///   does not have; ``PlantDBCore/DatabaseError/Code/invalidArgument`` for an empty one.
public func openDatabase(_ location: String, as role: DatabaseRole) async throws(DatabaseError)
    -> any DatabaseEndpoint & LockInspecting
{
    guard !location.isEmpty else {
        throw DatabaseError(.invalidArgument, "a location is empty; give the path of a database")
    }
    if let scheme = scheme(of: location) {
        // The location may hold a password, so only its scheme is repeated.
        throw DatabaseError(
            .unsupported,
            "\(scheme):// locations cannot be opened by this release, which knows local paths only")
    }
    return try await FSDBEndpoint.open(path: location, role == .source ? .existing : .creating)
}

/// RFC 3986, section 3.1; nil for a path.
private func scheme(of location: String) -> String? {
    guard let separator = location.utf8.firstRange(of: "://".utf8) else { return nil }
    let scheme = location[..<separator.lowerBound]
    guard let first = scheme.first, first.isASCII, first.isLetter,
        scheme.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "+-.".contains($0)) })
    else { return nil }
    return String(scheme)
}
