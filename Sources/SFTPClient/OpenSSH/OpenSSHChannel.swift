import Glibc

/// ssh(1) as the way to a server: the user's configuration, keys, agent, jump hosts and known
/// hosts, and OpenSSH's own checks.
public struct OpenSSHChannel: SFTPChannel {
    private let child: ChildProcess
    private let pauses: LoginPauses

    public var input: CInt { child.output }
    public var output: CInt { child.input }

    /// Starts `ssh -s HOST sftp`; logging in goes on while the session greets the server.
    ///
    /// - Parameter askpass: who answers the password prompt; nil: keys, agent, or the terminal.
    /// - Throws: `local` if there is no ssh.
    public static func start(_ destination: SSHDestination, askpass: AskpassServer? = nil) throws(SFTPError)
        -> OpenSSHChannel
    {
        let child = try ChildProcess(
            "ssh",
            ["-s"] + destination.arguments(asksPassword: askpass != nil) + ["sftp"],
            environment: askpass?.environment ?? [:],
            usesTerminal: destination.isInteractive && askpass == nil)
        askpass?.admit(child.process)
        return OpenSSHChannel(child: child, pauses: LoginPauses(of: child.process))
    }

    public func wasGreeted() { pauses.end() }

    public func interrupt() { child.interrupt() }

    public func end() -> SFTPError? {
        pauses.end()
        // The server ends with its input, and ssh with the server.
        child.closeInput()
        return OpenSSHFailure.error(of: child.end(), saying: child.complaints)
    }

    public func release() { child.release() }
}
