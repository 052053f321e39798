/* SPDX-License-Identifier: Apache-2.0 */
/* Linear memory: cuMemAlloc and related calls, frees, and queries. */
#include "driver.h"
#include "stream.h"

#include <string.h>

/* Up to this size allocations share blocks of 2 MiB, larger ones have their own. */
#define SMALL (1 * MIB)

void memory_own(struct extent *extent, struct context *context, enum kind kind, uint64_t requested) {
    extent->kind = kind;
    extent->context = context;
    extent->requested = requested;
    extent->id = ++sim.next_id;
    extent->context_prev = NULL;
    extent->context_next = context->allocations;
    if (extent->context_next)
        extent->context_next->context_prev = extent;
    context->allocations = extent;
}

CUresult memory_allocate(struct context *context, uint64_t size, struct extent **out) {
    CUresult rc =
        size <= SMALL ? heap_allocate(&context->small, size, out) : heap_allocate_chunk(&context->large, size, 0, out);
    if (!rc)
        memory_own(*out, context, KIND_LINEAR, size);
    return rc;
}

void memory_free(struct extent *extent) {
    struct context *context = extent->context;
    if (context) {
        *(extent->context_prev ? &extent->context_prev->context_next : &context->allocations) = extent->context_next;
        if (extent->context_next)
            extent->context_next->context_prev = extent->context_prev;
    }
    if (extent->resident)
        sim_give(extent->chunk->heap->device, extent->resident);
    extent->context = NULL;
    extent->resident = 0;
    heap_free(extent);
}

/* Freed in a stream's order: the memory comes back at a synchronisation. */
void memory_defer(struct extent *extent) {
    extent->kind = KIND_DEFERRED;
    if (extent->context)
        extent->context->deferred = true;
}

void memory_synchronise(int device) {
    for (struct context *context = sim.contexts; context; context = context->next) {
        if (context->device != device || !context->deferred)
            continue;
        context->deferred = false;
        for (struct extent *extent = context->allocations, *next; extent; extent = next) {
            next = extent->context_next;
            if (extent->kind == KIND_DEFERRED)
                memory_free(extent);
        }
    }
}

static CUresult allocate(CUdeviceptr *out, size_t size) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc)
        return rc;
    if (!out || size == 0)
        return CUDA_ERROR_INVALID_VALUE;
    sim_latency(context->device);
    struct extent *extent;
    sim_lock();
    rc = memory_allocate(context, size, &extent);
    if (!rc)
        *out = extent->base;
    sim_unlock();
    return rc;
}

API(MemAlloc, CUdeviceptr *out, size_t size) {
    PROHIBITED_IN_CAPTURES();
    return allocate(out, size);
}

API(MemAllocPitch, CUdeviceptr *out, size_t *pitch, size_t width, size_t height, unsigned element) {
    PROHIBITED_IN_CAPTURES();
    if (!pitch || width == 0 || height == 0 || (element != 4 && element != 8 && element != 16))
        return sim_enter() ? sim_enter() : CUDA_ERROR_INVALID_VALUE;
    size_t row = (width + 511) / 512 * 512, size;
    if (row < width || __builtin_mul_overflow(row, height, &size))
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult rc = allocate(out, size);
    if (!rc)
        *pitch = row;
    return rc;
}

/* Addresses are allocated at once, device memory when the device touches the pages. */
API(MemAllocManaged, CUdeviceptr *out, size_t size, unsigned flags) {
    PROHIBITED_IN_CAPTURES();
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc)
        return rc;
    if (!out || size == 0 || (flags != 1 && flags != 2))
        return CUDA_ERROR_INVALID_VALUE;
    sim_latency(context->device);
    struct extent *extent;
    sim_lock();
    rc = heap_allocate_chunk(&context->managed, size, 0, &extent);
    if (!rc) {
        memory_own(extent, context, KIND_MANAGED, size);
        if (space_touch(extent->chunk))
            *out = extent->base;
        else {
            memory_free(extent);
            rc = CUDA_ERROR_OUT_OF_MEMORY;
        }
    }
    sim_unlock();
    return rc;
}

API(MemFree, CUdeviceptr address) {
    PROHIBITED_IN_CAPTURES();
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc || address == 0)
        return rc;
    sim_latency(context->device);
    sim_lock();
    struct extent *extent = extent_at(address);
    if (!extent || extent->kind >= KIND_RESERVATION)
        rc = CUDA_ERROR_INVALID_VALUE;
    else if (extent->kind == KIND_POOL)
        pool_free(extent);
    else if (extent->kind == KIND_GRAPH)
        rc = graph_memory_free(extent);
    else
        memory_free(extent);
    sim_unlock();
    return rc;
}

API(MemGetInfo, size_t *free_bytes, size_t *total) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc)
        return rc;
    struct sim_gpu *gpu = &sim.devices[context->device].gpu;
    uint64_t capacity = sim_capacity(gpu), used = sim_used(gpu);
    if (free_bytes)
        *free_bytes = used < capacity ? capacity - used : 0;
    if (total)
        *total = capacity;
    return CUDA_SUCCESS;
}

/* The 32 bit interface of CUDA 2 serves contexts of that version only, as in the real driver: here there are none. */
API(MemAlloc_v1, unsigned *out, unsigned size) {
    (void)out, (void)size;
    return sim_enter() ? sim_enter() : CUDA_ERROR_INVALID_CONTEXT;
}

API(MemFree_v1, unsigned address) {
    (void)address;
    return sim_enter() ? sim_enter() : CUDA_ERROR_INVALID_CONTEXT;
}

static unsigned saturate(uint64_t value) {
    return value > UINT32_MAX ? UINT32_MAX : (unsigned)value;
}

API(MemGetInfo_v1, unsigned *free_bytes, unsigned *total) {
    size_t f = 0, t = 0;
    CUresult rc = api_MemGetInfo(&f, &t);
    if (!rc && free_bytes)
        *free_bytes = saturate(f);
    if (!rc && total)
        *total = saturate(t);
    return rc;
}

API(MemGetAddressRange, CUdeviceptr *base, size_t *size, CUdeviceptr address) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc)
        return rc;
    sim_lock();
    struct extent *extent = extent_containing(address);
    if (!extent || extent->kind == KIND_RESERVATION || address >= extent->base + extent->requested)
        rc = CUDA_ERROR_NOT_FOUND;
    else {
        if (base)
            *base = extent->base;
        if (size)
            *size = extent->requested;
    }
    sim_unlock();
    return rc;
}

/* Under sim.lock. Makes device memory accessible to copies and sets; memory of the host needs nothing. A device's
   touch of managed memory takes device memory, until the device is full. */
CUresult memory_touch(uint64_t address, uint64_t size, bool by_device) {
    struct chunk *chunk = space_chunk(address);
    if (!chunk)
        return CUDA_SUCCESS;
    struct extent *extent = extent_containing(address);
    if (!extent || address + size > extent->base + extent->size || address + size < address)
        return CUDA_ERROR_INVALID_VALUE;
    if (extent->kind == KIND_RESERVATION)
        return reservation_touch(extent, address, size);
    if (extent->kind == KIND_POOL && by_device)
        pool_touch(extent, address, size);
    if (extent->kind == KIND_MANAGED && by_device) {
        uint64_t reach = (address + size - extent->base + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
        if (reach > extent->resident && sim_take(chunk->heap->device, reach - extent->resident))
            extent->resident = reach;
    }
    return space_touch(chunk) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
