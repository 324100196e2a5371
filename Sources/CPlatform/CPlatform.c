#define _GNU_SOURCE
#include "CPlatform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

ssize_t plantdb_copy_file_range(int from, int to, size_t length) {
    return copy_file_range(from, NULL, to, NULL, length, 0);
}

int plantdb_clone_file(int from, int to) { return ioctl(to, FICLONE, from); }

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
