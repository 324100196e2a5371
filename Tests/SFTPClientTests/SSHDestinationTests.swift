import Testing

@testable import SFTPClient

/// S1 and S2: what becomes an argument of ssh(1), and what never does.
@Suite struct SSHDestinationTests {
    @Test(
        "Hosts that could be an option or a command are refused",
        arguments: [
            "", "-oProxyCommand=id", "-", "a b", "a;b", "a|b", "$(id)", "`id`", "a\nb", "a\0b", "a/b", "a'b",
            "a\"b", "a\\b", "a@b", "a%h", "ü", "a&b", "a>b", "a*", "[::1]", "::1;id", "::1 -oX", "a,b", "a#b",
            String(repeating: "a", count: 256),
        ])
    func hosts(_ host: String) {
        #expect(throws: SFTPError.self) { try SSHDestination(host: host) }
    }

    @Test(
        "Users that could be an option or a command are refused",
        arguments: [
            "", "-l", "-oX=y", "a b", "a;b", "$(id)", "a:b", "a/b", "a\n", "a%h", "`a`", "a|b", "LAB\\",
            "a\\$b",
        ])
    func users(_ user: String) {
        #expect(throws: SFTPError.self) { try SSHDestination(host: "host", user: user) }
        #expect(throws: SFTPError.self) { try SSHDestination(host: "::1", user: user) }
    }

    @Test(
        "Names and addresses are taken as they are",
        arguments: ["host", "a-b.example.com", "10.0.0.1", "::1", "fe80::1%eth0", "my_host", "a"])
    func taken(_ host: String) throws {
        let destination = try SSHDestination(host: host, user: "me@corp.com", port: 2222)
        let arguments = destination.arguments(asksPassword: false)
        // Nothing behind the host, and nothing between it and the end of the options.
        #expect(arguments.suffix(2) == ["--", host])
        #expect(arguments.contains("2222") && arguments.contains("me@corp.com"))
        #expect(
            destination.description
                == (host.contains(":") ? "me@corp.com@[\(host)]:2222" : "me@corp.com@\(host):2222")
        )
    }

    @Test("An account of a Windows domain is one word of the command line") func domain() throws {
        let arguments = try SSHDestination(host: "host", user: "LAB\\ada").arguments(asksPassword: false)
        #expect(zip(arguments, arguments.dropFirst()).contains { $0 == "-l" && $1 == "LAB\\ada" })
    }

    private static func options(_ destination: SSHDestination, asksPassword: Bool = false) -> [String] {
        let arguments = destination.arguments(asksPassword: asksPassword)
        return zip(arguments, arguments.dropFirst()).filter { $0.0 == "-o" }.map(\.1)
    }

    @Test("Host keys are checked strictly unless somebody is there to ask") func hostKeys() throws {
        var destination = try SSHDestination(host: "host")
        #expect(Self.options(destination).contains("StrictHostKeyChecking=yes"))
        destination.isInteractive = true
        #expect(!Self.options(destination).contains { $0.hasPrefix("StrictHostKeyChecking") })
        // The question would come to who answers the password prompt.
        #expect(Self.options(destination, asksPassword: true).contains("StrictHostKeyChecking=yes"))
        destination.acceptsNewHostKey = true
        #expect(Self.options(destination).contains("StrictHostKeyChecking=accept-new"))
    }

    @Test("Nothing is forwarded, connections have limits, and nobody is asked in vain") func limits() throws {
        var destination = try SSHDestination(host: "host")
        let arguments = destination.arguments(asksPassword: false)
        #expect(arguments.contains("-x") && arguments.contains("-a") && arguments.contains("-T"))
        let options = Self.options(destination)
        for option in [
            "ClearAllForwardings=yes", "PermitLocalCommand=no", "BatchMode=yes", "RemoteCommand=none",
        ] {
            #expect(options.contains(option))
        }
        for name in ["ConnectTimeout=", "ServerAliveInterval=", "ServerAliveCountMax="] {
            #expect(options.contains { $0.hasPrefix(name) })
        }
        #expect(Self.options(destination, asksPassword: true).contains("NumberOfPasswordPrompts=1"))
        // Of two values ssh takes the first.
        destination.options = ["ConnectTimeout=7"]
        #expect(Self.options(destination).first == "ConnectTimeout=7")
    }
}
