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

int64_t plantdb_peer_process(int fd) {
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) { return -1; }
    return (int64_t)peer.pid;
}

static uint32_t crc32c_table[8][256];

__attribute__((constructor)) static void make_crc32c_table(void) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t crc = n;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
        crc32c_table[0][n] = crc;
    }
    for (uint32_t n = 0; n < 256; n++)
        for (int k = 1; k < 8; k++)
            crc32c_table[k][n] =
                (crc32c_table[k - 1][n] >> 8) ^ crc32c_table[0][crc32c_table[k - 1][n] & 255];
}

// Eight bytes a step ("slicing by 8").
static uint32_t crc32c_by_table(uint32_t crc, const unsigned char *next, size_t length) {
    for (; length >= 8; length -= 8, next += 8) {
        uint32_t low = crc ^ ((uint32_t)next[0] | (uint32_t)next[1] << 8 | (uint32_t)next[2] << 16 |
                              (uint32_t)next[3] << 24);
        crc = crc32c_table[7][low & 255] ^ crc32c_table[6][low >> 8 & 255] ^
              crc32c_table[5][low >> 16 & 255] ^ crc32c_table[4][low >> 24] ^
              crc32c_table[3][next[4]] ^ crc32c_table[2][next[5]] ^ crc32c_table[1][next[6]] ^
              crc32c_table[0][next[7]];
    }
    while (length--) crc = crc32c_table[0][(crc ^ *next++) & 255] ^ (crc >> 8);
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_by_processor(
    uint32_t crc, const unsigned char *next, size_t length) {
    uint64_t wide = crc;
    for (; length >= 8; length -= 8, next += 8) {
        uint64_t word;
        __builtin_memcpy(&word, next, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    while (length--) crc = __builtin_ia32_crc32qi(crc, *next++);
    return crc;
}
#define HAS_CRC32C __builtin_cpu_supports("sse4.2")
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
static uint32_t crc32c_by_processor(uint32_t crc, const unsigned char *next, size_t length) {
    for (; length >= 8; length -= 8, next += 8) {
        uint64_t word;
        __builtin_memcpy(&word, next, 8);
        crc = __crc32cd(crc, word);
    }
    while (length--) crc = __crc32cb(crc, *next++);
    return crc;
}
#define HAS_CRC32C 1
#else
#define crc32c_by_processor crc32c_by_table
#define HAS_CRC32C 0
#endif

uint32_t plantdb_crc32c(uint32_t crc, const void *bytes, size_t length) {
    crc = HAS_CRC32C ? ~crc32c_by_processor(~crc, bytes, length)
                     : ~crc32c_by_table(~crc, bytes, length);
    return crc;
}
