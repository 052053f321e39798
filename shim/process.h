/* SPDX-License-Identifier: Apache-2.0 */
/* What this process knows and holds. It lives in one mapping that the kernel wipes in a forked child (MADV_WIPEONFORK),
   so a child, also one made by a raw clone, finds everything unknown, unlocked and uncharged, and takes its own place
   in the ledger when it uses the GPU. */
#ifndef RUNAI_PROCESS_H
#define RUNAI_PROCESS_H

#include "base.h"
#include "cuda_api.h"
#include "ledger.h"
#include "measure_scratch.h"
#include "nvml_api.h"
#include "pool.h"
#include "table.h"

enum { DEVICES_MAX = LEDGER_DEVICES, ORDINALS_MAX = 64 };

/* Objects whose memory the driver keeps for the next of them. */
struct kept {
    _Atomic int64_t live;  /* including those about to be made, and those being destroyed */
    _Atomic int64_t made;  /* without both of these */
    _Atomic int64_t most;  /* of made ever: only rises while a context lives */
    _Atomic uint64_t step; /* that is charged beyond them since the device was measured */
};

/* A device that this process has touched. */
struct device {
    /* What every allocation reads or changes: one cache line. */
    _Atomic(struct ledger_row *) row; /* our place in the ledger; replaced only under process->slow */
    _Atomic uint64_t limit;           /* bytes that may be allocated, under limit_generation */
    _Atomic uint64_t activity; /* driver calls that change what we hold: low half under way, high half ever begun */
    _Atomic uint64_t charged;  /* what the row says, in case the row is lost; atomic adds */
    _Atomic int64_t overhead;  /* what the driver counts beyond that; atomic adds */
    _Atomic int number;        /* in the ledger; -1 none. Stored under process->slow */
    _Atomic uint32_t limit_generation;
    _Atomic int64_t seen_free; /* physically free at the last measurement */
    _Atomic int64_t seen_use;  /* the container's use then */

    _Atomic uint64_t foreign_until;  /* us: until then, use outside the container may change what is free, */
    _Atomic unsigned foreign;        /* as it did at so many measurements in a row */
    _Atomic bool stale;              /* something happened that only measuring sees */
    unsigned char uuid[16];          /* set once, before the device is published */
    unsigned char gpu[16];           /* of a MIG instance, its GPU's; else the same. Set with it */
    _Atomic int ordinal;             /* CUDA's number in this process; -1 while only NVML was asked */
    _Atomic uint64_t cuda_total;     /* bytes by cuDeviceTotalMem; 0 unknown */
    _Atomic uint64_t nvml_total;     /* bytes by NVML; 0 unknown */
    _Atomic uint64_t nvml_reserved;  /* of it, what cannot be allocated */
    _Atomic(nvmlDevice_t) nvml;      /* the shim's own handle; NULL until measured */
    _Atomic uint64_t managed;        /* of charged, what the driver may not have placed on the device yet */
    _Atomic uint64_t unlisted;       /* of charged, what its list of processes never counts: pools of managed memory */
    struct lock queue;               /* before the driver's pools */
    _Atomic uintptr_t last_in_queue; /* the thread that allocated there last (this_thread) */
    struct lock graph_lock;          /* guards changes of the next two */
    _Atomic unsigned graph_version;  /* counts those of graph_charged */
    _Atomic uint64_t graph_charged;  /* of charged, what the device holds for graphs */
    struct kept streams;
    struct kept nodes;        /* of instantiated graphs */
    _Atomic uint64_t guessed; /* of overhead, what contexts are assumed to take until measured */
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct device, foreign_until) == 64, "the busy fields fill a cache line");

struct process {
    /* What every allocation reads: one cache line with the first of by_ordinal. */
    _Atomic bool alive;        /* stored last when the page is made; zero again in a child */
    _Atomic bool primary_made; /* a primary context; never taken back, as the next */
    _Atomic bool other_made;   /* a context of another kind; stored before it can be current anywhere */
    int pid;
    uint64_t token;            /* who we are in the ledger */
    _Atomic uint64_t contexts; /* changes whenever a context ends: forget which device it was on */
    _Atomic int visible;       /* devices that CUDA shows; 0 not asked yet */
    _Atomic(struct device *) by_ordinal[ORDINALS_MAX]; /* idempotent stores */
    struct lock slow;                   /* one thread at a time claims, measures, refuses; waits are bounded */
    struct lock adding;                 /* guards growth of devices */
    _Atomic unsigned devices_known;     /* entries of devices that are valid; release after filling */
    struct device devices[DEVICES_MAX]; /* append-only */
    _Atomic int nvml;       /* our own NVML: 0 not tried, 1 works, 2 not available; from 0 by compare-and-swap */
    _Atomic int nvml_aside; /* by a thread that starts it: 1 under way, 2 done */
    struct measure_scratch scratch; /* under slow */
    _Atomic uint64_t executables;   /* instantiated graphs that a launch may have to reserve for */
    _Atomic uint64_t libraries;     /* that are loaded at their first use, with large globals */
    struct pools pools;
    struct table table;
    struct lock counting;                    /* one thread at a time writes to usage/refused; waits are bounded */
    _Atomic uint64_t uncounted[DEVICES_MAX]; /* refused calls that are not in that file yet; atomic adds */
};

extern _Atomic(struct process *) process_page __attribute__((visibility("hidden")));
struct process *process_begin(void);

static inline struct process *process(void) {
    struct process *p = atomic_load_explicit(&process_page, memory_order_acquire);
    if (LIKELY(p && atomic_load_explicit(&p->alive, memory_order_acquire)))
        return p;
    return process_begin();
}

#endif
