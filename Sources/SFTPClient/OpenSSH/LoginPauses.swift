import CPlatform
import Glibc
import Synchronization

/// Spares a login its pauses.
///
/// Twice while it logs in, ssh(1) and its server each wait for the other: one holds a small message back
/// until the one before is acknowledged (Nagle's algorithm, RFC 896), and the other waits 40 ms for something
/// to send the acknowledgement with (RFC 1122, section 4.2.3.2). ssh itself switches this off, but only once
/// the session is open. So this process does for its child's socket what ssh does later (TCP_NODELAY), and
/// has what arrived acknowledged (TCP_QUICKACK, tcp(7)), until it is told that the login is over.
///
/// A quarter of the time that logging in takes to a near machine. Where pidfd_getfd(2) is refused (Linux
/// before 5.6, some containers), or ssh goes through a proxy, nothing changes.
final class LoginPauses: Sendable {
    /// In microseconds: short against the pauses, long against what a look costs.
    private static let interval: UInt32 = 3000
    /// Whoever types a password does not notice.
    private static let limit = Duration.seconds(10)

    private let isOver = Atomic(false)

    /// - Parameter process: a child that nobody has waited for yet.
    init(of process: pid_t) {
        // Here, and not later: its number may be another's by then.
        let child = plantdb_open_process(process)
        guard child >= 0 else { return }
        // To close a copy may take as long as its file system takes.
        Blocking.start { [self] in
            defer { close(child) }
            var numbers = Self.candidates
            let end = ContinuousClock.now + Self.limit
            while !isOver.load(ordering: .relaxed), ContinuousClock.now < end,
                Self.hurry(child, &numbers)
            {
                usleep(Self.interval)
            }
        }
    }

    func end() { isOver.store(true, ordering: .relaxed) }

    /// ssh has hardly more open while it logs in.
    private static let candidates = CInt(3)..<12

    /// - Parameter numbers: the child's descriptors to look at; its connection alone, once that is known.
    /// - Returns: whether there is any use in trying again.
    private static func hurry(_ child: CInt, _ numbers: inout Range<CInt>) -> Bool {
        var connection: CInt?
        for number in numbers where connection == nil {
            // Held for an instant only: whatever ssh closes, closes.
            let copy = plantdb_copy_descriptor(child, number)
            guard copy >= 0 else {
                if errno == EBADF { continue }
                return false
            }
            defer { close(copy) }
            var on: CInt = 1
            let size = socklen_t(MemoryLayout<CInt>.size)
            // Anything but a TCP socket does not know it, and stays as it is.
            guard setsockopt(copy, CInt(IPPROTO_TCP), TCP_NODELAY, &on, size) == 0 else { continue }
            setsockopt(copy, CInt(IPPROTO_TCP), TCP_QUICKACK, &on, size)
            connection = number
        }
        // Of several addresses ssh tries one after the other.
        numbers = connection.map { $0..<$0 + 1 } ?? candidates
        return true
    }
}
