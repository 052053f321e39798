/* SPDX-License-Identifier: Apache-2.0 */
/* <directory>/usage/refused: a line of 128 bytes for each GPU, padded with blanks,

       UUID COUNT BYTES TIME

   the refused calls of the container's processes on it, the bytes that the last of them requested, and its time in ms
   since 1970. A line is replaced by one write under a POSIX lock on the file, which the kernel drops when its holder
   dies: the line is as it was before or after the write. Any process of the container can change the file. That loses
   counts, and nothing else: a refused call takes at most 2 x WAIT_MS longer.

   The file is opened at each refused call, so the program finds no descriptor of ours to close. System calls are made
   directly: glibc's are cancellation points, and programs and profilers interpose them. */
#define _GNU_SOURCE
#include "refusals.h"
#include "device.h"
#include "quota.h"
#include "quota_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE = 128,
    LINES = 4096 / LINE,
    UUID_TEXT = 40, /* GPU-01234567-89ab-cdef-0123-456789abcdef */
    DIGITS_MAX = 18,
    WAIT_MS = 100, /* for the other threads, and then for the other processes */
};
_Static_assert((int)LINES == (int)DEVICES_MAX, "a line for each device");

static int open_with(const char *path, int flags) {
    return (int)syscall(SYS_openat, AT_FDCWD, path,
                        O_RDWR | O_NOFOLLOW | O_NONBLOCK /* another's lease */ | O_NOCTTY | O_CLOEXEC | flags, 0666);
}

/* Not O_CREAT on a file that exists: fs.protected_regular would refuse another user's file in a sticky directory. */
static int open_or_create(void) {
    char path[600];
    snprintf(path, sizeof path, "%s/usage/refused", quota_directory());
    for (int tries = 0; tries < 10; tries++) {
        int fd = open_with(path, 0);
        if (fd >= 0 || errno != ENOENT)
            return fd;
        fd = open_with(path, O_CREAT | O_EXCL);
        if (fd >= 0)
            syscall(SYS_fchmod, fd, 0666); /* whatever the umask */
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* A hard link may lead to the ledger, whose locks this process would lose when it closes the file. */
static bool is_a_file_of_its_own(int fd) {
    struct stat s;
    return syscall(SYS_fstat, fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_nlink == 1;
}

static bool lock_within(int fd, unsigned ms) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    uint64_t until = now_ms() + ms;
    for (unsigned tries = 0; syscall(SYS_fcntl, fd, F_SETLK, &lock) != 0; tries++) {
        if ((errno != EAGAIN && errno != EACCES) || now_ms() >= until)
            return false;
        backoff(tries);
    }
    return true;
}

static void write_uuid(char text[UUID_TEXT + 1], const struct device *device) {
    bool whole = memcmp(device->uuid, device->gpu, sizeof device->uuid) == 0;
    int at = snprintf(text, UUID_TEXT + 1, whole ? "GPU" : "MIG");
    for (int i = 0; i < 16; i++)
        at += snprintf(text + at, (size_t)(UUID_TEXT + 1 - at), "%s%02x",
                       i == 0 || i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", device->uuid[i]);
}

/* The count of a line; false if it is not in the format. */
static bool parse(const char *line, uint64_t *count) {
    unsigned char uuid[16];
    const char *digit = line + UUID_TEXT + 1;
    if (!uuid_parse(uuid, line, UUID_TEXT) || line[UUID_TEXT] != ' ')
        return false;
    for (*count = 0; *digit >= '0' && *digit <= '9'; digit++)
        *count = *count * 10 + (uint64_t)(*digit - '0');
    ptrdiff_t digits = digit - line - UUID_TEXT - 1;
    return digits > 0 && digits <= DIGITS_MAX && *digit == ' ';
}

/* The number of the device's line, and its count. Without one: of the first line that is not in the format. -1: all are
   other devices'. */
static int find_line(const char text[LINES * LINE], const char *uuid, uint64_t *count) {
    int unused = -1;
    for (int i = 0; i < LINES; i++) {
        const char *line = text + i * LINE;
        bool good = parse(line, count);
        if (good && memcmp(line, uuid, UUID_TEXT) == 0)
            return i;
        if (!good && unused < 0)
            unused = i;
    }
    *count = 0;
    return unused;
}

static uint64_t milliseconds_since_1970(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* True also if a limit on the size of files (--ulimit fsize) cuts the line off: that is behind the count. */
static bool write_line(int fd, int number, const char line[LINE]) {
    struct muted before = signals_mute();
    bool written = syscall(SYS_pwrite64, fd, line, (size_t)LINE, (off_t)number * LINE) > 0;
    signals_unmute(&before);
    return written;
}

static bool add(int fd, const struct device *device, uint64_t more, uint64_t bytes) {
    char text[LINES * LINE + 1] = "", line[LINE], uuid[UUID_TEXT + 1];
    uint64_t count;
    if (syscall(SYS_pread64, fd, text, sizeof text - 1, (off_t)0) < 0)
        return false;
    write_uuid(uuid, device);
    int number = find_line(text, uuid, &count);
    int length = snprintf(line, sizeof line, "%s %llu %llu %llu", uuid, (unsigned long long)(count + more),
                          (unsigned long long)(bytes < INT64_MAX ? bytes : INT64_MAX),
                          (unsigned long long)milliseconds_since_1970());
    if (number < 0 || length < 0 || length >= LINE)
        return false;
    memset(line + length, ' ', (size_t)(LINE - 1 - length));
    line[LINE - 1] = '\n';
    return write_line(fd, number, line);
}

/* Adds also what could not be written before. */
static void write_down(struct device *device, uint64_t bytes) {
    _Atomic uint64_t *uncounted = &process()->uncounted[device_position(device)];
    int fd = open_or_create();
    if (fd < 0)
        return;
    if (is_a_file_of_its_own(fd) && lock_within(fd, WAIT_MS)) {
        uint64_t more = atomic_exchange(uncounted, 0);
        if (more && !add(fd, device, more, bytes))
            atomic_fetch_add(uncounted, more);
    }
    syscall(SYS_close, fd); /* and unlock */
}

CUresult refused(struct device *device, uint64_t bytes) {
    struct process *p = process();
    int saved = errno;
    if (device) {
        atomic_fetch_add(&p->uncounted[device_position(device)], 1);
        if (lock_take_within(&p->counting, WAIT_MS)) {
            write_down(device, bytes);
            lock_drop(&p->counting);
        }
    }
    errno = saved;
    return CUDA_ERROR_OUT_OF_MEMORY;
}
