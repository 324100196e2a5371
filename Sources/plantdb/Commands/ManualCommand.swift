import ArgumentParser
import Foundation
import PlantDBCore

/// For packagers, so it is not in the list: `make install` calls it.
struct ManualCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "manual",
        abstract: "Write the manual pages into a folder.",
        discussion: """
            EXAMPLES
              plantdb manual ~/.local/share/man/man1
            """,
        shouldDisplay: false
    )

    @Argument(help: "The folder; made if there is none.", completion: .directory)
    var folder: String

    func run() throws {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            for page in ManualPage.all() {
                try Data(page.text.utf8).write(
                    to: URL(fileURLWithPath: folder).appendingPathComponent(page.name), options: .atomic)
            }
        } catch {
            throw DatabaseError(
                .io, "the manual pages cannot be written to \(folder.printable)",
                cause: error.localizedDescription)
        }
    }
}
