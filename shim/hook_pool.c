/* SPDX-License-Identifier: Apache-2.0 */
/* Stream-ordered allocations. The pool holds the memory, so the pool is what is charged: its RESERVED_MEM_CURRENT,
   asked after allocations that may have made it grow and after each synchronisation, where the driver gives back what
   is above the release threshold. Growth is reserved beforehand, whatever the pool may have that is free: the driver
   does not say what of it an allocation takes. Whether it grew, the address tells: what lies in blocks in which the
   pool had memory before, and has given back none since, was there. So a warm pool is asked now and then only, and what
   was reserved for an allocation that lay there is kept for the next (account_keep). After any other it is not: what
   the pool grew by is charged by then, and both together were never compared with the limit.

   That it has given back none: an era of the pool ends, and with it all that is known of its blocks, at every
   synchronisation and trim that may make it smaller. What the driver takes from pools by itself, at the end of the
   GPU's memory, is seen when it is asked: less than is charged. It also moves what lies idle in a pool to other
   addresses. So an allocation outside the known blocks ends the era, before another one's turn in the driver comes;
   beside one that did not wait for its turn, or a trim or wait, nothing counts as known. Known is what an allocation
   got in this era, and what is freed in it: that is there until it is free.

   Threads that allocate from a pool at once ask together. One that is done while another asks may leave its reservation
   with the pool (park), some at most and far from the limit only; the last one, or one that asks anyway, asks after it
   and gives it back.

   Pools of managed memory: pool_managed.c.

   Left alone on purpose: allocations captured into a graph (they take nothing until launch, and the driver makes
   ordinary nodes of them, whatever their pool; hook_graph.c), pools of the host's own memory, and imported pools, which
   their exporter pays for. */
#include "account.h"
#include "capture.h"
#include "device.h"
#include "hooks.h"
#include "linear.h"
#include "measure.h"
#include "refusals.h"

enum {
    UNASKED_MAX = 1024,   /* allocations in known blocks before the driver is asked anyway */
    STREAM_WAIT_MS = 1000 /* for a stream's work, before an allocation is refused */
};

/* Allocation. */

enum plan { PLAN_NOT_OURS, PLAN_CREDIT, PLAN_RESERVED, PLAN_COVERED, PLAN_REFUSED };

struct attempt {
    enum plan plan;
    struct pool *pool;
    struct device *device;
    struct reservation reservation;
    bool entered; /* in its turn */
    bool known;   /* it lies in blocks that the pool held before */
    uint32_t era;
};

static bool pool_has_freed(struct pool *pool) {
    return atomic_load_explicit(&pool->charged, memory_order_relaxed) > pool_live(pool);
}

/* A stream's next allocation can use what the stream has freed, even before the stream's work is done. If there is no
   room to reserve for it, it can once that work is done and the pool is trimmed. The driver is polled, not waited for,
   because the work may wait for this thread. */
static bool stream_is_done(CUstream stream) {
    CUresult state;
    for (uint64_t until = now_ms() + STREAM_WAIT_MS;; sleep_ms(1)) {
        state = BESIDE_CAPTURES(CUDA->cuStreamQuery(stream));
        if (state != CUDA_ERROR_NOT_READY || now_ms() >= until)
            break;
    }
    /* The driver counts what was freed as free only after a wait for the stream. */
    if (state != CUDA_SUCCESS)
        return false;
    atomic_fetch_add(&process()->pools.waits, 1);
    state = BESIDE_CAPTURES(CUDA->cuStreamSynchronize(stream));
    pools_settle(true);
    atomic_fetch_sub(&process()->pools.waits, 1);
    return state == CUDA_SUCCESS;
}

