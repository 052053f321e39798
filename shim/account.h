/* Reserve, then allocate. Every hook that takes memory does

       if (!account_reserve(device, most))    the most that the call may take
           return out of memory;
       result = real call;
       account_settle(device, most, taken);   what it took; 0 on failure

   and every hook that gives memory back brackets the real call with account_release_begin and account_release_end. */
#ifndef RUNAI_ACCOUNT_H
#define RUNAI_ACCOUNT_H

#include "process.h"

bool account_reserve(struct device *device, uint64_t most);
void account_settle(struct device *device, uint64_t reserved, uint64_t taken);
void account_release_begin(struct device *device);
void account_release_end(struct device *device, uint64_t released);
/* Moves what is charged into what is measured: for memory whose end we do not see (a free that waits for its stream, a
 * context). */
void account_leave_to_measuring(struct device *device, uint64_t bytes);
/* Charges what turned out to be taken already. */
void account_add(struct device *device, uint64_t bytes);

struct account_view {
    uint64_t limit; /* what may be allocated in all */
    uint64_t used;  /* the container's use */
    uint64_t free;  /* of the limit */
};
/* What the ledger says now. */
struct account_view account_view(struct device *device);

/* For measure.c, under process->slow: makes sure that the ledger is whole and knows the device; changes our overhead,
   unless it has changed since `before` was read. */
void account_attach(struct device *device);
void account_overhead(struct device *device, int64_t before, int64_t now);

/* The part of the charge for linear memory that an allocation at `pointer` brings with it: 2 MiB for each block of
   address space that held nothing of ours before (see account.c), and how it goes. */
uint64_t account_blocks_add(struct device *device, uint64_t pointer, uint64_t size);
uint64_t account_blocks_remove(uint64_t pointer, uint64_t size);
#define BLOCK (2 * MIB)
static inline uint64_t round_up(uint64_t bytes, uint64_t to) {
    return bytes > UINT64_MAX - to ? UINT64_MAX / 4 : (bytes + to - 1) / to * to;
}

#endif
