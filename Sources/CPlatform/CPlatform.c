#define _GNU_SOURCE
#include "CPlatform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
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
    struct stat status;
    if (fstat(fd, &status) != 0) return -1;
    struct timespec times[2] = {status.st_atim, {.tv_sec = (time_t)seconds, .tv_nsec = (long)nanoseconds}};
    return futimens(fd, times);
}

int plantdb_open_process(pid_t process) { return (int)syscall(SYS_pidfd_open, process, 0); }

int plantdb_copy_descriptor(int process, int fd) { return (int)syscall(SYS_pidfd_getfd, process, fd, 0); }

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

ssize_t plantdb_splice(int pipe, int file, size_t count) {
    return splice(pipe, NULL, file, NULL, count, SPLICE_F_MOVE);
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

static int argument_count;
static char **arguments;

// glibc hands a constructor what main gets.
__attribute__((constructor)) static void keep_arguments(int argc, char **argv) {
    argument_count = argc;
    arguments = argv;
}

int plantdb_argument_count(void) { return argument_count; }

const char *plantdb_argument(int index) { return arguments[index]; }

void plantdb_reserve_standard_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++) {
        // The lowest free number is that of this one. Writing to what is open for reading fails, as it did.
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) open("/dev/null", O_RDONLY);
    }
}

static void *wait_for_release(void *gate) {
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

// Above it, nobody means a limit of processes to be met.
#define FEW_PROCESSES 1024
#define MOST_THREADS 128

int plantdb_adapt_to_limits(int threads, size_t bytes) {
    struct rlimit space, processes;
    int is_tight = getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY;
    int is_few = getrlimit(RLIMIT_NPROC, &processes) == 0 && processes.rlim_cur < FEW_PROCESSES;
    if (!is_tight && !is_few) { return 0; }
    if (is_tight) {
        // By default each thread may reserve 64 MiB for malloc(3) and 8 MiB for its stack.
        mallopt(M_ARENA_MAX, 1);
        pthread_attr_t small;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 1 << 20);
        pthread_setattr_default_np(&small);
        pthread_attr_destroy(&small);
    }
    void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) { return -1; }
    static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_t made[MOST_THREADS];
    int count = 0, error = 0;
    pthread_mutex_lock(&gate);
    while (count < threads && count < MOST_THREADS && error == 0) {
        error = pthread_create(&made[count], NULL, wait_for_release, &gate);
        if (error == 0) { count++; }
    }
    pthread_mutex_unlock(&gate);
    while (count > 0) { pthread_join(made[--count], NULL); }
    munmap(room, bytes);
    errno = error;
    return error == 0 ? 0 : -1;
}

static uint32_t crc32c_table[8][256];

// The instruction takes three cycles and can begin each cycle, so three lanes go side by side.
// Bytes of one lane; and what that many zeros make of each byte of a checksum.
#define CRC32C_LANE 2048
static uint32_t crc32c_zeros[4][256];

static uint32_t crc32c_by_table(uint32_t crc, const unsigned char *next, size_t length);

__attribute__((constructor)) static void make_crc32c_tables(void) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t crc = n;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
        crc32c_table[0][n] = crc;
    }
    for (uint32_t n = 0; n < 256; n++)
        for (int k = 1; k < 8; k++)
            crc32c_table[k][n] =
                (crc32c_table[k - 1][n] >> 8) ^ crc32c_table[0][crc32c_table[k - 1][n] & 255];
    static const unsigned char zeros[CRC32C_LANE];
    for (int k = 0; k < 4; k++)
        for (int bit = 0; bit < 8; bit++) {
            uint32_t crc = crc32c_by_table(1u << (8 * k + bit), zeros, sizeof zeros);
            for (int n = 1 << bit; n < 2 << bit; n++)
                crc32c_zeros[k][n] = crc32c_zeros[k][n - (1 << bit)] ^ crc;
        }
}

// The checksum of two pieces, of which the second has the length of a lane.
static uint32_t crc32c_joined(uint32_t first, uint32_t second) {
    return crc32c_zeros[0][first & 255] ^ crc32c_zeros[1][first >> 8 & 255] ^
           crc32c_zeros[2][first >> 16 & 255] ^ crc32c_zeros[3][first >> 24] ^ second;
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
#define HAS_CRC32C __builtin_cpu_supports("sse4.2")
#define CRC32C_TARGET __attribute__((target("sse4.2")))
#define CRC32C_WORD(crc, word) (uint32_t) __builtin_ia32_crc32di(crc, word)
#define CRC32C_BYTE(crc, byte) __builtin_ia32_crc32qi(crc, byte)
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#define HAS_CRC32C 1
#define CRC32C_TARGET
#define CRC32C_WORD(crc, word) __crc32cd(crc, word)
#define CRC32C_BYTE(crc, byte) __crc32cb(crc, byte)
#endif

#ifdef HAS_CRC32C
static inline uint64_t word_at(const unsigned char *next) {
    uint64_t word;
    __builtin_memcpy(&word, next, 8);
    return word;
}

CRC32C_TARGET static uint32_t crc32c_by_processor(
    uint32_t crc, const unsigned char *next, size_t length) {
    for (; length >= 3 * CRC32C_LANE; length -= 3 * CRC32C_LANE, next += 3 * CRC32C_LANE) {
        uint32_t second = 0, third = 0;
        for (size_t at = 0; at < CRC32C_LANE; at += 8) {
            crc = CRC32C_WORD(crc, word_at(next + at));
            second = CRC32C_WORD(second, word_at(next + CRC32C_LANE + at));
            third = CRC32C_WORD(third, word_at(next + 2 * CRC32C_LANE + at));
        }
        crc = crc32c_joined(crc32c_joined(crc, second), third);
    }
    for (; length >= 8; length -= 8, next += 8) crc = CRC32C_WORD(crc, word_at(next));
    while (length--) crc = CRC32C_BYTE(crc, *next++);
    return crc;
}
#else
#define HAS_CRC32C 0
#define crc32c_by_processor crc32c_by_table
#endif

uint32_t plantdb_crc32c(uint32_t crc, const void *bytes, size_t length) {
    crc = HAS_CRC32C ? ~crc32c_by_processor(~crc, bytes, length)
                     : ~crc32c_by_table(~crc, bytes, length);
    return crc;
}
