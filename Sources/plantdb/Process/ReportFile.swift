import Glibc
import PlantDBCore
import Synchronization

/// The file of `--report`: it appears whole when the run ends, or not at all.
final class ReportFile: Sendable {
    private let path: String
    /// nil: written in place.
    private let staged: String?
    /// -1 once it is closed.
    private let descriptor: Atomic<Int32>

    /// Opens a new file beside it, so that a place that cannot be written is known before the
    /// run and not after it.
    init(path: String) throws(DatabaseError) {
        try Self.refuse(path, "report")
        self.path = path
        var status = stat()
        // A device or a pipe is written to as it is: it must not be replaced.
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            staged = nil
            descriptor = Atomic(open(path, O_WRONLY | O_CLOEXEC))
        } else {
            staged = path + ".\(getpid()).part"
            descriptor = Atomic(open(staged ?? path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644))
        }
        if descriptor.load(ordering: .relaxed) < 0 { throw Self.failure(path) }
    }

    deinit {
        let descriptor = descriptor.load(ordering: .relaxed)
        if descriptor >= 0 { close(descriptor) }
        // Gone already where the report was written.
        if let staged { unlink(staged) }
    }

    /// Once.
    ///
    /// - Throws: ``DatabaseError/Code/io``.
    func write(_ text: String) throws(DatabaseError) {
        let descriptor = descriptor.exchange(-1, ordering: .relaxed)
        try WrittenFile.closing(descriptor, orThrow: { Self.failure(path, $0) }) {
            () throws(DatabaseError) in
            guard Descriptor.writeAll(text + "\n", to: descriptor) else { throw Self.failure(path) }
        }
        if let staged, rename(staged, path) != 0 { throw Self.failure(path) }
    }

    /// - Throws: ``DatabaseError/Code/invalidArgument`` if the file would lie in a database, and so be
    ///   synced, or replace what is.
    static func refuse(_ path: String, _ what: String) throws(DatabaseError) {
        guard let database = database(around: path) else { return }
        throw DatabaseError(
            .invalidArgument,
            "the \(what) \(path.printable) would lie in the database \(database.printable); nothing was "
                + "changed. Put it somewhere else")
    }

    /// The folder with the marker of a database that the file would lie in, however deep.
    private static func database(around path: String) -> String? {
        // By bytes: a combining character hides the slash before it. A file that is there may be a link.
        let parent =
            path.utf8.lastIndex(of: UInt8(ascii: "/")).map {
                String(path[..<path.utf8.index(after: $0)])
            } ?? "."
        guard let resolved = realpath(path, nil) ?? realpath(parent, nil) else { return nil }
        defer { free(resolved) }
        var folder = Substring(String(cString: resolved))
        while true {
            var status = stat()
            if lstat(folder + "/romidb", &status) == 0, status.st_mode & S_IFMT == S_IFREG {
                return String(folder)
            }
            guard let slash = folder.utf8.lastIndex(of: UInt8(ascii: "/")) else { return nil }
            folder = folder[..<slash]
        }
    }

    private static func failure(_ path: String, _ number: CInt = errno) -> DatabaseError {
        DatabaseError(
            .io, "the report \(path.printable) cannot be written", cause: String(cString: strerror(number)))
    }
}
