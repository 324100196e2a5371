import CPlatform
import Glibc
import Synchronization

/// Answers ssh's password prompt, so that the password stands in no argument list and in no
/// environment.
///
/// ssh starts the program named by `SSH_ASKPASS` with its prompt; that program is this one
/// again (``AskpassHelper``), which asks here, over a Unix socket in a private directory. Only
/// processes of the same user are answered, only those that an ssh of ours has started itself,
/// and only the prompt for a password: the question about a new host key comes the same way, and
/// so does that of a jump host (another ssh, under ours) for its own.
public final class AskpassServer: Sendable {
    private let directory: String
    private let listener: CInt
    private let program: String
    private let admitted = Admitted()

    /// The processes whose children are answered.
    private final class Admitted: Sendable {
        private let processes = Mutex<Set<pid_t>>([])

        func insert(_ process: pid_t) { _ = processes.withLock { $0.insert(process) } }

        /// Waits a moment: an ssh asks its first question before its start was told here, if it
        /// is very quick.
        func holds(parentOf process: pid_t) -> Bool {
            guard let parent = Self.parent(of: process) else { return false }
            for _ in 0..<100 {
                if processes.withLock({ $0.contains(parent) }) { return true }
                usleep(10_000)
            }
            return false
        }

        /// proc_pid_stat(5), field 4.
        private static func parent(of process: pid_t) -> pid_t? {
            let descriptor = Glibc.open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { return nil }
            defer { close(descriptor) }
            var buffer = [UInt8](repeating: 0, count: 1024)
            let line = String(
                decoding: buffer[..<max(0, read(descriptor, &buffer, buffer.count))], as: UTF8.self)
            // The name before it may hold anything.
            guard let name = line.lastIndex(of: ")") else { return nil }
            let fields = line[line.index(after: name)...].split(separator: " ")
            return fields.count > 1 ? pid_t(fields[1]) : nil
        }
    }

    /// Answers what this process asks through children of its own.
    func admit(_ process: pid_t) { admitted.insert(process) }

    /// - Parameter program: the executable that calls ``AskpassHelper/run(prompt:)`` when
    ///   `PLANTDB_ASKPASS` is set.
    /// - Throws: `local`.
    public init(_ secret: Secret, program: String) throws(SFTPError) {
        var template = Array("/tmp/plantdb-askpass-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Self.failure("make a private directory in /tmp") }
        directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        self.program = program
        let listener = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        self.listener = listener
        let address = UnixAddress(directory + "/s")
        guard listener >= 0, address.with({ bind(listener, $0, $1) == 0 }), listen(listener, 8) == 0 else {
            // The directory goes with this value.
            throw Self.failure("listen on a socket in \(directory)")
        }
        Blocking.start { [admitted] in Self.serve(listener, secret, admitted) }
    }

    deinit {
        // Ends the thread that accepts.
        shutdown(listener, CInt(SHUT_RDWR))
        unlink(directory + "/s")
        rmdir(directory)
    }

    var environment: [String: String] {
        [
            "SSH_ASKPASS": program, "SSH_ASKPASS_REQUIRE": "force", "PLANTDB_ASKPASS": directory + "/s",
            // Before OpenSSH 8.4 only this makes it ask.
            "DISPLAY": ":0",
        ]
    }

    private static func serve(_ listener: CInt, _ secret: Secret, _ admitted: Admitted) {
        defer { close(listener) }
        while true {
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else {
                if errno == EINTR || errno == ECONNABORTED { continue }
                return
            }
            answer(connection, secret, admitted)
            // A child that was started just now may hold the descriptor as well.
            shutdown(connection, CInt(SHUT_RDWR))
            close(connection)
        }
    }

    private static func answer(_ connection: CInt, _ secret: Secret, _ admitted: Admitted) {
        guard plantdb_peer_user(connection) == Int64(getuid()),
            admitted.holds(parentOf: pid_t(plantdb_peer_process(connection)))
        else { return }
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var prompt = [UInt8](repeating: 0, count: 1024)
        let count = recv(connection, &prompt, prompt.count, 0)
        let text = String(decoding: prompt.prefix(max(0, count)), as: UTF8.self).lowercased()
        guard text.contains("password"), !text.contains("yes/no"), !text.contains("passphrase") else {
            return
        }
        secret.bytes.withUnsafeBytes {
            _ = send(connection, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
        }
    }

    private static func failure(_ what: String) -> SFTPError {
        SFTPError(.local, "cannot \(what): \(String(cString: strerror(errno)))")
    }
}

/// The other end: this program, started by ssh to ask for the password.
public enum AskpassHelper {
    /// Whether this process was started by ssh to ask.
    public static var isWanted: Bool { getenv("PLANTDB_ASKPASS") != nil }

    /// Prints the answer to ssh's prompt.
    ///
    /// - Returns: the status to exit with: 0, or 1 where there is no answer.
    public static func run(prompt: String) -> CInt {
        guard let path = getenv("PLANTDB_ASKPASS") else { return 1 }
        let connection = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        defer { close(connection) }
        let address = UnixAddress(String(cString: path))
        guard address.with({ connect(connection, $0, $1) == 0 }) else { return 1 }
        let question = Array(prompt.utf8.prefix(1000))
        guard send(connection, question, question.count, CInt(MSG_NOSIGNAL)) == question.count else {
            return 1
        }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1024)
        while true {
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            answer += buffer[..<count]
        }
        guard !answer.isEmpty else { return 1 }
        answer.append(UInt8(ascii: "\n"))
        return write(STDOUT_FILENO, answer, answer.count) == answer.count ? 0 : 1
    }
}

/// The address of a Unix socket. Paths longer than 107 bytes do not fit, and match nothing.
private struct UnixAddress {
    private var address = sockaddr_un()

    init(_ path: String) {
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { field in
            for (index, byte) in path.utf8.prefix(field.count - 1).enumerated() { field[index] = byte }
        }
    }

    func with<Value>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Value) -> Value {
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
