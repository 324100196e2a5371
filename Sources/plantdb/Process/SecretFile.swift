import Foundation
import Glibc
import PlantDBCore
import SFTPClient
import Synchronization

/// Reads secrets whenever they are needed, but asks only once, and empties standard input only once.
final class SecretReader: Sendable {
    private let known = Mutex<[String: String]>([:])

    /// - Throws: as ``SecretFile/firstLine(of:_:)``.
    func firstLine(of file: String, _ what: String) throws(DatabaseError) -> String {
        guard file == "-" else { return try SecretFile.firstLine(of: file, what) }
        return try remembered("-") { () throws(DatabaseError) in try SecretFile.firstLine(of: file, what) }
    }

    /// The password for a location, from the terminal.
    /// - Throws: `authentication` where there is none to ask at.
    func asked(for location: String) throws(DatabaseError) -> String {
        try remembered("password for " + location) { () throws(DatabaseError) in
            // getpass(3) keeps no more than it must, and writes to the terminal itself.
            guard Terminal.isThere, let text = getpass("Password for \(location): ") else {
                throw DatabaseError(
                    .authentication, "there is no terminal to ask for the password at; use --password-file")
            }
            defer { memset(text, 0, strlen(text)) }
            return String(cString: text)
        }
    }

    private func remembered(_ key: String, _ read: () throws(DatabaseError) -> String) throws(DatabaseError)
        -> String
    {
        if let known = known.withLock({ $0[key] }) { return known }
        let secret = try read()
        known.withLock { $0[key] = secret }
        return secret
    }
}

/// Passwords and tokens that lie in files, and the way of a password to ssh.
enum SecretFile {
    /// - Parameter file: `-` for standard input.
    /// - Throws: `invalidArgument` where there is none.
    static func firstLine(of file: String, _ what: String) throws(DatabaseError) -> String {
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
        var status = stat()
        if file != "-", stat(file, &status) == 0, status.st_mode & (S_IRGRP | S_IROTH) != 0 {
            Running.shared.console.note(
                "warning: others may read the \(what) in \(file.printable); chmod 600 keeps it to you")
        }
        let line = bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        guard !line.isEmpty else {
            throw DatabaseError(.invalidArgument, "\(file.printable) begins with an empty line: no \(what)")
        }
        guard let text = String(validating: line, as: UTF8.self) else {
            throw DatabaseError(.invalidArgument, "the \(what) in \(file.printable) is not UTF-8")
        }
        return text
    }

    /// - Throws: `io` where ssh cannot be served.
    static func askpass(_ password: String) throws(DatabaseError) -> AskpassServer {
        do throws(SFTPError) {
            return try AskpassServer(Secret(password), program: try ownPath())
        } catch { throw DatabaseError(.io, "cannot hand the password to ssh", cause: error.message) }
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
