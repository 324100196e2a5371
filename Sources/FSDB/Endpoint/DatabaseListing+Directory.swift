import Glibc
import PlantDBCore

extension DatabaseListing {
    /// What lies in the root of a database.
    static func of(_ root: Directory) throws(DatabaseError) -> DatabaseListing {
        var builder = ListingBuilder()
        for entry in try root.entries() where !ListingBuilder.isPrivate(entry.name) {
            guard let name = entry.text else {
                // Whatever it is: such a name cannot even be asked for by text.
                if entry.kind ?? .directory == .directory {
                    builder.skip(entry.name, .invalidName, detail: "not valid UTF-8")
                }
                continue
            }
            switch try root.kind(of: entry) {
            case .symbolicLink: builder.skip(entry.name, .symbolicLink)
            case .directory:
                guard
                    let (directory, facts) = try look(
                        into: name, of: root, { builder.skip(entry.name, .unreadable, detail: $0) }),
                    let container = builder.add(directory: entry.name, facts)
                else { continue }
                try addMembers(of: container, in: directory, to: &builder)
            case .file, .special, nil: break
            }
        }
        return builder.listing
    }

    private static func addMembers(
        of container: ScanID, in directory: Directory, to builder: inout ListingBuilder
    ) throws(DatabaseError) {
        for entry in try directory.entries() {
            let path = Array((container.rawValue + "/").utf8) + entry.name
            guard let name = entry.text else {
                if entry.kind ?? .directory == .directory {
                    builder.skip(path, .invalidName, detail: "not valid UTF-8")
                }
                continue
            }
            switch try directory.kind(of: entry) {
            case .symbolicLink: builder.skip(path, .symbolicLink)
            case .directory:
                let found = try look(
                    into: name, of: directory, { builder.skip(path, .unreadable, detail: $0) })
                if let (_, facts) = found { builder.add(member: entry.name, of: container, facts) }
            case .file, .special, nil: break
            }
        }
    }

    /// nil: it is not there, or may not be looked into, which `onRefusal` is told.
    private static func look(into name: String, of parent: Directory, _ onRefusal: (String?) -> Void)
        throws(DatabaseError) -> (Directory, ListingBuilder.Facts)?
    {
        do throws(DatabaseError) {
            guard let directory = try parent.directoryIfPresent(name) else { return nil }
            return (directory, try facts(of: directory))
        } catch {
            guard error.code == .permissionDenied else { throw error }
            onRefusal(error.cause)
            return nil
        }
    }

    static func facts(of directory: Directory) throws(DatabaseError) -> ListingBuilder.Facts {
        ListingBuilder.Facts(
            hasMetadataDirectory: try directory.status(of: ScanPath.metadata.rawValue)?.kind == .directory,
            hasIndex: try directory.status(of: ScanPath.index.rawValue)?.kind == .file,
            hasTimelapseMarker: try directory.status(of: ScanPath.timelapseMarker.rawValue)?.kind == .file)
    }
}
