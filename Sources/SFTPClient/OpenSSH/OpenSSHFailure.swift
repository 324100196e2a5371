/// What ssh(1) means by how it ended and what it said.
enum OpenSSHFailure {
    private struct Meaning: Sendable {
        /// Whether a line of stderr is the one with this meaning. A banner of the server comes the same way,
        /// and may use any words; so the line must have the shape that ssh gives it.
        var isSaid: @Sendable (_ line: Substring) -> Bool
        var code: SFTPError.Code
        var advice: String

        init(_ isSaid: @escaping @Sendable (Substring) -> Bool, _ code: SFTPError.Code, _ advice: String) {
            (self.isSaid, self.code, self.advice) = (isSaid, code, advice)
        }
    }

    private static func line(_ start: String, _ rest: String = "") -> @Sendable (Substring) -> Bool {
        { $0.hasPrefix(start) && $0.dropFirst(start.count).contains(rest) }
    }

    /// `‹file› line 3: …`, `command-line: line 0: …`.
    private static func configuration(_ rest: String) -> @Sendable (Substring) -> Bool {
        { line in
            guard line.hasPrefix("command-line") || line.hasPrefix("/"),
                let place = line.firstRange(of: " line ")
            else { return false }
            let after = line[place.upperBound...].drop(while: \.isNumber)
            return after.hasPrefix(": ") && after.contains(rest)
        }
    }

    /// What ssh says where its exit status (255 for every failure of its own) says nothing, and
    /// what to do about it: of several, the first of this table counts. The texts are those of OpenSSH 8 to 10.
    private static let meanings = [
        Meaning(
            { $0.hasPrefix("@") && $0.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") }, .hostKey,
            "its host key is not the known one: find out why before anything else; once it is right, "
                + "remove the old key with ssh-keygen -R"),
        Meaning(
            {
                $0.hasPrefix("Host key verification failed")
                    || $0.hasPrefix("No ") && $0.contains(" host key is known for ")
            },
            .hostKey,
            "its host key is not known: compare it and log in once with ssh, or use --accept-new-host-key"),
        Meaning(
            line("Unable to negotiate with ", "no matching host key"), .hostKey,
            "no host key type is common to both sides"),
        Meaning(
            line("Unable to negotiate with "), .unsupported, "no method of encryption is common to both sides"
        ),
        Meaning(
            line("Received disconnect from ", "Too many authentication failures"), .authentication,
            "it was offered too many keys: name one with --identity"),
        Meaning(
            // “‹user›@‹host›: Permission denied (publickey,password).”
            { line in
                guard let words = line.firstRange(of: ": Permission denied (") else { return false }
                return line.hasSuffix(").") && line[..<words.lowerBound].contains("@")
                    && !line[..<words.lowerBound].contains(" ")
            }, .authentication,
            "no key and no password was accepted: check the user name, the key (--identity), the agent, or the password"
        ),
        Meaning(
            line("Bad owner or permissions on "), .local, "ssh refuses its own configuration or key"),
        Meaning(configuration("Bad configuration option"), .invalidArgument, "ssh does not know the option"),
        Meaning(
            configuration("Bad SSH2 cipher spec"), .invalidArgument,
            "ssh does not know the ciphers asked for"),
        Meaning(configuration(""), .invalidArgument, "ssh does not understand an option"),
        Meaning(
            line("Cannot execute command-line and remote command"), .invalidArgument,
            "ssh is configured to run a command of its own there (RemoteCommand)"),
        Meaning(line("ssh: Could not resolve hostname "), .unreachable, "there is no host of that name"),
        Meaning(
            line("ssh: connect to host ", "Connection refused"), .unreachable,
            "nobody listens there: is its ssh server running, is the port right?"),
        Meaning(line("ssh: connect to host ", "No route to host"), .unreachable, "no network leads there"),
        Meaning(
            line("ssh: connect to host ", "Network is unreachable"), .unreachable, "no network leads there"),
        Meaning(line("ssh: connect to host "), .unreachable, "it does not answer"),
        Meaning(line("Connection timed out during banner exchange"), .unreachable, "it does not answer"),
        Meaning(
            line("subsystem request failed on channel "), .noSubsystem,
            "its ssh server offers no SFTP (Subsystem sftp in sshd_config)"),
        Meaning(line("Timeout, server ", " not responding"), .connectionLost, "it stopped answering"),
        Meaning(line("client_loop: "), .connectionLost, "the connection broke"),
        Meaning(line("packet_write_wait: "), .connectionLost, "the connection broke"),
        Meaning(line("Write failed: "), .connectionLost, "the connection broke"),
        Meaning(line("Read from remote host "), .connectionLost, "the connection broke"),
        Meaning(line("kex_exchange_identification: "), .connectionLost, "it closed the connection"),
        Meaning(line("ssh_exchange_identification: "), .connectionLost, "it closed the connection"),
        Meaning(line("ssh_dispatch_run_fatal: "), .connectionLost, "the connection broke"),
        Meaning(line("Connection closed by ", " port "), .connectionLost, "it closed the connection"),
        Meaning(line("Connection closed by remote host"), .connectionLost, "it closed the connection"),
        Meaning(line("Connection reset by ", " port "), .connectionLost, "the connection was reset"),
        Meaning(line("Connection to ", " closed"), .connectionLost, "the connection ended"),
        Meaning(line("Connection to ", " timed out"), .unreachable, "it does not answer"),
    ]

    /// nil: ssh has nothing to say.
    static func error(of exit: ChildProcess.Exit, saying complaints: String) -> SFTPError? {
        let lines = complaints.split(whereSeparator: \.isNewline)
        for meaning in meanings {
            // What came last is what ended it.
            guard let line = lines.last(where: meaning.isSaid) else { continue }
            return SFTPError(meaning.code, meaning.advice, said: quoted(line))
        }
        let said = lines.last.map(quoted)
        switch exit {
        case .code(0), .stopped: return nil
        case .code(255): return SFTPError(.unreachable, "ssh failed", said: said)
        case .code(let code):
            return SFTPError(.connectionLost, "the server ended with status \(code)", said: said)
        case .signal(let signal):
            return SFTPError(.connectionLost, "ssh was ended by signal \(signal)", said: said)
        }
    }

    /// A line of ssh, for those who know ssh.
    private static func quoted(_ line: Substring) -> String {
        let name = "ssh: "
        return name
            + String((line.hasPrefix(name) ? line.dropFirst(name.count) : line).prefix(200)).printableASCII
    }
}
