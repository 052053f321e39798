/* SPDX-License-Identifier: Apache-2.0 */
/* Stream-ordered memory pools of this process. */
#ifndef RUNAI_POOL_H
#define RUNAI_POOL_H

#include "base.h"
#include "cuda_api.h"
#include "ledger.h"

enum {
    POOLS_MAX = 64,
    STREAMS_CACHED = 64,
    POOL_BLOCKS = 16384,
    POOL_PARKING = 8,
    POOL_CHUNK_MAX = 32 << 20, /* a pool grows by multiples of this at most; seen on an H200 */
};

#define POOL_DESTROYED ((CUmemoryPool) ~(uintptr_t)0)

struct device;

struct pool {
    /* What every allocation reads: */
    _Atomic(CUmemoryPool) handle; /* NULL: a free place; POOL_DESTROYED: managed memory that outlives its pool */
    _Atomic uint8_t device;       /* position in process->devices */
    _Atomic uint8_t driver;       /* whose pool it is: real_chosen when it came */
    _Atomic bool managed;         /* of managed memory: charged with the most that it ever held */
    _Atomic uint32_t era;         /* another one whenever the pool may have become smaller, and in each pool */
    _Atomic uint64_t generation;  /* counts the pools that have had this place */
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
    _Atomic unsigned known; /* places of `pool` that have been used */
    _Atomic unsigned trims; /* under way: any pool may become smaller */
    _Atomic unsigned waits; /* for streams, events or contexts, under way: so may pools that give back by themselves */
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

/* pool.c: which pools there are. */

/* NULL when the shim does not know it. */
struct pool *pool_by_handle(CUmemoryPool handle);
/* The same for a default pool of a GPU, which no call of the program creates. */
struct pool *pool_default(CUmemoryPool handle);
/* Enters a pool. NULL when there is no place left. */
struct pool *pool_add(CUmemoryPool handle, const struct device *device, bool managed);
/* Enters a pool that the program has got, by its properties. False when there is no place left. */
bool pool_know(CUmemoryPool handle, const CUmemLocation *location, int type);

/* pool.c: what a pool holds. */

/* An attribute in bytes, asked through the pool's own driver; `otherwise` when it cannot be asked. */
uint64_t pool_ask(struct pool *pool, int attribute, uint64_t otherwise);
uint64_t pool_held(struct pool *pool, uint64_t otherwise);
uint64_t pool_threshold(CUmemoryPool handle);
/* Ends the pool's era: nothing is known any more of the blocks that it holds. Returns the new one. */
uint32_t pool_next_era(struct pool *pool);
/* Do the allocation's blocks belong to the pool in this era? */
bool pool_holds(uint32_t era, uint64_t pointer, uint64_t size);
/* Notes that they do. The era may have ended meanwhile: then the note has no effect. */
void pool_note_held(uint32_t era, uint64_t pointer, uint64_t size);

/* pool.c: what is charged for a pool. */

/* Brings the charge to what the pool holds, and ends the reservation for its growth; NULL: none. */
void pool_settle(struct pool *pool, struct device *device, struct reservation *reservation);
/* The same, with the parked reservations. */
void pool_settle_calls(struct pool *pool, struct device *device, struct reservation *own);
/* Leaves a reservation for the thread that asks just now. False: the caller has to ask. */
bool pool_park(struct pool *pool, const struct reservation *reservation);
/* Ends a visit; the last one asks for all. */
void pool_leave(struct pool *pool, struct device *device);
/* Charges what the pools hold now. `synchronised`: after a synchronisation, when the driver may have given memory
   back. */
void pools_settle(bool synchronised);
/* The same for all of them, after a context has ended. */
void pools_settle_all(void);
/* Gives back what this process's pools hold without need, as the driver does at the end of its memory. Before a
   refusal. */
void pools_trim(struct device *device);
/* By how much pools have become smaller without that being settled: a thread that waits in a synchronisation does so
   when it returns. */
uint64_t pools_unsettled(struct device *device);

/* pool_managed.c: pools of managed memory. */

/* Around an allocation of `size`. Begin returns false, and needs no end, when the limit leaves no room for it. */
bool managed_begin(struct pool *pool, struct device *device, uint64_t size);
void managed_end(struct pool *pool, struct device *device, uint64_t size);
/* cuMemPoolSetAttribute for CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH. */
CUresult managed_reset(struct pool *pool, struct device *device, CUmemoryPool handle, void *value);
/* Frees the place of a destroyed pool once nothing of it is left. */
void managed_release(struct pool *pool);

/* pool_stream.c: the pool that an allocation in a stream draws from; NULL when that is unknown. */
struct pool *pool_of_stream(CUstream stream);
struct device *device_of_stream(CUstream stream);
/* A stream, a context or a device's pool has changed. */
void pools_forget_streams(void);

#endif
