import PlantDBCore

/// An error with the exit status that it ends the command with.
struct CommandFailure: Error {
    var error: DatabaseError
    var status: ExitStatus

    init(_ error: DatabaseError, opening: Bool = false) {
        self.error = error
        status = ExitStatus(error, opening: opening)
    }
}
