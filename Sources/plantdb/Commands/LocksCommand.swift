import ArgumentParser
import PlantDBCore
import PlantDBSync

struct LocksCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "locks",
        abstract: "List or break the locks of a database.",
        discussion: """
            EXAMPLES
              Who holds it?
                plantdb locks list /data/greenhouse
              Remove what dead processes left:
                plantdb locks break /data/greenhouse
              Remove one that is wrongly held alive:
                plantdb locks break --force /data/greenhouse lock
            """,
        subcommands: [LocksListCommand.self, LocksBreakCommand.self]
    )
}

struct LocksListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the locks of a database: who holds them, for how long, and whether they live.",
        discussion: """
            EXAMPLES
              plantdb locks list /data/greenhouse
            """
    )

    @Argument(help: "The database.", completion: .directory)
    var database: String

    @Flag(help: "One JSON object a line.")
    var json = false

    @OptionGroup(title: "Other machines") var remote: RemoteOptions

    func run() async throws {
        let opener = remote.opener()
        let console = Console()
        Running.shared.console = console
        let locks = try await withDatabase(database, opener) { try await $0.inspectingLocks().heldLocks() }
        let lines = json ? locks.map { LockText.json(of: $0).jsonLine } : LockText.lines(locks)
        for line in lines { console.data(line) }
        if locks.isEmpty && !json { console.note("no locks") }
        console.flush()
    }
}

struct LocksBreakCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "break",
        abstract: "Remove locks whose owners are dead; with --force, live ones too.",
        discussion: """
            Without PATH: all that are dead. A live lock is removed only by name and with --force: \
            its owner then no longer has what it believes in, and may write at the same time as \
            somebody else.

            EXAMPLES
              plantdb locks break /data/greenhouse
              plantdb locks break --force /data/greenhouse .locks/plant_01.lock
            """
    )

    @Argument(help: "The database.", completion: .directory)
    var database: String

    @Argument(help: "Locks, as plantdb locks list names them.")
    var path: [String] = []

    @Flag(help: "Also locks that live.")
    var force = false

    @OptionGroup(title: "Other machines") var remote: RemoteOptions

    mutating func validate() throws {
        if force && path.isEmpty { throw ValidationError("--force needs the locks to be named") }
    }

    func run() async throws {
        let opener = remote.opener()
        let console = Console()
        Running.shared.console = console
        try await withDatabase(database, opener) { endpoint in
            let database = try endpoint.inspectingLocks()
            let held = try await database.heldLocks()
            var chosen = held.filter { $0.state != .live }
            if !path.isEmpty {
                for path in path where !held.contains(where: { $0.path == path }) {
                    throw DatabaseError(
                        .notFound, "\(endpoint.location) has no lock \(path.printable)", path: path.printable)
                }
                chosen = held.filter { path.contains($0.path) }
            }
            for lock in chosen {
                try await database.breakLock(lock, force: force)
                console.data(
                    "removed \(lock.path.printable)  (\(lock.state.rawValue), \(lock.owner.printable))")
            }
            console.flush()
            if chosen.isEmpty {
                let live = held.count
                console.note(live == 0 ? "no locks" : "no dead locks; \(Sizes.count(live, "live one"))")
            }
        }
    }
}

/// What `plantdb locks` says.
enum LockText {
    static func lines(_ locks: [HeldLock]) -> [String] {
        var table = TextTable([.left, .left, .left, .left, .left, .left])
        for lock in locks {
            table.add(
                lock.state.rawValue, lock.mode?.rawValue ?? "–", lock.scope.description,
                lock.ageSeconds.map { Durations.text(seconds: $0) } ?? "–", lock.path.printable,
                lock.owner.printable)
        }
        return table.lines
    }

    static func json(of lock: HeldLock) -> JSONValue {
        let scan: JSONValue =
            switch lock.scope {
            case .database, .run: .null
            case .scan(let scan): .string(scan.rawValue)
            }
        return .object(
            JSONObject([
                ("schema", "plantdb.locks/1"), ("path", .string(lock.path)), ("scan", scan),
                ("state", .string(lock.state.rawValue)), ("mode", .optional(lock.mode?.rawValue)),
                ("owner", .string(lock.owner)),
                ("ageSeconds", lock.ageSeconds.map(JSONValue.decimal) ?? .null),
            ]))
    }
}

extension DatabaseEndpoint {
    /// - Throws: `unsupported` where locks cannot be looked at from outside.
    fileprivate func inspectingLocks() throws(DatabaseError) -> any LockInspecting {
        guard let inspecting = self as? any LockInspecting else {
            throw DatabaseError(
                .unsupported,
                "the locks behind \(location) cannot be looked at from here; run plantdb locks on its machine"
            )
        }
        return inspecting
    }
}
