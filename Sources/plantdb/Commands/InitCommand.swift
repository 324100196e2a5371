import ArgumentParser
import FSDB
import PlantDBCore

struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Make an empty database.",
        discussion: """
            Makes the folder where it does not exist, and the marker in it. A folder that holds \
            anything is refused.

            EXAMPLES
              plantdb init /data/greenhouse
            """
    )

    @Argument(help: "The folder.", completion: .directory)
    var path: String

    mutating func validate() throws {
        if path.isEmpty { throw ValidationError("a path must not be empty") }
        try Self.refuseOtherMachine(path)
    }

    /// - Throws: for what would become a folder of an odd name here.
    static func refuseOtherMachine(_ path: String) throws {
        guard path.contains("://") || path.looksLikeAnotherMachine else { return }
        throw ValidationError(
            "the database is made in a folder of this machine, and “\(path.withoutSecrets.printable)” looks like a "
                + "place on another: a sync to there makes its database; a folder of such a name is written ./…"
        )
    }

    func run() throws {
        do throws(DatabaseError) {
            try FSDB.createEmptyDatabase(at: path)
        } catch {
            throw CommandFailure(error, opening: true)
        }
        let console = Running.shared.console
        console.data("\(path.printable) is an empty database")
        console.flush()
    }
}
