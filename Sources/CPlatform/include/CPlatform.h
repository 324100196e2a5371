// System calls that Swift's Glibc module hides (behind _GNU_SOURCE) or cannot
// import (variadic, macros). Every function returns -1 and sets errno on error,
// as the man page of the call it is named after says.
#pragma once

#include <mntent.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// copy_file_range(2), one call, from and to the files' own offsets.
ssize_t plantdb_copy_file_range(int from, int to, size_t length);

// The offset of the next data (hole: 0) or hole (hole: 1) at or after `offset`, by
// lseek(2); -1 with ENXIO past the end.
int64_t plantdb_seek(int fd, int64_t offset, int hole);

// openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS.
// ENOSYS before Linux 5.6 and under some sandboxes.
int plantdb_open_beneath(int directory, const char *path, int flags, mode_t mode);

// openat(2) with its mode argument, which Swift cannot pass.
int plantdb_openat(int directory, const char *path, int flags, mode_t mode);

// O_PATH and O_TMPFILE of open(2), which <fcntl.h> shows only with _GNU_SOURCE.
extern const int plantdb_o_path;
extern const int plantdb_o_tmpfile;

// linkat(2) of an open file without a name (O_TMPFILE), through /proc/self/fd.
int plantdb_link_descriptor(int fd, int directory, const char *name);

// renameat2(2). `flags`: 0, PLANTDB_RENAME_NOREPLACE or PLANTDB_RENAME_EXCHANGE.
#define PLANTDB_RENAME_NOREPLACE 1
#define PLANTDB_RENAME_EXCHANGE 2
int plantdb_renameat2(int from_directory, const char *from, int to_directory, const char *to,
                      unsigned flags);

// futimens(2): sets the modification time, and the access time to what it is. Not UTIME_OMIT: FUSE 2 sets
// nothing then, and says that it did.
int plantdb_set_modified(int fd, int64_t seconds, int64_t nanoseconds);

// syncfs(2): flush the file system that holds `fd`, and report write-back errors.
int plantdb_syncfs(int fd);

// The f_type of fstatfs(2), or -1.
int64_t plantdb_file_system_type(int fd);

// One directory entry as plantdb_next_entry hands it out.
typedef struct {
    const char *name;      // valid until the next call on the same stream
    size_t name_length;
    uint8_t type;          // DT_REG and so on, DT_UNKNOWN where the file system does not say
} plantdb_entry;

// fdopendir(3) and readdir(3) without Swift's import of `struct dirent`, whose
// name is a 256-element tuple. The stream owns `fd` and closes it.
void *plantdb_open_stream(int fd);
// 1: an entry; 0: the end; -1: error.
int plantdb_next_entry(void *stream, plantdb_entry *entry);
void plantdb_close_stream(void *stream);

// pipe2(2) with O_CLOEXEC: ends[0] to read from, ends[1] to write to; `capacity` bytes by
// F_SETPIPE_SZ of fcntl(2) where the system allows it.
int plantdb_pipe(int ends[2], int capacity);

// splice(2) with SPLICE_F_MOVE, from a pipe to where the file stands: EINVAL where its file system
// cannot.
ssize_t plantdb_splice(int pipe, int file, size_t count);

// memfd_create(2) with MFD_CLOEXEC.
int plantdb_memory_file(const char *name);

// The user at the other end of a connected Unix socket (SO_PEERCRED of socket(7)), or -1.
int64_t plantdb_peer_user(int fd);

/// The process at the other end of a Unix socket when it connected; -1 if that cannot be told.
int64_t plantdb_peer_process(int fd);

// pidfd_open(2): a descriptor that stays that process's, whoever gets its number later.
int plantdb_open_process(pid_t process);
// pidfd_getfd(2): one of its descriptors, as our own. ENOSYS before Linux 5.6; EPERM where one process may
// not look into another.
int plantdb_copy_descriptor(int process, int fd);

// What the process was started with, and an argument of it: Swift reads them from /proc, and knows none where
// that is not mounted.
int plantdb_argument_count(void);
const char *plantdb_argument(int index);

// Keeps the numbers of standard input, output and error from becoming those of other files where the process
// was started without them: a message would be written into a database. Call it before any file is opened.
void plantdb_reserve_standard_descriptors(void);

// Where the address space or the number of processes is limited (RLIMIT_AS, RLIMIT_NPROC of getrlimit(2)): takes
// less for each thread, and tries whether so many threads and bytes can be had, since the libraries that need them
// end the process where they cannot. -1 with errno if not. Call it before any thread is made.
int plantdb_adapt_to_limits(int threads, size_t bytes);

// CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the processor where it can. Start with 0 and
// go on with what the last call returned.
uint32_t plantdb_crc32c(uint32_t crc, const void *bytes, size_t length);
