/// Which way the bytes go: the other machine is the source, or the target.
enum Direction: String, CaseIterable {
    case down, up
}

/// The commands that are compared over SSH, for one server and port.
struct SSHToolbox {
    /// What OpenSSH takes when nobody asks for anything else.
    static let defaultCipher = "chacha20-poly1305@openssh.com"
    /// What `plantdb` asks for first, and what everybody gets in the rows of one cipher.
    static let fastCipher = "aes128-gcm@openssh.com"

    let toolbox: Toolbox
    let server: SSHServer
    let port: UInt16

    private static let host = "127.0.0.1"

    /// `ssh` with the server's configuration.
    /// - Parameter cipher: nil: what it would take by itself.
    private func ssh(cipher: String? = nil) -> [String] {
        ["ssh", "-F", server.configuration, "-p", "\(port)"] + (cipher.map { ["-c", $0] } ?? [])
    }

    private static func suffix(_ cipher: String?) -> String {
        cipher.map { ", " + $0.prefix { $0 != "@" } } ?? ""
    }

    /// As shipped, unless a cipher is named.
    func plantdb(_ direction: Direction, cipher: String? = nil, _ more: String...) -> Contender {
        Contender(
            name: "plantdb sync" + Self.suffix(cipher), isSubject: cipher == nil
        ) { source, target in
            var words = ["sync"]
            for option in server.options { words += ["--ssh-option", option] }
            if let cipher { words += ["--ssh-option", "Ciphers=\(cipher)"] }
            let far = "ssh://\(Self.host):\(port)"
            words += direction == .down ? [far + encoded(source), target] : [source, far + encoded(target)]
            return Command(
                [toolbox.plantdb] + words + more, environment: toolbox.ownPlaces)
        }
    }

    func rsync(_ direction: Direction, cipher: String? = nil) -> Contender {
        Contender(name: "rsync -a -e ssh" + Self.suffix(cipher)) { source, target in
            let far = Self.host + ":"
            // rsync cuts at spaces, and takes quotes.
            let way = ssh(cipher: cipher).map { "'\($0)'" }.joined(separator: " ")
            return Command(
                ["rsync", "-a", "-e", way]
                    + (direction == .down
                        ? [far + source + "/", target + "/"] : [source + "/", far + target + "/"])
            )
        }
    }

    func tar(_ direction: Direction, cipher: String? = nil) -> Contender {
        Contender(name: "tar, piped through ssh" + Self.suffix(cipher)) { source, target in
            let read = "tar -C \(quoted(source)) -cf - ."
            let write = "mkdir -p \(quoted(target)) && tar -C \(quoted(target)) -xf -"
            let way = (ssh(cipher: cipher) + [Self.host]).map(quoted).joined(separator: " ")
            let script =
                direction == .down
                ? "\(way) \(quoted(read)) | ( \(write) )" : "\(read) | \(way) \(quoted(write))"
            return Command(["bash", "-o", "pipefail", "-c", script])
        }
    }

    /// `get -pR` and `put -pR` of OpenSSH's sftp, with as many requests on their way as ours.
    func sftp(_ direction: Direction, cipher: String? = nil) -> Contender {
        Contender(name: "sftp -R 64 -B 262000" + Self.suffix(cipher)) { source, target in
            let verb = direction == .down ? "get" : "put"
            // The target's directory must be there for `put`; it is fine if it is not empty.
            let batch =
                (direction == .up ? "-mkdir \"\(target)\"\n" : "")
                + "\(verb) -pR \"\(source)/.\" \"\(target)\"\n"
            let way =
                ["sftp", "-q", "-R", "64", "-B", "262000", "-F", server.configuration, "-P", "\(port)"]
                + (cipher.map { ["-c", $0] } ?? []) + ["-b", "-", Self.host]
            return Command([
                "bash", "-o", "pipefail", "-c",
                "mkdir -p \(quoted(target)) && printf %s \(quoted(batch)) | "
                    + way.map(quoted).joined(separator: " "),
            ])
        }
    }

    /// Without its comparison of checksums, which starts a command over there for each file: a tenth
    /// of a second each, whatever its size.
    func rclone(_ direction: Direction) -> Contender? {
        guard toolbox.isInstalled("rclone") else {
            say("SKIPPED: rclone is not installed")
            return nil
        }
        let environment = [
            "RCLONE_CONFIG": "/dev/null", "RCLONE_SFTP_HOST": Self.host, "RCLONE_SFTP_PORT": "\(port)",
            "RCLONE_SFTP_USER": server.user, "RCLONE_SFTP_KEY_FILE": server.identity,
            "RCLONE_SFTP_KNOWN_HOSTS_FILE": server.knownHosts, "RCLONE_SFTP_DISABLE_HASHCHECK": "true",
        ]
        return Contender(name: "rclone sync --sftp-disable-hashcheck", isSlow: true) { source, target in
            let words = direction == .down ? [":sftp:" + source, target] : [source, ":sftp:" + target]
            return Command(["rclone", "sync"] + words, environment: environment)
        }
    }

    /// The limit: as many bytes in one file, and nothing done with them.
    func cat(_ file: String, cipher: String) -> Contender {
        Contender(name: "ssh cat of one file, as many bytes" + Self.suffix(cipher)) { _, _ in
            let way = (ssh(cipher: cipher) + [Self.host]).map(quoted).joined(separator: " ")
            return Command(["sh", "-c", "\(way) \(quoted("cat " + quoted(file))) >/dev/null"])
        }
    }
}

/// For a shell.
private func quoted(_ word: String) -> String {
    "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
}

/// For a location (RFC 3986, section 2.1).
private func encoded(_ path: String) -> String {
    var result = ""
    for byte in path.utf8 {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "."), UInt8(ascii: "-"),
            UInt8(ascii: "_"):
            result.append(Character(Unicode.Scalar(byte)))
        default:
            let digits = String(byte, radix: 16)
            result += "%" + (digits.count == 1 ? "0" : "") + digits
        }
    }
    return result
}
