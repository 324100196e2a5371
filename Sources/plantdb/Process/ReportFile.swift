import Glibc
import PlantDBCore

/// The file of `--report`: it appears whole when the run ends, or not at all.
final class ReportFile: Sendable {
    private let path: String
    private let staged: String
    private let descriptor: Int32

    /// Opens a new file beside it, so that a place that cannot be written is known before the
    /// run and not after it.
    init(path: String) throws(DatabaseError) {
        self.path = path
        staged = path + ".\(getpid()).part"
        descriptor = open(staged, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        if descriptor < 0 { throw Self.failure(path) }
    }

    deinit {
        close(descriptor)
        // Gone already where the report was written.
        unlink(staged)
    }

    /// - Throws: ``DatabaseError/Code/io``.
    func write(_ text: String) throws(DatabaseError) {
        guard Descriptor.writeAll(text + "\n", to: descriptor), rename(staged, path) == 0 else {
            throw Self.failure(path)
        }
    }

    private static func failure(_ path: String) -> DatabaseError {
        DatabaseError(
            .io, "the report \(path.printable) cannot be written", cause: String(cString: strerror(errno)))
    }
}