static enum plan prepare(struct attempt *a, uint64_t size, CUstream stream) {
    struct pool *pool = a->pool;
    if (capture_of(stream))
        return PLAN_NOT_OURS;
    if (UNLIKELY(atomic_load_explicit(&pool->managed, memory_order_relaxed)))
        return managed_begin(pool, a->device, size) ? PLAN_COVERED : PLAN_REFUSED;
    uint64_t chunk = atomic_load_explicit(&process()->pools.chunk, memory_order_relaxed);
    uint64_t most = round_up(size, chunk ? chunk : POOL_CHUNK_MAX);
    if (LIKELY(account_credit_take(a->device, most, &a->reservation)))
        return PLAN_CREDIT;
    bool fits = account_reserve(a->device, most, &a->reservation) ||
                (pool_has_freed(pool) && stream_is_done(stream) && account_reserve(a->device, most, &a->reservation));
    return fits ? PLAN_RESERVED : PLAN_REFUSED;
}

static void enter(struct pool *pool, const struct device *device, uint64_t pointer, uint64_t rounded) {
    struct entry entry = {.key = pointer,
                          .size = rounded,
                          .extra = atomic_load_explicit(&pool->generation, memory_order_relaxed) << 8 |
                                   (uint64_t)(pool - process()->pools.pool),
                          .class = CLASS_POINTER,
                          .kind = KIND_POOL,
                          .device = device_position(device)};
    table_put(&process()->table, &entry);
}

/* Returns true if the pool may become smaller just now. A call that makes it smaller ends its era before it returns. */
static bool may_shrink(const struct pool *pool) {
    const struct pools *pools = &process()->pools;
    return atomic_load(&pools->trims) || (atomic_load(&pools->waits) && atomic_load(&pool->keeps) != UINT64_MAX);
}

/* One thread at a time calls a device's pools, as long as no thread has to wait long for that (queue_enter in
   base.h). */
static void begin_turn(struct attempt *a) {
    a->entered = queue_enter(&a->device->queue);
    if (UNLIKELY(!a->entered))
        atomic_fetch_add(&a->pool->strays, 1);
    if (UNLIKELY(atomic_load_explicit(&a->device->last_in_queue, memory_order_relaxed) != this_thread()))
        atomic_store_explicit(&a->device->last_in_queue, this_thread(), memory_order_relaxed);
    a->era = atomic_load(&a->pool->era);
}

/* Returns true if the allocation lies in what the pool held in an era that has not ended. A thread that ends it later
   sees in `live` that there was an allocation, and asks the driver again. */
static bool was_held(const struct attempt *a) {
    return a->known && a->entered && !atomic_load(&a->pool->strays) && !may_shrink(a->pool) &&
           atomic_load(&a->pool->era) == a->era;
}

/* Returns true if the driver need not be asked. Otherwise the allocation may lie in memory that was moved from a block
   known now, even if its own block was known before. */
static bool end_turn(struct attempt *a, uint64_t pointer, uint64_t size) {
    struct pool *pool = a->pool;
    a->known = pointer && pool_holds(a->era, pointer, size);
    bool managed = a->plan == PLAN_COVERED, held = !managed && was_held(a);
    if (!held && !managed)
        a->era = pool_next_era(pool);
    if (UNLIKELY(!a->entered))
        atomic_fetch_sub(&pool->strays, 1);
    queue_leave(&a->device->queue, a->entered);
    unsigned unasked = atomic_load_explicit(&pool->unasked, memory_order_relaxed);
    if (held)
        atomic_store_explicit(&pool->unasked, unasked + 1, memory_order_relaxed); /* threads may lose a count */
    return held && unasked < UNASKED_MAX;
}

/* Asks what the pool holds now, or leaves that to another thread. */
static void ask_after(struct attempt *a, uint64_t pointer, uint64_t size) {
    struct pool *pool = a->pool;
    atomic_fetch_add(&pool->visits, 1);
    if (a->plan == PLAN_CREDIT)
        account_credit_used(a->device);
    if (!pool_park(pool, &a->reservation)) {
        pool_settle_calls(pool, a->device, &a->reservation);
        atomic_store_explicit(&pool->unasked, 0, memory_order_relaxed);
    }
    if (pointer)
        pool_note_held(a->era, pointer, size);
    pool_leave(pool, a->device);
}

