import Foundation
import PlantDBClient
import PlantDBConfiguration
import PlantDBCore
import PlantDBTesting
import Testing

@testable import plantdb

/// Named databases, as commands use them.
@Suite struct RemoteTests {
    let folder: TemporaryDirectory
    var environment: [String: String] { ["PLANTDB_CONFIG": folder.appending("config.toml")] }
    var source: String { folder.appending("a") }
    var target: String { folder.appending("b") }

    init() throws {
        folder = try TemporaryDirectory()
        try SampleDatabase.plants(2, images: 3, seed: 2).write(to: folder.appending("a"))
    }

    @Test func namesStandForDatabases() throws {
        // A relative path is kept as the place that it is.
        #expect(
            try plantdb("remote", "add", "field", "a", in: folder.path, environment: environment).status == 0)
        #expect(try plantdb("remote", "add", "backup", target, environment: environment).status == 0)
        let list = try plantdb("remote", "list", environment: environment)
        #expect(
            list.lines.map { $0.split(separator: " ") } == [
                ["backup:", target[...]], ["field:", source[...]],
            ])
        #expect(try plantdb("sync", "field:", "backup:", environment: environment).status == 0)
        #expect(try databaseDifferences(source, target) == [])
        #expect(try plantdb("diff", "backup:", source, environment: environment).status == 0)
        #expect(try plantdb("scans", "backup:", environment: environment).lines == ["plant_0", "plant_1"])
        #expect(try plantdb("remote", "remove", "field", environment: environment).status == 0)
        let gone = try plantdb("sync", "field:", "backup:", environment: environment)
        #expect(gone.status == 10 && gone.diagnostics.contains("backup:"))
        try folder.remove()
    }

    @Test func aNameWithoutItsColonIsSaidToBeOne() throws {
        #expect(try plantdb("remote", "add", "lab", source, environment: environment).status == 0)
        let outcome = try plantdb("scans", "lab", environment: environment)
        #expect(outcome.status == 10 && outcome.diagnostics.contains("“lab:”"))
        try folder.remove()
    }

    @Test func whatCannotBeNamedIsRefused() throws {
        #expect(try plantdb("remote", "add", "lab", source, environment: environment).status == 0)
        for (arguments, status, word) in [
            (["remote", "add", "lab", target], Int32(1), "already"),
            (["remote", "add", "l b", target], 2, "cannot name"),
            (["remote", "add", "x", "ssh://a:s3cret@h/d"], 2, "password"),
            (["remote", "add", "x", "lab:"], 2, "no location"),
            (["remote", "add", "x", "host.example:/data/db"], 2, "ssh://"),
            (["remote", "add", "x", "h", "--ask-pass"], 2, "--ask-pass"),
            (["remote", "remove", "nobody"], 1, "nobody"),
            (["scans", "nobody:"], 10, "remote add"),
        ] {
            let process = try PlantdbProcess(arguments, environment: environment).outcome()
            #expect(process.status == status, "\(arguments)")
            #expect(
                process.diagnostics.contains(word) && !process.diagnostics.contains("s3cret"), "\(arguments)")
        }
        try folder.remove()
    }

    @Test(
        "The account that is kept with a name logs in with the password that is given, or with the kept one")
    func accounts() throws {
        let file = ConfigurationFile(path: folder.appending("config.toml"))
        var lab = try NamedDatabase(name: "lab", location: "http://lab:5000")
        lab.user = "anna"
        try file.add(lab)
        try writeFile(folder.appending("password"), Array("kept\n".utf8))
        lab.name = "other"
        lab.passwordFile = folder.appending("password")
        try file.add(lab)
        var opener = DatabaseOpener(configuration: file)
        #expect(try opener.place(of: "lab:").access.login == nil)
        #expect(try opener.place(of: "other:").access.login?.user == "anna")
        opener.options[one: .passwordFile] = folder.appending("password")
        #expect(try opener.place(of: "lab:").access.login?.user == "anna")
        try folder.remove()
    }

    /// What the file says of a server is used, and an option comes before it.
    @Test func accessIsKeptWithTheName() throws {
        try writeFile(folder.appending("empty"), Array("\n".utf8))
        let names = ["remote", "add", "lab", "http://127.0.0.1:1", "--token-file", folder.appending("none")]
        #expect(try PlantdbProcess(names, environment: environment).outcome().status == 0)
        let kept = try plantdb("scans", "lab:", environment: environment)
        #expect(kept.diagnostics.contains(folder.appending("none")))
        let given = try plantdb(
            "scans", "lab:", "--token-file", folder.appending("empty"), environment: environment)
        #expect(given.diagnostics.contains(folder.appending("empty")))
        let byEnvironment = try plantdb(
            "scans", "http://127.0.0.1:1",
            environment: ["PLANTDB_TOKEN_FILE": folder.appending("elsewhere")])
        #expect(byEnvironment.diagnostics.contains(folder.appending("elsewhere")))
        try folder.remove()
    }
}
