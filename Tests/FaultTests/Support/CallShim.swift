import Glibc
import PlantDBTesting

/// A library for LD_PRELOAD that makes calls fail by what they are made on, which strace(1) cannot: the
/// environment says which.
///
/// `SHIM_CLOSE=TEXT`: close(2) of a file that was written, whose path holds TEXT, stores nothing of it and
/// answers EDQUOT, as AFS does. `SHIM_LOOK=NAME`: the first openat(2) of a directory or fstatat(2) of a file
/// of that name in a staged tree answers EIO. `SHIM_TIMES=1`: futimens(2) keeps whole seconds, and sets nothing
/// where one of the two times is to be left alone, as FUSE 2 does.
struct CallShim {
    private let folder: TemporaryDirectory

    /// The C compiler; nil: there is none.
    static let compiler = Machine.path(of: "cc") ?? Machine.path(of: "clang")

    init() throws {
        folder = try TemporaryDirectory()
        try writeFile(folder.appending("shim.c"), Array(Self.source.utf8))
        try shell(
            Self.compiler ?? "cc", "-w", "-shared", "-fPIC", "-o", folder.appending("shim.so"),
            folder.appending("shim.c"), "-ldl")
    }

    func environment(_ faults: [String: String]) -> [String: String] {
        faults.merging(["LD_PRELOAD": folder.appending("shim.so")]) { $1 }
    }

    private static let source = """
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <errno.h>
        #include <fcntl.h>
        #include <stdarg.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/stat.h>
        #include <unistd.h>
        int futimens(int fd, const struct timespec times[2]) {
            int (*next)(int, const struct timespec *) = dlsym(RTLD_NEXT, "futimens");
            if (!times || !getenv("SHIM_TIMES")) return next(fd, times);
            struct timespec whole[2];
            for (int i = 0; i < 2; i++) {
                if (times[i].tv_nsec == UTIME_OMIT) return 0;
                whole[i] = times[i];
                whole[i].tv_nsec = 0;
            }
            return next(fd, whole);
        }
        static int has_failed;
        static int lies_at(int fd, const char *text) {
            char link[64], path[4096];
            snprintf(link, 64, "/proc/self/fd/%d", fd);
            ssize_t length = readlink(link, path, 4095);
            if (length < 0) return 0;
            path[length] = 0;
            return strstr(path, text) != 0;
        }
        int close(int fd) {
            int (*next)(int) = dlsym(RTLD_NEXT, "close");
            const char *text = getenv("SHIM_CLOSE");
            if (!text || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY || !lies_at(fd, text)) return next(fd);
            ftruncate(fd, 0);
            next(fd);
            errno = EDQUOT;
            return -1;
        }
        static int fails(int directory, const char *name) {
            const char *wanted = getenv("SHIM_LOOK");
            if (has_failed || !wanted || strcmp(name, wanted) || !lies_at(directory, "/staging/")) return 0;
            if (!lies_at(directory, "/tree")) return 0;
            has_failed = 1;
            errno = EIO;
            return 1;
        }
        int openat(int directory, const char *path, int flags, ...) {
            va_list rest;
            va_start(rest, flags);
            mode_t mode = va_arg(rest, int);
            va_end(rest);
            int (*next)(int, const char *, int, ...) = dlsym(RTLD_NEXT, "openat");
            return (flags & O_DIRECTORY) && fails(directory, path) ? -1 : next(directory, path, flags, mode);
        }
        int fstatat(int directory, const char *path, struct stat *status, int flags) {
            int (*next)(int, const char *, struct stat *, int) = dlsym(RTLD_NEXT, "fstatat");
            return fails(directory, path) ? -1 : next(directory, path, status, flags);
        }
        int fstatat64(int directory, const char *path, struct stat64 *status, int flags) {
            int (*next)(int, const char *, struct stat64 *, int) = dlsym(RTLD_NEXT, "fstatat64");
            return fails(directory, path) ? -1 : next(directory, path, status, flags);
        }

        """
}
