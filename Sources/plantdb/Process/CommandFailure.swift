import PlantDBCore
import PlantDBSync

/// An error with the exit status that it ends the command with.
struct CommandFailure: Error {
    var error: DatabaseError
    var status: ExitStatus

    init(_ error: DatabaseError, opening: Bool = false) {
        self.error = error
        status = ExitStatus(error, opening: opening)
    }
}

/// `openDatabase`, with what it throws marked as a failure to open.
func openForCommand(_ location: String, as role: DatabaseRole, _ access: RemoteAccess)
    async throws(CommandFailure) -> any DatabaseEndpoint
{
    do throws(DatabaseError) {
        return try await openDatabase(location, as: role, access: access)
    } catch {
        throw CommandFailure(error, opening: true)
    }
}

/// Runs `body` with a database that is closed on every way out.
func withDatabase<Result>(
    _ location: String, as role: DatabaseRole = .source, _ access: RemoteAccess,
    _ body: (any DatabaseEndpoint) async throws -> Result
) async throws -> Result {
    let database = try await openForCommand(location, as: role, access)
    do {
        let result = try await body(database)
        await database.close()
        return result
    } catch {
        await database.close()
        throw error
    }
}
