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
            let kind: FileStatus.Kind?
            if let known = entry.kind { kind = known } else { kind = try root.status(of: name)?.kind }
            if kind == .symbolicLink { builder.skip(entry.name, .symbolicLink) }
            guard kind == .directory else { continue }
            let directory: Directory
            do throws(DatabaseError) {
                guard let opened = try root.directoryIfPresent(name) else { continue }
                directory = opened
            } catch {
                guard error.code == .permissionDenied else { throw error }
                builder.skip(entry.name, .unreadable, detail: error.cause)
                continue
            }
            guard let container = builder.add(directory: Array(entry.name), try facts(of: directory)) else {
                continue
            }
            for entry in try directory.entries() where entry.kind ?? .directory == .directory {
                guard let name = entry.text, let member = try directory.directoryIfPresent(name) else {
                    continue
                }
                builder.add(member: Array(entry.name), of: container, try facts(of: member))
            }
        }
        return builder.listing
    }

    static func facts(of directory: Directory) throws(DatabaseError) -> ListingBuilder.Facts {
        ListingBuilder.Facts(
            hasMetadataDirectory: try directory.status(of: ScanPath.metadata.rawValue)?.kind == .directory,
            hasIndex: try directory.status(of: ScanPath.index.rawValue)?.kind == .file,
            hasTimelapseMarker: try directory.status(of: ScanPath.timelapseMarker.rawValue)?.kind == .file)
    }
}
