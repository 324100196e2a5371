import Glibc

/// OpenSSH's server on a free port of the loopback interface, with keys and a configuration of
/// its own, for as long as the value lives.
///
/// SFTP is served by the program that Debian configures (`sftp-server`), not by the faster way
/// within sshd: this is what databases are found behind. The account's shell finds no start-up files,
/// so that nobody pays for what this machine's happen to do, once or twice.
final class SSHServer {
    let port: UInt16
    let user: String
    let identity: String
    let knownHosts: String
    /// For `ssh -F`: everything that is needed to log in, and nothing of the user's.
    let configuration: String
    private let folder: String
    private let daemon: BackgroundProcess
    private var relays: [BackgroundProcess] = []

    private static let daemonPath = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].first(where: exists)
    private static let subsystem =
        ["/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/libexec/sftp-server"]
        .first(where: exists) ?? "internal-sftp"

    static var isAvailable: Bool { daemonPath != nil }

    init(in directory: String, log: String) throws(BenchError) {
        guard let program = Self.daemonPath else { throw BenchError("there is no sshd") }
        guard let account = getpwuid(geteuid()) else { throw BenchError("this user has no name") }
        user = String(cString: account.pointee.pw_name)
        folder = directory + "/ssh"
        try removeTree(folder)
        try makeDirectories(folder + "/home")
        // What sshd separates privileges into, as root.
        if geteuid() == 0 { try makeDirectories("/run/sshd") }
        for key in ["hostkey", "key"] {
            let command = Command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "\(folder)/\(key)"])
            guard command.output(log: log) != nil else { throw BenchError("ssh-keygen failed") }
        }
        port = try Loopback.freePort()
        identity = folder + "/key"
        let lines = [
            "Port \(port)", "ListenAddress 127.0.0.1", "HostKey \"\(folder)/hostkey\"",
            "AuthorizedKeysFile \"\(folder)/key.pub\"", "StrictModes no", "UsePAM no", "PidFile none",
            "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin yes",
            "MaxStartups 100", "MaxSessions 100", "Subsystem sftp \(Self.subsystem)",
            "SetEnv HOME=\"\(folder)/home\"",
        ]
        try write(lines.joined(separator: "\n") + "\n", to: folder + "/sshd_config")
        knownHosts = folder + "/known_hosts"
        configuration = folder + "/config"
        daemon = try BackgroundProcess(
            [program, "-D", "-e", "-f", folder + "/sshd_config"], log: folder + "/sshd.log")
        try daemon.waitForPort(port)
        try writeKnownHosts([port])
        try write(
            (["Host *"] + options.map { "    " + $0.replacingFirst("=", by: " ") }).joined(separator: "\n")
                + "\n", to: configuration)
    }

    /// Keys and logs of the last server.
    static func removeFolder(in directory: String) throws(BenchError) { try removeTree(directory + "/ssh") }

    /// A port behind which this server is, so far away.
    func port(delayedBy milliseconds: Int) throws(BenchError) -> UInt16 {
        let far = try Loopback.freePort()
        let relay = try BackgroundProcess(
            DelayRelay.words(from: far, to: port, milliseconds: milliseconds), log: folder + "/relay.log")
        try relay.waitForPort(far)
        relays.append(relay)
        try writeKnownHosts([port, far])
        return far
    }

    /// As `Key=value`, for `-o`.
    var options: [String] {
        [
            "User=\(user)", "IdentityFile=\"\(identity)\"", "UserKnownHostsFile=\"\(knownHosts)\"",
            "GlobalKnownHostsFile=/dev/null", "IdentityAgent=none", "IdentitiesOnly=yes", "UpdateHostKeys=no",
            "StrictHostKeyChecking=yes", "BatchMode=yes",
        ]
    }

    private func writeKnownHosts(_ ports: [UInt16]) throws(BenchError) {
        let key = try readText(folder + "/hostkey.pub")
        try write(ports.map { "[127.0.0.1]:\($0) \(key)" }.joined(), to: knownHosts)
    }
}

extension String {
    fileprivate func replacingFirst(_ old: Character, by new: Character) -> String {
        guard let index = firstIndex(of: old) else { return self }
        return String(self[..<index]) + String(new) + String(self[self.index(after: index)...])
    }
}
