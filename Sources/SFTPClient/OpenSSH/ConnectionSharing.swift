import Glibc

/// A private place for the socket by which further ssh processes go through the connection of a
/// first one (ssh_config(5), `ControlPath`): they need no logging in, which takes a third of a second
/// and may need somebody to confirm it.
public final class ConnectionSharing: Sendable {
    /// What one ssh has to do with it.
    enum Role: Sendable, Hashable {
        /// Others may go through its connection.
        case offers(String)
        /// It goes through another's connection, or makes its own where that is gone.
        case uses(String)

        var options: [String] {
            switch self {
            case .offers(let path): ["ControlMaster=yes", "ControlPath=\(path)", "ControlPersist=no"]
            case .uses(let path): ["ControlMaster=no", "ControlPath=\(path)"]
            }
        }
    }

    private let directory: String
    private var socket: String { directory + "/s" }

    /// nil: the user's configuration shares connections already, which is left as it is; or there
    /// is no place for a socket.
    ///
    /// - Parameter destination: is corrected where that configuration would keep ssh from bringing answers.
    public static func make(for destination: inout SSHDestination) async -> ConnectionSharing? {
        guard let configuration = await configuration(for: destination) else { return nil }
        destination.corrections = configuration.compactMap { corrections[$0] }
        let isConfigured = configuration.contains { $0.hasPrefix("controlpath ") && $0 != "controlpath none" }
        guard !isConfigured else { return nil }
        var template = Array("/tmp/plantdb-ssh-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { return nil }
        return ConnectionSharing(
            String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self))
    }

    private init(_ directory: String) { self.directory = directory }

    deinit { remove() }

    /// Takes the place away, once all connections are closed. Idempotent.
    public func remove() {
        unlink(socket)
        rmdir(directory)
    }

    /// The destination, with a connection that others may go through.
    public func offering(_ destination: SSHDestination) -> SSHDestination {
        var result = destination
        result.sharing = .offers(socket)
        return result
    }

    /// The destination, through the connection that is offered.
    public func using(_ destination: SSHDestination) -> SSHDestination {
        var result = destination
        result.sharing = .uses(socket)
        return result
    }

    /// OpenSSH before 8.7 neither lists these nor takes them.
    private static let corrections = [
        "stdinnull yes": "StdinNull=no", "forkafterauthentication yes": "ForkAfterAuthentication=no",
        "sessiontype none": "SessionType=default", "sessiontype subsystem": "SessionType=default",
    ]

    /// What ssh makes of all its configuration files, by its own account (ssh(1), `-G`); nil: it does not say.
    private static func configuration(for destination: SSHDestination) async -> [String]? {
        await Blocking.value {
            let child: ChildProcess
            do throws(SFTPError) {
                child = try ChildProcess(
                    "ssh", ["-G"] + destination.arguments(asksPassword: false), usesTerminal: false)
            } catch { return nil }
            defer { child.release() }
            var output: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 16 << 10)
            while output.count < 1 << 20 {
                let count = read(child.output, &buffer, buffer.count)
                if count > 0 { output += buffer[..<count] }
                if count == 0 || count < 0 && errno != EINTR { break }
            }
            guard child.end() == .code(0) else { return nil }
            return String(decoding: output, as: UTF8.self).split(separator: "\n").map(String.init)
        }
    }
}
