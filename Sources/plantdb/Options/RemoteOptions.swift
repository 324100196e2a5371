import ArgumentParser

/// Which of a command's databases options are for.
protocol AccessSide {
    /// Begins their names.
    static var prefix: String { get }
}

enum AnySide: AccessSide { static let prefix = "" }
enum SourceSide: AccessSide { static let prefix = "source-" }
enum TargetSide: AccessSide { static let prefix = "target-" }

/// How locations on other machines are reached: for the side that can use it, or for one by name.
struct AccessOptions<Side: AccessSide>: ParsableArguments {
    @Option(name: Self.name(.identity), help: Self.help("The private key to log in with.", "file"))
    var identity: String?

    @Option(
        name: Self.name(.sshOption),
        help: Self.help("An option of ssh_config(5), such as ProxyJump=gate. Repeatable.", "key=value"),
        transform: { text in
            guard let equals = text.firstIndex(where: { $0 == "=" || $0 == " " }), equals > text.startIndex
            else {
                throw ValidationError("“\(text.printable)” is not of the form Key=value")
            }
            return text
        })
    var sshOption: [String] = []

    @Flag(
        name: Self.name(.acceptNewHostKey),
        help: Self.help(
            "Take the key of a host that is not known yet. A changed one is refused all the same."))
    var acceptNewHostKey = false

    @Flag(
        name: Self.name(.askPass),
        help: Self.help("Ask for the password at the terminal, once, for all connections."))
    var askPass = false

    @Option(
        name: Self.name(.passwordFile),
        help: Self.help("The first line of this file is the password; - for standard input.", "file"))
    var passwordFile: String?

    @Option(
        name: Self.name(.user), help: Self.help("The account on a server; its password as above.", "name"))
    var user: String?

    @Option(
        name: Self.name(.tokenFile),
        help: Self.help(
            "The first line of this file is the token for an http(s):// location; - for standard input.",
            "file"))
    var tokenFile: String?

    @Option(
        name: Self.name(.cacert),
        help: Self.help(
            "Trust the authorities in this file (PEM) for https://, instead of the system's.", "file"))
    var cacert: String?

    @Flag(
        name: Self.name(.sendTokenUnencrypted),
        help: Self.help(
            "Send the token over http:// to another machine, where others can read it on the way."))
    var sendTokenUnencrypted = false

    private static func name(_ option: AccessOption) -> NameSpecification {
        .customLong(Side.prefix + option.rawValue)
    }

    /// Those of one side repeat the others: `--help-hidden` lists them.
    private static func help(_ text: String, _ valueName: String? = nil) -> ArgumentHelp {
        ArgumentHelp(
            Side.prefix.isEmpty ? text : "The same, for the \(Side.prefix.dropLast()) only.",
            valueName: valueName, visibility: Side.prefix.isEmpty ? .default : .hidden)
    }

    mutating func validate() throws {
        if askPass && passwordFile != nil {
            throw ValidationError(
                "--\(Side.prefix)ask-pass and --\(Side.prefix)password-file exclude each other")
        }
        if user != nil && Side.prefix.isEmpty
            && !given.filled(from: .environment(of: Side.self)).has(anyOf: AccessOption.password)
        {
            throw ValidationError("--user needs --ask-pass or --password-file")
        }
        if standardInputs > 1 { throw ValidationError("standard input holds one secret only; name a file") }
    }

    /// How many secrets are to come from there.
    var standardInputs: Int { [passwordFile, tokenFile].count { $0 == "-" } }

    var given: GivenAccess {
        var given = GivenAccess()
        given[one: .identity] = identity
        given[.sshOption] = sshOption.isEmpty ? nil : sshOption
        given[flag: .acceptNewHostKey] = acceptNewHostKey
        given[flag: .askPass] = askPass
        given[one: .passwordFile] = passwordFile
        given[one: .user] = user
        given[one: .tokenFile] = tokenFile
        given[one: .cacert] = cacert
        given[flag: .sendTokenUnencrypted] = sendTokenUnencrypted
        return given
    }
}

extension GivenAccess {
    static func environment<Side: AccessSide>(of side: Side.Type) -> GivenAccess {
        AccessOption.environment(prefix: Side.prefix)
    }
}

typealias RemoteOptions = AccessOptions<AnySide>

extension AccessOptions<AnySide> {
    /// For commands with one database.
    func opener() -> DatabaseOpener {
        var opener = DatabaseOpener(options: given, environment: .environment(of: AnySide.self))
        opener.isInteractive = Terminal.isThere
        return opener
    }
}

/// The same for a command with two databases, with every option for either side as well.
struct SidesOptions: ParsableArguments {
    @OptionGroup var remote: RemoteOptions
    @OptionGroup var source: AccessOptions<SourceSide>
    @OptionGroup var target: AccessOptions<TargetSide>

    /// For the help of the commands.
    static let discussion = """
        WHOSE SECRET
        A token, an account or a key that is given goes to the one side that can use it. Where both \
        could, the command ends before it connects: say --source-token-file or --target-token-file. \
        Every option for other machines can begin so; --help-hidden lists them.
        """

    mutating func validate() throws {
        if standardInputs > 1 { throw ValidationError("standard input holds one secret only; name a file") }
    }

    var standardInputs: Int { remote.standardInputs + source.standardInputs + target.standardInputs }

    func opener() -> DatabaseOpener {
        var opener = remote.opener()
        opener.source = (source.given, .environment(of: SourceSide.self))
        opener.target = (target.given, .environment(of: TargetSide.self))
        return opener
    }
}
