import Foundation
import PlantDBCore
import PlantDBTesting
import Testing

@testable import PlantDBConfiguration

@Suite struct ConfigurationFileTests {
    let folder: TemporaryDirectory
    var path: String { folder.appending("config/plantdb/config.toml") }
    var file: ConfigurationFile { ConfigurationFile(path: path) }

    init() throws { folder = try TemporaryDirectory() }

    private func write(_ text: String) throws {
        try FileManager.default.createDirectory(
            atPath: folder.appending("config/plantdb"), withIntermediateDirectories: true)
        try writeFile(path, Array(text.utf8))
    }

    @Test func whatIsAddedIsRead() throws {
        #expect(try file.databases() == [])
        var lab = try NamedDatabase(name: "lab", location: "ssh://lab/data/a \"b\" \\ c")
        lab.identity = "/home/ü/.ssh/lab"
        lab.sshOptions = ["ProxyJump=gate", "User=\u{7f}\n"]
        lab.acceptsNewHostKey = true
        lab.user = "anna"
        lab.passwordFile = "/p"
        lab.tokenFile = "/t"
        lab.certificateAuthority = "/ca.pem"
        lab.sendsTokenUnencrypted = true
        let disk = try NamedDatabase(name: "disk", location: "/mnt/disk")
        try file.add(lab)
        try file.add(disk)
        #expect(try file.databases() == [disk, lab])
        #expect(try file.database(named: "lab") == lab)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        try folder.remove()
    }

    @Test func anEditorsFileStaysAsItIsWritten() throws {
        let before = """
            # mine
            [databases.lab] # the lab
            location = 'ssh://lab/data'   # literal
            ssh-options = "ProxyJump=gate"

            # behind it
            [databases."disk-2"]
            location = "/mnt"

            """
        try write(before)
        #expect(try file.database(named: "lab").sshOptions == ["ProxyJump=gate"])
        try file.add(try NamedDatabase(name: "new", location: "/new"))
        try file.remove(named: "new")
        #expect(try String(decoding: bytesOnDisk(path), as: UTF8.self) == before)
        try file.remove(named: "disk-2")
        #expect(try file.databases().map(\.name) == ["lab"])
        try file.remove(named: "lab")
        #expect(try file.databases() == [])
        #expect(try String(decoding: bytesOnDisk(path), as: UTF8.self).hasPrefix("# mine"))
        try folder.remove()
    }

    @Test("What is not a table of its own is left to an editor, whole")
    func inlineTables() throws {
        let text = "databases = { lab = { location = \"/a\" }, b = { location = \"/b\" } }\n"
        try write(text)
        #expect(try file.databases().map(\.name) == ["b", "lab"])
        #expect(throws: DatabaseError(.unsupported, "")) { try file.remove(named: "lab") }
        #expect(try String(decoding: bytesOnDisk(path), as: UTF8.self) == text)
        try folder.remove()
    }

    @Test(
        "What is not known, or not of its kind, is named",
        arguments: [
            ("[databases.a]\nlocation = \"/a\"\nidenity = \"x\"", "databases.a.idenity"),
            ("[databases.a]\nuser = \"x\"", "no location"),
            ("[databases.a]\nlocation = 3", "no location"),
            ("[databases.a]\nlocation = \"/a\"\nuser = 3", "databases.a.user"),
            ("[databases.a]\nlocation = \"/a\"\nssh-options = [1]", "databases.a.ssh-options"),
            ("[databases.a]\nlocation = \"/a\"\naccept-new-host-key = \"yes\"", "accept-new-host-key"),
            ("[defaults]\nx = 1", "defaults"), ("databases = 1", "no table"),
            ("[databases.a]\nlocation = \"/a\"\n\n[databases.a]\nlocation = \"/b\"", "line "),
            ("[databases.a\n", "line 1"),
        ])
    func slips(_ text: String, _ named: String) throws {
        try write(text)
        let error = #expect(throws: DatabaseError(.invalidData, "")) { try file.databases() }
        let description = try #require(error).description
        #expect(description.contains(named) && description.contains("config.toml"), "\(description)")
        #expect(throws: DatabaseError.self) { try file.add(try NamedDatabase(name: "b", location: "/b")) }
        #expect(try String(decoding: bytesOnDisk(path), as: UTF8.self) == text)
        try folder.remove()
    }

    @Test(
        "A password in a location is refused, and not repeated",
        arguments: [
            "ssh://anna:s3cret@lab/data", "http://anna:s3cret@lab:5000", "https://:s3cret@lab",
        ])
    func passwords(_ location: String) throws {
        let error = #expect(throws: DatabaseError(.invalidArgument, "")) {
            try NamedDatabase(name: "lab", location: location)
        }
        #expect(try !#require(error).description.contains("s3cret"))
        try folder.remove()
    }

    @Test func names() throws {
        for name in ["lab", "Lab-2", "a_b", "7"] { #expect(NamedDatabase.name(in: name + ":") == name) }
        for other in ["lab", "./lab:", ":", "-lab:", "lä:", "a b:", "ssh://lab:", "lab:/data"] {
            #expect(NamedDatabase.name(in: other) == nil, "\(other)")
        }
        for name in ["", "a b", "lab:", "-x", "ä", "a.b"] {
            #expect(throws: DatabaseError(.invalidArgument, "")) {
                try NamedDatabase(name: name, location: "/a")
            }
        }
        #expect(throws: DatabaseError(.notFound, "")) { try file.database(named: "lab") }
        try folder.remove()
    }

    @Test func manyWritersLoseNothing() async throws {
        let file = file
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<20 {
                group.addTask { try file.add(try NamedDatabase(name: "d\(number)", location: "/\(number)")) }
            }
            try await group.waitForAll()
        }
        #expect(try file.databases().count == 20)
        try folder.remove()
    }

    @Test func places() {
        #expect(ConfigurationFile(environment: ["PLANTDB_CONFIG": "/x", "HOME": "/h"])?.path == "/x")
        #expect(ConfigurationFile(environment: ["PLANTDB_CONFIG": "", "HOME": "/h"]) == nil)
        #expect(
            ConfigurationFile(environment: ["XDG_CONFIG_HOME": "/c", "HOME": "/h"])?.path
                == "/c/plantdb/config.toml")
        #expect(
            ConfigurationFile(environment: ["XDG_CONFIG_HOME": "c", "HOME": "/h"])?.path
                == "/h/.config/plantdb/config.toml")
        #expect(ConfigurationFile(environment: [:]) == nil)
    }
}
