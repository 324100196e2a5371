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
        let folder = file.lastIndex(of: "/").map { String(file[..<$0]) } ?? "."
        try FileManager.default.createDirectory(
            atPath: folder.isEmpty ? "/" : folder, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        // SQLite gives its other files the same mode.
        let made = Glibc.open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        if made >= 0 { close(made) }
        var configuration = Configuration()
        configuration.busyMode = .timeout(10)
        return try DatabaseQueue(path: file, configuration: configuration)
    }

    static func failure(_ message: String, _ error: any Error) -> DatabaseError {
        if let error = error as? DatabaseError { return error }
        return DatabaseError(
            .io, message, cause: (error as? GRDB.DatabaseError)?.message ?? String(describing: error))
    }
}
