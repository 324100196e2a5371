/// Where ssh(1) is to go, and how: everything that becomes its arguments, checked.
public struct SSHDestination: Sendable, Hashable {
    public let host: String
    public let user: String?
    /// nil: what the user's configuration says.
    public let port: UInt16?
    /// `-o`: options of ssh_config(5), as `Key=value`.
    public var options: [String] = []
    /// `-i`: a private key.
    public var identity: String?
    /// Take the key of a host that is not known yet; a changed one is refused all the same.
    public var acceptsNewHostKey = false
    /// Whether somebody is there to answer ssh's questions.
    public var isInteractive = false
    /// Put AES-GCM before OpenSSH's other ciphers: a third faster where the processor has AES.
    /// It overrides `Ciphers` of the user's configuration, and an option of that name overrides it.
    public var prefersFastCipher = true
    /// Options of the user's configuration that would leave us without the server's answers, undone.
    var corrections: [String] = []
    /// nil: what the user's configuration says.
    var sharing: ConnectionSharing.Role?

    /// - Throws: `invalidArgument` for a host or user that could be taken for an option or a
    ///   command (CVE-2017-1000117): a host is letters, digits, `.`, `-`, `_`, or an IPv6 address; a user
    ///   may have `+`, `@`, and the `\` of a Windows domain besides.
    public init(host: String, user: String? = nil, port: UInt16? = nil) throws(SFTPError) {
        let isIPv6 = host.contains(":")
        let allowed: (UInt8) -> Bool = { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"),
                UInt8(ascii: "_"):
                true
            case UInt8(ascii: ":"), UInt8(ascii: "%"): isIPv6
            default: false
            }
        }
        guard !host.isEmpty, host.utf8.count <= 255, !host.hasPrefix("-"), host.utf8.allSatisfy(allowed)
        else {
            throw SFTPError(.invalidArgument, "“\(host.printableASCII)” is not the name of a host")
        }
        if let user {
            let isName: (UInt8) -> Bool = { byte in
                allowed(byte) && ![UInt8(ascii: ":"), UInt8(ascii: "%")].contains(byte)
                    || [UInt8(ascii: "+"), UInt8(ascii: "@"), UInt8(ascii: "\\")].contains(byte)
            }
            // ssh refuses a backslash at the end, which could hide what follows it from a shell.
            guard !user.isEmpty, user.utf8.count <= 64, !user.hasPrefix("-"), !user.hasSuffix("\\"),
                user.utf8.allSatisfy(isName)
            else {
                throw SFTPError(.invalidArgument, "“\(user.printableASCII)” is not the name of a user")
            }
        }
        self.host = host
        self.user = user
        self.port = port
    }

    /// For messages: `user@host:port`.
    public var description: String {
        (user.map { $0 + "@" } ?? "") + (host.contains(":") ? "[\(host)]" : host)
            + (port.map { ":\($0)" } ?? "")
    }

    /// The arguments of ssh(1) up to and with the host.
    ///
    /// - Parameter asksPassword: an askpass program will answer the password prompt.
    func arguments(asksPassword: Bool) -> [String] {
        var result = ["-x", "-a", "-T"]
        // Of two values for one key ssh takes the first: the user's come before ours.
        for option in corrections + options { result += ["-o", option] }
        var defaults = [
            "ClearAllForwardings=yes", "PermitLocalCommand=no", "ConnectTimeout=30", "ServerAliveInterval=15",
            "ServerAliveCountMax=4", "EscapeChar=none", "RemoteCommand=none",
        ]
        if acceptsNewHostKey {
            defaults.append("StrictHostKeyChecking=accept-new")
        } else if !isInteractive || asksPassword {
            // The question about a new host key comes the same way as that for the password.
            defaults.append("StrictHostKeyChecking=yes")
        }
        if asksPassword {
            defaults.append("NumberOfPasswordPrompts=1")
        } else if !isInteractive {
            defaults.append("BatchMode=yes")
        }
        if prefersFastCipher {
            // “^”: before the default set (ssh_config(5), OpenSSH 8.1 and later).
            defaults.append("Ciphers=^aes128-gcm@openssh.com,aes256-gcm@openssh.com")
        }
        if let sharing { defaults += sharing.options }
        for option in defaults { result += ["-o", option] }
        if let identity { result += ["-i", identity, "-o", "IdentitiesOnly=yes"] }
        if let port { result += ["-p", String(port)] }
        if let user { result += ["-l", user] }
        return result + ["--", host]
    }
}

extension String {
    /// Without what could disturb a terminal.
    var printableASCII: String {
        String(unicodeScalars.map { $0.value >= 0x20 && $0.value < 0x7f ? Character($0) : "?" })
    }
}
