/* SPDX-License-Identifier: Apache-2.0 */
/* Reserve, then allocate. Every hook that takes memory does

       if (!account_reserve(device, most, &reservation))    the most that the call may take
           return refused(device, size);                    out of memory, and counted
       result = real call;
       account_settle(device, &reservation, taken);         what it took; 0 on failure

   and every hook that gives memory back brackets the real call with account_release_begin and account_release_end. */
#ifndef RUNAI_ACCOUNT_H
#define RUNAI_ACCOUNT_H

#include "process.h"

bool account_reserve(struct device *device, uint64_t most, struct reservation *reservation);
void account_settle(struct device *device, struct reservation *reservation, uint64_t taken);
/* For calls that hardly ever take what they might (hook_pool.c). account_keep ends a reservation of which nothing was
   taken: far from the limit it stays as credit, which is still pending, and which any process that runs short takes
   back. account_credit_take marks credit as used by a call, with one atomic operation instead of a sum over the
   container. A call that took nothing ends with account_credit_return; one that may have taken something calls
   account_credit_used, charges what it took, and ends with account_drop. So what was taken never stands beside a
   reservation that was not summed with it. */
bool account_credit_take(struct device *device, uint64_t most, struct reservation *reservation);
void account_credit_return(struct reservation *reservation);
void account_credit_used(struct device *device);
void account_keep(struct device *device, struct reservation *reservation);
/* The end of a reservation, or of used credit, after which a pool was asked. */
void account_drop(struct device *device, struct reservation *reservation);
void account_release_begin(struct device *device);
void account_release_end(struct device *device, uint64_t released);
/* The same for a call that may give back on any device: the end takes what the beginning returned, and what is released
   is accounted for between the two. */
unsigned account_release_begin_anywhere(void);
void account_release_end_anywhere(unsigned devices);
/* Moves what is charged into what is measured: for memory whose end we do not see (a free that waits for its stream, a
   context). */
void account_defer_to_measurement(struct device *device, uint64_t bytes);
/* Charges what is found to be taken already. */
void account_add(struct device *device, uint64_t bytes);

/* For objects whose memory the driver keeps for the next one: each takes `each` bytes when more of them live than ever
   before, and at times all of them together take `step`. Begin returns false if that does not fit; the driver's own
   count decides later what it was. Call account_keep_less before some are destroyed, and account_keep_gone to say
   whether they are gone. */
struct keeping {
    struct kept *kept;    /* NULL: nothing to account for */
    int64_t count, level; /* how many live with them */
    uint64_t each, step;
    struct reservation reservation;
};
bool account_keep_begin(struct device *device, struct kept *kept, int64_t count, uint64_t each, uint64_t step,
                        struct keeping *keeping);
void account_keep_end(struct device *device, struct keeping *keeping, bool done);
void account_keep_less(struct kept *kept, int64_t count);
void account_keep_gone(struct kept *kept, int64_t count, bool gone);

/* Claims this process's row in the ledger. */
void account_claim_row(struct device *device);

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

/* Linear memory. account_remember enters an allocation into the table and returns what it adds to the charge: 2 MiB for
   each block of address space that held nothing of ours before (see account.c). The entry is taken out before the
   driver frees the allocation, since another thread may then get, and enter, the same pointer. account_forget follows
   the free: it takes the allocation out of its blocks and returns what leaves the charge with them. */
uint64_t account_remember(struct device *device, struct entry *entry);
uint64_t account_forget(const struct entry *entry, bool ordered);
#define BLOCK (2 * MIB)
static inline uint64_t round_up(uint64_t bytes, uint64_t to) {
    return bytes > UINT64_MAX - to ? UINT64_MAX / 4 : (bytes + to - 1) / to * to;
}

#endif
