/* SPDX-License-Identifier: Apache-2.0 */
/* Stream-ordered allocations. The pool holds the memory, so the pool is what is charged: its RESERVED_MEM_CURRENT,
   asked after allocations that may have made it grow and after each synchronisation, where the driver gives back what
   is above the release threshold. Growth is reserved beforehand, whatever the pool may have that is free: nobody can
   know what of it the driver takes. Whether it grew, the address tells: what lies in blocks in which the pool had
   memory before, and has given back none since, was there. So a warm pool is asked now and then only, and what was
   reserved for an allocation that lay there is kept for the next (account_keep). After any other it is not: what the
   pool grew by is charged by then, and both together were never compared with the limit.

   That it has given back none: an era of the pool ends, and with it all that is known of its blocks, at every
   synchronisation and trim that may make it smaller. What the driver takes from pools by itself, at the end of the
   GPU's memory, is seen when it is asked: less than is charged. It also moves what lies idle in a pool to other
   addresses. So an allocation outside the known blocks ends the era, before another one's turn in the driver comes;
   beside one that did not wait for its turn, or a trim or wait, nothing counts as known. Known is what an allocation
   got in this era, and what is freed in it: that is there until it is free.

   Threads that allocate from a pool at once ask together. One that is done while another asks may leave its
   reservation with the pool (park), some at most and far from the limit only; who is the last, or asks anyway, asks
   after it and gives it back.

   Managed memory can come to lie on a GPU wherever its pool prefers it to: the pool is charged in full to the GPU that
   it prefers, else to the one that was current when the program got the pool. What is freed of it is given back by
   RESERVED_MEM_CURRENT alone: it stays on the GPU until the pool is destroyed (seen on an H200, 580.159), and no list
   of processes counts it. So such a pool is charged with the most that it ever held. cuMemAllocAsync never draws from
   it, but from its device's own.

   Left alone on purpose: allocations captured into a graph (they take nothing until launch, and the driver makes
   ordinary nodes of them, whatever their pool; hook_graph.c), pools of the host's own memory, and imported pools, which
   their exporter pays for. */
#include "account.h"
#include "capture.h"
#include "device.h"
#include "hooks.h"
#include "linear.h"
#include "measure.h"

enum {
    CHUNK_MAX = 32 << 20,  /* a pool grows by multiples of this at most; seen on an H200 */
    UNASKED_MAX = 1024,    /* allocations in known blocks until the driver is asked all the same */
    STREAM_WAIT_MS = 1000, /* for the work before an allocation that else is refused */
    ERA_BITS = 28,
    BLOCKS_MAX = 64 /* of one allocation; of a larger one the driver is asked */
};

/* Pools are gone through on the way of others' calls: each is asked through the driver that made it. */
#define BY_ITS_DRIVER(pool, call)                                                                                      \
    ({                                                                                                                 \
        unsigned char chosen = real_choose(LIBRARY_cuda, atomic_load_explicit(&(pool)->driver, memory_order_relaxed)); \
        __auto_type driver_result = (call);                                                                            \
        real_choose(LIBRARY_cuda, chosen);                                                                             \
        driver_result;                                                                                                 \
    })

static uint64_t ask(struct pool *pool, int attribute, uint64_t otherwise) {
    CUmemoryPool handle = atomic_load(&pool->handle);
    uint64_t bytes = otherwise;
    if (UNLIKELY(!handle || handle == POOL_DESTROYED))
        return otherwise; /* it cannot be asked */
    CUresult result = BY_ITS_DRIVER(pool, BESIDE_CAPTURES(CUDA->cuMemPoolGetAttribute(handle, attribute, &bytes)));
    return result == CUDA_SUCCESS ? bytes : otherwise;
}

static uint64_t held(struct pool *pool, uint64_t otherwise) {
    return ask(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, otherwise);
}

static struct pool *pool_by_handle(CUmemoryPool handle) {
    struct pools *pools = &process()->pools;
    unsigned n = atomic_load_explicit(&pools->known, memory_order_acquire);
    for (unsigned i = 0; i < n; i++)
        if (atomic_load_explicit(&pools->pool[i].handle, memory_order_acquire) == handle)
            return &pools->pool[i];
    return NULL;
}

