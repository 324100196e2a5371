import Glibc
import Synchronization

/// What the process as a whole knows of the command that runs: where it speaks, and what to
/// cancel when a signal comes or its reader goes away.
final class Running: Sendable {
    static let shared = Running()

    private struct State {
        var console = Console()
        var cancel: (@Sendable () -> Void)?
        var outputError: Int32?
        var atStop = ""
    }

    private let state = Mutex(State())

    /// The console of the command; set it as soon as the command knows its options.
    var console: Console {
        get { state.withLock { $0.console } }
        set {
            newValue.onOutputError { [self] number in
                // Without a reader there is no use in going on; a full disk, say, is no reader's will.
                state.withLock { state in
                    state.outputError = number
                    return number == EPIPE ? state.cancel : nil
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
    var isBroken: Bool { state.withLock { $0.outputError == EPIPE } }

    /// How a command ends that did what it should, but for what may have become of its output.
    var endingWell: ExitStatus {
        switch state.withLock({ $0.outputError }) {
        case nil: .inSync
        case EPIPE: .brokenPipe
        default: .error
        }
    }

    func cancelOnSignal(_ work: Task<Void, any Error>) {
        let alreadyBroken = state.withLock { state in
            state.cancel = { work.cancel() }
            return state.outputError == EPIPE
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
