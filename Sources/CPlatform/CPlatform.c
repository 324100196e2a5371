#define _GNU_SOURCE
#include "CPlatform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

const int plantdb_o_path = O_PATH;
const int plantdb_o_tmpfile = O_TMPFILE;

int plantdb_link_descriptor(int fd, int directory, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW);
}

ssize_t plantdb_copy_file_range(int from, int to, size_t length) {
    return copy_file_range(from, NULL, to, NULL, length, 0);
}

int64_t plantdb_seek(int fd, int64_t offset, int hole) {
    return lseek(fd, offset, hole ? SEEK_HOLE : SEEK_DATA);
}

int plantdb_open_beneath(int directory, const char *path, int flags, mode_t mode) {
    struct open_how how;
    memset(&how, 0, sizeof how);
    how.flags = (uint64_t)(unsigned)flags | O_CLOEXEC;
    // openat2 refuses a mode that the flags do not use.
    how.mode = (flags & (O_CREAT | __O_TMPFILE)) ? mode : 0;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    long fd;
    // EAGAIN: a rename raced with the walk; the kernel asks to try again.
    int tries = 0;
    do {
        fd = syscall(SYS_openat2, directory, path, &how, sizeof how);
    } while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < 64)));
    return (int)fd;
}

int plantdb_openat(int directory, const char *path, int flags, mode_t mode) {
    int fd;
    do {
        fd = openat(directory, path, flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

int plantdb_renameat2(int from_directory, const char *from, int to_directory, const char *to,
                      unsigned flags) {
    return (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
}

int plantdb_set_modified(int fd, int64_t seconds, int64_t nanoseconds) {
    struct timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                                {.tv_sec = (time_t)seconds, .tv_nsec = (long)nanoseconds}};
    return futimens(fd, times);
}

int plantdb_syncfs(int fd) { return syncfs(fd); }

int64_t plantdb_file_system_type(int fd) {
    struct statfs info;
    if (fstatfs(fd, &info) < 0) { return -1; }
    return (int64_t)info.f_type & 0xffffffff;
}

void *plantdb_open_stream(int fd) { return fdopendir(fd); }

int plantdb_next_entry(void *stream, plantdb_entry *entry) {
    errno = 0;
    struct dirent *next = readdir(stream);
    if (next == NULL) { return errno == 0 ? 0 : -1; }
    entry->name = next->d_name;
    entry->name_length = strlen(next->d_name);
    entry->type = next->d_type;
    return 1;
}

void plantdb_close_stream(void *stream) { closedir(stream); }

int plantdb_pipe(int ends[2], int capacity) {
    if (pipe2(ends, O_CLOEXEC) < 0) { return -1; }
    // Smaller pipes are slower, and no error.
    fcntl(ends[0], F_SETPIPE_SZ, capacity);
    return 0;
}

int plantdb_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

int64_t plantdb_peer_user(int fd) {
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) { return -1; }
    return (int64_t)peer.uid;
}
