import ArgumentParser
import Glibc
import PlantDBClient
import PlantDBCore
import PlantDBSync

/// How locations on other machines are reached.
struct RemoteOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The private key to log in with.", valueName: "file"))
    var identity: String?

    @Option(
        help: ArgumentHelp(
            "An option of ssh_config(5), such as ProxyJump=gate. Repeatable.", valueName: "key=value"),
        transform: { text in
            guard let equals = text.firstIndex(where: { $0 == "=" || $0 == " " }), equals > text.startIndex
            else {
                throw ValidationError("“\(text.printable)” is not of the form Key=value")
            }
            return text
        })
    var sshOption: [String] = []

    @Flag(help: "Take the key of a host that is not known yet. A changed one is refused all the same.")
    var acceptNewHostKey = false

    @Flag(help: "Ask for the password at the terminal, once, for all connections.")
    var askPass = false

    @Option(
        help: ArgumentHelp(
            "The first line of this file is the password; - for standard input.", valueName: "file"))
    var passwordFile: String?

    @Option(
        help: ArgumentHelp(
            "The account to write to a server with; its password as above.", valueName: "name"))
    var user: String?

    @Option(
        help: ArgumentHelp(
            "The first line of this file is the token for an http(s):// location; - for standard input.",
            valueName: "file"))
    var tokenFile: String?

    @Option(
        help: ArgumentHelp(
            "Trust the authorities in this file (PEM) for https://, instead of the system's.",
            valueName: "file"))
    var cacert: String?

    @Flag(help: "Send the token over http:// to another machine, where others can read it on the way.")
    var sendTokenUnencrypted = false

    func validate() throws {
        if askPass && passwordFile != nil {
            throw ValidationError("--ask-pass and --password-file exclude each other")
        }
        if user != nil && !askPass && passwordFile == nil && Self.environment("PASSWORD_FILE") == nil {
            throw ValidationError("--user needs --ask-pass or --password-file")
        }
    }

    /// - Throws: where the password or the token cannot be read.
    func opener() throws(DatabaseError) -> DatabaseOpener {
        var access = RemoteAccess()
        access.sshOptions = sshOption
        access.identity = identity ?? Self.environment("IDENTITY")
        access.acceptsNewHostKey = acceptNewHostKey
        access.isInteractive = Self.hasTerminal
        access.certificateAuthority = cacert ?? Self.environment("CACERT")
        access.sendsTokenUnencrypted = sendTokenUnencrypted
        if let file = tokenFile ?? Self.environment("TOKEN_FILE") {
            access.token = BearerToken(try SecretFile.firstLine(of: file, "token"))
        }
        var opener = DatabaseOpener()
        if let password = try password() {
            opener.loginAs = { Login(user: $0, password: password) }
            if let user = user ?? Self.environment("USER") {
                access.login = Login(user: user, password: password)
            }
            access.askpass = try SecretFile.askpass(password)
        }
        opener.options = access
        return opener
    }

    /// `PLANTDB_…`, which counts where the option is not given.
    private static func environment(_ name: String) -> String? {
        Terminal.environment("PLANTDB_" + name).flatMap { $0.isEmpty ? nil : $0 }
    }

    private static var hasTerminal: Bool {
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC)
        if terminal >= 0 { close(terminal) }
        return terminal >= 0
    }

    private func password() throws(DatabaseError) -> String? {
        if askPass {
            // getpass(3) keeps no more than it must, and writes to the terminal itself.
            guard Self.hasTerminal, let text = getpass("Password: ") else {
                throw DatabaseError(
                    .authentication, "there is no terminal to ask for the password at; use --password-file")
            }
            defer { memset(text, 0, strlen(text)) }
            return String(cString: text)
        }
        guard let file = passwordFile ?? Self.environment("PASSWORD_FILE") else { return nil }
        return try SecretFile.firstLine(of: file, "password")
    }
}
