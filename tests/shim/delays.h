/* SPDX-License-Identifier: Apache-2.0 */
/* Included before each file of the shim and of the simulated driver (races.sh): a thread may be delayed wherever it
   touches shared data. So two processors show races that otherwise need sixteen overloaded ones. */
#ifndef RUNAI_TESTS_DELAYS_H
#define RUNAI_TESTS_DELAYS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* 1 of 64 times the thread gives way, 1 of 1024 times it sleeps for up to 2 ms. */
static inline void delay(void) {
    static __thread uint64_t state __attribute__((tls_model("initial-exec"))); /* one thread's own */
    struct timespec t = {0, 0};
    if (state == 0) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        state = (uint64_t)t.tv_nsec * 2654435761u + (uint64_t)(uintptr_t)&t + 1;
    }
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia's xorshift */
    t = (struct timespec){0, (long)(state >> 40) % 2000000};
    if (state % 1024 == 0)
        syscall(SYS_nanosleep, &t, NULL);
    else if (state % 64 == 0)
        syscall(SYS_sched_yield);
}

#define DELAYED(operation)                                                                                             \
    ({                                                                                                                 \
        delay();                                                                                                       \
        operation;                                                                                                     \
    })
#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_fetch_add
#undef atomic_fetch_sub
#undef atomic_fetch_and
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#define atomic_load(at) DELAYED(atomic_load_explicit(at, memory_order_seq_cst))
#define atomic_store(at, value) DELAYED(atomic_store_explicit(at, value, memory_order_seq_cst))
#define atomic_exchange(at, value) DELAYED(atomic_exchange_explicit(at, value, memory_order_seq_cst))
#define atomic_fetch_add(at, value) DELAYED(atomic_fetch_add_explicit(at, value, memory_order_seq_cst))
#define atomic_fetch_sub(at, value) DELAYED(atomic_fetch_sub_explicit(at, value, memory_order_seq_cst))
#define atomic_fetch_and(at, value) DELAYED(atomic_fetch_and_explicit(at, value, memory_order_seq_cst))
#define atomic_compare_exchange_strong(at, expected, value)                                                            \
    DELAYED(atomic_compare_exchange_strong_explicit(at, expected, value, memory_order_seq_cst, memory_order_seq_cst))
#define atomic_compare_exchange_weak(at, expected, value)                                                              \
    DELAYED(atomic_compare_exchange_weak_explicit(at, expected, value, memory_order_seq_cst, memory_order_seq_cst))

/* The simulated driver's. */
#define pthread_mutex_lock(mutex) DELAYED(pthread_mutex_lock(mutex))
#define pthread_mutex_unlock(mutex)                                                                                    \
    ({                                                                                                                 \
        pthread_mutex_unlock(mutex);                                                                                   \
        delay();                                                                                                       \
    })
#define __atomic_fetch_add(at, value, order) DELAYED(__atomic_fetch_add(at, value, order))
#define __atomic_fetch_sub(at, value, order) DELAYED(__atomic_fetch_sub(at, value, order))

#endif
