import Glibc
import PlantDBCore
import SyncEngine
import Synchronization

/// Where the command's words go: data to stdout, diagnostics and progress to stderr, and a
/// copy of both to the log file where there is one.
///
/// All calls may come from any thread; lines never mix. A progress bar is erased before any
/// other line and drawn again with the next progress.
final class Console: Sendable {
    enum Progress: Sendable, Hashable {
        case none
        /// One line of a terminal, drawn again and again.
        case bar
        /// A line every five seconds.
        case plainLines
    }

    /// Only errors.
    let isQuiet: Bool
    let isVerbose: Bool
    private let progress: Progress
    private let log: LogFile?
    private let state: Mutex<State>

    private struct State {
        var output = [UInt8]()
        var barIsDrawn = false
        var lastProgress: ContinuousClock.Instant?
        /// Why nothing more can be written: errno(3).
        var outputError: Int32?
        var onOutputError: (@Sendable (Int32) -> Void)?
        var bar = ProgressBar(glyphs: .unicode)
    }

    init(isQuiet: Bool = false, isVerbose: Bool = false, progress: Progress = .none, log: LogFile? = nil) {
        self.isQuiet = isQuiet
        self.isVerbose = isVerbose
        self.progress = progress
        self.log = log
        var state = State()
        if progress == .bar && !Terminal.showsUTF8 { state.bar = ProgressBar(glyphs: .ascii) }
        self.state = Mutex(state)
    }

    /// Called once, when stdout cannot be written, with errno(3): EPIPE where nobody reads it any more.
    func onOutputError(_ body: @escaping @Sendable (Int32) -> Void) {
        state.withLock { $0.onOutputError = body }
    }

    /// A line of data, even when quiet. Held back until ``flush()`` or 32 kB.
    func data(_ line: String, logged: Bool = true) {
        state.withLock { state in
            state.output.append(contentsOf: line.utf8)
            state.output.append(UInt8(ascii: "\n"))
            if state.output.count >= 32_768 { write(&state) }
        }
        if logged { log?.write(line) }
    }

    /// A line for people that `-q` silences.
    func note(_ line: String) {
        log?.write(line)
        if !isQuiet { toStandardError(line) }
    }

    /// A line that always appears.
    func error(_ line: String) {
        log?.write(line)
        toStandardError(line)
    }

    /// A line for the log file alone.
    func logOnly(_ line: String) { log?.write(line) }

    func show(_ value: SyncProgress) {
        show(
            isLast: value.scansFinished >= value.scansPlanned,
            bar: { $0.line(value, columns: Terminal.columns) },
            plain: { ProgressBar.plainLine(value) })
    }

    /// Progress in words, on one line.
    func show(_ words: String) {
        show(isLast: false, bar: { _ in String(words.prefix(Terminal.columns - 1)) }, plain: { words })
    }

    private func show(isLast: Bool, bar: (ProgressBar) -> String, plain: () -> String) {
        guard progress != .none, !isQuiet else { return }
        state.withLock { state in
            let now = ContinuousClock.now
            let interval: Duration = progress == .bar ? .milliseconds(80) : .seconds(5)
            // The first plain line comes after an interval: a short run needs none.
            if state.lastProgress == nil && progress == .plainLines { state.lastProgress = now }
            if let last = state.lastProgress, now - last < interval, !(isLast && progress == .bar) { return }
            state.lastProgress = now
            if progress == .bar {
                // Return to the line's start, draw, and clear what an older, longer line left.
                Descriptor.writeAll("\r\(bar(state.bar))\u{1b}[K", to: STDERR_FILENO)
                state.barIsDrawn = true
            } else {
                let line = plain()
                log?.write(line)
                Descriptor.writeAll(line + "\n", to: STDERR_FILENO)
            }
        }
    }

    /// Writes what is held back, and erases the bar.
    func flush() { state.withLock { write(&$0) } }

    private func toStandardError(_ line: String) {
        state.withLock { state in
            // What was said before comes before.
            write(&state)
            Descriptor.writeAll(line + "\n", to: STDERR_FILENO)
        }
    }

    private func write(_ state: inout State) {
        if state.barIsDrawn {
            Descriptor.writeAll("\r\u{1b}[K", to: STDERR_FILENO)
            state.barIsDrawn = false
        }
        guard !state.output.isEmpty else { return }
        defer { state.output.removeAll(keepingCapacity: true) }
        guard state.outputError == nil else { return }
        if !Descriptor.writeAll(state.output, to: STDOUT_FILENO) {
            let number = errno
            state.outputError = number
            if number != EPIPE {
                let line = Self.lostOutput(number)
                log?.write(line)
                Descriptor.writeAll(line + "\n", to: STDERR_FILENO)
            }
            state.onOutputError?(number)
            state.onOutputError = nil
        }
    }

    static func lostOutput(_ number: Int32) -> String {
        "error: standard output cannot be written, and what it should hold is lost "
            + "(\(String(cString: strerror(number))))"
    }
}

/// write(2) to its end.
enum Descriptor {
    @discardableResult
    static func writeAll(_ text: String, to descriptor: Int32) -> Bool {
        writeAll(Array(text.utf8), to: descriptor)
    }

    /// False where the other end is gone or the disk is full. Blocks.
    static func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        bytes.withUnsafeBytes { buffer in
            var start = 0
            while start < buffer.count {
                let rest = UnsafeRawBufferPointer(rebasing: buffer[start...])
                let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if count > 0 {
                    start += count
                } else if count < 0 && errno == EAGAIN {
                    // A terminal that some program left non-blocking.
                    var poller = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    poll(&poller, 1, -1)
                } else if count < 0 && errno == EINTR {
                    continue
                } else {
                    return false
                }
            }
            return true
        }
    }
}

/// What is known of the terminal.
enum Terminal {
    static var isStandardError: Bool { isatty(STDERR_FILENO) == 1 && environment("TERM") != "dumb" }

    /// Whether somebody can be asked.
    static var isThere: Bool {
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC)
        if terminal >= 0 { close(terminal) }
        return terminal >= 0
    }

    /// As wide as stderr's terminal is now; 80 where it does not say.
    static var columns: Int {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    /// As the locale's variables say, in the order in which the C library reads them.
    static var showsUTF8: Bool {
        for name in ["LC_ALL", "LC_CTYPE", "LANG"] {
            guard let value = environment(name), !value.isEmpty else { continue }
            let lower = value.lowercased()
            return lower.contains("utf-8") || lower.contains("utf8")
        }
        return false
    }

    static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}
