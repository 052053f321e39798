/* SPDX-License-Identifier: Apache-2.0 */
/* Stream-ordered memory. A pool is a long range of addresses; the device memory behind it is taken 32 MiB (a slot) at a
   time. What is freed can be allocated again at once, but goes back to the device only at a synchronisation: what is
   above the release threshold then, all of it on a trim or when the device is short. An allocation that finds the
   device full leaves the pool with the slots it got until then, as the real driver does.

   A pool of managed memory reserves its slots in the same way. Where it prefers a GPU they are put there at once, where
   it prefers no place when the GPU touches them, where it prefers the host never. What was put on a GPU stays there,
   for the pool to use again, until the pool is destroyed, whatever the pool says it has reserved; and NVML's list
   counts it for no process. When a pool is destroyed before its allocations, its memory stays until the last of them is
   gone: what a real driver does was not seen. */
#include "driver.h"

#include "stream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POOL_MAGIC 0x504f4f4cu
#define SLOT (32 * MIB)

enum { ATTRIBUTE_THRESHOLD = 4, ATTRIBUTE_RESERVED, ATTRIBUTE_RESERVED_HIGH, ATTRIBUTE_USED, ATTRIBUTE_USED_HIGH };

struct pool_properties {
    int allocation_type;
    int handle_types;
    CUmemLocation location;
    void *security;
    size_t max_size;
    unsigned short usage;
    unsigned char reserved[54];
};
_Static_assert(sizeof(struct pool_properties) == 88, "CUmemPoolProps");

struct slot {
    uint32_t used; /* bytes */
    bool charged;
    bool pending;  /* something in it was freed since the last synchronisation */
    bool resident; /* managed memory that is on the device; also when nothing is charged for it any more */
};

static void init(struct pool *pool, int device, uint64_t maximum) {
    pool->magic = POOL_MAGIC;
    pool->device = device;
    pool->maximum = maximum ? maximum : UINT64_MAX;
    pool->reuse[0] = pool->reuse[1] = pool->reuse[2] = 1;
    int owner = device < 0 ? 0 : device;
    uint64_t range = sim_capacity(&sim.devices[owner].gpu) * 3 / 2 / SLOT * SLOT + SLOT;
    heap_init(&pool->heap, owner, range, 512);
    pool->heap.uncharged = pool->heap.fixed = true;
    pool->next = sim.pools;
    sim.pools = pool;
}

void pools_init(struct visible_device *device, int number) {
    init(&device->default_pool, number, 0);
    device->default_pool.is_default = true;
    device->current_pool = &device->default_pool;
    heap_init(&device->graph_heap, number, 2 * MIB, 2 * MIB);
    device->graph_heap.uncharged = true;
}

static void give_slot(struct pool *pool, struct slot *slot) {
    if (pool->device >= 0 && !pool->managed)
        sim_give(pool->device, SLOT);
    slot->charged = false;
    pool->idle--;
    pool->reserved -= SLOT;
}

/* Puts managed memory on the device: where the pool has some that nothing is charged for, else where there is room.
   Otherwise it stays on the host. */
static void place(struct pool *pool, struct slot *slot) {
    for (uint64_t i = 0; !slot->resident && i < pool->slot_count; i++)
        if (pool->slots[i].resident && !pool->slots[i].charged) {
            pool->slots[i].resident = false;
            slot->resident = true;
        }
    if (!slot->resident)
        slot->resident = sim_take_unlisted(pool->device, SLOT);
}

static void displace(struct pool *pool) {
    for (uint64_t i = 0; i < pool->slot_count; i++)
        if (pool->slots[i].resident) {
            sim_refund_unlisted(&sim.devices[pool->device].gpu, SLOT);
            pool->slots[i].resident = false;
        }
}

/* Gives back idle slots until `keep` is left; those with pending frees cannot go. */
static bool trim(struct pool *pool, uint64_t keep) {
    uint64_t before = pool->reserved;
    for (uint64_t i = pool->slot_count; i-- > 0 && pool->idle && pool->reserved > keep;)
        if (pool->slots[i].charged && !pool->slots[i].used && !pool->slots[i].pending)
            give_slot(pool, &pool->slots[i]);
    return pool->reserved < before;
}

bool pools_release(int device) {
    bool any = false;
    for (struct pool *pool = sim.pools; pool; pool = pool->next)
        if (pool->device == device)
            any |= trim(pool, 0);
    return any;
}

