import ArgumentParser
import Foundation
import PlantDBConfiguration
import PlantDBCore

struct RemoteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remote",
        abstract: "Name databases, so that lab: stands for a location and how to reach it.",
        discussion: """
            The names are kept in $PLANTDB_CONFIG, by default ~/.config/plantdb/config.toml, which may \
            be edited. Wherever a command takes a database it takes NAME: as well; an option on the \
            command line comes before what the file says.

            EXAMPLES
              plantdb remote add lab ssh://lab/data/greenhouse --identity ~/.ssh/lab
              plantdb sync lab: /data/greenhouse
              plantdb remote list
              plantdb remote remove lab
            """,
        subcommands: [RemoteAddCommand.self, RemoteListCommand.self, RemoteRemoveCommand.self]
    )

    /// - Throws: `invalidArgument` where there is no place for it.
    static func file() throws(DatabaseError) -> ConfigurationFile {
        guard let file = ConfigurationFile() else {
            throw DatabaseError(
                .invalidArgument,
                "there is no place for a configuration: PLANTDB_CONFIG is empty, or there is no HOME")
        }
        return file
    }
}

struct RemoteAddCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Name a database. Nothing is connected to.",
        discussion: """
            The options are kept with the name, and count as if they were given with every command. \
            Passwords and tokens stay in the files that are named here.

            EXAMPLES
              plantdb remote add backup /mnt/backup/greenhouse
              plantdb remote add lab ssh://lab/data/db --ssh-option ProxyJump=gate
              plantdb remote add server https://plants:5000 --token-file ~/.plantdb-token
            """
    )

    @Argument(help: "Letters, digits, - and _; without the colon.")
    var name: String

    @Argument(help: "The database: a path, ssh://… or http(s)://…", completion: .directory)
    var location: String

    @OptionGroup(title: "Kept with it") var remote: RemoteOptions

    mutating func validate() throws {
        if remote.askPass {
            throw ValidationError("a prompt cannot be kept; give --ask-pass with the commands themselves")
        }
        if remote.passwordFile == "-" || remote.tokenFile == "-" {
            throw ValidationError("standard input cannot be kept; name a file")
        }
        let scheme = location.firstRange(of: "://").map { location[..<$0.lowerBound].lowercased() }
        if let scheme, !["ssh", "http", "https"].contains(scheme) {
            throw ValidationError("“\(location.withoutSecrets.printable)” is neither ssh:// nor http(s)://")
        }
        if scheme == nil, location.looksLikeAnotherMachine, NamedDatabase.name(in: location) == nil {
            throw ValidationError(
                "“\(location.withoutSecrets.printable)” looks like a place on another machine: write ssh://…; a "
                    + "folder of such a name is written ./…")
        }
    }

    func run() throws {
        let console = Running.shared.console
        var database = try NamedDatabase(name: name, location: Self.absolute(location))
        database.identity = remote.identity.map(Self.absolute)
        database.sshOptions = remote.sshOption
        database.acceptsNewHostKey = remote.acceptNewHostKey
        database.user = remote.user
        database.passwordFile = remote.passwordFile.map(Self.absolute)
        database.tokenFile = remote.tokenFile.map(Self.absolute)
        database.certificateAuthority = remote.cacert.map(Self.absolute)
        database.sendsTokenUnencrypted = remote.sendTokenUnencrypted
        let file = try RemoteCommand.file()
        try file.add(database)
        console.note("\(name): is \(database.location.printable), in \(file.path.printable)")
    }

    /// The name means the same place from every folder.
    private static func absolute(_ location: String) -> String {
        location.isEmpty || location.contains("://") || NamedDatabase.name(in: location) != nil
            ? location : URL(fileURLWithPath: location).standardizedFileURL.path
    }
}

struct RemoteListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the named databases.",
        discussion: """
            EXAMPLES
              plantdb remote list
            """
    )

    @Flag(help: "One JSON object a line.")
    var json = false

    func run() throws {
        let console = Running.shared.console
        let databases = try RemoteCommand.file().databases()
        var table = TextTable([.left, .left])
        for database in databases {
            if json {
                let line = JSONObject([
                    ("schema", "plantdb.remotes/1"), ("name", .string(database.name)),
                    ("location", .string(database.location)),
                ])
                console.data(JSONValue.object(line).jsonLine)
            } else {
                table.add(database.name + ":", database.location.printable)
            }
        }
        for line in table.lines { console.data(line) }
        if databases.isEmpty && !json { console.note("no database is named; plantdb remote add names one") }
        console.flush()
    }
}

struct RemoteRemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Forget a name. The database is not touched.",
        discussion: """
            EXAMPLES
              plantdb remote remove lab
            """
    )

    @Argument(help: "The name, without the colon.")
    var name: String

    func run() throws {
        let file = try RemoteCommand.file()
        // As it is shown everywhere.
        let name = name.hasSuffix(":") ? String(name.dropLast()) : name
        try file.remove(named: name)
        Running.shared.console.note("\(name): is forgotten")
    }
}