static CUresult allocated(struct attempt *a, CUresult result, const CUdeviceptr *pointer, size_t size) {
    uint64_t rounded = round_up(size, POOL_UNIT), at = result == CUDA_SUCCESS ? *pointer : 0;
    if (LIKELY(at))
        atomic_fetch_add(&a->pool->live, rounded / POOL_UNIT + POOL_ALLOCATION);
    bool held = end_turn(a, at, size);
    if (UNLIKELY(!held))
        a->plan == PLAN_COVERED ? managed_end(a->pool, a->device, size) : ask_after(a, at, size);
    else if (LIKELY(a->plan == PLAN_CREDIT))
        account_credit_return(&a->reservation);
    else
        account_keep(a->device, &a->reservation);
    if (at)
        enter(a->pool, a->device, at, rounded);
    return result;
}

/* The queue only saves time here: nothing depends on the order of frees. So a thread that is alone goes past it. */
static bool free_enters(struct device *device) {
    bool alone = atomic_load_explicit(&device->queue.word, memory_order_relaxed) == 0 &&
                 atomic_load_explicit(&device->last_in_queue, memory_order_relaxed) == this_thread();
    return !LIKELY(alone) && queue_enter(&device->queue);
}

#define POOL_FREE(device, real_call)                                                                                   \
    ({                                                                                                                 \
        struct lock *queue = &(device)->queue;                                                                         \
        bool entered = free_enters(device);                                                                            \
        CUresult answer = INSIDE(real_call);                                                                           \
        queue_leave(queue, entered);                                                                                   \
        answer;                                                                                                        \
    })

static struct pool *pool_named(CUmemoryPool handle) {
    struct pool *pool = pool_by_handle(handle);
    return LIKELY(pool) ? pool : pool_default(handle);
}

#define POOL_ALLOCATE_AND_RETURN(find_pool, real_call)                                                                 \
    struct attempt a = {.pool = inside_driver || !pointer ? NULL : find_pool};                                         \
    if (!a.pool)                                                                                                       \
        return real_call;                                                                                              \
    a.device = device_at(atomic_load_explicit(&a.pool->device, memory_order_relaxed));                                 \
    a.plan = prepare(&a, size, stream);                                                                                \
    if (a.plan == PLAN_REFUSED)                                                                                        \
        return refused(a.device, size);                                                                                \
    if (a.plan == PLAN_NOT_OURS)                                                                                       \
        return real_call;                                                                                              \
    begin_turn(&a);                                                                                                    \
    return allocated(&a, INSIDE(real_call), pointer, size)

CUresult cuMemAllocAsync(CUdeviceptr *pointer, size_t size, CUstream stream) {
    POOL_ALLOCATE_AND_RETURN(pool_of_stream(stream), CUDA->cuMemAllocAsync(pointer, size, stream));
}

CUresult cuMemAllocAsync_ptsz(CUdeviceptr *pointer, size_t size, CUstream stream) {
    stream = per_thread(stream);
    POOL_ALLOCATE_AND_RETURN(pool_of_stream(stream), CUDA->cuMemAllocAsync_ptsz(pointer, size, stream));
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *pointer, size_t size, CUmemoryPool from, CUstream stream) {
    POOL_ALLOCATE_AND_RETURN(pool_named(from), CUDA->cuMemAllocFromPoolAsync(pointer, size, from, stream));
}

CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *pointer, size_t size, CUmemoryPool from, CUstream stream) {
    stream = per_thread(stream);
    POOL_ALLOCATE_AND_RETURN(pool_named(from), CUDA->cuMemAllocFromPoolAsync_ptsz(pointer, size, from, stream));
}

