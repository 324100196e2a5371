import Foundation
import Glibc
import PlantDBTesting
import Testing

@testable import SFTPClient

/// S3 and K1: passwords go to ssh's password prompt and nowhere else.
@Suite(.serialized, .timeLimit(.minutes(2))) struct AskpassTests {
    private static let canary = "canary-7f3a91-password"
    /// The same, as crypt(3) has it.
    private static let hashed =
        "$6$plantdb$TgDDT1Z1pHk4.rOU1OngPiLtET0AX9A1UYCmaaY1NhnkqbKwMwfezV/PJHB.kXDKv/FuAb2PiFg29gH1YlTCE/"

    /// The built command, which is its own helper; it lies beside the bundle of the tests.
    private static let program = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        .appendingPathComponent("plantdb").path
    private static let hasProgram = access(program, X_OK) == 0

    /// What the helper prints for a prompt, and its status, as this user or another.
    private static func ask(
        _ askpass: AskpassServer, _ prompt: String, program: String, user: Int? = nil, isAdmitted: Bool = true
    ) throws -> (
        output: String, status: CInt
    ) {
        if isAdmitted { askpass.admit(getpid()) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: user == nil ? program : "/usr/bin/setpriv")
        process.arguments =
            (user.map { ["--reuid", "\($0)", "--regid", "\($0)", "--clear-groups", program] } ?? []) + [
                prompt
            ]
        process.environment = ProcessInfo.processInfo.environment.merging(askpass.environment) { $1 }
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (String(decoding: bytes, as: UTF8.self), process.terminationStatus)
    }

    @Test(
        "Only the prompt for a password is answered",
        .enabled(if: hasProgram, "S3 NOT TESTED: the command plantdb was not built"))
    func prompts() throws {
        let askpass = try AskpassServer(Secret(Self.canary), program: Self.program)
        // As for a jump host: a process that is no child of an ssh of ours.
        let stranger = try Self.ask(
            askpass, "me@jump's password: ", program: Self.program, isAdmitted: false)
        #expect(stranger.output == "" && stranger.status != 0)
        for prompt in ["me@host's password: ", "(me@host) Password: ", "Password:"] {
            let answer = try Self.ask(askpass, prompt, program: Self.program)
            #expect(answer == (Self.canary + "\n", 0))
        }
        for prompt in [
            "Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
            "The authenticity of host 'password.example.com' can't be established. (yes/no)? ",
            "Enter passphrase for key '/home/me/.ssh/id_ed25519': ",
            "Enter passphrase for key '/home/me/password': ", "Enter PIN for ED25519-SK key: ", "Username: ",
        ] {
            let answer = try Self.ask(askpass, prompt, program: Self.program)
            #expect(answer.output == "" && answer.status != 0, "\(prompt)")
        }
    }

    @Test(
        "Another user is not answered, even one who can reach the socket",
        .enabled(
            if: hasProgram && geteuid() == 0 && access("/usr/bin/setpriv", X_OK) == 0,
            "S3 NOT TESTED: only root can be another user"))
    func otherUser() throws {
        let folder = try TemporaryDirectory(in: "/tmp")
        chmod(folder.path, 0o755)
        let program = folder.appending("plantdb")
        // By a process of its own: what this one writes, a child that another test starts at that moment holds
        // open for writing, and nobody can execute it (ETXTBSY).
        let copy = try Process.run(URL(fileURLWithPath: "/bin/cp"), arguments: [Self.program, program])
        copy.waitUntilExit()
        let askpass = try AskpassServer(Secret(Self.canary), program: program)
        let socket = try #require(askpass.environment["PLANTDB_ASKPASS"])
        let directory = String(socket.dropLast(2))
        var status = stat()
        #expect(stat(directory, &status) == 0 && status.st_mode & 0o777 == 0o700)
        let refused = try Self.ask(askpass, "Password:", program: program, user: 65534)
        #expect(refused.output == "" && refused.status == 1, "\(refused)")
        chmod(directory, 0o755)
        chmod(socket, 0o777)
        let other = try Self.ask(askpass, "Password:", program: program, user: 65534)
        #expect(other.output == "" && other.status == 1)
        #expect(try Self.ask(askpass, "Password:", program: program).output == Self.canary + "\n")
        try folder.remove()
    }

    @Test("A secret stands in no description and no dump") func descriptions() throws {
        let secret = Secret(Self.canary)
        let askpass = try AskpassServer(secret, program: "/bin/true")
        var text = "\(secret) \(String(reflecting: secret)) \(askpass) \(askpass.environment) \([secret])"
        dump(secret, to: &text)
        dump(askpass, to: &text)
        dump(RemoteCommand(try SSHDestination(host: "host"), askpass: askpass), to: &text)
        #expect(!text.contains("canary") && text.contains("‹secret›"))
        // Nor as bytes.
        #expect(!text.contains("\(Array("canary".utf8))".dropFirst().dropLast()))
    }

    @Test("The private directory goes with its server") func directory() throws {
        var askpass: AskpassServer? = try AskpassServer(Secret("x"), program: "/bin/true")
        let socket = try #require(askpass?.environment["PLANTDB_ASKPASS"])
        #expect(access(socket, F_OK) == 0)
        askpass = nil
        #expect(access(socket, F_OK) != 0 && access(String(socket.dropLast(2)), F_OK) != 0)
    }

    @Test(
        "A real sshd takes the password, and no process shows it",
        .enabled(
            if: hasProgram && SSHServer.canTakePasswords,
            "S3 NOT TESTED: no sshd with a password can be had here"))
    func login() async throws {
        let server = try SSHServer(hashedPassword: Self.hashed)
        var destination = try SSHDestination(host: "127.0.0.1", user: server.user, port: server.port)
        destination.options = server.sshOptions + ["PubkeyAuthentication=no"]
        let askpass = try AskpassServer(Secret(Self.canary), program: Self.program)
        let session = try await SFTPSession.open(
            over: OpenSSHChannel.start(destination, askpass: askpass))
        #expect(try await session.attributes(of: "/")?.kind == .directory)
        #expect(try Self.processesShowing(Self.canary) == [])
        await session.close()
        let outcome = try await RemoteCommand(destination, askpass: askpass).run(
            "tr '\\0' '\\n' < /proc/$PPID/environ; env", input: [], outputLimit: 100_000)
        #expect(outcome.status == 0 && !String(decoding: outcome.output, as: UTF8.self).contains("canary"))
        do throws(SFTPError) {
            let wrong = try AskpassServer(Secret("wrong-" + Self.canary), program: Self.program)
            _ = try await SFTPSession.open(over: OpenSSHChannel.start(destination, askpass: wrong))
            Issue.record("it was let in")
        } catch {
            #expect(error.code == .authentication, "\(error)")
            #expect(!"\(error)".contains("canary"))
        }
        server.stop()
        #expect(try !server.logText.contains("canary"))
    }

    /// Of all processes, those with the text in their arguments or environment.
    private static func processesShowing(_ text: String) throws -> [String] {
        var found: [String] = []
        for process in try FileManager.default.contentsOfDirectory(atPath: "/proc") where Int(process) != nil
        {
            for file in ["cmdline", "environ"] {
                // A process that ended meanwhile shows nothing.
                guard let bytes = FileManager.default.contents(atPath: "/proc/\(process)/\(file)") else {
                    continue
                }
                if String(decoding: bytes, as: UTF8.self).contains(text) {
                    found.append("\(process) \(file)")
                }
            }
        }
        return found
    }
}
