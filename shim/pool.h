/* Stream-ordered memory pools of this process. */
#ifndef RUNAI_POOL_H
#define RUNAI_POOL_H

#include "base.h"
#include "cuda_api.h"

enum { POOLS_MAX = 64, STREAMS_CACHED = 64 };

#define POOL_DESTROYED ((CUmemoryPool) ~(uintptr_t)0)

struct device;

struct pool {
    _Atomic(CUmemoryPool) handle; /* NULL: a free place; POOL_DESTROYED: managed memory that outlives its pool */
    _Atomic uint8_t device;       /* position in process->devices */
    _Atomic bool managed;         /* of managed memory: charged with the most that it ever held */
    _Atomic uint64_t generation;  /* which of the pools that had this place */
    struct lock lock;             /* guards changes of charged and version, and the last three */
    _Atomic uint64_t charged;     /* what it held when last asked (if managed, see `most`): in the ledger */
    _Atomic uint64_t version;     /* counts changes of charged */
    _Atomic uint64_t live;        /* of it, allocated; an estimate where frees are captured into graphs */
    _Atomic uint64_t keeps;       /* the release threshold: up to this much stays through a synchronisation */
    struct lock warm;             /* guards the next five: what was freed, to be handed out again without growth */
    bool mixed;                   /* pieces of different sizes or streams: then nothing is certain */
    unsigned pieces;              /* freed pieces, all of one size and stream */
    uint64_t piece;               /* their size */
    CUstream piece_stream;
    unsigned unasked; /* handed out again since the driver was last asked what the pool holds */
    /* Of managed memory, under `lock`: */
    uint64_t most;      /* that it ever held */
    uint64_t asked;     /* by allocations under way, */
    unsigned under_way; /* so many, and resets of the driver's own figure */
};

struct pools {
    struct lock adding;
    _Atomic unsigned known;         /* places of `pool` that have been used */
    _Atomic uint64_t chunk;         /* by what a pool grows; 0 not seen yet */
    struct pool pool[POOLS_MAX];    /* found by handle */
    _Atomic uint64_t streams_epoch; /* bumped when a stream or a device's pool changes: forget the next two */
    _Atomic unsigned captures;      /* that are under way, or whose stream was destroyed */
    _Atomic uint64_t only;          /* the only device's pool: 1 + its position, and from bit 8 on 1 + the epoch */
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
 * refusal. */
void pools_trim(struct device *device);
/* Charges what the pools hold now. After a synchronisation, when the driver may have given memory back. */
void pools_settle(void);
/* The same for all of them, after a context has ended. */
void pools_settle_all(void);
/* By how much pools have become smaller without that being settled: a thread that waits in a synchronisation does so
 * when it returns. */
uint64_t pools_unsettled(struct device *device);

#endif
