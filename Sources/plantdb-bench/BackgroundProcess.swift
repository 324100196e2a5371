import Glibc

/// A program that goes on beside the measured ones, until this value goes or this program ends.
final class BackgroundProcess {
    private let process: pid_t
    private let log: String
    private var hasEnded = false

    /// Starts it with nothing on standard input and both outputs appended to `log`.
    ///
    /// Where there is setpriv(1), the kernel ends it with this program, however that ends.
    ///
    /// - Parameter words: the program by an absolute path, as sshd demands, and its arguments.
    init(_ words: [String], log: String) throws(BenchError) {
        self.log = log
        var actions = posix_spawn_file_actions_t()
        guard posix_spawn_file_actions_init(&actions) == 0 else {
            throw BenchError("cannot prepare to run \(words[0])")
        }
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        let guardian = "/usr/bin/setpriv"
        let whole = (access(guardian, X_OK) == 0 ? [guardian, "--pdeathsig", "TERM", "--"] : []) + words
        let arguments = CStrings(whole)
        var child: pid_t = 0
        let failure = posix_spawn(&child, whole[0], &actions, nil, arguments.pointers, environ)
        guard failure == 0 else { throw BenchError(errno: failure, "cannot run \(words[0])") }
        process = child
    }

    deinit { stop() }

    /// Ends it and waits. Idempotent.
    func stop() {
        guard !hasEnded else { return }
        hasEnded = true
        kill(process, SIGTERM)
        var status: CInt = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    }

    /// Of its resident memory, as proc(5) tells; nil: it has ended.
    var peakMemoryBytes: Int64? {
        do {
            let line = try readText("/proc/\(process)/status").split(separator: "\n")
                .first { $0.hasPrefix("VmHWM:") }
            return line?.split(separator: " ").dropFirst().first.flatMap { Int64($0) }.map { $0 * 1024 }
        } catch { return nil }
    }

    /// Waits until something listens on the port.
    func waitForPort(_ port: UInt16) throws(BenchError) {
        for _ in 0..<1000 {
            let connection = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
            defer { close(connection) }
            if Loopback.with(port, { connect(connection, $0, $1) }) == 0 { return }
            var status: CInt = 0
            if waitpid(process, &status, WNOHANG) == process {
                hasEnded = true
                break
            }
            usleep(10_000)
        }
        let said = try readText(log)
        throw BenchError("nothing answers on port \(port): \(said.suffix(400))")
    }
}

/// 127.0.0.1.
enum Loopback {
    static func with<Value>(_ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value) -> Value {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    /// One that nobody listens on; somebody may be faster, and then the server will not start.
    static func freePort() throws(BenchError) -> UInt16 {
        let probe = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard probe >= 0 else { throw BenchError(errno: errno, "cannot make a socket") }
        defer { close(probe) }
        guard with(0, { bind(probe, $0, $1) }) == 0 else { throw BenchError(errno: errno, "cannot bind") }
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let failure = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(probe, $0, &size) }
        }
        guard failure == 0 else { throw BenchError(errno: errno, "cannot find a free port") }
        return UInt16(bigEndian: address.sin_port)
    }
}