/* Linear memory freed in stream order is released when the stream gets there, which the driver does not report: it
   counts until it is measured. If another thread synchronises, it may be released at once. While it is still entered,
   the next allocation in its block is not charged: a measurement at that moment would miss the block. */
static void free_begins(const struct entry *entry) {
    if (entry->kind != KIND_POOL)
        account_release_begin(device_at(entry->device));
}

static CUresult freed(const struct entry *entry, CUstream stream, CUresult result) {
    struct device *device = device_at(entry->device);
    if (result != CUDA_SUCCESS)
        linear_put_back(entry);
    else if (entry->kind == KIND_POOL)
        pool_freed(entry, stream);
    else
        account_defer_to_measurement(device, linear_freed(entry, true));
    if (entry->kind != KIND_POOL)
        account_release_end(device, 0);
    return result;
}

CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream stream) {
    struct entry entry;
    if (inside_driver || !linear_take(pointer, &entry))
        return CUDA->cuMemFreeAsync(pointer, stream);
    free_begins(&entry);
    return freed(&entry, stream, POOL_FREE(device_at(entry.device), CUDA->cuMemFreeAsync(pointer, stream)));
}

CUresult cuMemFreeAsync_ptsz(CUdeviceptr pointer, CUstream stream) {
    struct entry entry;
    if (inside_driver || !linear_take(pointer, &entry))
        return CUDA->cuMemFreeAsync_ptsz(pointer, stream);
    stream = per_thread(stream);
    free_begins(&entry);
    return freed(&entry, stream, POOL_FREE(device_at(entry.device), CUDA->cuMemFreeAsync_ptsz(pointer, stream)));
}

/* Pools. */

CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *properties) {
    CUresult result = CUDA->cuMemPoolCreate(pool, properties);
    if (result != CUDA_SUCCESS || inside_driver || pool_know(*pool, &properties->location, properties->allocType))
        return result;
    BESIDE_CAPTURES(CUDA->cuMemPoolDestroy(*pool));
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemPoolDestroy(CUmemoryPool handle) {
    struct pool *pool = inside_driver ? NULL : pool_by_handle(handle);
    bool managed = pool && atomic_load(&pool->managed);
    bool done = managed && pool_held(pool, 1) == 0; /* nothing lives, and no free is under way */
    CUresult result = INSIDE(CUDA->cuMemPoolDestroy(handle));
    if (!pool || result != CUDA_SUCCESS)
        return result;
    /* Outstanding allocations keep their memory until they are freed. Only a measurement sees that; of managed memory,
       only the shim's own count does. */
    struct device *device = device_at(atomic_load(&pool->device));
    uint64_t charged = managed ? 0 : atomic_exchange(&pool->charged, 0);
    atomic_store(&pool->handle, managed ? POOL_DESTROYED : NULL);
    pools_forget_streams();
    if (done)
        managed_release(pool);
    account_defer_to_measurement(device, charged);
    measure_now(device);
    return result;
}

CUresult cuMemPoolTrimTo(CUmemoryPool handle, size_t keep) {
    struct pool *pool = inside_driver ? NULL : pool_by_handle(handle);
    if (!pool)
        return CUDA->cuMemPoolTrimTo(handle, keep);
    struct device *device = device_at(atomic_load(&pool->device));
    account_release_begin(device);
    atomic_fetch_add(&process()->pools.trims, 1);
    CUresult result = INSIDE(CUDA->cuMemPoolTrimTo(handle, keep));
    pool_next_era(pool);
    atomic_fetch_sub(&process()->pools.trims, 1);
    if (result == CUDA_SUCCESS)
        pool_settle(pool, device, NULL);
    account_release_end(device, 0);
    return result;
}

CUresult cuMemPoolSetAttribute(CUmemoryPool handle, int attribute, void *value) {
    struct pool *pool = inside_driver ? NULL : pool_by_handle(handle);
    if (pool && attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH && atomic_load(&pool->managed))
        return managed_reset(pool, device_at(atomic_load(&pool->device)), handle, value);
    CUresult result = CUDA->cuMemPoolSetAttribute(handle, attribute, value);
    if (pool && result == CUDA_SUCCESS)
        atomic_store(&pool->keeps, pool_threshold(handle));
    return result;
}

CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool) {
    CUresult result = CUDA->cuDeviceSetMemPool(device, pool);
    if (!inside_driver)
        pools_forget_streams();
    return result;
}