static void unlink_pool(struct pool *pool) {
    for (struct pool **link = &sim.pools; *link; link = &(*link)->next)
        if (*link == pool) {
            *link = pool->next;
            return;
        }
}

static void empty(struct pool *pool) {
    displace(pool);
    if (pool->device >= 0 && !pool->managed)
        sim_give(pool->device, pool->reserved);
    heap_destroy(&pool->heap);
    free(pool->slots);
    pool->slots = NULL;
    pool->slot_count = pool->idle = pool->reserved = pool->live = 0;
}

static bool give_back(int device) {
    bool any = false;
    memory_synchronise(device);
    for (struct pool *pool = sim.pools, *next; pool; pool = next) {
        next = pool->next;
        if (pool->device != device || !pool->slots)
            continue;
        if (pool->destroyed && pool->live == 0) {
            empty(pool);
            unlink_pool(pool);
            any = true;
            continue;
        }
        for (uint64_t i = 0; pool->pending && i < pool->slot_count; i++)
            pool->slots[i].pending = false;
        pool->pending = false;
        if (pool->reserved > pool->threshold)
            any |= trim(pool, pool->threshold);
    }
    return any;
}

/* A wait for a stream, an event or a context returns some time after the memory has gone back. */
void pools_synchronise(int device) {
    sim_lock();
    bool any = give_back(device);
    sim_unlock();
    if (any)
        sim_latency(device);
}

void pools_reset(int device) {
    for (struct pool *pool = sim.pools; pool; pool = pool->next)
        if (pool->device == device)
            empty(pool);
}

/* Takes device memory for a slot: that of an idle one of this pool, else fresh. */
static bool charge_unplaced(struct pool *pool, struct slot *slot) {
    for (uint64_t i = 0; pool->idle && i < pool->slot_count; i++) {
        struct slot *idle = &pool->slots[i];
        if (!idle->charged || idle->used || idle == slot)
            continue;
        idle->charged = idle->pending = false;
        pool->idle--;
        slot->charged = true;
        return true;
    }
    if (pool->reserved + SLOT > pool->maximum || (pool->device >= 0 && !pool->managed && !sim_take(pool->device, SLOT)))
        return false;
    slot->charged = true;
    pool->reserved += SLOT;
    if (pool->reserved > pool->reserved_high)
        pool->reserved_high = pool->reserved;
    return true;
}

static bool charge_slot(struct pool *pool, struct slot *slot) {
    bool charged = charge_unplaced(pool, slot);
    if (charged && pool->managed && pool->location.type == LOCATION_DEVICE)
        place(pool, slot);
    return charged;
}

/* Calls for each slot that an extent lies in, with the bytes of it there. */
#define EACH_SLOT(pool, extent, slot, bytes)                                                                           \
    for (uint64_t at_ = (extent)->base, end_ = at_ + (extent)->size, start_ = (extent)->chunk->base, bytes = 0;        \
         at_ < end_; at_ += bytes)                                                                                     \
        for (struct slot *slot = &(pool)->slots[(at_ - start_) / SLOT];                                                \
             slot && (bytes = SLOT - (at_ - start_) % SLOT, bytes = bytes < end_ - at_ ? bytes : end_ - at_);          \
             slot = NULL)

