import Foundation
import Glibc
import Synchronization

/// A program that a test runs: its answers by line, its end, and its input, which the test
/// ends when it has seen enough.
///
/// Input and output are one socket, whose ends no other child inherits. Waiting is done on
/// threads of its own, so that tests beside it go on.
final class ChildProcess: Sendable {
    struct Ended: Sendable {
        /// The exit status, or 128 and the signal's number.
        var status: Int32
        /// What was written after the last line that was asked for.
        var output: String
        var errors: String
    }

    private let name: String
    private let processID: pid_t
    private let socket: CInt
    private let errorFile: String
    private let unread = Mutex<[UInt8]>([])
    private let isReaped = Mutex(false)

    /// - Parameters:
    ///   - environment: added to that of the tests.
    ///   - folder: for what it writes to its error output, and for its temporary files.
    ///   - seconds: when it is killed.
    init(
        _ program: String, _ arguments: [String], environment: [String: String] = [:], folder: String,
        seconds: Int = 120
    ) throws {
        name = ([program] + arguments).joined(separator: " ")
        var ends: [CInt] = [-1, -1]
        let type = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw failure("make a socket for", name) }
        defer { close(ends[1]) }
        socket = ends[0]
        errorFile = "\(folder)/stderr-\(UUID().uuidString)"

        var values = ProcessInfo.processInfo.environment
        for name in values.keys where name.hasPrefix("PLANTDB_") { values[name] = nil }
        values["TMPDIR"] = folder
        values["XDG_CACHE_HOME"] = folder + "/cache"
        values["XDG_STATE_HOME"] = folder + "/state"
        values["PYTHONDONTWRITEBYTECODE"] = "1"
        values.merge(environment) { _, new in new }

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        posix_spawn_file_actions_addopen(&actions, 2, errorFile, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        var argv = ([program] + arguments).map { strdup($0) } + [nil]
        var envp = values.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in argv + envp { free(text) } }
        var id: pid_t = 0
        let result = posix_spawnp(&id, program, &actions, nil, &argv, &envp)
        guard result == 0 else {
            close(socket)
            errno = result
            throw failure("run", name)
        }
        processID = id
        DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(seconds)) { [weak self] in
            self?.kill()
        }
    }

    deinit {
        kill()
        if !isReaped.withLock({ $0 }) { _ = reap() }
        close(socket)
    }

    /// Runs a program to its end.
    static func run(
        _ program: String, _ arguments: [String], environment: [String: String] = [:], folder: String,
        seconds: Int = 120
    ) async throws -> Ended {
        let child = try ChildProcess(
            program, arguments, environment: environment, folder: folder, seconds: seconds)
        return await child.end()
    }

    /// The next line that it writes; nil at the end of its output.
    func line() async -> String? {
        await onThread { self.readLine() }
    }

    /// Ends its input and waits for its end.
    func end() async -> Ended {
        shutdown(socket, CInt(SHUT_WR))
        return await onThread {
            while self.receive() {}
            let output = self.unread.withLock { bytes in
                defer { bytes = [] }
                return String(decoding: bytes, as: UTF8.self)
            }
            let status = self.reap()
            let errors = FileManager.default.contents(atPath: self.errorFile) ?? Data()
            return Ended(status: status, output: output, errors: String(decoding: errors, as: UTF8.self))
        }
    }

    private func kill() {
        // Under the lock, so that the number is still that of the child.
        isReaped.withLock { if !$0 { _ = Glibc.kill(processID, SIGKILL) } }
    }

    private func reap() -> Int32 {
        // Left a zombie until the lock is held, so that kill() never hits another process.
        var information = siginfo_t()
        while waitid(P_PID, id_t(processID), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        return isReaped.withLock { isReaped in
            isReaped = true
            var status: CInt = 0
            while waitpid(processID, &status, 0) < 0, errno == EINTR {}
            return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
        }
    }

    private func readLine() -> String? {
        while true {
            let line: String? = unread.withLock { bytes in
                guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
                defer { bytes.removeSubrange(...end) }
                return String(decoding: bytes[..<end], as: UTF8.self)
            }
            if let line { return line }
            guard receive() else { return nil }
        }
    }

    /// False at the end of its output.
    private func receive() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(socket, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            unread.withLock { $0.append(contentsOf: buffer[..<count]) }
            return true
        }
    }
}

/// Runs blocking work on a thread that no task needs.
func onThread<Result: Sendable>(_ work: @escaping @Sendable () -> Result) async -> Result {
    await withCheckedContinuation { continuation in
        Thread.detachNewThread { continuation.resume(returning: work()) }
    }
}

/// A test's own tools do not work.
struct ToolFailure: Error, CustomStringConvertible {
    var description: String
}

func failure(_ action: String, _ what: String) -> ToolFailure {
    ToolFailure(description: "cannot \(action) \(what): \(String(cString: strerror(errno)))")
}
