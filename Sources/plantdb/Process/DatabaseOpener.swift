import PlantDBClient
import PlantDBConfiguration
import PlantDBCore
import PlantDBSync

/// Opens the locations that the command was given: as its options say, and as the configuration says of
/// databases that it names. Options come before the configuration.
struct DatabaseOpener: Sendable {
    /// What the options say, for every location.
    var options = RemoteAccess()
    /// With the password of the options, for an account that the configuration names.
    var loginAs: (@Sendable (_ user: String) -> Login)?
    var configuration = ConfigurationFile()

    /// A location that is no name, and how to reach it.
    struct Place: Sendable {
        var location: String
        var access: RemoteAccess
    }

    /// - Throws: `notFound` for a name that nothing has; what reading the configuration, or the files
    ///   of secrets that it names, throws.
    func place(of given: String) throws(DatabaseError) -> Place {
        guard let name = NamedDatabase.name(in: given) else { return Place(location: given, access: options) }
        guard let configuration else {
            throw DatabaseError(
                .notFound,
                "\(given) names a database, and there is no configuration: PLANTDB_CONFIG is empty, or there "
                    + "is no HOME; a folder of this name is ./\(given)")
        }
        let database = try configuration.database(named: name)
        return Place(location: database.location, access: try access(to: database))
    }

    private func access(to database: NamedDatabase) throws(DatabaseError) -> RemoteAccess {
        var access = options
        // ssh takes the first of several values.
        access.sshOptions += database.sshOptions
        access.identity = access.identity ?? database.identity
        access.acceptsNewHostKey = access.acceptsNewHostKey || database.acceptsNewHostKey
        access.certificateAuthority = access.certificateAuthority ?? database.certificateAuthority
        access.sendsTokenUnencrypted = access.sendsTokenUnencrypted || database.sendsTokenUnencrypted
        access.user = access.user ?? database.user
        if access.token == nil, let file = database.tokenFile {
            access.token = BearerToken(try SecretFile.firstLine(of: file, "token"))
        }
        var loginAs = loginAs
        if access.askpass == nil, let file = database.passwordFile {
            let text = try SecretFile.firstLine(of: file, "password")
            access.askpass = try SecretFile.askpass(text)
            loginAs = { Login(user: $0, password: text) }
        }
        if access.login == nil, let user = database.user { access.login = loginAs?(user) }
        return access
    }

    /// `openDatabase`, with what it throws marked as a failure to open.
    func open(_ given: String, as role: DatabaseRole) async throws(CommandFailure) -> any DatabaseEndpoint {
        do throws(DatabaseError) {
            let place = try place(of: given)
            return try await openDatabase(place.location, as: role, access: place.access)
        } catch {
            throw CommandFailure(suggestingName(given, error), opening: true)
        }
    }

    /// A name without its colon is a path.
    private func suggestingName(_ given: String, _ error: DatabaseError) -> DatabaseError {
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

/// Runs `body` with a database that is closed on every way out.
func withDatabase<Result>(
    _ location: String, as role: DatabaseRole = .source, _ opener: DatabaseOpener,
    _ body: (any DatabaseEndpoint) async throws -> Result
) async throws -> Result {
    let database = try await opener.open(location, as: role)
    do {
        let result = try await body(database)
        await database.close()
        return result
    } catch {
        await database.close()
        throw error
    }
}
