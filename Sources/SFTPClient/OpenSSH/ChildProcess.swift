import CPlatform
import Glibc
import Synchronization

/// A child process with pipes for its input and output, and what it says on stderr kept.
///
/// Unless it may ask at the terminal, it gets a process group of its own, so that a Ctrl-C ends
/// this process in order, and not the child under it.
final class ChildProcess: Sendable {
    /// To write to.
    let input: CInt
    /// To read from.
    let output: CInt
    let process: pid_t
    /// A file without a name, so that nobody has to read it in time.
    private let errors: CInt
    private let exit = Mutex<Exit?>(nil)

    enum Exit: Sendable, Hashable {
        case code(CInt)
        case signal(CInt)
        /// It did not end by itself, and was told to.
        case stopped
    }

    /// The size of the pipes, in bytes: 64 KiB lose a third of the throughput.
    private static let pipeCapacity: CInt = 1 << 20

    /// - Parameter environment: added to that of this process.
    /// - Throws: `local` if there is no such program, or no process can be made.
    init(
        _ program: String, _ arguments: [String], environment: [String: String] = [:], usesTerminal: Bool
    ) throws(SFTPError) {
        var toChild: [CInt] = [-1, -1]
        var fromChild: [CInt] = [-1, -1]
        let errors = plantdb_memory_file("ssh-errors")
        guard errors >= 0, plantdb_pipe(&toChild, Self.pipeCapacity) == 0,
            plantdb_pipe(&fromChild, Self.pipeCapacity) == 0
        else {
            let reason = String(cString: strerror(errno))
            for descriptor in [errors] + toChild + fromChild where descriptor >= 0 { close(descriptor) }
            throw SFTPError(.local, "cannot make a pipe for \(program): \(reason)")
        }
        var process: pid_t = 0
        let failure = Self.spawn(
            &process, program, arguments, environment, [toChild[0], fromChild[1], errors],
            usesTerminal: usesTerminal)
        close(toChild[0])
        close(fromChild[1])
        guard failure == 0 else {
            for descriptor in [toChild[1], fromChild[0], errors] { close(descriptor) }
            throw SFTPError(
                .local,
                failure == ENOENT
                    ? "there is no program \(program) here: install it (Debian: openssh-client)"
                    : "cannot start \(program): \(String(cString: strerror(failure)))")
        }
        self.process = process
        self.errors = errors
        input = toChild[1]
        output = fromChild[0]
    }

    private static func spawn(
        _ process: inout pid_t, _ program: String, _ arguments: [String], _ added: [String: String],
        _ descriptors: [CInt], usesTerminal: Bool
    ) -> CInt {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // A descriptor that is duplicated onto another number stays open in the child.
        for (number, descriptor) in descriptors.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, CInt(number))
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // What this process ignores or blocks, the child must not.
        var all = sigset_t()
        sigfillset(&all)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setpgroup(&attributes, 0)
        var flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK
        // A group in the background is stopped when it reads from the terminal.
        if !usesTerminal { flags |= POSIX_SPAWN_SETPGROUP }
        posix_spawnattr_setflags(&attributes, Int16(flags))
        var argv: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment(adding: added).map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        return posix_spawnp(&process, program, &actions, &attributes, &argv, &envp)
    }

    private static func environment(adding added: [String: String]) -> [String] {
        var result: [String] = []
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            let name = text.prefix { $0 != "=" }
            if added[String(name)] == nil { result.append(text) }
            next += 1
        }
        return result + added.map { "\($0)=\($1)" }
    }

    /// The last 4 KiB of what it said on stderr so far.
    var complaints: String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let size = lseek(errors, 0, SEEK_END)
        let count = pread(errors, &buffer, buffer.count, max(0, size - off_t(buffer.count)))
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    }

    /// Tells it to end, unless it has ended and its number may be another's.
    func interrupt() { exit.withLock { if $0 == nil { kill(process, SIGTERM) } } }

    /// Waits for its end: politely for a second, then it is told to end, then killed. Blocks.
    func end() -> Exit {
        if let exit = exit.withLock({ $0 }) { return exit }
        let own = reap(within: .seconds(1))
        if own == nil, signalled(SIGTERM) == nil { _ = signalled(SIGKILL) }
        let result = own ?? .stopped
        exit.withLock { $0 = result }
        return result
    }

    private func signalled(_ signal: CInt) -> Exit? {
        kill(process, signal)
        return reap(within: .seconds(2))
    }

    /// nil: it still runs.
    private func reap(within limit: Duration) -> Exit? {
        let deadline = ContinuousClock.now + limit
        var status: CInt = 0
        // Most have ended already, or are about to.
        var pause: UInt32 = 100
        repeat {
            let result = waitpid(process, &status, WNOHANG)
            if result == process {
                // WIFEXITED and WEXITSTATUS, macros that Swift does not import.
                return status & 0x7f == 0 ? .code((status >> 8) & 0xff) : .signal(status & 0x7f)
            }
            if result < 0, errno != EINTR { return .code(-1) }
            usleep(pause)
            pause = min(2 * pause, 5000)
        } while ContinuousClock.now < deadline
        return nil
    }

    /// Tells it that no more comes. The number of the descriptor stays taken until ``release()``:
    /// a thread may be about to write to it, and must not hit a file that got the number.
    func closeInput() {
        dup2(output, input)
        _ = fcntl(input, F_SETFD, FD_CLOEXEC)
    }

    /// Closes the descriptors; called once.
    func release() {
        close(input)
        close(output)
        close(errors)
    }
}
