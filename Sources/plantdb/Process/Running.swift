import Synchronization

/// What the process as a whole knows of the command that runs: where it speaks, and what to
/// cancel when a signal comes or its reader goes away.
final class Running: Sendable {
    static let shared = Running()

    private struct State {
        var console = Console()
        var cancel: (@Sendable () -> Void)?
        var isBroken = false
        var atStop = ""
    }

    private let state = Mutex(State())

    /// The console of the command; set it as soon as the command knows its options.
    var console: Console {
        get { state.withLock { $0.console } }
        set {
            newValue.onBrokenPipe { [self] in
                state.withLock { state in
                    state.isBroken = true
                    return state.cancel
                }?()
            }
            state.withLock { $0.console = newValue }
        }
    }

    /// What becomes of the work when a signal comes, for those who sent it.
    var atStop: String {
        get { state.withLock { $0.atStop } }
        set { state.withLock { $0.atStop = newValue } }
    }

    /// Whether stdout's reader went away.
    var isBroken: Bool { state.withLock { $0.isBroken } }

    func cancelOnSignal(_ work: Task<Void, any Error>) {
        let alreadyBroken = state.withLock { state in
            state.cancel = { work.cancel() }
            return state.isBroken
        }
        if alreadyBroken { work.cancel() }
        SignalWatch.start(
            onFirst: { [self] number in
                console.error(
                    "\(SignalWatch.name(of: number)): stopping\(atStop) (again: stop at once)")
                work.cancel()
            },
            onForcedEnd: { number in
                Descriptor.writeAll(
                    "\(SignalWatch.name(of: number)): something would not stop; ended\n", to: 2)
            })
    }
}
