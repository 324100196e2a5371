import Glibc
import PlantDBCore

/// A log that is appended to, one line a write: a time in UTC and the words.
final class LogFile: Sendable {
    private let descriptor: Int32

    /// - Throws: what open(2) said.
    init(path: String) throws(DatabaseError) {
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        if descriptor < 0 {
            throw DatabaseError(
                .io, "the log file \(path.printable) cannot be opened for writing",
                cause: String(cString: strerror(errno)))
        }
    }

    deinit { close(descriptor) }

    /// A log that fails (a full disk) does not end a run.
    func write(_ line: String) {
        Descriptor.writeAll("\(CalendarText.utc(CalendarText.now)) \(line)\n", to: descriptor)
    }
}
