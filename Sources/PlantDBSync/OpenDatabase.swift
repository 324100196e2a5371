import FSDB
import Glibc
import PlantDBClient
import PlantDBCore
import PlantDBSFTP
import SFTPClient

/// Which side of a synchronisation a location is opened for.
public enum DatabaseRole: Sendable {
    /// It must exist.
    case source
    /// Where there is nothing, or an empty directory, a database is made when it is locked
    /// for writing; until then it reads as one without scans.
    case target
    /// It is written, and must exist.
    case existingTarget
}

/// How a location on another machine is reached. It is for one location: what it holds is told to nobody else.
public struct RemoteAccess: Sendable {
    /// `-o` of ssh(1): options of ssh_config(5), as `Key=value`.
    public var sshOptions: [String] = []
    /// Who logs in, for ssh:// locations that name nobody; nil: what ssh's configuration says.
    public var user: String?
    /// A private key.
    public var identity: String?
    /// Take the key of a host that is not known yet; a changed one is refused all the same.
    public var acceptsNewHostKey = false
    /// Whether ssh may ask at the terminal.
    public var isInteractive = false
    /// Answers the prompt for a password.
    public var askpass: AskpassServer?
    /// The account on a server, for http(s) locations. Servers of PlantDB's releases are told it when they are
    /// written to, and never for reading.
    public var login: Login?
    /// For http(s) locations.
    public var token: BearerToken?
    /// A file of authorities (PEM) that are trusted for https instead of the system's.
    public var certificateAuthority: String?
    /// Whether the token may cross the network unencrypted.
    public var sendsTokenUnencrypted = false

    public init() {}
}

/// An endpoint for a location as a user writes it: a path, `ssh://[user@]host[:port]/path`, or
/// `http(s)://host[:port][/prefix]`.
///
/// - Throws: ``PlantDBCore/DatabaseError/Code/notADatabase`` and
///   ``PlantDBCore/DatabaseError/Code/notFound`` as `FSDBEndpoint.open`;
///   ``PlantDBCore/DatabaseError/Code/unreachable`` and
///   ``PlantDBCore/DatabaseError/Code/authentication`` for other machines;
///   ``PlantDBCore/DatabaseError/Code/invalidArgument`` for what is no location.
public func openDatabase(_ location: String, as role: DatabaseRole, access: RemoteAccess = RemoteAccess())
    async throws(DatabaseError) -> any DatabaseEndpoint
{
    guard !location.isEmpty else {
        throw DatabaseError(.invalidArgument, "a location is empty; give the path of a database")
    }
    guard let scheme = scheme(of: location) else {
        try refuseAnotherMachine(location)
        return try await FSDBEndpoint.open(path: location, role == .target ? .creating : .existing)
    }
    switch scheme.lowercased() {
    case "ssh": return try await openOverSSH(location.dropFirst(scheme.count + 3), as: role, access)
    case "http", "https": return try await openOverHTTP(location, access)
    default:
        // The location may hold a password, so only its scheme is repeated.
        throw DatabaseError(
            .invalidArgument,
            "\(scheme):// locations cannot be opened: plantdb knows local paths, ssh://, http:// and https://"
        )
    }
}

/// - Throws: `invalidArgument` for `host:path`, unless there is a folder of that name.
private func refuseAnotherMachine(_ location: String) throws(DatabaseError) {
    guard location.looksLikeAnotherMachine, access(location, F_OK) != 0 else { return }
    let shown = location.withoutSecrets.printable
    throw DatabaseError(
        .invalidArgument,
        "“\(shown)” looks like a place on another machine: write ssh://user@host/path, or http://host:port. "
            + "A folder of that name is written ./\(shown)")
}

private func openOverHTTP(_ location: String, _ access: RemoteAccess) async throws(DatabaseError)
    -> any DatabaseEndpoint
{
    var server = HTTPAccess(try ServerAddress(location))
    server.token = access.token
    server.login = access.login
    server.certificateAuthority = access.certificateAuthority
    server.sendsTokenUnencrypted = access.sendsTokenUnencrypted
    return try await openServer(server)
}

private func openOverSSH(_ rest: Substring, as role: DatabaseRole, _ access: RemoteAccess)
    async throws(DatabaseError) -> any DatabaseEndpoint
{
    let parsed = try SSHLocation(rest)
    var destination = parsed.destination
    if destination.user == nil, let user = access.user {
        do throws(SFTPError) {
            destination = try SSHDestination(host: destination.host, user: user, port: destination.port)
        } catch { throw DatabaseError(.invalidArgument, error.message) }
    }
    destination.options = access.sshOptions
    try refuseAbsentKey(access.identity)
    destination.identity = access.identity
    destination.acceptsNewHostKey = access.acceptsNewHostKey
    destination.isInteractive = access.isInteractive
    return try await SFTPEndpoint.open(
        SFTPEndpoint.Access(destination, askpass: access.askpass), path: parsed.path,
        role == .target ? .creating : .existing)
}

/// - Throws: `invalidArgument`: ssh itself would go on without, and say only that it was not let in.
private func refuseAbsentKey(_ identity: String?) throws(DatabaseError) {
    guard let identity else { return }
    // As ssh_config(5) reads IdentityFile: from the home directory, and with tokens.
    let home = getenv("HOME").map { String(cString: $0) } ?? ""
    let path = identity.hasPrefix("~/") ? home + identity.dropFirst() : identity
    guard !path.contains("%"), !path.contains("$"), access(path, F_OK) != 0 else { return }
    throw DatabaseError(
        .invalidArgument, "the private key \(identity.printable) does not exist; check --identity")
}

/// Where an ssh:// location is; nil for any other, and for one that cannot be read.
func sshDestination(of location: String) -> SSHDestination? {
    guard let scheme = scheme(of: location), scheme.lowercased() == "ssh" else { return nil }
    do throws(DatabaseError) {
        return try SSHLocation(location.dropFirst(scheme.count + 3)).destination
    } catch { return nil }
}

/// RFC 3986, section 3.1; nil for a path.
private func scheme(of location: String) -> String? {
    guard let separator = location.utf8.firstRange(of: "://".utf8) else { return nil }
    let scheme = location[..<separator.lowerBound]
    guard let first = scheme.first, first.isASCII, first.isLetter,
        scheme.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "+-.".contains($0)) })
    else { return nil }
    return String(scheme)
}
