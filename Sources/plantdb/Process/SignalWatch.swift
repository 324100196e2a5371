import Glibc
import SFTPClient
import Synchronization

/// SIGINT, SIGTERM and SIGHUP: the first asks the command to stop, the second ends it.
///
/// A handler may do next to nothing, so it writes the signal's number into a pipe, and a
/// thread reads it there. (Blocked or ignored signals would be handed down to the child
/// processes of the command; handlers are not.) A signal that was ignored when the process
/// began, as under nohup(1), stays ignored.
enum SignalWatch {
    /// A stopped run leaves a valid target however it ends, so what does not stop by itself
    /// in this time is ended: SIGTERM means five seconds at most.
    static let graceMilliseconds: Int32 = 4500

    /// The first signal that came; nil: none.
    static var received: Int32? {
        let number = first.load(ordering: .acquiring)
        return number == 0 ? nil : number
    }

    private static let first = Atomic<Int32>(0)

    /// Call once, before any work.
    ///
    /// - Parameter onFirst: called on a thread of its own, with the number of the first signal.
    /// - Parameter onForcedEnd: called before the process is ended for want of an end: a few
    ///   words to stderr, nothing that waits.
    static func start(
        onFirst: @escaping @Sendable (Int32) -> Void, onForcedEnd: @escaping @Sendable (Int32) -> Void
    ) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        wakeDescriptor = ends[1]
        let reader = ends[0]
        for number in [SIGINT, SIGTERM, SIGHUP] {
            var current = sigaction()
            guard sigaction(number, nil, &current) == 0 else { continue }
            // SIG_IGN is a macro of the value 1, which Swift does not import as a function.
            if unsafeBitCast(current.__sigaction_handler.sa_handler, to: Int.self) == 1 { continue }
            var action = sigaction()
            action.__sigaction_handler.sa_handler = noteSignal
            action.sa_flags = SA_RESTART
            sigaction(number, &action, nil)
        }
        Blocking.start { watch(reader, onFirst: onFirst, onForcedEnd: onForcedEnd) }
    }

    private static func watch(
        _ reader: Int32, onFirst: @Sendable (Int32) -> Void, onForcedEnd: @Sendable (Int32) -> Void
    ) {
        guard let number = next(reader) else { return }
        first.store(number, ordering: .releasing)
        onFirst(number)
        var poller = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
        let deadline = ContinuousClock.now + .milliseconds(Int(graceMilliseconds))
        while true {
            let left = deadline - .now
            let milliseconds = max(
                0, left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000)
            let ready = poll(&poller, 1, Int32(milliseconds))
            if ready > 0, let second = next(reader) { _exit(128 + second) }
            if ready == 0 {
                onForcedEnd(number)
                _exit(128 + number)
            }
        }
    }

    private static func next(_ reader: Int32) -> Int32? {
        var byte: UInt8 = 0
        while true {
            let count = read(reader, &byte, 1)
            if count == 1 { return Int32(byte) }
            if count < 0 && errno == EINTR { continue }
            return nil
        }
    }

    static func name(of number: Int32) -> String {
        switch number {
        case SIGINT: "SIGINT"
        case SIGTERM: "SIGTERM"
        case SIGHUP: "SIGHUP"
        default: "signal \(number)"
        }
    }
}

/// Written once before the handlers are installed, then only read: no access can race.
nonisolated(unsafe) private var wakeDescriptor: Int32 = -1

/// write(2) is all it does: async-signal-safe. A full pipe already holds enough signals.
private func noteSignal(_ number: Int32) {
    let saved = errno
    var byte = UInt8(truncatingIfNeeded: number)
    _ = write(wakeDescriptor, &byte, 1)
    errno = saved
}
