import Glibc
import PlantDBCore
import SyncEngine

/// The exit codes of `plantdb`, and the one place where anything becomes one.
struct ExitStatus: Sendable, Hashable {
    let code: Int32

    init(code: Int32) { self.code = code }

    static let inSync = ExitStatus(code: 0)
    static let error = ExitStatus(code: 1)
    static let usage = ExitStatus(code: 2)
    /// Finished, but some files failed or could not be read.
    static let partial = ExitStatus(code: 3)
    static let differences = ExitStatus(code: 4)
    /// Not a PlantDB database, or nothing there.
    static let noDatabase = ExitStatus(code: 10)
    static let locked = ExitStatus(code: 11)
    static let authentication = ExitStatus(code: 12)
    static let sourceChanged = ExitStatus(code: 24)
    static let deletionGuard = ExitStatus(code: 25)
    static let verification = ExitStatus(code: 26)
    static let noSpace = ExitStatus(code: 28)
    static let unreachable = ExitStatus(code: 30)
    static let interrupted = ExitStatus(code: 130)
    /// Whoever read the output is gone: what a shell shows for SIGPIPE.
    static let brokenPipe = ExitStatus(code: 141)

    /// 128 and the signal's number, as shells count.
    static func signal(_ number: Int32) -> ExitStatus { ExitStatus(code: 128 + number) }

    /// An error that ended a command.
    ///
    /// - Parameter opening: whether a database was being opened, so that what was not found
    ///   is the database itself and not something in it.
    init(_ error: DatabaseError, opening: Bool = false) {
        self =
            switch error.code {
            case .invalidArgument, .invalidName: .usage
            case .notADatabase, .emptySource: .noDatabase
            case .notFound: opening ? .noDatabase : .error
            case .locked: .locked
            case .authentication: .authentication
            case .sourceChanged: .sourceChanged
            case .deletionGuard: .deletionGuard
            case .verificationFailed: .verification
            case .noSpace: .noSpace
            case .unreachable: .unreachable
            case .cancelled: .interrupted
            case .alreadyExists, .permissionDenied, .conflict, .unsupported, .invalidData, .io: .error
            }
    }

    /// A report: what ended the run; else the most telling failure of a scan, in the order of
    /// ``severity``; else 3 for a source that could be read in part only; else 4 for
    /// differences that were left; else 0.
    init(_ report: SyncReport) {
        if let error = report.error {
            self.init(error)
            return
        }
        let failures = report.scans.flatMap(\.errors).map(ExitStatus.init(ofOne:))
        if let worst = Self.severity.first(where: failures.contains) {
            self = worst
        } else if report.scansFailed > 0 || report.totals.filesFailed > 0
            || report.scans.contains(where: { $0.skipped.contains(where: \.hidesContent) })
        {
            self = .partial
        } else if report.totals.filesUnresolved > 0 {
            self = .differences
        } else {
            self = .inSync
        }
    }

    /// The plan of a dry run or of `diff`: as a report, with 4 for any difference.
    ///
    /// - Parameter reportsDifferences: false makes a dry run with work to do a success.
    init(_ plan: SyncPlan, reportsDifferences: Bool) {
        let failures = plan.failures.flatMap(\.errors).map(ExitStatus.init(ofOne:))
        if let worst = Self.severity.first(where: failures.contains) {
            self = worst
        } else if !plan.failures.isEmpty
            || plan.scans.contains(where: { !$0.isComplete || !$0.heldBack.isEmpty })
        {
            self = .partial
        } else {
            self = reportsDifferences && !plan.isInSync ? .differences : .inSync
        }
    }

    /// One scan's error in a run that went on: what the codes of its own do not name is 3.
    private init(ofOne error: DatabaseError) {
        let status = ExitStatus(error)
        self = Self.severity.contains(status) ? status : .partial
    }

    /// From the most telling to the least: corrupt data before a full disk, what its user has
    /// to settle (credentials, a lock) before what passes, and a source that merely moved on
    /// after everything else.
    private static let severity: [ExitStatus] = [
        .verification, .noSpace, .deletionGuard, .authentication, .locked, .unreachable, .interrupted,
        .partial, .sourceChanged,
    ]

    /// Of a run that is over, in a list.
    var words: String {
        switch self {
        case .inSync: "done"
        case .usage: "wrong usage"
        case .partial: "done in part"
        case .differences: "differences left"
        case .noDatabase: "no database"
        case .locked: "locked"
        case .authentication: "not let in"
        case .sourceChanged: "source changed"
        case .deletionGuard: "too much to delete"
        case .verification: "damaged on the way"
        case .noSpace: "no space"
        case .unreachable: "unreachable"
        case .brokenPipe: "nobody listened"
        case .signal(SIGHUP), .signal(SIGINT), .signal(SIGTERM): "stopped"
        default: "failed"
        }
    }

    /// For the help.
    static let table = """
        EXIT CODES
          0    in sync, or done
          1    error
          2    wrong usage
          3    finished, but some files failed or could not be read
          4    differences found, or left (diff, sync)
          10   not a PlantDB database, nothing there, or an empty source
          11   locked by somebody else
          12   credentials or a host key were refused
          24   the source changed while it was read
          25   more would be deleted than --max-delete allows
          26   what was written is not what was read
          28   no space or quota left
          30   unreachable, or no answer in time
          129, 130, 141, 143   ended by SIGHUP, SIGINT, SIGPIPE, SIGTERM
        """
}

/// Thrown by a command that has said what there is to say.
extension ExitStatus: Error {}

extension ExitStatus {
    /// An interruption is named after what asked for it: a signal, or that nobody reads any more.
    var namingCause: ExitStatus {
        guard self == .interrupted else { return self }
        if let number = SignalWatch.received { return .signal(number) }
        return Running.shared.isBroken ? .brokenPipe : self
    }
}
