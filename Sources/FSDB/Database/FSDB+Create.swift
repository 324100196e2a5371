import CPlatform
import Glibc
import PlantDBCore

extension FSDB {
    /// Makes an empty database, upstream's `setup_empty_database`: the directory, those on
    /// the way to it, and the marker.
    ///
    /// - Returns: the database, not yet connected.
    /// - Throws: `alreadyExists` if there is a database, or a directory that is not empty.
    @discardableResult
    public static func createEmptyDatabase(at path: String) throws(DatabaseError) -> FSDB {
        try makeDirectories(path)
        let root = try Directory.open(path: path)
        if let entry = try root.entries().first {
            let name = String(decoding: entry.name, as: UTF8.self).printable
            let isDatabase = try root.status(of: markerName) != nil
            throw DatabaseError(
                .alreadyExists,
                isDatabase
                    ? "\(path.printable) is a database already"
                    : "\(path.printable) is not empty (it holds “\(name)”); take an empty directory for a "
                        + "new database")
        }
        try root.makeFile(markerName, flags: O_EXCL)
        return try FSDB(path)
    }

    private static func makeDirectories(_ path: String) throws(DatabaseError) {
        var made = path.hasPrefix("/") ? "/" : ""
        for component in path.split(separator: "/") {
            made += made.isEmpty || made == "/" ? String(component) : "/" + component
            if mkdir(made, 0o777) != 0, errno != EEXIST {
                throw SystemError().error("make the directory \(made)")
            }
        }
    }
}
