/* SPDX-License-Identifier: Apache-2.0 */
/* What every file of the shim may use: the clock, a small lock, diagnostics, and the guard against recursion into
   hooks. */
#ifndef RUNAI_BASE_H
#define RUNAI_BASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* For the few globals that every hooked call reads: they share a cache line. */
#define HOT __attribute__((section("busy")))

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)

/* Milliseconds on the coarse monotonic clock: a few nanoseconds to ask, 1-4 ms of resolution. */
uint64_t now_ms(void);
/* Microseconds on the exact one: some 20 ns to ask. The same in all of the machine's processes. */
uint64_t now_us(void);
void sleep_us(unsigned us);
static inline void sleep_ms(unsigned ms) {
    sleep_us(ms * 1000);
}
/* Waits between attempts to get what another process holds: briefly at first, at most a millisecond. */
void backoff(unsigned tries);

/* A futex lock. All zero is unlocked, so a page wiped by fork holds no lock. */
struct lock {
    _Atomic uint32_t word;
};
void lock_take_slow(struct lock *lock);
void lock_wake(struct lock *lock);
/* For slow paths that may hold the lock across a driver call: gives up after a while instead of hanging with a stuck
   driver. */
bool lock_take_within(struct lock *lock, unsigned ms);

/* A queue in front of the driver's pools, whose own lock makes threads convoy: with four threads on an H200 a call
   takes 0.78 of the native time with the queue and 1.09 without (in front of cuMemAlloc it gains nothing). One thread
   enters at a time. A thread that has waited 100 us proceeds without entering, so that no wait of the program can
   depend on the queue. Returns false in that case. */
bool queue_wait(struct lock *lock);
static inline bool queue_enter(struct lock *lock) {
    uint32_t free_word = 0;
    return LIKELY(atomic_compare_exchange_strong_explicit(&lock->word, &free_word, 1, memory_order_acquire,
                                                          memory_order_relaxed)) ||
           queue_wait(lock);
}

static inline void lock_take(struct lock *lock) {
    uint32_t free_word = 0;
    if (UNLIKELY(!atomic_compare_exchange_strong_explicit(&lock->word, &free_word, 1, memory_order_acquire,
                                                          memory_order_relaxed)))
        lock_take_slow(lock);
}

static inline void lock_drop(struct lock *lock) {
    if (UNLIKELY(atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2))
        lock_wake(lock);
}

static inline void queue_leave(struct lock *lock, bool entered) {
    if (entered)
        lock_drop(lock);
}

/* A lock for a few instructions. It is dropped by a plain store, which costs a fraction of the exchange above: whoever
   waits for it is not woken, but sleeps in short steps. */
struct brief {
    _Atomic uint32_t word;
};
void brief_take_slow(struct brief *lock);
static inline void brief_take(struct brief *lock) {
    uint32_t free_word = 0;
    if (UNLIKELY(!atomic_compare_exchange_strong_explicit(&lock->word, &free_word, 1, memory_order_acquire,
                                                          memory_order_relaxed)))
        brief_take_slow(lock);
}

static inline void brief_drop(struct brief *lock) {
    atomic_store_explicit(&lock->word, 0, memory_order_release);
}

/* Set while this thread is inside a real call made by a hook. Hooked functions reached from there belong to the driver
   and pass through, so nothing is counted twice and the driver never sees our views. */
extern __thread unsigned inside_driver __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* A number that only this thread has, as long as it lives. */
static inline uintptr_t this_thread(void) {
    return (uintptr_t)&inside_driver;
}

#define INSIDE(call)                                                                                                   \
    ({                                                                                                                 \
        inside_driver++;                                                                                               \
        __auto_type inside_result = (call);                                                                            \
        inside_driver--;                                                                                               \
        inside_result;                                                                                                 \
    })

/* Block and restore, in this thread, the signals with which the kernel ends a program that writes to a pipe without a
   reader (SIGPIPE) or beyond its RLIMIT_FSIZE (SIGXFSZ). Used around each write of the shim, since the program wrote
   nothing. Both functions keep errno. */
struct muted {
    uint64_t mask, pending; /* as they were */
};
struct muted signals_mute(void);
void signals_unmute(const struct muted *before);

/* Only with RUNAI_LOG=1. */
void diagnose(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The only line that goes to stderr without RUNAI_LOG; once per process. */
void report_refusal(const char *why, const char *remedy);

#endif
