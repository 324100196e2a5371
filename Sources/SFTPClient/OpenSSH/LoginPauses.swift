import CPlatform
import Glibc

/// Spares a login its pauses.
///
/// Twice while it logs in, ssh(1) and its server each wait for the other: one holds a small message back
/// until the one before is acknowledged (Nagle's algorithm, RFC 896), and the other waits 40 ms for something
/// to send the acknowledgement with (RFC 1122, section 4.2.3.2). ssh itself switches this off, but only once
/// the session is open. So this process does for its child's socket what ssh does later (TCP_NODELAY), and
/// has what arrived acknowledged (TCP_QUICKACK, tcp(7)), until it is told that the login is over.
///
/// A quarter of the time that logging in takes to a near machine. Where the system does not allow it (Linux
/// before 5.6, some containers), or ssh goes through a proxy, nothing changes.
final class LoginPauses: Sendable {
    /// Short against the pauses, long against what a look costs.
    private static let interval = Duration.milliseconds(3)
    /// Whoever types a password does not notice.
    private static let limit = Duration.seconds(10)

    private let watch: Task<Void, Never>

    /// - Parameter process: a child that is not waited for before this is told to ``end()``.
    init(of process: pid_t) {
        watch = Task {
            let child = plantdb_open_process(process)
            guard child >= 0 else { return }
            defer { close(child) }
            let end = ContinuousClock.now + Self.limit
            while ContinuousClock.now < end, Self.hurry(child) {
                // Ended: the login is over.
                do { try await Task.sleep(for: Self.interval) } catch { return }
            }
        }
    }

    func end() { watch.cancel() }

    /// - Returns: whether there is any use in trying again.
    private static func hurry(_ child: CInt) -> Bool {
        // ssh has hardly more open while it logs in.
        for number in CInt(3)..<12 {
            // Held for an instant only: whatever ssh closes, closes.
            let copy = plantdb_copy_descriptor(child, number)
            guard copy >= 0 else {
                if errno == EBADF { continue }
                return false
            }
            var on: CInt = 1
            // Anything but a TCP socket knows neither, and stays as it is.
            for option in [TCP_NODELAY, TCP_QUICKACK] {
                setsockopt(copy, CInt(IPPROTO_TCP), option, &on, socklen_t(MemoryLayout<CInt>.size))
            }
            close(copy)
        }
        return true
    }
}