/* These calls are the only way to get the default pools of managed memory, one per location. */
static CUresult got_pool(CUresult result, CUmemoryPool *pool, const CUmemLocation *location, int type) {
    if (result != CUDA_SUCCESS || inside_driver || pool_know(*pool, location, type))
        return result;
    *pool = NULL;
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemGetDefaultMemPool(CUmemoryPool *pool, CUmemLocation *location, int type) {
    return got_pool(CUDA->cuMemGetDefaultMemPool(pool, location, type), pool, location, type);
}

CUresult cuMemGetMemPool(CUmemoryPool *pool, CUmemLocation *location, int type) {
    return got_pool(CUDA->cuMemGetMemPool(pool, location, type), pool, location, type);
}

CUresult cuMemSetMemPool(CUmemLocation *location, int type, CUmemoryPool pool) {
    CUresult result = CUDA->cuMemSetMemPool(location, type, pool);
    if (!inside_driver)
        pools_forget_streams();
    return result;
}

/* The driver keeps a destroyed stream's memory for the next stream. */
#define DESTROY_STREAM_AND_RETURN(real_call)                                                                           \
    struct device *device = inside_driver ? NULL : device_of_stream(stream);                                           \
    if (!device)                                                                                                       \
        return real_call;                                                                                              \
    account_keep_less(&device->streams, 1);                                                                            \
    CUresult result = real_call;                                                                                       \
    account_keep_gone(&device->streams, 1, result == CUDA_SUCCESS);                                                    \
    if (result == CUDA_SUCCESS && atomic_load_explicit(&process()->pools.known, memory_order_relaxed))                 \
        pools_forget_streams();                                                                                        \
    return result

CUresult cuStreamDestroy(CUstream stream) {
    DESTROY_STREAM_AND_RETURN(CUDA->cuStreamDestroy(stream));
}

CUresult cuStreamDestroy_v2(CUstream stream) {
    DESTROY_STREAM_AND_RETURN(CUDA->cuStreamDestroy_v2(stream));
}

/* Synchronisation: the moment when a pool gives memory back. */

#define SYNCHRONISE_AND_RETURN(real_call)                                                                              \
    struct pools *pools = &process()->pools;                                                                           \
    if (inside_driver || !atomic_load_explicit(&pools->known, memory_order_relaxed))                                   \
        return real_call;                                                                                              \
    atomic_fetch_add(&pools->waits, 1);                                                                                \
    CUresult result = real_call;                                                                                       \
    pools_settle(true);                                                                                                \
    atomic_fetch_sub(&pools->waits, 1);                                                                                \
    return result

CUresult cuStreamSynchronize(CUstream stream) {
    SYNCHRONISE_AND_RETURN(CUDA->cuStreamSynchronize(stream));
}

CUresult cuStreamSynchronize_ptsz(CUstream stream) {
    SYNCHRONISE_AND_RETURN(CUDA->cuStreamSynchronize_ptsz(stream));
}

CUresult cuEventSynchronize(void *event) {
    SYNCHRONISE_AND_RETURN(CUDA->cuEventSynchronize(event));
}

CUresult cuCtxSynchronize(void) {
    SYNCHRONISE_AND_RETURN(CUDA->cuCtxSynchronize());
}

CUresult cuCtxSynchronize_v2(CUcontext context) {
    SYNCHRONISE_AND_RETURN(CUDA->cuCtxSynchronize_v2(context));
}
