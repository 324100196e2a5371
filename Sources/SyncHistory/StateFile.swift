import FoundationEssentials
import GRDB
import Glibc
import PlantDBCore

// GRDB has one of this name too.
import struct PlantDBCore.DatabaseError

/// A SQLite file in the user's state directory.
enum StateFile {
    /// Makes its folder and itself where they are not there, for nobody else to read.
    static func open(_ file: String) throws -> DatabaseQueue {
        if let slash = file.lastIndex(of: "/") { try makeFolder(file[..<slash]) }
        // SQLite gives its other files the same mode.
        let made = Glibc.open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        if made >= 0 { close(made) }
        var configuration = Configuration()
        configuration.busyMode = .timeout(10)
        return try DatabaseQueue(path: file, configuration: configuration)
    }

    /// With those above it, private.
    private static func makeFolder(_ path: Substring) throws(DatabaseError) {
        guard !path.isEmpty, mkdir(String(path), 0o700) != 0, errno != EEXIST else { return }
        let number = errno
        guard number == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
            throw DatabaseError(
                number == EACCES || number == EROFS ? .permissionDenied : .io,
                "the folder \(path.description.printable) cannot be made to keep runs in; PLANTDB_STATE names another "
                    + "place, and empty it keeps none", cause: String(cString: strerror(number)))
        }
        try makeFolder(path[..<slash])
        guard mkdir(String(path), 0o700) == 0 || errno == EEXIST else {
            throw DatabaseError(
                .io, "the folder \(path.description.printable) cannot be made to keep runs in",
                cause: String(cString: strerror(errno)))
        }
    }

    static func failure(_ message: String, _ error: any Error) -> DatabaseError {
        if let error = error as? DatabaseError { return error }
        return DatabaseError(
            .io, message, cause: (error as? GRDB.DatabaseError)?.message ?? String(describing: error))
    }
}
