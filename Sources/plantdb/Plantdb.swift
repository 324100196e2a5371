import ArgumentParser
import CPlatform
import Glibc
import PlantDBCore
import SFTPClient
import Synchronization

/// The command: parses, runs, and ends with the status that `ExitStatus` lists.
@main
struct Plantdb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plantdb",
        abstract: "Moves databases of plant scans between places: whole, verified, and fast.",
        discussion: """
            A database is a folder with the marker file romidb and a folder for every scan. \
            A scan that is new at the target appears there whole or not at all; what is stopped \
            half way is finished by the same command.

            EXAMPLES
              Something to try all this on: a database with five documented scans
                plantdb testdb greenhouse all
              What is in it, and is it sound?
                plantdb scans -l greenhouse
                plantdb check greenhouse
              Look first what a copy would do, then copy what is new or changed
                plantdb sync -n -i greenhouse /backup/greenhouse
                plantdb sync greenhouse /backup/greenhouse
              Did everything arrive?
                plantdb diff greenhouse /backup/greenhouse

            \(ExitStatus.table)
            """,
        version: "plantdb \(Version.text)",
        groupedSubcommands: [
            CommandGroup(name: "Move and compare", subcommands: [SyncCommand.self, DiffCommand.self]),
            CommandGroup(
                name: "Look", subcommands: [ScansCommand.self, CheckCommand.self, HistoryCommand.self]),
            CommandGroup(name: "Share", subcommands: [ServeCommand.self, AppCommand.self]),
            CommandGroup(name: "Make", subcommands: [InitCommand.self, TestDBCommand.self]),
            CommandGroup(
                name: "Maintain",
                subcommands: [
                    RemoteCommand.self, LocksCommand.self, CompletionCommand.self, ManualCommand.self,
                ]),
        ]
    )

    static func main() async {
        plantdb_reserve_standard_descriptors()
        // A reader of stdout that went away is an error of write(2), not the end of us.
        signal(SIGPIPE, SIG_IGN)
        if access("/proc/self/task", F_OK) != 0 {
            // libdispatch looks there for its threads once a second, and traps where it cannot.
            Running.shared.console.error(
                "warning: there is no /proc here: what takes longer than a second may be ended by Swift's runtime "
                    + "(illegal instruction); nothing is lost by that, but mount it (mount -t proc proc /proc)"
            )
        }
        if AskpassHelper.isWanted {
            Glibc.exit(AskpassHelper.run(prompt: givenArguments.map(readable).joined(separator: " ")))
        }
        var arguments: [String] = []
        for (index, bytes) in givenArguments.enumerated() {
            guard let text = String(validating: bytes, as: UTF8.self) else {
                // Swift would put other characters in its place, which may name something else.
                Running.shared.console.error(
                    "argument \(index + 1) is not valid UTF-8: \(readable(bytes)); give names in UTF-8")
                Glibc.exit(ExitStatus.usage.code)
            }
            arguments.append(text)
        }
        guard plantdb_adapt_to_limits(Self.threadCount, Self.memoryBytes) == 0 else {
            Running.shared.console.error(
                "error: memory or processes are limited too much here (ulimit -v, ulimit -u): "
                    + "\(Self.threadCount) threads and \(Self.memoryBytes >> 20) MiB cannot be had "
                    + "(\(String(cString: strerror(errno))))")
            Glibc.exit(ExitStatus.error.code)
        }
        let status = await status(of: arguments)
        Glibc.exit(status.code)
    }

    /// What a run of any kind gets by with.
    private static let (threadCount, memoryBytes): (Int32, Int) = (48, 64 << 20)

    /// After the command's own name; not from Swift, which reads them from /proc.
    private static var givenArguments: [[UInt8]] {
        (1..<max(1, plantdb_argument_count())).compactMap(plantdb_argument).map { argument in
            Array(UnsafeRawBufferPointer(start: argument, count: strlen(argument)))
        }
    }

    /// The bytes that are not ASCII by their numbers.
    private static func readable(_ bytes: [UInt8]) -> String {
        bytes.map { byte in
            let digits = String(byte, radix: 16)
            return (0x20..<0x7f).contains(byte)
                ? String(UnicodeScalar(byte)) : "\\x" + (digits.count < 2 ? "0" : "") + digits
        }.joined()
    }

    /// What others call them.
    private static let otherNames = [
        "ls": "scans", "list": "scans", "copy": "sync", "cp": "sync", "rsync": "sync", "compare": "diff",
        "verify": "check", "create": "init", "gui": "app", "log": "history",
    ]

    /// nil: it is an option, or a command there is.
    private static func complaint(about word: String) -> String? {
        let commands = configuration.groupedSubcommands.flatMap(\.subcommands)
            .compactMap { $0.configuration.commandName }
        guard !word.hasPrefix("-"), word != "help", !commands.contains(word) else { return nil }
        let meant =
            otherNames[word]
            ?? commands.first { $0.prefix(2) == word.prefix(2) || $0.sorted() == word.sorted() }
        return "Error: there is no command “\(word.printable)”."
            + (meant.map { " Did you mean “\($0)”?" } ?? "") + "\n  See 'plantdb --help' for all of them."
    }

    private static func status(of arguments: [String]) async -> ExitStatus {
        let word = arguments.first == "help" ? arguments.dropFirst().first : arguments.first
        if let complaint = word.flatMap(complaint) {
            Running.shared.console.error(complaint)
            return .usage
        }
        let command: any ParsableCommand
        do {
            command = try parseAsRoot(arguments)
        } catch {
            return say(error)
        }
        let work = Task {
            var command = command
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        }
        Running.shared.cancelOnSignal(work)
        do {
            try await work.value
            return Running.shared.endingWell
        } catch {
            return Running.shared.isBroken ? .brokenPipe : say(error)
        }
    }

    /// Says what ended the command where that is still to be said.
    private static func say(_ error: any Error) -> ExitStatus {
        switch error {
        case let failure as CommandFailure:
            Running.shared.console.error(ReportText.line(of: failure.error))
            return failure.status.namingCause
        case let error as DatabaseError:
            Running.shared.console.error(ReportText.line(of: error))
            return ExitStatus(error).namingCause
        case let status as ExitStatus:
            return status.namingCause
        case is CancellationError:
            return ExitStatus.interrupted.namingCause
        default:
            let text = fullMessage(for: error)
            switch exitCode(for: error) {
            case .success:
                let end = text.hasSuffix("\n") ? "" : "\n"
                if Descriptor.writeAll(text + end, to: STDOUT_FILENO) { return .inSync }
                if errno == EPIPE { return .brokenPipe }
                Running.shared.console.error(Console.lostOutput(errno))
                return .error
            case .validationFailure:
                Running.shared.console.error(text)
                return .usage
            case let code:
                if !text.isEmpty { Running.shared.console.error(text) }
                return ExitStatus(code: code.rawValue)
            }
        }
    }
}

enum Version {
    /// As the tag of the release.
    static let text = "0.1.0"
    /// Of its manual pages.
    static let date = "2026-11-27"
}
