/* SPDX-License-Identifier: Apache-2.0 */
/* Creates the process's page, and fills it again in a forked child. */
#define _GNU_SOURCE
#include "process.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/* Set once by compare-and-swap; the same address in children. */
HOT _Atomic(struct process *) process_page __attribute__((aligned(64)));
static struct process *nothing_left; /* only if mmap fails: the program continues in static memory */
static struct process reserve;       /* used through nothing_left */

/* What pthread_atfork calls in glibc; weak, because musl's loader must find every other symbol. */
extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *) __attribute__((weak));
extern void *__dso_handle __attribute__((visibility("hidden")));

/* Kernels before 4.14 cannot wipe: the child does it itself (a raw clone is then not noticed). */
static void wipe_in_child(void) {
    struct process *p = atomic_load(&process_page);
    if (p)
        memset(p, 0, sizeof *p);
}

static struct process *new_page(void) {
    void *page = mmap(NULL, sizeof(struct process), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        nothing_left = &reserve;
        page = nothing_left;
    }
    struct process *none = NULL;
    if (!atomic_compare_exchange_strong(&process_page, &none, page)) {
        if (page != nothing_left)
            munmap(page, sizeof(struct process));
        return none;
    }
    bool wiped = page != nothing_left && madvise(page, sizeof(struct process), MADV_WIPEONFORK) == 0;
    if (!wiped && __register_atfork)
        __register_atfork(NULL, NULL, wipe_in_child, &__dso_handle);
    return page;
}

struct process *process_begin(void) {
    struct process *p = atomic_load_explicit(&process_page, memory_order_acquire);
    if (!p)
        p = new_page();
    lock_take(&p->adding);
    if (!atomic_load(&p->alive)) {
        p->pid = (int)syscall(SYS_getpid);
        p->token = (uint64_t)1 << 63 | (now_us() & 0x7fffffff) << 32 | (uint32_t)p->pid;
        atomic_store(&p->contexts,
                     p->token); /* differs from the parent's, whose cached answers per thread a child inherits */
        atomic_store_explicit(&p->alive, true, memory_order_release);
    }
    lock_drop(&p->adding);
    return p;
}
