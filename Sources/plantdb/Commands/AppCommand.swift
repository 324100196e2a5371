import ArgumentParser
import Foundation
import PlantDBConfiguration
import PlantDBCore
import SyncApp
import SyncEngine
import SyncHistory

struct AppCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "app",
        abstract: "Choose two databases in a browser, compare them, and watch the sync.",
        discussion: """
            Serves one page on this machine, to whoever has the address that is printed, and opens \
            the browser on it. Closing the page stops nothing; Ctrl-C ends the app and its jobs, and \
            what they published stays.

            EXAMPLES
              plantdb app
              plantdb app /data/greenhouse ssh://lab/data/greenhouse
              plantdb app /data/greenhouse lab:
            """
    )

    @Argument(help: "The database that the page begins with as its source.", completion: .directory)
    var source: String?

    @Argument(help: "The same, as its target.", completion: .directory)
    var target: String?

    @Option(help: ArgumentHelp("The port; 0 takes one that is free.", valueName: "number"))
    var port = 0

    @Flag(name: .customLong("no-browser"), help: "Print the address, and open no browser.")
    var noBrowser = false

    mutating func validate() throws {
        guard (0...65535).contains(port) else { throw ValidationError("a port is 0 to 65535") }
    }

    func run() async throws {
        var configuration = AppConfiguration()
        configuration.port = port
        configuration.version = Version.text
        configuration.source = source.map(Self.absolute)
        configuration.target = target.map(Self.absolute)
        configuration.askpassProgram = try SecretFile.askpassProgram()
        let console = Console()
        Running.shared.console = console
        let opener = DatabaseOpener()
        configuration.namedDatabases = { () throws(DatabaseError) in
            try opener.configuration?.databases().map { ($0.name, $0.location) } ?? []
        }
        configuration.place = { (given) throws(DatabaseError) in
            let place = try opener.place(of: given)
            return (place.location, place.access)
        }
        do throws(DatabaseError) {
            if let file = RunHistory.file() { configuration.history = try RunHistory(file: file) }
        } catch { console.error("warning: \(error.description.printable)") }
        configuration.keep = { run, source, target in
            guard let kept = KeptRun(run, source: source, target: target, console: console) else {
                return nil
            }
            return { (report: SyncReport) in kept.finish(report) }
        }
        let server = AppServer(configuration: configuration)
        let opens = !noBrowser
        try await withTaskCancellationHandler {
            // A task of its own: it is stopped gracefully, not cancelled.
            try await Task {
                try await server.run { url in
                    console.data("the app is at \(url)")
                    console.flush()
                    if opens { Self.openBrowser(url, console) }
                }
            }.value
        } onCancel: {
            Task { await server.stop() }
        }
    }

    /// A path as this process sees it; the page shows the same.
    private static func absolute(_ location: String) -> String {
        location.contains("://") || NamedDatabase.name(in: location) != nil
            ? location : URL(fileURLWithPath: location).path
    }

    private static func openBrowser(_ url: String, _ console: Console) {
        let browser = Process()
        browser.executableURL = URL(fileURLWithPath: "/usr/bin/xdg-open")
        browser.arguments = [url]
        browser.standardOutput = FileHandle.nullDevice
        browser.standardError = FileHandle.nullDevice
        do { try browser.run() } catch {
            console.note("no browser could be opened here; open the address in one")
        }
    }
}
