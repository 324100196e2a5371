import Testing

@testable import SFTPClient

/// What is made of what ssh says, and of what the server's banner says among it.
@Suite struct OpenSSHFailureTests {
    @Test(
        "Words of ssh have a meaning",
        arguments: [
            ("ada@lab: Permission denied (publickey,password).", SFTPError.Code.authentication),
            ("LAB\\ada@lab.example.org: Permission denied (gssapi-with-mic).", .authentication),
            (
                "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures",
                .authentication
            ),
            ("Host key verification failed.", .hostKey),
            ("command-line: line 0: Bad configuration option: nosuchoption", .invalidArgument),
            ("command-line line 0: Bad SSH2 cipher spec 'x'.", .invalidArgument),
            ("/home/ada/.ssh/config: line 3: Bad configuration option: x", .invalidArgument),
            ("ssh: connect to host lab port 22: Connection refused", .unreachable),
            ("ssh: Could not resolve hostname lab: Name or service not known", .unreachable),
            ("client_loop: send disconnect: Broken pipe", .connectionLost),
            ("Timeout, server lab not responding.", .connectionLost),
            ("Connection to lab closed by remote host.", .connectionLost),
            ("subsystem request failed on channel 0", .noSubsystem),
        ])
    func meanings(_ line: String, _ code: SFTPError.Code) {
        let error = OpenSSHFailure.error(of: .code(255), saying: "Welcome!\r\n\(line)\r\n")
        #expect(
            error?.code == code && error?.said?.contains(line.suffix(20)) == true,
            "\(String(describing: error))")
    }

    @Test(
        "A banner is no complaint, whatever it says",
        arguments: [
            "Permission denied to all but members of the institute.",
            "ada: Permission denied (see the rules)",
            "Use of command-line tools on this system is logged.", "Connection refused to strangers",
            "Sessions that have timed out are closed. Broken pipe organs are in room 4.",
            "Could not resolve hostname? Ask us.", "REMOTE HOST IDENTIFICATION HAS CHANGED in May.",
            "Rule on line 7: no games", "Bad owner or permissions are reported.",
        ])
    func banners(_ banner: String) {
        #expect(OpenSSHFailure.error(of: .code(0), saying: banner + "\n") == nil)
        let failed = OpenSSHFailure.error(
            of: .code(255), saying: "\(banner)\nssh: connect to host lab port 22: No route to host\n")
        #expect(failed?.code == .unreachable && failed?.message.contains("no network") == true)
        let lost = OpenSSHFailure.error(
            of: .code(255), saying: "\(banner)\nclient_loop: send disconnect: Broken pipe\n")
        #expect(lost?.code == .connectionLost)
    }

    @Test("What ssh says is quoted once")
    func quotes() {
        let error = OpenSSHFailure.error(
            of: .code(255), saying: "ssh: connect to host lab port 22: Connection refused\n")
        #expect(error?.said == "ssh: connect to host lab port 22: Connection refused")
        #expect(error?.message.contains("lab") == false)
    }
}
