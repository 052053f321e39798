/* SPDX-License-Identifier: Apache-2.0 */
/* The pools that this process knows, what they hold, and what is charged for them. hook_pool.c says why and when. */
#include "account.h"
#include "device.h"
#include "linear.h"
#include "measure.h"
#include "real.h"
#include "refusals.h"

enum {
    ERA_BITS = 28,
    BLOCKS_MAX = 64 /* of one allocation; of a larger one the driver is asked */
};

/* Calls for one driver look at the pools of all: each pool is asked through the driver that made it. */
#define BY_ITS_DRIVER(pool, call)                                                                                      \
    ({                                                                                                                 \
        unsigned char chosen = real_choose(LIBRARY_cuda, atomic_load_explicit(&(pool)->driver, memory_order_relaxed)); \
        __auto_type driver_result = (call);                                                                            \
        real_choose(LIBRARY_cuda, chosen);                                                                             \
        driver_result;                                                                                                 \
    })

uint64_t pool_ask(struct pool *pool, int attribute, uint64_t otherwise) {
    CUmemoryPool handle = atomic_load(&pool->handle);
    uint64_t bytes = otherwise;
    if (UNLIKELY(!handle || handle == POOL_DESTROYED))
        return otherwise; /* it cannot be asked */
    CUresult result = BY_ITS_DRIVER(pool, BESIDE_CAPTURES(CUDA->cuMemPoolGetAttribute(handle, attribute, &bytes)));
    return result == CUDA_SUCCESS ? bytes : otherwise;
}

uint64_t pool_held(struct pool *pool, uint64_t otherwise) {
    return pool_ask(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, otherwise);
}

struct pool *pool_by_handle(CUmemoryPool handle) {
    struct pools *pools = &process()->pools;
    unsigned n = atomic_load_explicit(&pools->known, memory_order_acquire);
    for (unsigned i = 0; i < n; i++)
        if (atomic_load_explicit(&pools->pool[i].handle, memory_order_acquire) == handle)
            return &pools->pool[i];
    return NULL;
}

uint32_t pool_next_era(struct pool *pool) {
    uint32_t era = (atomic_fetch_add(&process()->pools.eras, 1) + 1) & ((1u << ERA_BITS) - 1);
    atomic_store(&pool->era, era);
    return era;
}

#define EACH_BLOCK(place, pointer, size)                                                                               \
    for (uint64_t place = (pointer) >> BLOCK_BITS, end_ = ((pointer) + (size)-1) >> BLOCK_BITS; place <= end_; place++)

bool pool_holds(uint32_t era, uint64_t pointer, uint64_t size) {
    _Atomic uint64_t *block = process()->pools.block;
    if (UNLIKELY(size == 0 || size > BLOCKS_MAX * BLOCK))
        return false;
    EACH_BLOCK(b, pointer, size)
    if (atomic_load_explicit(&block[b % POOL_BLOCKS], memory_order_relaxed) != (b << ERA_BITS | era))
        return false;
    return true;
}

void pool_note_held(uint32_t era, uint64_t pointer, uint64_t size) {
    _Atomic uint64_t *block = process()->pools.block;
    if (size == 0 || size > BLOCKS_MAX * BLOCK)
        return;
    EACH_BLOCK(b, pointer, size) {
        _Atomic uint64_t *note = &block[b % POOL_BLOCKS];
        if (UNLIKELY(atomic_load_explicit(note, memory_order_relaxed) != (b << ERA_BITS | era)))
            atomic_store_explicit(note, b << ERA_BITS | era, memory_order_relaxed);
    }
}

uint64_t pool_threshold(CUmemoryPool handle) {
    uint64_t bytes = 0;
    BESIDE_CAPTURES(CUDA->cuMemPoolGetAttribute(handle, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &bytes));
    return bytes;
}

struct pool *pool_add(CUmemoryPool handle, const struct device *device, bool managed) {
    struct pools *pools = &process()->pools;
    lock_take(&pools->adding);
    struct pool *pool = pool_by_handle(handle);
    unsigned n = atomic_load(&pools->known), i = 0;
    while (!pool && i < n && atomic_load(&pools->pool[i].handle))
        i++;
    if (!pool && i < POOLS_MAX) {
        pool = &pools->pool[i];
        atomic_store(&pool->device, device_position(device));
        atomic_store(&pool->driver, real_chosen[LIBRARY_cuda]);
        atomic_store(&pool->managed, managed);
        atomic_fetch_add(&pool->generation, 1);
        atomic_store(&pool->charged, 0);
        atomic_store(&pool->live, 0);
        pool->most = 0;
        atomic_store(&pool->keeps, pool_threshold(handle));
        pool_next_era(pool);
        atomic_store_explicit(&pool->handle, handle, memory_order_release);
        if (i == n)
            atomic_store_explicit(&pools->known, n + 1, memory_order_release);
    }
    lock_drop(&pools->adding);
    return pool;
}

