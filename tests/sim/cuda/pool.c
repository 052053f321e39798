/* Stream-ordered memory: pools that hold chunks of 32 MiB until they are trimmed, synchronised above their release
   threshold, destroyed or reset. Streams complete at once, so a freed piece can be used again at once. */
#include "driver.h"

#include "stream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POOL_MAGIC 0x504f4f4cu
#define POOL_CHUNK (32 * MIB)

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

static void init(struct pool *pool, int device) {
    pool->magic = POOL_MAGIC;
    pool->device = device;
    pool->reuse[0] = pool->reuse[1] = pool->reuse[2] = 1;
    heap_init(&pool->heap, device < 0 ? 0 : device, POOL_CHUNK, 512);
    pool->heap.uncharged = device < 0;
    pool->heap.release_empty = false;
    pool->next = sim.pools;
    sim.pools = pool;
}

void pools_init(struct visible_device *device, int number) {
    init(&device->default_pool, number);
    device->default_pool.is_default = true;
    device->current_pool = &device->default_pool;
    heap_init(&device->graph_heap, number, 2 * MIB, 2 * MIB);
}

void pools_synchronise(int device) {
    for (struct pool *pool = sim.pools; pool; pool = pool->next)
        if (pool->device == device && pool->heap.reserved > pool->threshold)
            heap_trim(&pool->heap, pool->threshold);
}

static void unlink_pool(struct pool *pool) {
    for (struct pool **link = &sim.pools; *link; link = &(*link)->next)
        if (*link == pool) {
            *link = pool->next;
            return;
        }
}

void pools_reset(int device) {
    for (struct pool *pool = sim.pools; pool; pool = pool->next)
        if (pool->device == device) {
            heap_destroy(&pool->heap);
            pool->live = 0;
        }
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
    if (!out || size == 0 || (pool && check(pool)))
        return CUDA_ERROR_INVALID_VALUE;
    if (!stream_is_capturing(stream))
        sim_latency(context->device);
    sim_lock();
    if (!pool)
        pool = pool_of(context, stream);
    struct extent *extent;
    if (stream_is_capturing(stream))
        rc = stream_capture_alloc(stream, pool->device, size, out);
    else {
        rc = pool->device < 0 ? CUDA_SUCCESS : sim_attach(&sim.devices[pool->device].gpu) ? CUDA_SUCCESS : 2;
        if (!rc)
            rc = heap_allocate(&pool->heap, size, 0, &extent);
        if (!rc) {
            extent->kind = KIND_POOL;
            extent->pool = pool;
            extent->context = NULL;
            extent->requested = size;
            extent->resident = 0;
            extent->id = ++sim.next_id;
            pool->live++;
            *out = extent->base;
        }
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
    heap_free(extent);
    if (--pool->live == 0 && pool->destroyed) {
        heap_destroy(&pool->heap);
        unlink_pool(pool);
    }
}

API(MemFreeAsync, CUdeviceptr address, CUstream stream) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc || address == 0)
        return rc;
    bool capturing = stream_is_capturing(stream);
    if (!capturing)
        sim_latency(context->device);
    sim_lock();
    struct extent *extent = extent_at(address);
    if (!extent || extent->kind == KIND_RESERVATION || extent->kind == KIND_IMPORT)
        rc = CUDA_ERROR_INVALID_VALUE;
    else if (capturing)
        rc = stream_capture_free(stream, extent);
    else if (extent->kind == KIND_POOL)
        pool_free(extent);
    else if (extent->kind == KIND_GRAPH)
        rc = graph_memory_free(extent);
    else
        memory_free(extent);
    sim_unlock();
    return rc;
}

API(MemPoolCreate, struct pool **out, const struct pool_properties *properties) {
    CUresult rc = sim_enter();
    if (rc)
        return rc;
    if (!out || !properties || properties->allocation_type != 1)
        return CUDA_ERROR_INVALID_VALUE;
    int type = properties->location.type;
    if (type == LOCATION_DEVICE ? !sim_device_ok(properties->location.id) : type < 1 || type > 4)
        return CUDA_ERROR_INVALID_VALUE;
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return CUDA_ERROR_OUT_OF_MEMORY;
    sim_lock();
    init(pool, type == LOCATION_DEVICE ? properties->location.id : -1);
    sim_unlock();
    *out = pool;
    return CUDA_SUCCESS;
}

/* What is still allocated lives on; the pool goes with the last of it. */
API(MemPoolDestroy, struct pool *pool) {
    CUresult rc = sim_enter() ? sim_enter() : check(pool);
    if (rc)
        return rc;
    if (pool->is_default)
        return CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    pool->destroyed = true;
    if (pool->device >= 0 && sim.devices[pool->device].current_pool == pool)
        sim.devices[pool->device].current_pool = &sim.devices[pool->device].default_pool;
    heap_trim(&pool->heap, 0);
    if (pool->live == 0)
        unlink_pool(pool);
    sim_unlock();
    return CUDA_SUCCESS;
}

API(MemPoolTrimTo, struct pool *pool, size_t keep) {
    CUresult rc = sim_enter() ? sim_enter() : check(pool);
    if (rc)
        return rc;
    sim_lock();
    heap_trim(&pool->heap, keep);
    sim_unlock();
    return CUDA_SUCCESS;
}

API(MemPoolGetAttribute, struct pool *pool, int attribute, void *value) {
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
        *(uint64_t *)value = pool->heap.reserved;
        break;
    case ATTRIBUTE_RESERVED_HIGH:
        *(uint64_t *)value = pool->heap.reserved_high;
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
    CUresult rc = sim_enter() ? sim_enter() : check(pool);
    if (rc || !value)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    if (attribute >= 1 && attribute <= 3)
        pool->reuse[attribute - 1] = *(const int *)value;
    else if (attribute == ATTRIBUTE_THRESHOLD)
        pool->threshold = *(const uint64_t *)value;
    else if (attribute == ATTRIBUTE_RESERVED_HIGH && *(const uint64_t *)value == 0)
        pool->heap.reserved_high = pool->heap.reserved;
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
    CUresult rc = sim_enter();
    if (rc)
        return rc;
    if (!out)
        return CUDA_ERROR_INVALID_VALUE;
    if (!sim_device_ok(device))
        return CUDA_ERROR_INVALID_DEVICE;
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
    CUresult rc = sim_enter() ? sim_enter() : check(pool);
    if (rc)
        return rc;
    if (!sim_device_ok(device))
        return CUDA_ERROR_INVALID_DEVICE;
    if (pool->device != device)
        return CUDA_ERROR_INVALID_VALUE;
    sim.devices[device].current_pool = pool;
    return CUDA_SUCCESS;
}

static CUresult location_pool(struct pool **out, const CUmemLocation *location, int type, bool current) {
    if (!location || type != 1)
        return CUDA_ERROR_INVALID_VALUE;
    if (location->type != LOCATION_DEVICE)
        return sim_enter() ? sim_enter() : CUDA_ERROR_NOT_SUPPORTED;
    return device_pool(out, location->id, current);
}

API(MemGetDefaultMemPool, struct pool **out, const CUmemLocation *location, int type) {
    return location_pool(out, location, type, false);
}

API(MemGetMemPool, struct pool **out, const CUmemLocation *location, int type) {
    return location_pool(out, location, type, true);
}

API(MemSetMemPool, const CUmemLocation *location, int type, struct pool *pool) {
    if (!location || type != 1 || location->type != LOCATION_DEVICE)
        return CUDA_ERROR_INVALID_VALUE;
    return api_DeviceSetMemPool(location->id, pool);
}
