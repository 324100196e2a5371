import PlantDBCore
import PlantDBSFTP
import PlantDBTesting
import SFTPClient

/// One sshd for all tests of this target.
enum Loopback {
    static let server = Result { try SSHServer() }

    static func access(_ server: SSHServer) throws -> SFTPEndpoint.Access {
        var destination = try SSHDestination(host: "127.0.0.1", port: server.port)
        destination.options = server.sshOptions
        destination.identity = server.identity
        return SFTPEndpoint.Access(destination)
    }

    static func open(_ path: String, _ opening: SFTPEndpoint.Opening = .existing) async throws -> SFTPEndpoint
    {
        try await SFTPEndpoint.open(access(server.get()), path: path, opening)
    }
}

/// A database on the server, in a folder of its own.
struct SSHFixture: ContractFixture {
    private let folder: TemporaryDirectory

    /// - Parameter place: where the folder lies; nil: where temporary ones do.
    init(in place: String? = nil) throws {
        folder = try TemporaryDirectory(in: place)
        try SampleDatabase().write(to: root)
    }

    private var root: String { folder.appending("database") }

    var traits: ContractTraits {
        var traits = ContractTraits()
        traits.hasScanLocks = false
        return traits
    }

    func connect() async throws -> any DatabaseEndpoint { try await Loopback.open(root) }

    func tamper(with scan: ScanID, _ tree: SampleTree?) async throws -> Bool {
        try removeTree(root + "/" + scan.rawValue)
        try tree?.write(to: root + "/" + scan.rawValue)
        return true
    }

    func dispose() async throws { try folder.remove() }
}
