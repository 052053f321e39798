/* SPDX-License-Identifier: Apache-2.0 */
/* Clock, lock and diagnostics. System calls are made directly where glibc's wrapper is younger than GLIBC_2.17. */
#define _GNU_SOURCE
#include "base.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

__thread unsigned inside_driver; /* one thread's own */

uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void sleep_us(unsigned us) {
    struct timespec t = {us / 1000000, (long)(us % 1000000) * 1000};
    syscall(SYS_nanosleep, &t, NULL);
}

void backoff(unsigned tries) {
    if (tries < 4)
        syscall(SYS_sched_yield);
    else
        sleep_us(tries < 9 ? 16u << (tries - 3) : 1000);
}

void lock_take_slow(struct lock *lock) {
    for (int spin = 0; spin < 100; spin++) {
        uint32_t free_word = 0;
        if (atomic_compare_exchange_weak_explicit(&lock->word, &free_word, 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return;
        __asm__ volatile("" ::: "memory");
    }
    while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) != 0)
        syscall(SYS_futex, &lock->word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}

void lock_wake(struct lock *lock) {
    syscall(SYS_futex, &lock->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

bool lock_take_within(struct lock *lock, unsigned ms) {
    uint64_t until = now_ms() + ms;
    uint32_t free_word = 0;
    if (atomic_compare_exchange_strong_explicit(&lock->word, &free_word, 1, memory_order_acquire, memory_order_relaxed))
        return true;
    while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) != 0) {
        if (now_ms() >= until)
            return false;
        struct timespec pause = {0, 20000000};
        syscall(SYS_futex, &lock->word, FUTEX_WAIT_PRIVATE, 2, &pause, NULL, 0);
    }
    return true;
}

void brief_take_slow(struct brief *lock) {
    for (unsigned tries = 0;; tries++) {
        uint32_t free_word = 0;
        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_weak_explicit(&lock->word, &free_word, 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return;
        if (tries >= 100)
            backoff(tries - 100);
    }
}

bool queue_wait(struct lock *lock) {
    uint64_t now = now_us(), until = now + 100;
    for (int spin = 0; spin < 50; spin++) {
        uint32_t free_word = 0;
        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_weak(&lock->word, &free_word, 1))
            return true;
    }
    while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) != 0) {
        if ((now = now_us()) >= until)
            return false;
        struct timespec pause = {0, (long)(until - now) * 1000};
        syscall(SYS_futex, &lock->word, FUTEX_WAIT_PRIVATE, 2, &pause, NULL, 0);
    }
    return true;
}

#define SIGNAL(number) ((uint64_t)1 << ((number)-1))
enum { SIGNALS = 8 /* bytes of the kernel's set */ };

/* Raw: programs and profilers put functions of their own before glibc's. */
struct muted signals_mute(void) {
    int saved = errno;
    struct muted before = {0, 0};
    uint64_t ours = SIGNAL(SIGPIPE) | SIGNAL(SIGXFSZ);
    syscall(SYS_rt_sigpending, &before.pending, SIGNALS);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &ours, &before.mask, SIGNALS);
    errno = saved;
    return before;
}

void signals_unmute(const struct muted *before) {
    int saved = errno;
    struct timespec at_once = {0, 0};
    uint64_t raised = (SIGNAL(SIGPIPE) | SIGNAL(SIGXFSZ)) & ~before->pending;
    while (raised && (syscall(SYS_rt_sigtimedwait, &raised, NULL, &at_once, SIGNALS) > 0 || errno == EINTR))
        continue;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before->mask, NULL, SIGNALS);
    errno = saved;
}

static void write_line(char *line, size_t size, int length) {
    if (length < 0)
        return;
    if ((size_t)length >= size - 1)
        length = (int)size - 2;
    line[length] = '\n';
    struct muted before = signals_mute();
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)length + 1);
    (void)ignored;
    signals_unmute(&before);
}

void diagnose(const char *format, ...) {
    static _Atomic int wanted; /* 0 not asked yet, 1 no, 2 yes; idempotent store */
    int w = atomic_load_explicit(&wanted, memory_order_relaxed);
    if (w == 0) {
        const char *set = secure_getenv("RUNAI_LOG");
        w = set && strcmp(set, "1") == 0 ? 2 : 1;
        atomic_store_explicit(&wanted, w, memory_order_relaxed);
    }
    if (w == 1)
        return;
    int saved = errno;
    char line[512];
    int head = snprintf(line, sizeof line, "runai[%d]: ", (int)getpid());
    va_list args;
    va_start(args, format);
    int tail = vsnprintf(line + head, sizeof line - (size_t)head, format, args);
    va_end(args);
    write_line(line, sizeof line, tail < 0 ? -1 : head + tail);
    errno = saved;
}

void report_refusal(const char *why, const char *remedy) {
    static _Atomic int said; /* exchanged once; a forked child stays silent too */
    if (atomic_exchange(&said, 1))
        return;
    char line[1024];
    write_line(line, sizeof line, snprintf(line, sizeof line, "runai: GPU use refused: %s; %s", why, remedy));
}