/* Nothing is known any more of what the pool holds. */
static uint32_t next_era(struct pool *pool) {
    uint32_t era = (atomic_fetch_add(&process()->pools.eras, 1) + 1) & ((1u << ERA_BITS) - 1);
    atomic_store(&pool->era, era);
    return era;
}

#define EACH_BLOCK(place, pointer, size)                                                                               \
    for (uint64_t place = (pointer) >> BLOCK_BITS, end_ = ((pointer) + (size)-1) >> BLOCK_BITS; place <= end_; place++)

static bool holds(uint32_t era, uint64_t pointer, uint64_t size) {
    _Atomic uint64_t *block = process()->pools.block;
    if (UNLIKELY(size == 0 || size > BLOCKS_MAX * BLOCK))
        return false;
    EACH_BLOCK(b, pointer, size)
    if (atomic_load_explicit(&block[b % POOL_BLOCKS], memory_order_relaxed) != (b << ERA_BITS | era))
        return false;
    return true;
}

/* In an era that began before the driver answered: if it has ended meanwhile, this is noted for nobody. */
static void note_held(uint32_t era, uint64_t pointer, uint64_t size) {
    _Atomic uint64_t *block = process()->pools.block;
    if (size && size <= BLOCKS_MAX * BLOCK && !holds(era, pointer, size))
        EACH_BLOCK(b, pointer, size)
    atomic_store_explicit(&block[b % POOL_BLOCKS], b << ERA_BITS | era, memory_order_relaxed);
}

static uint64_t threshold(CUmemoryPool handle) {
    uint64_t bytes = 0;
    BESIDE_CAPTURES(CUDA->cuMemPoolGetAttribute(handle, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &bytes));
    return bytes;
}

static struct pool *pool_add(CUmemoryPool handle, const struct device *device, bool managed) {
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
        atomic_store(&pool->keeps, threshold(handle));
        next_era(pool);
        atomic_store_explicit(&pool->handle, handle, memory_order_release);
        if (i == n)
            atomic_store_explicit(&pools->known, n + 1, memory_order_release);
    }
    lock_drop(&pools->adding);
    return pool;
}

/* The GPUs' default pools are nobody's making: who names one got it from the driver. */
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

/* A pool that the program has got, by its properties. Host memory is nobody's charge; what cannot be placed is taken
   for managed memory. False when there is no place for the pool left, so that nobody would count what it holds. */
static bool know_pool(CUmemoryPool handle, const CUmemLocation *location, int type) {
    bool pinned = type == CU_MEM_ALLOCATION_TYPE_PINNED, on_device = location->type == CU_MEM_LOCATION_TYPE_DEVICE;
    if (pinned && location->type >= CU_MEM_LOCATION_TYPE_HOST &&
        location->type <= CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT)
        return true;
    struct device *own = on_device ? device_by_ordinal(location->id) : NULL;
    struct device *device = own ? own : device_current();
    if (!device)
        device = device_by_ordinal(0);
    know_default_pools(); /* while there is place for them */
    return !device || pool_add(handle, device, !pinned || !own);
}

static struct pool *pool_named(CUmemoryPool handle) {
    struct pool *pool = pool_by_handle(handle);
    if (LIKELY(pool))
        return pool;
    know_default_pools();
    return pool_by_handle(handle);
}

/* What pools grow by, from what they were seen to hold. */
static void learn_chunk(uint64_t bytes) {
    _Atomic uint64_t *chunk = &process()->pools.chunk;
    uint64_t lowest = bytes & -bytes, now = atomic_load_explicit(chunk, memory_order_relaxed);
    if (lowest && lowest >= BLOCK && (now == 0 || lowest < now))
        atomic_store_explicit(chunk, lowest < CHUNK_MAX ? lowest : CHUNK_MAX, memory_order_relaxed);
}