/* The driver creates the GPUs' default pools, so a program can use one that no hook saw being created. */
static void know_default_pools(void) {
    CUmemoryPool pool;
    int count = 0;
    INSIDE(CUDA->cuDeviceGetCount(&count));
    for (int ordinal = 0; ordinal < count; ordinal++) {
        struct device *device = device_by_ordinal(ordinal);
        if (device && BESIDE_CAPTURES(CUDA->cuDeviceGetDefaultMemPool(&pool, ordinal)) == CUDA_SUCCESS)
            pool_add(pool, device, false);
    }
}

/* Host memory is not charged. A pool whose location is not a known device counts as managed memory. */
bool pool_know(CUmemoryPool handle, const CUmemLocation *location, int type) {
    bool pinned = type == CU_MEM_ALLOCATION_TYPE_PINNED, on_device = location->type == CU_MEM_LOCATION_TYPE_DEVICE;
    if (pinned && location->type >= CU_MEM_LOCATION_TYPE_HOST &&
        location->type <= CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT)
        return true;
    struct device *own = on_device ? device_by_ordinal(location->id) : NULL;
    struct device *device = own ? own : device_current();
    if (!device)
        device = device_by_ordinal(0);
    know_default_pools(); /* while there is room for them */
    return !device || pool_add(handle, device, !pinned || !own) || refused(device, 0) == CUDA_SUCCESS;
}

struct pool *pool_default(CUmemoryPool handle) {
    know_default_pools();
    return pool_by_handle(handle);
}

/* Learns the step by which pools grow from what they were seen to hold. */
static void learn_chunk(uint64_t bytes) {
    _Atomic uint64_t *chunk = &process()->pools.chunk;
    uint64_t lowest = bytes & -bytes, now = atomic_load_explicit(chunk, memory_order_relaxed);
    if (lowest && lowest >= BLOCK && (now == 0 || lowest < now))
        atomic_store_explicit(chunk, lowest < POOL_CHUNK_MAX ? lowest : POOL_CHUNK_MAX, memory_order_relaxed);
}

/* Can `bytes` still be what the pool holds? Not if another thread has changed the charge since the driver was asked.
   Nor if it is less than the charge and another thread has allocated since, in memory that it took for held: that may
   have been given back. The era ends first, so that later allocations see it (was_held in hook_pool.c). Under the
   pool's lock. */
static bool still_true(struct pool *pool, uint64_t bytes, uint64_t version, uint64_t live) {
    if (bytes >= atomic_load(&pool->charged))
        return version == atomic_load(&pool->version);
    pool_next_era(pool);
    return version == atomic_load(&pool->version) && (atomic_load(&pool->live) ^ live) < POOL_ALLOCATION;
}

void pool_settle(struct pool *pool, struct device *device, struct reservation *reservation) {
    uint64_t version, live, bytes, before;
    if (atomic_load(&pool->managed))
        return; /* see managed_end and managed_release */
    for (int tries = 0;; tries++) {
        version = atomic_load(&pool->version);
        live = atomic_load(&pool->live);
        before = atomic_load(&pool->charged);
        bytes = pool_held(pool, before);
        if (LIKELY(bytes == before && version == atomic_load(&pool->version))) {
            if (reservation)
                account_drop(device, reservation);
            return;
        }
        lock_take(&pool->lock);
        if (still_true(pool, bytes, version, live))
            break;
        if (tries == 8) { /* the other threads charge what they find, which is no less */
            bytes = bytes > atomic_load(&pool->charged) ? bytes : atomic_load(&pool->charged);
            break;
        }
        lock_drop(&pool->lock);
    }
    before = atomic_load(&pool->charged);
    if (before > bytes)
        account_release_begin(device); /* here, so that no measurement sees one without the other */
    else if (bytes > before)
        account_add(device, bytes - before); /* first: a thread that finds the pool charged drops its reservation */
    atomic_store(&pool->charged, bytes);
    atomic_fetch_add(&pool->version, 1);
    lock_drop(&pool->lock);
    learn_chunk(bytes);
    if (reservation)
        account_drop(device, reservation);
    if (before > bytes)
        account_release_end(device, before - bytes);
}

static unsigned take_parked(struct pool *pool, struct reservation *parked) {
    if (LIKELY(atomic_load(&pool->parked) == 0))
        return 0;
    lock_take(&pool->lock);
    unsigned n = atomic_load(&pool->parked);
    for (unsigned i = 0; i < n; i++)
        parked[i] = pool->parking[i];
    atomic_store(&pool->parked, 0);
    lock_drop(&pool->lock);
    return n;
}

void pool_settle_calls(struct pool *pool, struct device *device, struct reservation *own) {
    struct reservation parked[POOL_PARKING];
    unsigned n = take_parked(pool, parked); /* before the driver is asked: what they took is in its answer */
    pool_settle(pool, device, own);
    for (unsigned i = 0; i < n; i++)
        account_drop(device, &parked[i]);
}

