/* SPDX-License-Identifier: Apache-2.0 */
/* Reads <directory>/quota. The first CUDA or NVML call waits until the file appears; from then on it is looked at again
   at most once a second, and before an allocation is refused. A file that has become unreadable changes nothing: the
   last good quota stays. */
#define _GNU_SOURCE
#include "quota_file.h"
#include "base.h"
#include "elf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_TIMEOUT = 10, LONGEST_TIMEOUT = 3600 };

static struct lock lock;                /* guards current; held for a copy or a compare, not while reading the file */
static struct quota_file current;       /* under lock */
HOT static _Atomic uint32_t generation; /* 0 until the first good file; bumped under lock */
HOT static _Atomic uint64_t next_look;  /* coarse ms; the thread that advances it reads the file */
static _Atomic(const char *) directory; /* a string that lives for ever; idempotent */

/* fork may copy a held lock: the child gives up after a second. */
static bool with_lock(void) {
    return lock_take_within(&lock, 1000);
}

const char *quota_directory(void) {
    const char *known = atomic_load(&directory);
    if (known)
        return known;
    struct elf_object self;
    static char path[512]; /* written by early threads with the same bytes */
    const char *answer = "/runai";
    if (elf_containing(&self, &lock) && self.path[0] == '/' && strlen(self.path) < sizeof path) {
        memcpy(path, self.path, (size_t)(strrchr(self.path, '/') - self.path));
        answer = path;
    }
    atomic_store(&directory, answer);
    return answer;
}

static const char *quota_path(char *path, size_t size) {
    snprintf(path, size, "%s/quota", quota_directory());
    return path;
}

/* 1: read; 0: not there (yet); -1: not usable, *wrong says why. */
static int look(struct quota_file *file, const char **wrong) {
    char path[600], text[QUOTA_FILE_MAX + 1];
    int fd = open(quota_path(path, sizeof path), O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        *wrong = strerror(errno);
        return errno == ENOENT ? 0 : -1;
    }
    size_t length = 0;
    while (length < sizeof text) {
        ssize_t n = read(fd, text + length, sizeof text - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            length = 0;
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    close(fd);
    *wrong = quota_file_parse(file, text, length);
    return *wrong ? -1 : 1;
}

static void adopt(const struct quota_file *file) {
    if (!with_lock())
        return;
    if (atomic_load(&generation) == 0 || memcmp(&current, file, sizeof current) != 0) {
        current = *file;
        atomic_fetch_add(&generation, 1);
    }
    lock_drop(&lock);
}

static unsigned timeout_seconds(void) {
    const char *text = secure_getenv("RUNAI_QUOTA_TIMEOUT");
    unsigned value = 0;
    if (!text || !*text)
        return DEFAULT_TIMEOUT;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return DEFAULT_TIMEOUT;
        value = value * 10 + (unsigned)(*text - '0');
        if (value > LONGEST_TIMEOUT)
            return LONGEST_TIMEOUT;
    }
    return value;
}

bool quota_known(void) {
    return atomic_load_explicit(&generation, memory_order_acquire) != 0;
}

static bool refuse(const char *why) {
    report_refusal(
        why, "start the container with -v runai:/runai --label gpu-memory=... and the plugin runai/gpu-memory enabled");
    return false;
}

bool quota_wait(void) {
    if (LIKELY(quota_known()))
        return true;
    static _Atomic bool waited; /* after one full wait, later calls look once */
    struct quota_file file;
    const char *wrong = NULL;
    uint64_t until = now_ms() + (atomic_load(&waited) ? 0 : 1000ull * timeout_seconds());
    int found;
    for (unsigned pause = 1; (found = look(&file, &wrong)) == 0 && now_ms() < until;
         pause = pause < 20 ? pause + 1 : 20)
        sleep_ms(pause);
    atomic_store(&waited, true);
    char path[600], why[900];
    quota_path(path, sizeof path);
    if (found == 0) {
        snprintf(why, sizeof why, "no quota in %s after %u s", path, timeout_seconds());
        return refuse(why);
    }
    if (found < 0) {
        snprintf(why, sizeof why, "%s cannot be used: %s", path, wrong);
        return refuse(why);
    }
    if (file.refused) {
        report_refusal(file.error, "see the plugin's log on the host");
        return false;
    }
    adopt(&file);
    atomic_store(&next_look, now_ms() + 1000);
    diagnose("quota read from %s", path);
    return true;
}

void quota_reread(void) {
    struct quota_file file;
    const char *wrong;
    if (look(&file, &wrong) == 1 && !file.refused)
        adopt(&file);
}

bool quota_is_due(void) {
    return now_ms() >= atomic_load_explicit(&next_look, memory_order_relaxed);
}

bool quota_tick(void) {
    uint64_t now = now_ms(), due = atomic_load_explicit(&next_look, memory_order_relaxed);
    if (LIKELY(now < due) || !atomic_compare_exchange_strong(&next_look, &due, now + 1000))
        return false;
    quota_reread();
    return true;
}

uint32_t quota_generation(void) {
    return atomic_load_explicit(&generation, memory_order_acquire);
}

struct quota_value quota_for(const unsigned char uuid[16], const unsigned char gpu[16]) {
    struct quota_value value = {0};
    if (with_lock()) {
        value = *quota_file_limit(&current, uuid, gpu);
        lock_drop(&lock);
    }
    return value;
}
