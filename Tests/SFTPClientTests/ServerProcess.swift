import Glibc

@testable import SFTPClient

/// OpenSSH's sftp-server as a child, without ssh between.
struct ServerProcess: SFTPChannel {
    static let path: String? = ["/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server"].first {
        (path: String) in
        access(path, X_OK) == 0
    }

    let child: ChildProcess
    var input: CInt { child.output }
    var output: CInt { child.input }

    init(_ arguments: [String] = []) throws(SFTPError) {
        child = try ChildProcess(Self.path ?? "sftp-server", arguments, usesTerminal: false)
    }

    func interrupt() { child.interrupt() }

    func end() -> SFTPError? {
        child.closeInput()
        _ = child.end()
        return nil
    }

    func release() { child.release() }
}