/* Pools of managed memory.

   What was freed can be had again without a new charge, but two allocations side by side must not both count on it. So
   each adds the most that it may take to `asked`, then asks the driver what is reserved, and has the charge raised to
   the sum of both before it goes on. When it is done it asks the driver for the most that was ever reserved, and takes
   itself from `asked`; the charge goes back to that most only when no other is under way. Suppose that the pool holds
   more than is charged. Of the allocations that were under way together take the one that was added last: the others
   were in the sum that it read, or done and in what was reserved, for which it asked after that; so what was charged
   for it holds them all, and was not lowered since. */

/* What is charged for a pool of managed memory, the driver's list of processes never counts. */
static void managed_charge(struct device *device, uint64_t before, uint64_t now) {
    if (before == now)
        return;
    account_release_begin(device); /* no measurement believes the one without the other */
    if (now > before)
        account_add(device, now - before);
    atomic_fetch_add(&device->unlisted, now - before);
    account_release_end(device, before > now ? before - now : 0);
}

/* What an allocation may take of the GPU; of one that is far too large no more than can be added up. */
static uint64_t managed_most(uint64_t size) {
    return round_up(size < (uint64_t)1 << 48 ? size : (uint64_t)1 << 48, CHUNK_MAX);
}

/* The end of an allocation, or of a reset, which asked for nothing. */
static void managed_end(struct pool *pool, struct device *device, uint64_t bytes) {
    uint64_t high = ask(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, 0);
    lock_take(&pool->lock);
    uint64_t before = atomic_load(&pool->charged);
    if (high > pool->most)
        pool->most = high;
    pool->asked -= bytes;
    pool->under_way--;
    uint64_t now = pool->under_way && before > pool->most ? before : pool->most;
    atomic_store(&pool->charged, now);
    atomic_fetch_add(&pool->version, 1);
    lock_drop(&pool->lock);
    managed_charge(device, before, now);
}

/* False when what it may take beyond what is charged is not to be had. */
static bool managed_begin(struct pool *pool, struct device *device, uint64_t bytes) {
    lock_take(&pool->lock);
    pool->asked += bytes;
    uint64_t asked = pool->asked;
    pool->under_way++;
    atomic_fetch_add(&pool->version, 1);
    lock_drop(&pool->lock);
    uint64_t reserved = held(pool, atomic_load(&pool->charged)), charged = atomic_load(&pool->charged);
    uint64_t wanted = asked > UINT64_MAX - reserved ? UINT64_MAX : asked + reserved;
    struct reservation reservation;
    if (wanted <= charged)
        return true;
    if (!account_reserve(device, wanted - charged, &reservation)) {
        managed_end(pool, device, bytes);
        return false;
    }
    lock_take(&pool->lock);
    uint64_t before = atomic_fetch_add(&pool->charged, wanted - charged);
    lock_drop(&pool->lock);
    managed_charge(device, before, before + (wanted - charged));
    account_settle(device, &reservation, 0);
    return true;
}

/* A program resets what the driver says was the most. Beside allocations under way that can hide what they took: then
   all that was charged for them stays. */
static CUresult managed_reset(struct pool *pool, struct device *device, CUmemoryPool handle, void *value) {
    lock_take(&pool->lock);
    bool alone = pool->under_way++ == 0;
    uint64_t version = atomic_load(&pool->version);
    lock_drop(&pool->lock);
    uint64_t high = ask(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, 0);
    CUresult result = INSIDE(CUDA->cuMemPoolSetAttribute(handle, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, value));
    lock_take(&pool->lock);
    if ((!alone || version != atomic_load(&pool->version)) && high < atomic_load(&pool->charged))
        high = atomic_load(&pool->charged);
    if (high > pool->most)
        pool->most = high;
    lock_drop(&pool->lock);
    managed_end(pool, device, 0);
    return result;
}

/* A destroyed pool of managed memory: when nothing of it is left, its charge goes, and its place is free again. */
static void release_destroyed(struct pool *pool) {
    struct pools *pools = &process()->pools;
    struct device *device = device_at(atomic_load(&pool->device));
    uint64_t charged = 0;
    lock_take(&pools->adding);
    if (atomic_load(&pool->handle) == POOL_DESTROYED && pool_live(pool) == 0) {
        lock_take(&pool->lock);
        charged = atomic_exchange(&pool->charged, 0);
        lock_drop(&pool->lock);
        atomic_store(&pool->handle, NULL);
    }
    lock_drop(&pools->adding);
    managed_charge(device, charged, 0);
}