static CUresult back(struct pool *pool, struct extent *extent) {
    uint64_t taken = 0;
    EACH_SLOT(pool, extent, slot, bytes) {
        if (slot->charged && !slot->used)
            pool->idle--;
        if (!slot->charged && !charge_slot(pool, slot))
            goto out_of_memory;
        slot->used += (uint32_t)bytes;
        taken += bytes;
    }
    return CUDA_SUCCESS;

out_of_memory:
    EACH_SLOT(pool, extent, slot, bytes) {
        if (taken == 0)
            break;
        slot->used -= (uint32_t)bytes;
        taken -= bytes;
        if (!slot->used)
            pool->idle++;
    }
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult take(struct pool *pool, size_t size, struct extent **out) {
    if (pool->imported)
        return CUDA_ERROR_INVALID_VALUE;
    if (!pool->slots) {
        pool->slot_count = pool->heap.chunk_size / SLOT;
        pool->slots = calloc(pool->slot_count, sizeof *pool->slots);
    }
    if (!pool->slots || (pool->device >= 0 && !sim_attach(&sim.devices[pool->device].gpu)))
        return CUDA_ERROR_OUT_OF_MEMORY;
    uint64_t high = pool->heap.used_high;
    CUresult rc = size > pool->heap.chunk_size ? CUDA_ERROR_OUT_OF_MEMORY : heap_allocate(&pool->heap, size, out);
    if (rc)
        return rc;
    rc = back(pool, *out);
    if (rc) {
        heap_free(*out);
        pool->heap.used_high = high;
        return rc;
    }
    (*out)->kind = KIND_POOL;
    (*out)->pool = pool;
    (*out)->requested = size;
    (*out)->id = ++sim.next_id;
    pool->live++;
    return CUDA_SUCCESS;
}

static CUresult check(const struct pool *pool) {
    return pool && pool->magic == POOL_MAGIC && !pool->destroyed ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static struct pool *pool_of(struct context *context, CUstream stream) {
    int device = stream_device(stream, context->device);
    return sim.devices[device].current_pool;
}

static CUresult allocate(CUdeviceptr *out, size_t size, struct pool *pool, CUstream stream) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc)
        return rc;
    if (!stream_is_capturing(stream))
        PROHIBITED_IN_CAPTURES();
    if (!out || (pool && check(pool)))
        return CUDA_ERROR_INVALID_VALUE;
    if (size == 0) { /* no error, as in the real driver */
        *out = 0;
        return CUDA_SUCCESS;
    }
    if (!stream_is_capturing(stream))
        sim_latency(context->device);
    sim_lock();
    if (!pool)
        pool = pool_of(context, stream);
    struct extent *extent;
    if (stream_is_capturing(stream))
        rc = pool->device < 0 ? CUDA_ERROR_NOT_SUPPORTED : stream_capture_alloc(stream, pool->device, size, out);
    else {
        rc = take(pool, size, &extent);
        if (!rc)
            *out = extent->base;
    }
    sim_unlock();
    return rc;
}

API(MemAllocAsync, CUdeviceptr *out, size_t size, CUstream stream) {
    return allocate(out, size, NULL, stream);
}

API(MemAllocFromPoolAsync, CUdeviceptr *out, size_t size, struct pool *pool, CUstream stream) {
    if (!pool)
        return sim_enter() ? sim_enter() : CUDA_ERROR_INVALID_VALUE;
    return allocate(out, size, pool, stream);
}

void pool_free(struct extent *extent) {
    struct pool *pool = extent->pool;
    EACH_SLOT(pool, extent, slot, bytes) {
        slot->used -= (uint32_t)bytes;
        slot->pending = pool->pending = true;
        if (!slot->used)
            pool->idle++;
    }
    heap_free(extent);
    pool->live--;
}

void pool_touch(struct extent *extent, uint64_t address, uint64_t size) {
    struct pool *pool = extent->pool;
    uint64_t start = extent->chunk->base;
    if (!pool->managed || pool->location.type > LOCATION_DEVICE)
        return;
    for (uint64_t i = (address - start) / SLOT; i * SLOT < address + size - start; i++)
        place(pool, &pool->slots[i]);
}

API(MemFreeAsync, CUdeviceptr address, CUstream stream) {
    if (!stream_is_capturing(stream))
        PROHIBITED_IN_CAPTURES();
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc || address == 0)
        return rc;
    bool capturing = stream_is_capturing(stream);
    if (!capturing)
        sim_latency(context->device);
    sim_lock();
    struct extent *extent = extent_at(address);
    if (extent && extent->kind == KIND_IMPORT && !capturing)
        heap_free(extent); /* a pointer of a shared pool */
    else if (!extent || extent->kind >= KIND_RESERVATION)
        rc = CUDA_ERROR_INVALID_VALUE;
    else if (capturing)
        rc = stream_capture_free(stream, extent);
    else if (extent->kind == KIND_POOL)
        pool_free(extent);
    else if (extent->kind == KIND_GRAPH)
        rc = graph_memory_free(extent);
    else
        memory_defer(extent);
    sim_unlock();
    return rc;
}

static bool location_ok(const CUmemLocation *location, int allocation_type) {
    int type = location->type;
    return type == LOCATION_DEVICE ? sim_device_ok(location->id)
                                   : type >= (allocation_type == ALLOCATION_MANAGED ? 0 : 1) && type <= 4;
}

