import Glibc
import PlantDBCore
import Synchronization

/// A real OpenSSH server on a free port of the loopback interface, with its own keys and
/// configuration, for as long as the value lives.
///
/// ```swift
/// let server = try SSHServer()
/// // ssh -p \(server.port) -i \(server.identity) -o … 127.0.0.1
/// server.stop()
/// ```
///
/// It runs as the user of the tests and lets that user in with ``identity``. With a password, it
/// lets ``user`` in by that alone: it then runs where /etc/shadow is another file, which only root
/// can arrange (``canTakePasswords``), and which no other process sees.
public final class SSHServer: Sendable {
    public let port: UInt16
    /// Who may log in.
    public let user: String
    /// The private key to log in with.
    public let identity: String
    /// For `-o`: they make ssh use this server's keys and nothing of the user's.
    public let sshOptions: [String]
    private let folder: TemporaryDirectory
    private let process: pid_t
    private let isStopped = Mutex(false)

    public struct Failure: Error, CustomStringConvertible {
        public var description: String
    }

    /// nil: no sshd on this machine.
    private static let daemon = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].first { (path: String) in
        access(path, X_OK) == 0
    }

    public static var isAvailable: Bool { daemon != nil }

    /// - Parameters:
    ///   - sftp: the subsystem; nil: none.
    ///   - isSFTPOnly: no other command is run.
    ///   - configuration: more lines of sshd_config(5).
    ///   - hashedPassword: as crypt(3) has it; nil: no password is taken.
    public init(
        sftp: String? = "internal-sftp", isSFTPOnly: Bool = false, configuration: [String] = [],
        hashedPassword: String? = nil
    ) throws {
        guard let daemon = Self.daemon else { throw Failure(description: "there is no sshd") }
        folder = try TemporaryDirectory()
        let path = folder.path
        port = try Self.freePort()
        identity = path + "/key"
        guard let account = getpwuid(geteuid()) else { throw Failure(description: "this user has no name") }
        user = String(cString: account.pointee.pw_name)
        // What sshd separates privileges into, as root.
        if geteuid() == 0 { mkdir("/run/sshd", 0o755) }
        mkdir(path + "/home", 0o700)
        for key in ["hostkey", "key"] {
            try Self.run(["/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "\(path)/\(key)"])
        }
        var lines = [
            "Port \(port)", "ListenAddress 127.0.0.1", "HostKey \(path)/hostkey",
            "AuthorizedKeysFile \(path)/key.pub", "StrictModes no", "UsePAM no", "PidFile none",
            "PasswordAuthentication \(hashedPassword == nil ? "no" : "yes")",
            "KbdInteractiveAuthentication no", "PermitRootLogin yes", "MaxStartups 100",
            "MaxSessions 100",
        ]
        if let sftp { lines.append("Subsystem sftp \(sftp)") }
        if isSFTPOnly { lines.append("ForceCommand internal-sftp") }
        lines += configuration
        // No start-up files for the account's shell: they may take longer than a test. The first SetEnv counts.
        lines.append("SetEnv HOME=\(path)/home")
        try writeFile(path + "/config", Array(lines.joined(separator: "\n").utf8) + [10])
        let key = try String(decoding: bytesOnDisk(path + "/hostkey.pub"), as: UTF8.self)
        try writeFile(path + "/known", Array("[127.0.0.1]:\(port) \(key)".utf8))
        sshOptions = [
            "UserKnownHostsFile=\(path)/known", "GlobalKnownHostsFile=/dev/null", "IdentityAgent=none",
            "IdentitiesOnly=yes", "UpdateHostKeys=no",
            // The default takes a hundred milliseconds more of each of many connections.
            "KexAlgorithms=curve25519-sha256",
        ]
        var command = [daemon, "-D", "-e", "-f", path + "/config"]
        if let hashedPassword {
            try writeFile(path + "/shadow", Array("\(user):\(hashedPassword):19000:0:99999:7:::\n".utf8))
            command =
                Self.privately(#"mount --bind "$1" /etc/shadow && shift && exec "$@""#) + [path + "/shadow"]
                + command
        }
        process = try Self.spawn(command, log: path + "/log")
        do { try waitUntilItAnswers() } catch {
            stop()
            throw error
        }
    }

    deinit { stop() }

    /// What sshd said.
    public var logText: String {
        get throws { try String(decoding: bytesOnDisk(folder.appending("log")), as: UTF8.self) }
    }

    /// Whether a server with a password can be had here.
    public static let canTakePasswords: Bool = {
        guard isAvailable, geteuid() == 0 else { return false }
        // What fails here fails for want of rights, and the answer is no.
        do { try run(privately("mount --bind /dev/null /etc/shadow")) } catch { return false }
        return true
    }()

    /// A shell with mounts of its own.
    private static func privately(_ script: String) -> [String] {
        ["/usr/bin/unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh"]
    }

    /// Ends the server; connections that are open stay. Idempotent.
    public func stop() {
        let isFirst = isStopped.withLock { isStopped in
            defer { isStopped = true }
            return !isStopped
        }
        // Its number may be another process's by now.
        guard isFirst else { return }
        kill(process, SIGTERM)
        var status: CInt = 0
        waitpid(process, &status, 0)
    }

    private func waitUntilItAnswers() throws {
        for _ in 0..<500 {
            let connection = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
            defer { close(connection) }
            if Self.withLoopback(port, { connect(connection, $0, $1) }) == 0 { return }
            var status: CInt = 0
            if waitpid(process, &status, WNOHANG) == process {
                isStopped.withLock { $0 = true }
                break
            }
            usleep(10_000)
        }
        throw Failure(description: "sshd does not answer: \(try logText)")
    }

    /// Free a moment ago.
    public static func freePort() throws -> UInt16 {
        let probe = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(probe) }
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        guard withLoopback(0, { bind(probe, $0, $1) }) == 0,
            withUnsafeMutablePointer(
                to: &address,
                { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        getsockname(probe, $0, &size)
                    }
                }) == 0
        else { throw Failure(description: "no free port") }
        return UInt16(bigEndian: address.sin_port)
    }

    private static func withLoopback<Value>(
        _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value
    )
        -> Value
    {
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

    private static func run(_ arguments: [String]) throws {
        let process = try spawn(arguments, log: "/dev/null")
        var status: CInt = 0
        guard waitpid(process, &status, 0) == process, status == 0 else {
            throw Failure(description: "\(arguments[0]) ended with \(status)")
        }
    }

    private static func spawn(_ arguments: [String], log: String) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for pointer in argv { free(pointer) } }
        var process: pid_t = 0
        let failure = posix_spawn(&process, arguments[0], &actions, nil, &argv, environ)
        guard failure == 0 else {
            throw Failure(description: "cannot start \(arguments[0]): \(String(cString: strerror(failure)))")
        }
        return process
    }
}
