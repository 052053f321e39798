/* SPDX-License-Identifier: Apache-2.0 */
/* Local memory of kernels. The driver allocates it for every thread that a GPU can hold at once, in the size that the
   largest kernel launched in the context needs, or that cuCtxSetLimit set last, which can also shrink it (measured on
   an H200 with 580.159, to the byte). It grows at a launch, or when a graph is instantiated. */
#ifndef RUNAI_LOCAL_H
#define RUNAI_LOCAL_H

#include "account.h"
#include "cuda_api.h"

enum { LOCAL_SETS = 1024, LOCAL_WAYS = 8 };

/* Functions whose launch is known to take nothing. The address selects a set of places: a launch looks at the first,
   and at the others before it asks the driver. Stored after asking, cleared when handles may be reused or local memory
   has shrunk. Not in the process's page: a forked child cannot use the handles that it finds here. */
extern _Atomic(const void *) local_known[LOCAL_SETS][LOCAL_WAYS] __attribute__((visibility("hidden")));

static inline unsigned local_set(const void *function) {
    return (unsigned)(((uint64_t)(uintptr_t)function >> 4) * 0x9e3779b97f4a7c15ull >> 54);
}

static inline bool local_takes_nothing(const void *function) {
    return LIKELY(atomic_load_explicit(&local_known[local_set(function)][0], memory_order_relaxed) == function);
}

struct local_growth {
    struct device *device; /* NULL: nothing to account for */
    uint64_t context, bytes, size;
    bool remember; /* of a launch: the next one of this function takes nothing */
    struct reservation reservation;
};

/* The kernel's local memory per thread, in bytes; 0 if the driver does not say. `everywhere`: the kernel is a
   library's, which runs in any context. */
uint64_t local_size(const void *function, CUdevice ordinal, bool *everywhere);
/* Before a launch in the current context that needs `size` bytes per thread: false if that exceeds the limit, and then
   it is counted as refused. */
bool local_begin(struct local_growth *growth, uint64_t size);
void local_end(struct local_growth *growth, bool done);
/* The same for a launch of the function in that stream, which is remembered if it takes nothing. */
bool local_launch_begin(struct local_growth *growth, const void *function, CUstream stream);
void local_launch_end(struct local_growth *growth, const void *function, bool done);

/* Bytes that the current context takes if its stack limit is set to that value; and the note that it was set. */
uint64_t local_growth_by_limit(struct device *device, size_t value);
void local_limit_changed(size_t value);
/* Handles may be reused. */
void local_forget(void);
/* A context has ended. */
void local_forget_context(uint64_t context);

#endif
