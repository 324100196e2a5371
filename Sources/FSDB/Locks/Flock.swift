import Glibc
import PlantDBCore

/// flock(2), never waiting.
enum Flock {
    enum Outcome: Sendable {
        case taken
        /// Somebody holds it in a mode that excludes the one asked for.
        case refused
        /// It cannot be had here, and so nobody has it: file systems and sandboxes say so in many words.
        case unsupported
    }

    static func attempt(_ descriptor: CInt, _ mode: LockMode) throws(SystemError) -> Outcome {
        let operation = (mode == .shared ? LOCK_SH : LOCK_EX) | LOCK_NB
        while flock(descriptor, operation) != 0 {
            switch errno {
            case EWOULDBLOCK: return .refused
            case EINTR: continue
            // EBADF: NFS 4, of a directory, or where the descriptor may not write.
            case EBADF, EINVAL, ENOSYS, EOPNOTSUPP, ENOLCK, EPERM: return .unsupported
            default: throw SystemError()
            }
        }
        return .taken
    }

    /// Opens a file whose lock is to be tried: NFS 4 gives an exclusive one only to who may write.
    static func open(_ name: String, in directory: Directory) throws(SystemError) -> CInt {
        do throws(SystemError) { return try directory.openRaw(name, flags: O_RDWR | O_NONBLOCK) } catch {
            guard [EACCES, EPERM, EROFS, EISDIR].contains(error.number) else { throw error }
            return try directory.openRaw(name, flags: O_RDONLY | O_NONBLOCK)
        }
    }

    /// Unlocks and closes.
    ///
    /// Closing alone would not do: a child that another thread starts in this moment has the
    /// descriptor too until it runs its program, and would hold the lock that long.
    static func unlockAndClose(_ descriptor: CInt) {
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    /// Whether the open file is still the one of that name: whoever releases a lock unlinks
    /// its file, so a lock may have been taken on a file that nobody else will ever find.
    static func isNamed(_ descriptor: CInt, _ name: String, in directory: CInt) throws(SystemError) -> Bool {
        var own = stat()
        var named = stat()
        guard fstat(descriptor, &own) == 0 else { throw SystemError() }
        guard fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0 else {
            if errno == ENOENT { return false }
            throw SystemError()
        }
        return own.st_dev == named.st_dev && own.st_ino == named.st_ino
    }
}

/// What an attempt to lock came to.
enum LockAttempt<Lock: Sendable>: Sendable {
    case acquired(Lock)
    /// Who holds it, as a sentence's end: “by plantdb-swift, process 7 of ada on lab1, for 3 min”.
    case held(by: String)
    /// The file vanished or was replaced on the way: try again at once.
    case raced
}