bool pool_park(struct pool *pool, const struct reservation *reservation) {
    if (reservation->room < MEASURE_CLOSE || atomic_load(&pool->visits) == 1)
        return false;
    lock_take(&pool->lock);
    unsigned n = atomic_load(&pool->parked);
    if (n < POOL_PARKING) {
        pool->parking[n] = *reservation;
        atomic_store(&pool->parked, n + 1);
    }
    lock_drop(&pool->lock);
    return n < POOL_PARKING;
}

void pool_leave(struct pool *pool, struct device *device) {
    if (atomic_fetch_sub(&pool->visits, 1) == 1 && UNLIKELY(atomic_load(&pool->parked)))
        pool_settle_calls(pool, device, NULL);
}

void pools_settle(bool synchronised) {
    struct process *p = process();
    unsigned n = atomic_load_explicit(&p->pools.known, memory_order_acquire);
    for (unsigned i = 0; i < n; i++) {
        struct pool *pool = &p->pools.pool[i];
        if (UNLIKELY(synchronised && atomic_load_explicit(&pool->handle, memory_order_relaxed) == POOL_DESTROYED))
            managed_release(pool);
        if (synchronised && atomic_load_explicit(&pool->keeps, memory_order_relaxed) != UINT64_MAX)
            pool_next_era(pool);
        if (UNLIKELY(atomic_load(&pool->parked)))
            pool_settle_calls(pool, device_at(atomic_load(&pool->device)), NULL);
        uint64_t charged = atomic_load_explicit(&pool->charged, memory_order_relaxed);
        if (charged > pool_live(pool) && charged > atomic_load_explicit(&pool->keeps, memory_order_relaxed) &&
            atomic_load(&pool->handle))
            pool_settle(pool, device_at(atomic_load(&pool->device)), NULL);
    }
}

void pools_settle_all(void) {
    struct process *p = process();
    unsigned n = atomic_load(&p->pools.known);
    for (unsigned i = 0; i < n; i++)
        if (atomic_load(&p->pools.pool[i].handle))
            pool_settle(&p->pools.pool[i], device_at(atomic_load(&p->pools.pool[i].device)), NULL);
}

uint64_t pools_unsettled(struct device *device) {
    struct process *p = process();
    unsigned n = atomic_load(&p->pools.known);
    uint64_t sum = 0;
    for (unsigned i = 0; i < n; i++) {
        struct pool *pool = &p->pools.pool[i];
        CUmemoryPool handle = atomic_load(&pool->handle);
        uint64_t charged = atomic_load(&pool->charged);
        if (!handle || device_at(atomic_load(&pool->device)) != device || atomic_load(&pool->managed) ||
            charged <= pool_live(pool))
            continue;
        uint64_t bytes = pool_held(pool, charged);
        sum += bytes < charged ? charged - bytes : 0;
    }
    return sum;
}

void pools_trim(struct device *device) {
    struct process *p = process();
    unsigned n = atomic_load(&p->pools.known);
    for (unsigned i = 0; i < n; i++) {
        struct pool *pool = &p->pools.pool[i];
        CUmemoryPool handle = atomic_load(&pool->handle);
        if (!handle || device_at(atomic_load(&pool->device)) != device || atomic_load(&pool->managed) ||
            atomic_load(&pool->charged) <= pool_live(pool))
            continue;
        account_release_begin(device); /* so that no measurement falls between trim and settlement */
        atomic_fetch_add(&p->pools.trims, 1);
        BY_ITS_DRIVER(pool, BESIDE_CAPTURES(CUDA->cuMemPoolTrimTo(handle, 0)));
        pool_next_era(pool);
        atomic_fetch_sub(&p->pools.trims, 1);
        pool_settle(pool, device, NULL);
        account_release_end(device, 0);
    }
}

/* Called before the driver frees it: until then the memory is in the pool, and cannot be moved. */
void pool_frees(const struct entry *entry) {
    struct pool *pool = &process()->pools.pool[entry->extra & 255];
    uint32_t era = atomic_load(&pool->era);
    if (LIKELY(atomic_load(&pool->generation) == entry->extra >> 8)) /* not another pool that has the place since */
        pool_note_held(era, entry->key, entry->size);
}

void pool_freed(const struct entry *entry, CUstream stream) {
    struct pool *pool = &process()->pools.pool[entry->extra & 255];
    if (UNLIKELY(atomic_load(&pool->generation) != entry->extra >> 8))
        return; /* its pool was destroyed, and another has the place */
    atomic_fetch_sub(&pool->live, entry->size / POOL_UNIT);
    if (UNLIKELY(atomic_load_explicit(&pool->handle, memory_order_relaxed) == POOL_DESTROYED && stream == NO_STREAM))
        managed_release(pool); /* otherwise at a synchronisation, when the stream has got there */
}
