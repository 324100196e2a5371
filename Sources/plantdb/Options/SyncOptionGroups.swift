import ArgumentParser
import PlantDBCore
import SyncEngine

struct PlanOptions: ParsableArguments {
    @Flag(name: [.customShort("n"), .long], help: "Say what a run would do, and change nothing.")
    var dryRun = false

    @Flag(name: [.customShort("i"), .long], help: "List every file that is touched, and why.")
    var itemize = false

    @Flag(help: "With --dry-run: end with 4 if there are differences.")
    var exitCode = false

    mutating func validate() throws {
        if exitCode && !dryRun { throw ValidationError("--exit-code needs --dry-run") }
    }
}

struct SafetyOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What is checked of what was written. auto: sizes, digests in passing, an unchanged source; full: also read it back; none: as auto, which costs next to nothing.",
            valueName: "how"))
    var verify = SyncOptions.Verification.auto

    @Flag(help: "TARGET must be a database already: where its disk is not mounted, the run ends with 10.")
    var existingTarget = false

    @Flag(help: "Delete at the target what runs brought there and the source does not have any more.")
    var delete = false

    @Flag(
        help:
            "With --delete: also what the target has of its own. (Where nothing is remembered of the two, that goes into the trash.)"
    )
    var deleteUnknown = false

    @Option(
        help: ArgumentHelp(
            "Refuse to delete more than this many files, or percent of the target's files. (default: 10%)",
            valueName: "n|p%"),
        transform: Transforms.deletionLimit)
    var maxDelete: SyncOptions.DeletionLimit?

    @Flag(help: "Keep what is deleted in the target's trash (.plantdb-sync/).")
    var trash = false

    @Flag(help: "Put another scan of the same name at the target into its trash, and make the source's.")
    var displace = false

    @Flag(help: "Go on if the source has no scans at all (an unmounted disk looks like that).")
    var allowEmptySource = false

    static let defaultLimit = SyncOptions.DeletionLimit.percent(10)

    mutating func validate() throws {
        if maxDelete != nil && !delete { throw ValidationError("--max-delete needs --delete") }
        if trash && !delete { throw ValidationError("--trash needs --delete") }
        if deleteUnknown && !delete { throw ValidationError("--delete-unknown needs --delete") }
    }

    func apply(to options: inout SyncOptions) {
        options.verification = verify
        if delete { options.deletion = .delete(limit: maxDelete ?? Self.defaultLimit) }
        options.usesTrash = trash
        options.deletesUnknown = deleteUnknown
        options.displacesOtherScans = displace
        options.allowsEmptySource = allowEmptySource
    }
}

struct TransferOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Scans at work at a time. (default: two, eight over a line that answers late)", valueName: "n"),
        transform: Transforms.positive)
    var transfers: Int?

    @Option(
        help: ArgumentHelp(
            "Try a scan again this often after a passing failure. (default: 2)", valueName: "n"),
        transform: Transforms.count)
    var retries: Int?

    @Option(
        name: .customLong("bwlimit"),
        help: ArgumentHelp(
            "Move at most this many bytes a second: 500k, 10M. (default: as fast as it goes)",
            valueName: "rate"),
        transform: Transforms.rate)
    var bandwidthLimit: Int64?

    @Option(
        help: ArgumentHelp(
            "What is flushed to disk. auto: what replaces something, first; always: all that is reported done.",
            valueName: "when"))
    var fsync = TransactionOptions.Durability.auto

    func apply(to options: inout SyncOptions) {
        options.transfers = transfers
        if let retries { options.retries = retries }
        options.durability = fsync
        options.bytesPerSecond = bandwidthLimit
    }
}

enum LockTime: String, ExpressibleByArgument, CaseIterable {
    case whole, publication

    var locking: SyncOptions.Locking {
        switch self {
        case .publication: .publication
        case .whole: .whole
        }
    }
}

struct LockOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Wait this long for a lock of somebody else: 90s, 15m, 2h. (default: do not wait)",
            valueName: "duration"),
        transform: Transforms.duration)
    var lockWait: Duration?

    @Option(
        help: ArgumentHelp(
            """
            For how long others are kept out. whole: of both databases, from beginning to end. publication: of \
            the target, while a scan is published, and of the source never.
            """, valueName: "when"))
    var lock = LockTime.whole

    @Flag(
        name: .customLong("no-source-lock"),
        help: "Take no lock on the source: for one that cannot be written.")
    var noSourceLock = false

    func apply(to options: inout SyncOptions) {
        options.lockWait = lockWait ?? .zero
        options.locksSource = !noSourceLock
        options.locking = lock.locking
    }
}

struct UnattendedOptions: ParsableArguments {
    @Flag(help: "Go on: sync again whenever something changes in SOURCE, a folder of this machine.")
    var watch = false

    @Option(
        help: ArgumentHelp(
            "When a run has ended, give this to sh, its summary (as --report has it) on standard input.",
            valueName: "command"))
    var onFinish: String?

    mutating func validate() throws {
        if onFinish == "" { throw ValidationError("--on-finish needs a command") }
    }
}

struct OutputOptions: ParsableArguments {
    @Flag(
        name: [.customShort("P"), .long],
        help: "Show progress: a bar on a terminal (there by default), otherwise a line every 5 seconds.")
    var progress = false

    @Flag(name: .customLong("no-progress"), help: "Show no progress.")
    var noProgress = false

    @Flag(name: [.customShort("v"), .long], help: "Say more: every scan, and what is equal.")
    var verbose = false

    @Flag(name: [.customShort("q"), .long], help: "Say nothing but errors.")
    var quiet = false

    @Flag(help: "Write events to standard output, one JSON object a line (docs/json-events.md).")
    var json = false

    @Option(
        help: ArgumentHelp("Write the summary as JSON into this file.", valueName: "file"),
        completion: .file())
    var report: String?

    @Option(
        help: ArgumentHelp("Append what is said to this file, with times.", valueName: "file"),
        completion: .file())
    var logFile: String?

    mutating func validate() throws {
        if progress && noProgress { throw ValidationError("--progress and --no-progress exclude each other") }
        if verbose && quiet { throw ValidationError("--verbose and --quiet exclude each other") }
        if progress && quiet { throw ValidationError("--progress and --quiet exclude each other") }
        if report == "" || logFile == "" { throw ValidationError("a file name must not be empty") }
    }

    /// - Throws: where the log file cannot be opened.
    func console() throws(DatabaseError) -> Console {
        var shown = Console.Progress.none
        if !noProgress && !quiet {
            if Terminal.isStandardError { shown = .bar } else if progress { shown = .plainLines }
        }
        var log: LogFile?
        if let logFile { log = try LogFile(path: logFile) }
        return Console(isQuiet: quiet, isVerbose: verbose, progress: shown, log: log)
    }
}
