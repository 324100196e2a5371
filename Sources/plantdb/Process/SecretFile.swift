import Foundation
import Glibc
import PlantDBCore
import SFTPClient

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
