import ArgumentParser
import Testing

@testable import plantdb

@Suite struct HelpTests {
    static let commands: [(String, any ParsableCommand.Type)] = [
        ("sync", SyncCommand.self), ("diff", DiffCommand.self), ("scans", ScansCommand.self),
        ("serve", ServeCommand.self), ("app", AppCommand.self), ("history", HistoryCommand.self),
        ("check", CheckCommand.self), ("init", InitCommand.self), ("testdb", TestDBCommand.self),
        ("remote", RemoteCommand.self), ("remote-add", RemoteAddCommand.self),
        ("remote-list", RemoteListCommand.self), ("remote-remove", RemoteRemoveCommand.self),
        ("locks", LocksCommand.self), ("locks-list", LocksListCommand.self),
        ("locks-break", LocksBreakCommand.self), ("completion", CompletionCommand.self),
    ]

    @Test func helpOfThePlantdb() throws {
        try Golden.expect(Plantdb.helpMessage(columns: 80), is: "help")
    }

    @Test(arguments: commands.map(\.0))
    func helpOfACommand(_ name: String) throws {
        let command = try #require(Self.commands.first { $0.0 == name }).1
        let help = Plantdb.helpMessage(for: command, columns: 80)
        #expect(help.contains("EXAMPLES"))
        try Golden.expect(help, is: "help-\(name)")
    }

    /// A wrapped example cannot be copied.
    @Test func examplesFitTheTerminal() {
        let types = [Plantdb.self as any ParsableCommand.Type] + Self.commands.map(\.1)
        for type in types {
            var isExample = false
            for line in type.configuration.discussion.split(separator: "\n") {
                if line == "EXAMPLES" { isExample = true } else if !line.hasPrefix(" ") { isExample = false }
                if isExample { #expect(line.count <= 80, "\(line)") }
            }
        }
    }

    @Test func completionScripts() {
        for shell in CompletionCommand.Shell.allCases {
            let script = Plantdb.completionScript(for: shell.script)
            #expect(script.contains("max-delete") && script.contains("real_plant_analyzed"))
        }
    }
}
