/* SPDX-License-Identifier: Apache-2.0 */
/* Stream-ordered memory pools of this process. */
#ifndef RUNAI_POOL_H
#define RUNAI_POOL_H

#include "base.h"
#include "cuda_api.h"
#include "ledger.h"

enum { POOLS_MAX = 64, STREAMS_CACHED = 64, POOL_BLOCKS = 16384, POOL_PARKING = 8 };

#define POOL_DESTROYED ((CUmemoryPool) ~(uintptr_t)0)

struct device;

struct pool {
    /* What every allocation reads: */
    _Atomic(CUmemoryPool) handle; /* NULL: a free place; POOL_DESTROYED: managed memory that outlives its pool */
    _Atomic uint8_t device;       /* position in process->devices */
    _Atomic uint8_t driver;       /* whose pool it is: real_chosen when it came */
    _Atomic bool managed;         /* of managed memory: charged with the most that it ever held */
    _Atomic uint32_t era;         /* another one whenever the pool may have become smaller, and in each pool */
    _Atomic uint64_t generation;  /* which of the pools that had this place */
    _Atomic uint64_t keeps;       /* the release threshold: up to this much stays through a synchronisation */
    _Atomic uint64_t charged;     /* what it held when last asked (if managed, see `most`): in the ledger */
    struct lock lock;             /* guards changes of charged and version, and the last three */
    /* What every allocation changes: */
    _Atomic uint64_t live __attribute__((aligned(64))); /* see POOL_UNITS */
    _Atomic unsigned visits;                            /* calls that ask the driver, or leave it to others to ask */
    _Atomic unsigned strays;  /* those of them in the driver beside the one whose turn it is */
    _Atomic unsigned unasked; /* allocations since the driver was asked what the pool holds */
    _Atomic unsigned parked;  /* reservations of calls that are done, not asked about yet */
    /* What is changed when the pool grows: */
    _Atomic uint64_t version; /* counts changes of charged */
    /* Of managed memory, under `lock`: */
    uint64_t most;      /* that it ever held */
    uint64_t asked;     /* by allocations under way, */
    unsigned under_way; /* so many, and resets of the driver's own figure */
    /* Of ordinary memory, under `lock`: the first `parked` of them. */
    struct reservation parking[POOL_PARKING];
};

/* In the low bits of live what is allocated, in units of 512 bytes (an estimate where frees are captured into graphs),
   in the high ones a count of the allocations ever made. */
enum { POOL_UNIT = 512, POOL_UNIT_BITS = 40 };
#define POOL_ALLOCATION ((uint64_t)1 << POOL_UNIT_BITS)
static inline uint64_t pool_live(const struct pool *pool) {
    uint64_t units = atomic_load_explicit(&pool->live, memory_order_relaxed) & (POOL_ALLOCATION - 1);
    return units < POOL_ALLOCATION / 2 ? units * POOL_UNIT : 0; /* else more was freed than is known */
}

struct pools {
    struct lock adding;
    /* What every allocation reads: */
    _Atomic unsigned known;         /* places of `pool` that have been used */
    _Atomic unsigned trims;         /* under way: any pool may become smaller */
    _Atomic unsigned waits;         /* for streams, events or contexts, under way: so may what gives back by itself */
    _Atomic unsigned captures;      /* that are under way, or whose stream was destroyed */
    _Atomic uint64_t chunk;         /* by what a pool grows; 0 not seen yet */
    _Atomic uint64_t only;          /* the only device's pool: 1 + its position, and from bit 8 on 1 + the epoch */
    _Atomic uint64_t streams_epoch; /* bumped when a stream or a device's pool changes: forget the last and the next */
    struct pool pool[POOLS_MAX];    /* found by handle */
    _Atomic uint32_t eras;          /* the last one given to a pool */
    _Atomic uint64_t block[POOL_BLOCKS]; /* 2 MiB of addresses that a pool is known to hold, by their number: the
                                            number, and below it the pool's era */
    struct {
        struct lock lock;
        const void *key;
        uint64_t epoch; /* 0 empty */
        struct pool *pool;
    } stream_pool[STREAMS_CACHED];
};

/* A stream, a context or a device's pool has changed. */
void pools_forget_streams(void);
/* Gives back what this process's pools hold without need, as the driver does at the end of its memory. Before a
   refusal. */
void pools_trim(struct device *device);
/* Charges what the pools hold now. After a synchronisation, when the driver may have given memory back. */
void pools_settle(void);
/* The same for all of them, after a context has ended. */
void pools_settle_all(void);
/* By how much pools have become smaller without that being settled: a thread that waits in a synchronisation does so
   when it returns. */
uint64_t pools_unsettled(struct device *device);

#endif
