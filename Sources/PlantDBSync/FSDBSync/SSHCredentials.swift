import Glibc
import PlantDBCore
import SFTPClient

/// Who logs in at a host, and with which password. The password appears in no description.
public struct SSHCredentials: Sendable, CustomStringConvertible, CustomReflectable {
    public let host: String
    public let username: String
    let password: Secret

    public var description: String { "\(username)@\(host), password ‹secret›" }
    public var customMirror: Mirror { Mirror(self, children: ["host": host, "username": username]) }

    /// Asks at the terminal (getpass(3)).
    static func ask(_ username: String, _ host: String) throws(DatabaseError) -> Secret {
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC)
        guard terminal >= 0 else {
            throw DatabaseError(
                .authentication,
                "there is no terminal to ask for the password of \(username.printable)@\(host.printable) at; "
                    + "give it to setSSHCredentials, or log in with a key")
        }
        close(terminal)
        guard let text = getpass("Password of \(username.printable) at \(host.printable): ") else {
            throw DatabaseError(.authentication, "no password was entered")
        }
        defer { memset(text, 0, strlen(text)) }
        return Secret(String(cString: text))
    }
}

extension RemoteAccess {
    /// With a user and a password for hosts that neither the location nor a key answers for.
    ///
    /// - Parameter program: see ``FSDBSync/setSSHCredentials(host:username:password:askpassProgram:)``.
    func adding(_ credentials: SSHCredentials, program: String?) throws(DatabaseError) -> RemoteAccess {
        guard let program = program ?? Self.commandPath() else {
            throw DatabaseError(
                .unsupported,
                "ssh takes a password only from a program that it starts itself: put the command plantdb "
                    + "beside this program or on the PATH, or name another with askpassProgram")
        }
        var access = self
        access.user = credentials.username
        do throws(SFTPError) {
            access.askpass = try AskpassServer(credentials.password, program: program)
        } catch { throw DatabaseError(.io, "cannot hand the password to ssh", cause: error.message) }
        return access
    }

    /// The command `plantdb`: beside this program, or on the PATH.
    private static func commandPath() -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes {
            readlink("/proc/self/exe", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        var folders: [String] = []
        if count > 0 {
            let own = String(decoding: buffer[..<count], as: UTF8.self)
            if let slash = own.lastIndex(of: "/") { folders.append(String(own[..<slash])) }
        }
        if let path = getenv("PATH") {
            folders += String(cString: path).split(separator: ":").map(String.init).filter {
                $0.hasPrefix("/")
            }
        }
        return folders.map { $0 + "/plantdb" }.first { access($0, X_OK) == 0 }
    }
}
