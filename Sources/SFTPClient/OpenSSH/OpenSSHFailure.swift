/// What ssh(1) means by how it ended and what it said.
enum OpenSSHFailure {
    /// What ssh says where its exit status (255 for every failure of its own) says nothing, and
    /// what to do about it. The texts are those of OpenSSH 7 to 10.
    private static let meanings: [(text: String, code: SFTPError.Code, advice: String)] = [
        (
            "REMOTE HOST IDENTIFICATION HAS CHANGED", .hostKey,
            "its host key is not the known one: find out why before anything else; once it is right, "
                + "remove the old key with ssh-keygen -R"
        ),
        (
            "Host key verification failed", .hostKey,
            "its host key is not known: compare it and log in once with ssh, or use --accept-new-host-key"
        ),
        ("No matching host key", .hostKey, "no host key type is common to both sides"),
        (
            "Too many authentication failures", .authentication,
            "it was offered too many keys: name one with --identity"
        ),
        (
            "Permission denied", .authentication,
            "no key and no password was accepted: check the user name, the key (--identity), the agent, or the password"
        ),
        ("Bad owner or permissions", .local, "ssh refuses its own configuration or key"),
        ("Bad configuration option", .invalidArgument, "ssh does not know the option"),
        ("Bad SSH2 cipher spec", .invalidArgument, "ssh does not know the ciphers asked for"),
        ("command-line", .invalidArgument, "ssh does not understand an option"),
        ("Could not resolve hostname", .unreachable, "there is no host of that name"),
        (
            "Connection refused", .unreachable,
            "nobody listens there: is its ssh server running, is the port right?"
        ),
        ("Connection timed out", .unreachable, "it does not answer"),
        ("timed out", .unreachable, "it does not answer"),
        ("No route to host", .unreachable, "no network leads there"),
        ("Network is unreachable", .unreachable, "no network leads there"),
        (
            "subsystem request failed", .noSubsystem,
            "its ssh server offers no SFTP (Subsystem sftp in sshd_config)"
        ),
        ("Connection closed by", .connectionLost, "it closed the connection"),
        ("Connection reset by", .connectionLost, "the connection was reset"),
        ("Broken pipe", .connectionLost, "the connection broke"),
        ("not responding", .connectionLost, "it stopped answering"),
        ("client_loop", .connectionLost, "the connection broke"),
        ("Connection to", .connectionLost, "the connection ended"),
    ]

    /// nil: ssh has nothing to say.
    static func error(of exit: ChildProcess.Exit, saying complaints: String, _ destination: SSHDestination)
        -> SFTPError?
    {
        for meaning in meanings where complaints.contains(meaning.text) {
            return SFTPError(
                meaning.code,
                "\(destination.description): \(meaning.advice)\(quoted(complaints, meaning.text))")
        }
        let said = quoted(complaints, nil)
        switch exit {
        case .code(0), .stopped: return nil
        case .code(255): return SFTPError(.unreachable, "\(destination.description): ssh failed\(said)")
        case .code(let code):
            return SFTPError(
                .connectionLost, "\(destination.description): the server ended with status \(code)\(said)")
        case .signal(let signal):
            return SFTPError(
                .connectionLost, "\(destination.description): ssh was ended by signal \(signal)\(said)")
        }
    }

    /// The line of ssh that says it, for those who know ssh.
    private static func quoted(_ complaints: String, _ text: String?) -> String {
        let lines = complaints.split(whereSeparator: \.isNewline)
        let line = text.flatMap { text in lines.first { $0.contains(text) } } ?? lines.last
        guard let line else { return "" }
        return " (ssh: \(String(line.prefix(200)).printableASCII))"
    }
}