static bool same(const CUmemLocation *a, const CUmemLocation *b) {
    bool numbered = a->type == LOCATION_DEVICE || a->type == LOCATION_HOST_NUMA;
    return a->type == b->type && (!numbered || a->id == b->id);
}

static struct pool *create(const struct pool_properties *properties) {
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pool->managed = properties->allocation_type == ALLOCATION_MANAGED;
    pool->location = properties->location;
    pool->handle_types = properties->handle_types;
    init(pool,
         pool->location.type == LOCATION_DEVICE ? pool->location.id
         : pool->managed                        ? 0
                                                : -1,
         properties->max_size);
    return pool;
}

API(MemPoolCreate, struct pool **out, const struct pool_properties *properties) {
    PROHIBITED_IN_CAPTURES();
    CUresult rc = sim_enter();
    if (rc)
        return rc;
    int type = properties ? properties->allocation_type : 0;
    if (!out || (type != ALLOCATION_PINNED && type != ALLOCATION_MANAGED) ||
        !location_ok(&properties->location, type) ||
        (type == ALLOCATION_MANAGED && (properties->handle_types || properties->max_size)))
        return CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    struct pool *pool = create(properties);
    sim_unlock();
    if (!pool)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *out = pool;
    return CUDA_SUCCESS;
}

int pool_handle_types(const struct pool *pool) {
    return check(pool) ? 0 : pool->handle_types;
}

CUresult pool_import(struct pool **out) {
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return CUDA_ERROR_OUT_OF_MEMORY;
    sim_lock();
    init(pool, -1, 0);
    pool->imported = true;
    sim_unlock();
    *out = pool;
    return CUDA_SUCCESS;
}

/* What is still allocated lives on; the pool ends at the first synchronisation after the last of it was freed. */
API(MemPoolDestroy, struct pool *pool) {
    PROHIBITED_IN_CAPTURES();
    CUresult rc = sim_enter() ? sim_enter() : check(pool);
    if (rc)
        return rc;
    if (pool->is_default)
        return CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    pool->destroyed = true;
    if (pool->device >= 0 && sim.devices[pool->device].current_pool == pool)
        sim.devices[pool->device].current_pool = &sim.devices[pool->device].default_pool;
    for (uint64_t i = 0; i < pool->slot_count; i++)
        pool->slots[i].pending = false;
    trim(pool, 0);
    if (pool->live == 0)
        displace(pool);
    sim_unlock();
    return CUDA_SUCCESS;
}

API(MemPoolTrimTo, struct pool *pool, size_t keep) {
    PROHIBITED_IN_CAPTURES();
    CUresult rc = sim_enter() ? sim_enter() : check(pool);
    if (rc)
        return rc;
    sim_lock();
    trim(pool, keep);
    sim_unlock();
    return CUDA_SUCCESS;
}

/* How often this process was asked what a pool holds: for tests, by dlsym. */
extern _Atomic unsigned sim_pool_questions;
__attribute__((visibility("default"))) _Atomic unsigned sim_pool_questions;

API(MemPoolGetAttribute, struct pool *pool, int attribute, void *value) {
    sim_pool_questions++;
    PROHIBITED_IN_CAPTURES();
    CUresult rc = sim_enter() ? sim_enter() : check(pool);
    if (rc || !value)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    switch (attribute) {
    case 1:
    case 2:
    case 3:
        *(int *)value = pool->reuse[attribute - 1];
        break;
    case ATTRIBUTE_THRESHOLD:
        *(uint64_t *)value = pool->threshold;
        break;
    case ATTRIBUTE_RESERVED:
        *(uint64_t *)value = pool->reserved;
        break;
    case ATTRIBUTE_RESERVED_HIGH:
        *(uint64_t *)value = pool->reserved_high;
        break;
    case ATTRIBUTE_USED:
        *(uint64_t *)value = pool->heap.used;
        break;
    case ATTRIBUTE_USED_HIGH:
        *(uint64_t *)value = pool->heap.used_high;
        break;
    default:
        rc = CUDA_ERROR_INVALID_VALUE;
    }
    sim_unlock();
    return rc;
}

