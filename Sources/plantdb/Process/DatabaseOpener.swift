import Glibc
import PlantDBClient
import PlantDBConfiguration
import PlantDBCore
import PlantDBSync

/// Opens the locations that the command was given: as its options say, and as the configuration says of
/// databases that it names. Options come before the configuration; ``AccessAllotment`` says whose they are.
struct DatabaseOpener: Sendable {
    typealias SideAccess = (options: GivenAccess, environment: GivenAccess)

    /// What is said without naming a side.
    var options = GivenAccess()
    var environment = GivenAccess()
    /// What is said of one.
    var source: SideAccess = (GivenAccess(), GivenAccess())
    var target: SideAccess = (GivenAccess(), GivenAccess())
    /// Whether ssh may ask at the terminal.
    var isInteractive = false
    var configuration: ConfigurationFile?
    private let secrets = SecretReader()

    init(
        options: GivenAccess = GivenAccess(), environment: GivenAccess = GivenAccess(),
        configuration: ConfigurationFile? = ConfigurationFile()
    ) {
        self.options = options
        self.environment = environment
        self.configuration = configuration
    }

    /// A location that is no name, and how to reach it.
    struct Place: Sendable {
        var location: String
        var access: RemoteAccess
    }

    /// - Throws: `notFound` for a name that nothing has; what reading the configuration, or the files
    ///   of secrets, throws.
    func place(of given: String) throws(DatabaseError) -> Place {
        try places([(given, "", (GivenAccess(), GivenAccess()))])[0]
    }

    /// Both databases of a command; nothing is connected to.
    ///
    /// - Throws: `invalidArgument` where a secret could be meant for either; else as ``place(of:)``.
    func places(of source: String, _ target: String) throws(DatabaseError) -> (source: Place, target: Place) {
        let places = try places([
            (source, SourceSide.prefix, self.source), (target, TargetSide.prefix, self.target),
        ])
        return (places[0], places[1])
    }

    private func places(_ all: [(given: String, prefix: String, access: SideAccess)]) throws(DatabaseError)
        -> [Place]
    {
        let sides = try all.map { (side) throws(DatabaseError) in
            let (location, named) = try resolved(side.given)
            return AccessAllotment.Side(
                prefix: side.prefix, shown: side.given.withoutSecrets.printable, location: location,
                options: side.access.options, environment: side.access.environment, named: named)
        }
        let allotted = try AccessAllotment(options: options, environment: environment).allotted(to: sides)
        return try zip(sides, allotted).map { (side, given) throws(DatabaseError) in
            Place(location: side.location, access: try access(given, to: side))
        }
    }

    private func resolved(_ given: String) throws(DatabaseError) -> (String, GivenAccess) {
        guard let name = NamedDatabase.name(in: given) else { return (given, GivenAccess()) }
        guard let configuration else {
            throw DatabaseError(
                .notFound,
                "\(given) names a database, and there is no configuration: PLANTDB_CONFIG is empty, or there "
                    + "is no HOME; a folder of this name is ./\(given)")
        }
        let database = try configuration.database(named: name)
        return (database.location, GivenAccess(of: database))
    }

    private func access(_ given: GivenAccess, to side: AccessAllotment.Side) throws(DatabaseError)
        -> RemoteAccess
    {
        var access = RemoteAccess()
        switch side.scheme {
        case .path: break
        case .ssh:
            access.sshOptions = given[.sshOption] ?? []
            access.identity = given[one: .identity]
            access.acceptsNewHostKey = given[flag: .acceptNewHostKey]
            access.isInteractive = isInteractive
            access.user = given[one: .user]
            if let password = try password(given, to: side) {
                access.askpass = try SecretFile.askpass(password)
            }
        case .http, .https:
            if let file = given[one: .tokenFile] {
                access.token = BearerToken(try secrets.firstLine(of: file, "token"))
            }
            if let user = given[one: .user], let password = try password(given, to: side) {
                access.login = Login(user: user, password: password)
            }
            access.certificateAuthority = given[one: .cacert]
            access.sendsTokenUnencrypted = given[flag: .sendTokenUnencrypted]
        }
        return access
    }

    private func password(_ given: GivenAccess, to side: AccessAllotment.Side) throws(DatabaseError)
        -> String?
    {
        if given[flag: .askPass] { return try secrets.asked(for: side.shown) }
        guard let file = given[one: .passwordFile] else { return nil }
        return try secrets.firstLine(of: file, "password")
    }

    /// A name without its colon is a path.
    fileprivate func suggestingName(_ given: String, _ error: DatabaseError) -> DatabaseError {
        guard error.code == .notFound || error.code == .notADatabase,
            NamedDatabase.name(in: given + ":") != nil,
            // What cannot be read there is no reason to say something else.
            let known = try? configuration?.databases(), known.contains(where: { $0.name == given })
        else { return error }
        return DatabaseError(
            error.code, error.message + "; did you mean “\(given):”, the database of that name?",
            cause: error.cause)
    }
}

extension GivenAccess {
    /// What the configuration says of a database.
    init(of database: NamedDatabase) {
        self.init()
        self[one: .identity] = database.identity
        self[.sshOption] = database.sshOptions.isEmpty ? nil : database.sshOptions
        self[flag: .acceptNewHostKey] = database.acceptsNewHostKey
        self[one: .user] = database.user
        self[one: .passwordFile] = database.passwordFile
        self[one: .tokenFile] = database.tokenFile
        self[one: .cacert] = database.certificateAuthority
        self[flag: .sendTokenUnencrypted] = database.sendsTokenUnencrypted
    }
}

/// Runs `body` with a database that is closed on every way out.
func withDatabase<Result>(
    _ location: String, as role: DatabaseRole = .source, _ opener: DatabaseOpener,
    _ body: (any DatabaseEndpoint) async throws -> Result
) async throws -> Result {
    let place = try opening { () throws(DatabaseError) in try opener.place(of: location) }
    return try await withDatabase(location, place, as: role, opener, body)
}

/// Runs `body` with two; neither is connected to before it is clear whose every secret is.
func withDatabases<Result>(
    _ source: String, _ target: String, as role: DatabaseRole, _ opener: DatabaseOpener,
    _ body: (_ source: any DatabaseEndpoint, _ target: any DatabaseEndpoint) async throws -> Result
) async throws -> Result {
    let places = try opening { () throws(DatabaseError) in try opener.places(of: source, target) }
    return try await withDatabase(source, places.source, as: .source, opener) { one in
        try await withDatabase(target, places.target, as: role, opener) { two in try await body(one, two) }
    }
}

private func withDatabase<Result>(
    _ given: String, _ place: DatabaseOpener.Place, as role: DatabaseRole, _ opener: DatabaseOpener,
    _ body: (any DatabaseEndpoint) async throws -> Result
) async throws -> Result {
    let database: any DatabaseEndpoint
    do throws(DatabaseError) {
        database = try await openDatabase(place.location, as: role, access: place.access)
    } catch { throw CommandFailure(opener.suggestingName(given, error), opening: true) }
    do {
        let result = try await body(database)
        await database.close()
        return result
    } catch {
        await database.close()
        throw error
    }
}

/// With what it throws marked as a failure to open.
private func opening<Result>(_ body: () throws(DatabaseError) -> Result) throws(CommandFailure) -> Result {
    do throws(DatabaseError) { return try body() } catch { throw CommandFailure(error, opening: true) }
}
