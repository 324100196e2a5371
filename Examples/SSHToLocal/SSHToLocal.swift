import PlantDBSync

/// From another machine, with a password read from standard input.
/// usage: SSHToLocal ssh://HOST/PATH TARGET HOST USER [SSH-OPTION...]
@main struct SSHToLocal {
    static func main() async throws {
        let arguments = CommandLine.arguments
        let (source, target, host, user) = (arguments[1], arguments[2], arguments[3], arguments[4])
        let password = readLine()
        var access = RemoteAccess()
        access.sshOptions = Array(arguments[5...])
        // example:begin
        let sync = FSDBSync(.location(source), .location(target), sourceAccess: access)
        try sync.setSSHCredentials(host: host, username: user, password: password)
        let report = try await sync.sync()
        print("\(report.scansPublished) scans from \(sync.sourceDescription)")
        // example:end
    }
}