API(MemPoolSetAttribute, struct pool *pool, int attribute, const void *value) {
    PROHIBITED_IN_CAPTURES();
    CUresult rc = sim_enter() ? sim_enter() : check(pool);
    if (rc || !value)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    if (attribute >= 1 && attribute <= 3)
        pool->reuse[attribute - 1] = *(const int *)value;
    else if (attribute == ATTRIBUTE_THRESHOLD)
        pool->threshold = *(const uint64_t *)value;
    else if (attribute == ATTRIBUTE_RESERVED_HIGH && *(const uint64_t *)value == 0)
        pool->reserved_high = pool->reserved;
    else if (attribute == ATTRIBUTE_USED_HIGH && *(const uint64_t *)value == 0)
        pool->heap.used_high = pool->heap.used;
    else
        rc = CUDA_ERROR_INVALID_VALUE;
    sim_unlock();
    return rc;
}

API(MemPoolSetAccess, struct pool *pool, const CUmemAccessDesc *access, size_t count) {
    CUresult rc = sim_enter() ? sim_enter() : check(pool);
    return rc ? rc : count && !access ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

API(MemPoolGetAccess, int *flags, struct pool *pool, const CUmemLocation *location) {
    CUresult rc = sim_enter() ? sim_enter() : check(pool);
    if (rc || !flags || !location)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *flags = location->type == LOCATION_DEVICE && location->id == pool->device ? 3 : 0;
    return CUDA_SUCCESS;
}

static CUresult device_pool(struct pool **out, CUdevice device, bool current) {
    CUresult rc = sim_enter_device(device);
    if (rc || !out)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *out = current ? sim.devices[device].current_pool : &sim.devices[device].default_pool;
    return CUDA_SUCCESS;
}

API(DeviceGetDefaultMemPool, struct pool **out, CUdevice device) {
    return device_pool(out, device, false);
}

API(DeviceGetMemPool, struct pool **out, CUdevice device) {
    return device_pool(out, device, true);
}

API(DeviceSetMemPool, CUdevice device, struct pool *pool) {
    PROHIBITED_IN_CAPTURES();
    CUresult rc = sim_enter() ? sim_enter() : check(pool);
    if (rc)
        return rc;
    if (!sim_device_ok(device))
        return CUDA_ERROR_INVALID_DEVICE;
    if (pool->device != device || pool->managed)
        return CUDA_ERROR_INVALID_VALUE;
    sim.devices[device].current_pool = pool;
    return CUDA_SUCCESS;
}

/* Each place has a default pool of managed memory, made when it is asked for. Under sim.lock. */
static struct pool *managed_pool(const CUmemLocation *location, bool current) {
    for (struct pool *pool = sim.pools; pool; pool = pool->next)
        if (pool->managed && !pool->destroyed && same(&pool->location, location) &&
            (current ? pool->is_current : pool->is_default))
            return pool;
    if (current)
        return managed_pool(location, false);
    struct pool_properties properties = {.allocation_type = ALLOCATION_MANAGED, .location = *location};
    struct pool *pool = create(&properties);
    if (pool)
        pool->is_default = true;
    return pool;
}

static CUresult location_pool(struct pool **out, const CUmemLocation *location, int type, bool current) {
    CUresult rc = sim_enter();
    if (rc)
        return rc;
    if (!out || !location || (type != ALLOCATION_PINNED && type != ALLOCATION_MANAGED) || !location_ok(location, type))
        return CUDA_ERROR_INVALID_VALUE;
    if (type == ALLOCATION_PINNED)
        return location->type == LOCATION_DEVICE ? device_pool(out, location->id, current) : CUDA_ERROR_NOT_SUPPORTED;
    sim_lock();
    *out = managed_pool(location, current);
    sim_unlock();
    return *out ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

API(MemGetDefaultMemPool, struct pool **out, const CUmemLocation *location, int type) {
    return location_pool(out, location, type, false);
}

API(MemGetMemPool, struct pool **out, const CUmemLocation *location, int type) {
    return location_pool(out, location, type, true);
}

API(MemSetMemPool, const CUmemLocation *location, int type, struct pool *pool) {
    CUresult rc = sim_enter() ? sim_enter() : check(pool);
    if (rc)
        return rc;
    if (location && type == ALLOCATION_PINNED && location->type == LOCATION_DEVICE)
        return api_DeviceSetMemPool(location->id, pool);
    if (!location || type != ALLOCATION_MANAGED || !pool->managed || !same(location, &pool->location))
        return CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    managed_pool(location, true)->is_current = false;
    pool->is_current = true;
    sim_unlock();
    return CUDA_SUCCESS;
}
