/* Calls that go wrong now and then, for LD_PRELOAD: short writes, EIO, ENOSPC and EINTR in writes, syncs and the like below $FAULTS_BELOW.
 *
 * FAULTS_SHORT, FAULTS_EIO, FAULTS_ENOSPC, FAULTS_EINTR are parts in 10,000; $FAULTS_COUNT is a file of four counters of them.
 * Source: Turso's unreliable-libc. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { SHORT, IO, SPACE, INTERRUPTED, KINDS };
static int rates[KINDS];
static uint64_t *counts;
static const char *below;
static _Thread_local uint64_t state;

static int rate(const char *name) {
    const char *text = getenv(name);
    return text ? atoi(text) : 0;
}

__attribute__((constructor)) static void begin(void) {
    below = getenv("FAULTS_BELOW");
    rates[SHORT] = rate("FAULTS_SHORT");
    rates[IO] = rate("FAULTS_EIO");
    rates[SPACE] = rate("FAULTS_ENOSPC");
    rates[INTERRUPTED] = rate("FAULTS_EINTR");
    const char *path = getenv("FAULTS_COUNT");
    int fd = path ? open(path, O_RDWR) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(0, KINDS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    counts = at == MAP_FAILED ? calloc(KINDS, 8) : at;
}

static uint64_t next(void) {
    if (!state) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        state = (uint64_t)now.tv_nsec * 2654435761u + (uintptr_t)&state + (uint64_t)now.tv_sec;
    }
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

static int happens(int kind) {
    if (next() % 10000 >= (uint64_t)rates[kind]) return 0;
    __atomic_fetch_add(&counts[kind], 1, __ATOMIC_RELAXED);
    return 1;
}

static int is_below(const char *path) { return below && strncmp(path, below, strlen(below)) == 0; }

static int is_ours(int fd) {
    char link[40], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return is_below(path);
}

static int fails_with(int fd, int space, int interrupted) {
    if (!is_ours(fd)) return 0;
    if (happens(IO)) return EIO;
    if (space && happens(SPACE)) return ENOSPC;
    if (interrupted && happens(INTERRUPTED)) return EINTR;
    return 0;
}

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
    int error = fails_with(fd, 1, 1);
    if (error) return errno = error, -1;
    if (n > 1 && is_ours(fd) && happens(SHORT)) n = 1 + next() % (n - 1);
    return REAL(pwrite64)(fd, bytes, n, at);
}

int fdatasync(int fd) {
    int error = fails_with(fd, 1, 0);
    return error ? (errno = error, -1) : REAL(fdatasync)(fd);
}

int fsync(int fd) {
    int error = fails_with(fd, 1, 0);
    return error ? (errno = error, -1) : REAL(fsync)(fd);
}

int ftruncate64(int fd, off64_t len) {
    int error = fails_with(fd, 1, 0);
    return error ? (errno = error, -1) : REAL(ftruncate64)(fd, len);
}

ssize_t pread64(int fd, void *bytes, size_t n, off64_t at) {
    int error = is_ours(fd) && rates[IO] && next() % 10 == 0 ? fails_with(fd, 0, 1) : 0;
    if (error) return errno = error, -1;
    if (n > 1 && is_ours(fd) && happens(SHORT)) n = 1 + next() % (n - 1);
    return REAL(pread64)(fd, bytes, n, at);
}

int open64(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    if (is_below(path) && (flags & O_CREAT)) {
        if (happens(IO)) return errno = EIO, -1;
        if (happens(SPACE)) return errno = ENOSPC, -1;
    }
    return REAL(open64)(path, flags, mode);
}

int link(const char *from, const char *to) {
    if (is_below(to) && happens(IO)) return errno = EIO, -1;
    if (is_below(to) && happens(SPACE)) return errno = ENOSPC, -1;
    return REAL(link)(from, to);
}

int rename(const char *from, const char *to) {
    if (is_below(to) && happens(IO)) return errno = EIO, -1;
    return REAL(rename)(from, to);
}

int unlink(const char *path) {
    if (is_below(path) && happens(IO)) return errno = EIO, -1;
    return REAL(unlink)(path);
}
