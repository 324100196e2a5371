import Glibc
import PlantDBCore

/// A failed system call: the number it left in `errno`, to be read at once.
struct SystemError: Error {
    let number: CInt

    init(_ number: CInt = errno) { self.number = number }

    /// As strerror(3) says it, thread-safe by copying at once.
    var text: String { strerror(number).map { String(cString: $0) } ?? "error \(number)" }

    /// The one table of errno values; the meanings are those of errno(3).
    var code: DatabaseError.Code {
        switch number {
        case ENOENT: .notFound
        case EEXIST: .alreadyExists
        case EACCES, EPERM, EROFS: .permissionDenied
        case ENOSPC, EDQUOT, EFBIG: .noSpace
        case ENOTDIR, ELOOP: .conflict
        case EINVAL, ENOSYS, EOPNOTSUPP, EXDEV: .unsupported
        case ENAMETOOLONG, EILSEQ: .invalidName
        case ETIMEDOUT, EHOSTDOWN, ENETUNREACH, ESTALE, ENOTCONN: .unreachable
        default: .io
        }
    }

    /// Whether it may be what a file system says that does not take such a name: they have no word for it.
    func mayRefuseName(_ path: String) -> Bool {
        [ENOENT, EINVAL, EILSEQ, EPERM, EACCES].contains(number) && TargetNames.holdsUncommon(path)
    }

    /// What to do about it, where that can be said.
    private var advice: String {
        switch number {
        case EROFS: "; it is mounted read-only"
        case EACCES, EPERM: "; check owner and permissions"
        case ENOSPC: "; free some space and run the same command again"
        case EDQUOT: "; the quota is used up"
        case EMFILE: "; raise the limit of open files (ulimit -n)"
        case ELOOP: "; a symbolic link stands in the way, and none is followed inside a database"
        case EXDEV:
            "; it lies on another file system than the database's root (a disk that is mounted below it), and "
                + "nothing can be put there in one step: make that place a database of its own"
        case ENOTDIR: "; a file stands where a directory is needed"
        default: ""
        }
    }

    /// Runs system calls, and says what was tried where one fails.
    static func mapping<Result>(
        _ failure: (SystemError) -> DatabaseError, _ body: () throws(SystemError) -> Result
    ) throws(DatabaseError) -> Result {
        do throws(SystemError) { return try body() } catch { throw failure(error) }
    }

    /// - Parameter action: as in “cannot ‹action›”: `open photo.jpg`.
    func error(_ action: String, scan: ScanID? = nil, path: String? = nil) -> DatabaseError {
        DatabaseError(
            code, "cannot \(action.printable)\(advice)", cause: text, scan: scan, path: path?.printable)
    }
}
