import ArgumentParser
import Foundation
import Glibc
import PlantDBClient
import PlantDBCore
import PlantDBSync
import SFTPClient

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
            "The account to write to a PlantDB server with; its password as above.", valueName: "name"))
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
        if user != nil && !askPass && passwordFile == nil {
            throw ValidationError("--user needs --ask-pass or --password-file")
        }
    }

    /// - Throws: where the password cannot be read.
    func access() throws(DatabaseError) -> RemoteAccess {
        var access = RemoteAccess()
        access.sshOptions = sshOption
        access.identity = identity
        access.acceptsNewHostKey = acceptNewHostKey
        access.isInteractive = Self.hasTerminal
        access.certificateAuthority = cacert
        access.sendsTokenUnencrypted = sendTokenUnencrypted
        if let tokenFile {
            access.token = BearerToken(
                String(decoding: try Self.firstLine(of: tokenFile, "token"), as: UTF8.self))
        }
        if let password = try password() {
            if let user {
                access.login = Login(user: user, password: String(decoding: password, as: UTF8.self))
            }
            do throws(SFTPError) {
                access.askpass = try AskpassServer(Secret(password), program: try Self.ownPath())
            } catch { throw DatabaseError(.io, "cannot hand the password to ssh", cause: error.message) }
        }
        return access
    }

    private static var hasTerminal: Bool {
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC)
        if terminal >= 0 { close(terminal) }
        return terminal >= 0
    }

    private func password() throws(DatabaseError) -> [UInt8]? {
        if askPass {
            // getpass(3) keeps no more than it must, and writes to the terminal itself.
            guard Self.hasTerminal, let text = getpass("Password: ") else {
                throw DatabaseError(
                    .authentication, "there is no terminal to ask for the password at; use --password-file")
            }
            defer { memset(text, 0, strlen(text)) }
            return Array(String(cString: text).utf8)
        }
        guard let passwordFile else { return nil }
        return try Self.firstLine(of: passwordFile, "password")
    }

    static func firstLine(of file: String, _ what: String) throws(DatabaseError) -> [UInt8] {
        let bytes: [UInt8]
        do {
            bytes =
                file == "-"
                ? Array(try FileHandle.standardInput.readToEnd() ?? Data())
                : Array(try Data(contentsOf: URL(fileURLWithPath: file)))
        } catch {
            throw DatabaseError(
                .invalidArgument, "cannot read the \(what) from \(file.printable)",
                cause: error.localizedDescription)
        }
        let line = bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        guard !line.isEmpty else {
            throw DatabaseError(
                .invalidArgument, "\(file.printable) begins with an empty line: no \(what)")
        }
        return Array(line)
    }

    /// ssh starts this program once more to be asked for the password.
    static func askpassProgram() throws(DatabaseError) -> String {
        do throws(SFTPError) { return try ownPath() } catch { throw DatabaseError(.io, error.message) }
    }

    private static func ownPath() throws(SFTPError) -> String {
        var buffer = [CChar](repeating: 0, count: 4097)
        let count = readlink("/proc/self/exe", &buffer, 4096)
        guard count > 0 else { throw SFTPError(.local, "/proc/self/exe cannot be read") }
        return String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
