import Glibc
import PlantDBCore
import Synchronization

/// A log that is appended to, one line a write: a time in UTC and the words.
final class LogFile: Sendable {
    private let descriptor: Int32
    private let hasFailed = Atomic(false)

    /// - Throws: what open(2) said.
    init(path: String) throws(DatabaseError) {
        try ReportFile.refuse(path, "log file")
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        if descriptor < 0 {
            throw DatabaseError(
                .io, "the log file \(path.printable) cannot be opened for writing",
                cause: String(cString: strerror(errno)))
        }
    }

    deinit { if let number = WrittenFile.close(descriptor) { sayFailure(number) } }

    /// A log that fails (a full disk) does not end a run; it is said once.
    func write(_ line: String) {
        if Descriptor.writeAll("\(CalendarText.utc(WallClock.now)) \(line)\n", to: descriptor) { return }
        sayFailure(errno)
    }

    private func sayFailure(_ number: CInt) {
        let reason = String(cString: strerror(number))
        guard !hasFailed.exchange(true, ordering: .relaxed) else { return }
        Descriptor.writeAll("plantdb: the log file cannot be written: \(reason)\n", to: STDERR_FILENO)
    }
}