/* May this be what the pool holds? Not when another thread has changed the charge since the driver was asked; nor when
   it is less than what is charged and another thread has allocated since, of memory that it took for held: that may
   have come back. First the era ends, so that who allocates later sees it (see was_held). Under the pool's
   lock. */
static bool still_true(struct pool *pool, uint64_t bytes, uint64_t version, uint64_t live) {
    if (bytes >= atomic_load(&pool->charged))
        return version == atomic_load(&pool->version);
    next_era(pool);
    return version == atomic_load(&pool->version) && (atomic_load(&pool->live) ^ live) < POOL_ALLOCATION;
}

/* Brings the charge to what the pool holds, and ends the reservation for its growth. */
static void pool_settle(struct pool *pool, struct device *device, struct reservation *reservation) {
    uint64_t version, live, bytes, before;
    if (atomic_load(&pool->managed))
        return; /* see managed_end and release_destroyed */
    for (int tries = 0;; tries++) {
        version = atomic_load(&pool->version);
        live = atomic_load(&pool->live);
        before = atomic_load(&pool->charged);
        bytes = held(pool, before);
        if (LIKELY(bytes == before && version == atomic_load(&pool->version))) {
            if (reservation)
                account_drop(device, reservation);
            return;
        }
        lock_take(&pool->lock);
        if (still_true(pool, bytes, version, live))
            break;
        if (tries == 8) { /* the others, who are so busy, charge what they find: no less than this */
            bytes = bytes > atomic_load(&pool->charged) ? bytes : atomic_load(&pool->charged);
            break;
        }
        lock_drop(&pool->lock);
    }
    before = atomic_load(&pool->charged);
    if (before > bytes)
        account_release_begin(device); /* here, so that no measurement believes the one without the other */
    else if (bytes > before)
        account_add(device, bytes - before); /* first: whoever finds the pool charged takes his reservation back */
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

/* The same, with the reservations of all calls that are done. */
static void settle_calls(struct pool *pool, struct device *device, struct reservation *own) {
    struct reservation parked[POOL_PARKING];
    unsigned n = take_parked(pool, parked); /* before the driver is asked: what they took is in its answer */
    pool_settle(pool, device, own);
    for (unsigned i = 0; i < n; i++)
        account_drop(device, &parked[i]);
}

/* Leaves a reservation for the thread that asks just now. */
static bool park(struct pool *pool, const struct reservation *reservation) {
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

/* The last one asks for all. */
static void leave(struct pool *pool, struct device *device) {
    if (atomic_fetch_sub(&pool->visits, 1) == 1 && UNLIKELY(atomic_load(&pool->parked)))
        settle_calls(pool, device, NULL);
}

static void settle(bool synchronised) {
    struct process *p = process();
    unsigned n = atomic_load_explicit(&p->pools.known, memory_order_acquire);
    for (unsigned i = 0; i < n; i++) {
        struct pool *pool = &p->pools.pool[i];
        if (UNLIKELY(synchronised && atomic_load_explicit(&pool->handle, memory_order_relaxed) == POOL_DESTROYED))
            release_destroyed(pool);
        if (synchronised && atomic_load_explicit(&pool->keeps, memory_order_relaxed) != UINT64_MAX)
            next_era(pool);
        if (UNLIKELY(atomic_load(&pool->parked)))
            settle_calls(pool, device_at(atomic_load(&pool->device)), NULL);
        uint64_t charged = atomic_load_explicit(&pool->charged, memory_order_relaxed);
        if (charged > pool_live(pool) && charged > atomic_load_explicit(&pool->keeps, memory_order_relaxed) &&
            atomic_load(&pool->handle))
            pool_settle(pool, device_at(atomic_load(&pool->device)), NULL);
    }
}

void pools_settle(void) {
    settle(false);
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
        uint64_t bytes = held(pool, charged);
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
        account_release_begin(device); /* a measurement between the two would take the one for the other */
        atomic_fetch_add(&p->pools.trims, 1);
        BY_ITS_DRIVER(pool, BESIDE_CAPTURES(CUDA->cuMemPoolTrimTo(handle, 0)));
        next_era(pool);
        atomic_fetch_sub(&p->pools.trims, 1);
        pool_settle(pool, device, NULL);
        account_release_end(device, 0);
    }
}

/* Streams. */

static bool is_special(CUstream stream) {
    return (uintptr_t)stream <= 2; /* NULL, CU_STREAM_LEGACY, CU_STREAM_PER_THREAD: of the current context */
}

static struct device *device_of_stream(CUstream stream) {
    CUcontext context, popped;
    struct device *only = device_only();
    if (only)
        return only;
    if (is_special(stream) || INSIDE(CUDA->cuStreamGetCtx(stream, &context)) != CUDA_SUCCESS)
        return device_current();
    if (INSIDE(CUDA->cuCtxPushCurrent_v2(context)) != CUDA_SUCCESS)
        return device_current();
    struct device *device = device_current();
    INSIDE(CUDA->cuCtxPopCurrent_v2(&popped));
    return device;
}

static struct pool *look_up_pool_of_stream(CUstream stream) {
    struct device *device = device_of_stream(stream);
    CUmemoryPool handle = NULL;
    if (!device || BESIDE_CAPTURES(CUDA->cuDeviceGetMemPool(&handle, atomic_load(&device->ordinal))) != CUDA_SUCCESS ||
        !handle)
        return NULL;
    struct pool *pool = pool_by_handle(handle);
    return pool ? pool : pool_add(handle, device, false);
}

/* Set only where CUDA shows just one device, and there is just one driver. */
static struct pool *pool_of_only_device(uint64_t epoch) {
    struct pools *pools = &process()->pools;
    uint64_t known = atomic_load_explicit(&pools->only, memory_order_acquire);
    return LIKELY(known >> 8 == epoch) ? &pools->pool[(known & 255) - 1] : NULL;
}

static struct pool *look_up_pool_of_only_device(CUstream stream, uint64_t epoch) {
    struct pools *pools = &process()->pools;
    struct pool *pool = look_up_pool_of_stream(stream);
    if (pool)
        atomic_store(&pools->only, epoch << 8 | (uint64_t)(pool - pools->pool + 1));
    return pool;
}

/* Special streams mean the current context's: that is what is remembered for them. */
static struct pool *pool_of_stream(CUstream stream) {
    struct pools *pools = &process()->pools;
    uint64_t epoch = 1 + atomic_load(&pools->streams_epoch);
    const void *key = stream;
    CUcontext context;
    struct pool *pool = pool_of_only_device(epoch);
    if (LIKELY(pool))
        return pool;
    if (real_is_alone(LIBRARY_cuda) && device_only())
        return look_up_pool_of_only_device(stream, epoch);
    if (is_special(stream)) {
        if (INSIDE(CUDA->cuCtxGetCurrent(&context)) != CUDA_SUCCESS || !context)
            return NULL;
        key = context;
    }
    __auto_type place = &pools->stream_pool[((uintptr_t)key >> 4) * 0x9e3779b97f4a7c15ull >> 58];
    lock_take(&place->lock);
    if (place->key == key && place->epoch == epoch)
        pool = place->pool;
    lock_drop(&place->lock);
    if (LIKELY(pool))
        return pool;
    pool = look_up_pool_of_stream(stream);
    lock_take(&place->lock);
    place->key = key;
    place->epoch = epoch;
    place->pool = pool;
    lock_drop(&place->lock);
    return pool;
}

void pools_forget_streams(void) {
    atomic_fetch_add(&process()->pools.streams_epoch, 1);
}

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

/* What a stream has freed its next allocation can have at once, without a reservation for it or without its work's end.
   Where there is no room for the reservation, it can have it when that work is done and the pool is trimmed. The driver
   is asked, and not waited for: the work may wait for this thread. */
static bool stream_is_done(CUstream stream) {
    CUresult state;
    for (uint64_t until = now_ms() + STREAM_WAIT_MS;; sleep_ms(1)) {
        state = BESIDE_CAPTURES(CUDA->cuStreamQuery(stream));
        if (state != CUDA_ERROR_NOT_READY || now_ms() >= until)
            break;
    }
    /* Only who waits for it makes the driver see that what was freed is free. */
    if (state != CUDA_SUCCESS)
        return false;
    atomic_fetch_add(&process()->pools.waits, 1);
    state = BESIDE_CAPTURES(CUDA->cuStreamSynchronize(stream));
    settle(true);
    atomic_fetch_sub(&process()->pools.waits, 1);
    return state == CUDA_SUCCESS;
}

static enum plan prepare(struct attempt *a, uint64_t size, CUstream stream) {
    struct pool *pool = a->pool;
    if (capture_of(stream))
        return PLAN_NOT_OURS;
    if (UNLIKELY(atomic_load_explicit(&pool->managed, memory_order_relaxed)))
        return managed_begin(pool, a->device, managed_most(size)) ? PLAN_COVERED : PLAN_REFUSED;
    uint64_t chunk = atomic_load_explicit(&process()->pools.chunk, memory_order_relaxed);
    uint64_t most = round_up(size, chunk ? chunk : CHUNK_MAX);
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

/* A pool may become smaller just now. Whoever makes it so ends its era before he is done. */
static bool may_shrink(const struct pool *pool) {
    const struct pools *pools = &process()->pools;
    return atomic_load(&pools->trims) || (atomic_load(&pools->waits) && atomic_load(&pool->keeps) != UINT64_MAX);
}

/* The calls to a device's pools are made by one thread at a time, for as long as that costs no thread more than a
   moment (base.h). */
static void begin_turn(struct attempt *a) {
    a->entered = queue_enter(&a->device->queue);
    if (UNLIKELY(!a->entered))
        atomic_fetch_add(&a->pool->strays, 1);
    a->era = atomic_load(&a->pool->era);
}

/* The allocation lies in what the pool held in an era that has not ended: who ends it later sees in `live` that there
   was an allocation, and asks the driver again. */
static bool was_held(const struct attempt *a) {
    return a->known && a->entered && !atomic_load(&a->pool->strays) && !may_shrink(a->pool) &&
           atomic_load(&a->pool->era) == a->era;
}

/* Else it may lie in memory that was moved from a block known now, also where its own was known before. True: the
   driver need not be asked. */
static bool end_turn(struct attempt *a, uint64_t pointer, uint64_t size) {
    struct pool *pool = a->pool;
    a->known = pointer && holds(a->era, pointer, size);
    bool managed = a->plan == PLAN_COVERED, held = !managed && was_held(a);
    if (!held && !managed)
        a->era = next_era(pool);
    if (UNLIKELY(!a->entered))
        atomic_fetch_sub(&pool->strays, 1);
    queue_leave(&a->device->queue, a->entered);
    unsigned unasked = atomic_load_explicit(&pool->unasked, memory_order_relaxed);
    if (held)
        atomic_store_explicit(&pool->unasked, unasked + 1, memory_order_relaxed); /* threads may lose a count */
    return held && unasked < UNASKED_MAX;
}

/* Asks what the pool holds now, or leaves that to another. */
static void ask_after(struct attempt *a, uint64_t pointer, uint64_t size) {
    struct pool *pool = a->pool;
    atomic_fetch_add(&pool->visits, 1);
    if (a->plan == PLAN_CREDIT)
        account_credit_used(a->device);
    if (!park(pool, &a->reservation)) {
        settle_calls(pool, a->device, &a->reservation);
        atomic_store_explicit(&pool->unasked, 0, memory_order_relaxed);
    }
    if (pointer)
        note_held(a->era, pointer, size);
    leave(pool, a->device);
}

static CUresult allocated(struct attempt *a, CUresult result, const CUdeviceptr *pointer, size_t size) {
    uint64_t rounded = round_up(size, POOL_UNIT), at = result == CUDA_SUCCESS ? *pointer : 0;
    if (LIKELY(at))
        atomic_fetch_add(&a->pool->live, rounded / POOL_UNIT + POOL_ALLOCATION);
    bool held = end_turn(a, at, size);
    if (UNLIKELY(!held))
        a->plan == PLAN_COVERED ? managed_end(a->pool, a->device, managed_most(size)) : ask_after(a, at, size);
    else if (LIKELY(a->plan == PLAN_CREDIT))
        account_credit_return(&a->reservation);
    else
        account_keep(a->device, &a->reservation);
    if (at)
        enter(a->pool, a->device, at, rounded);
    return result;
}

#define POOL_FREE(device, real_call)                                                                                   \
    ({                                                                                                                 \
        struct lock *queue = &(device)->queue;                                                                         \
        bool entered = queue_enter(queue);                                                                             \
        CUresult answer = INSIDE(real_call);                                                                           \
        queue_leave(queue, entered);                                                                                   \
        answer;                                                                                                        \
    })

#define POOL_ALLOCATE_AND_RETURN(find_pool, real_call)                                                                 \
    struct attempt a = {.pool = inside_driver || !pointer ? NULL : find_pool};                                         \
    if (!a.pool)                                                                                                       \
        return real_call;                                                                                              \
    a.device = device_at(atomic_load_explicit(&a.pool->device, memory_order_relaxed));                                 \
    a.plan = prepare(&a, size, stream);                                                                                \
    if (a.plan == PLAN_REFUSED)                                                                                        \
        return CUDA_ERROR_OUT_OF_MEMORY;                                                                               \
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

/* Before it is free: until then it is there, and cannot be moved. */
void pool_frees(const struct entry *entry) {
    struct pool *pool = &process()->pools.pool[entry->extra & 255];
    uint32_t era = atomic_load(&pool->era);
    if (LIKELY(atomic_load(&pool->generation) == entry->extra >> 8)) /* not another that has the place since */
        note_held(era, entry->key, entry->size);
}

void pool_freed(const struct entry *entry, CUstream stream) {
    struct pool *pool = &process()->pools.pool[entry->extra & 255];
    if (UNLIKELY(atomic_load(&pool->generation) != entry->extra >> 8))
        return; /* its pool was destroyed, and another has the place */
    atomic_fetch_sub(&pool->live, entry->size / POOL_UNIT);
    if (UNLIKELY(atomic_load_explicit(&pool->handle, memory_order_relaxed) == POOL_DESTROYED && stream == NO_STREAM))
        release_destroyed(pool); /* else when the stream gets there: at a synchronisation */
}

/* Linear memory freed in stream order goes when the stream gets there, which nobody tells us: until measured it counts.
   It may be gone at once, where another thread synchronises, and the next allocation in its block is not charged while
   it is still entered there: a measurement before that would miss the block. */
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
    if (result != CUDA_SUCCESS || inside_driver || know_pool(*pool, &properties->location, properties->allocType))
        return result;
    BESIDE_CAPTURES(CUDA->cuMemPoolDestroy(*pool));
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemPoolDestroy(CUmemoryPool handle) {
    struct pool *pool = inside_driver ? NULL : pool_by_handle(handle);
    bool managed = pool && atomic_load(&pool->managed);
    bool done = managed && held(pool, 1) == 0; /* nothing lives, and no free is under way */
    CUresult result = INSIDE(CUDA->cuMemPoolDestroy(handle));
    if (!pool || result != CUDA_SUCCESS)
        return result;
    /* Outstanding allocations keep their memory until they are freed, which only measuring sees, and of managed memory
       nobody but us. */
    struct device *device = device_at(atomic_load(&pool->device));
    uint64_t charged = managed ? 0 : atomic_exchange(&pool->charged, 0);
    atomic_store(&pool->handle, managed ? POOL_DESTROYED : NULL);
    pools_forget_streams();
    if (done)
        release_destroyed(pool);
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
    next_era(pool);
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
        atomic_store(&pool->keeps, threshold(handle));
    return result;
}

CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool) {
    CUresult result = CUDA->cuDeviceSetMemPool(device, pool);
    if (!inside_driver)
        pools_forget_streams();
    return result;
}

/* The default pools of managed memory, each place's, have no other name. */
static CUresult got_pool(CUresult result, CUmemoryPool *pool, const CUmemLocation *location, int type) {
    if (result != CUDA_SUCCESS || inside_driver || know_pool(*pool, location, type))
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

/* The driver keeps the memory of a stream for the next. */
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
    settle(true);                                                                                                      \
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
