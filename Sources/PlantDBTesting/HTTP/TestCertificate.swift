import Glibc

/// A certificate for the loopback interface, made by openssl(1) for one test: its own authority.
public final class TestCertificate: Sendable {
    private let folder: TemporaryDirectory
    /// PEM. Who trusts it as an authority trusts the server.
    public let certificatePath: String
    /// PEM.
    public let keyPath: String

    public static var isAvailable: Bool { access("/usr/bin/openssl", X_OK) == 0 }

    public struct Failure: Error, CustomStringConvertible {
        public var description: String
    }

    /// - Parameter hasExpired: yesterday; otherwise it is valid for two days.
    public init(hasExpired: Bool = false) throws {
        folder = try TemporaryDirectory()
        certificatePath = folder.appending("certificate.pem")
        keyPath = folder.appending("key.pem")
        try Self.openssl([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=plantdb test", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-days", "2",
            "-keyout", keyPath, "-out", certificatePath,
        ])
        if hasExpired {
            try Self.openssl([
                "openssl", "x509", "-in", certificatePath, "-signkey", keyPath, "-days", "-1", "-out",
                certificatePath,
            ])
        }
    }

    private static func openssl(_ arguments: [String]) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor: CInt in 1...2 {
            posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_WRONLY, 0)
        }
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for pointer in argv { free(pointer) } }
        var process: pid_t = 0
        var status: CInt = 0
        guard posix_spawn(&process, "/usr/bin/openssl", &actions, nil, &argv, environ) == 0,
            waitpid(process, &status, 0) == process, status == 0
        else { throw Failure(description: "openssl made no certificate (\(status))") }
    }
}
