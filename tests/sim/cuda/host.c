/* SPDX-License-Identifier: Apache-2.0 */
/* Host memory that the driver allocates or registers, queries about pointers, advice. Nothing here takes device memory,
   except that prefetching managed memory moves it there. */
#include "driver.h"
#include "stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Page-locked ranges; guarded by sim.lock. */
struct pinned {
    uint64_t base;
    size_t size;
    unsigned flags;
    bool registered;
    struct pinned *next;
};
static struct pinned *pinned;

static struct pinned *pinned_at(uint64_t address) {
    struct pinned *p = pinned;
    while (p && (address < p->base || address >= p->base + p->size))
        p = p->next;
    return p;
}

bool memory_known(uint64_t address) {
    sim_lock();
    bool known = space_chunk(address) || pinned_at(address);
    sim_unlock();
    return known;
}

static CUresult pin(void *memory, size_t size, unsigned flags, bool registered) {
    struct pinned *p = calloc(1, sizeof *p);
    if (!p)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *p = (struct pinned){.base = (uint64_t)memory, .size = size, .flags = flags, .registered = registered};
    sim_lock();
    CUresult rc = pinned_at((uint64_t)memory) ? CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED : CUDA_SUCCESS;
    if (!rc) {
        p->next = pinned;
        pinned = p;
    }
    sim_unlock();
    if (rc)
        free(p);
    return rc;
}

static CUresult unpin(void *memory, bool registered, size_t *size) {
    CUresult rc = registered ? CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    for (struct pinned **link = &pinned; *link; link = &(*link)->next) {
        struct pinned *p = *link;
        if (p->base != (uint64_t)memory || p->registered != registered)
            continue;
        *link = p->next;
        *size = p->size;
        free(p);
        rc = CUDA_SUCCESS;
        break;
    }
    sim_unlock();
    return rc;
}

API(MemHostAlloc, void **out, size_t size, unsigned flags) {
    PROHIBITED_IN_CAPTURES();
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc || !out || size == 0)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    rc = pin(memory, size, flags, false);
    if (rc)
        munmap(memory, size);
    else
        *out = memory;
    return rc;
}

API(MemAllocHost, void **out, size_t size) {
    return api_MemHostAlloc(out, size, 0);
}

API(MemFreeHost, void *memory) {
    PROHIBITED_IN_CAPTURES();
    size_t size = 0;
    CUresult rc = sim_enter();
    if (rc || !memory)
        return rc;
    rc = unpin(memory, false, &size);
    if (!rc)
        munmap(memory, size);
    return rc;
}

API(MemHostRegister, void *memory, size_t size, unsigned flags) {
    PROHIBITED_IN_CAPTURES();
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc || !memory || size == 0)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    return pin(memory, size, flags, true);
}

API(MemHostUnregister, void *memory) {
    PROHIBITED_IN_CAPTURES();
    size_t size;
    CUresult rc = sim_enter();
    return rc ? rc : unpin(memory, true, &size);
}

API(MemHostGetDevicePointer, CUdeviceptr *out, void *memory, unsigned flags) {
    CUresult rc = sim_enter();
    if (rc || !out || flags)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    bool known = pinned_at((uint64_t)memory);
    sim_unlock();
    *out = (CUdeviceptr)memory;
    return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API(MemHostGetFlags, unsigned *flags, void *memory) {
    CUresult rc = sim_enter();
    if (rc || !flags)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    struct pinned *p = pinned_at((uint64_t)memory);
    if (p)
        *flags = p->flags;
    sim_unlock();
    return p ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* Pointers. */

static size_t attribute_size(int attribute) {
    switch (attribute) {
    case 1:
    case 3:
    case 4:
    case 7:
    case 11:
    case 12:
    case 14:
    case 17:
    case 18:
    case 19:
    case 20:
        return 8;
    case 6:
    case 8:
    case 10:
    case 13:
    case 15:
        return 1;
    default:
        return 4;
    }
}

/* Under sim.lock. */
static CUresult attribute(void *data, int which, uint64_t address) {
    struct extent *extent = extent_containing(address);
    struct pinned *host = pinned_at(address);
    bool device = extent && !host;
    uint64_t value = 0;
    if (!device && !host) {
        memset(data, 0, attribute_size(which));
        if (which == 9)
            *(int *)data = -2;
        return CUDA_ERROR_INVALID_VALUE;
    }
    switch (which) {
    case 1: {
        struct context *owner = device ? extent->context : NULL;
        if (device && !owner)
            owner = &sim.devices[extent->chunk->heap->device].primary;
        value = (uint64_t)(uintptr_t)(owner ? owner : context_current());
        break;
    }
    case 2:
        value = device ? 2 : 1;
        break;
    case 3:
        value = address;
        break;
    case 4:
        if (device && extent->kind != KIND_MANAGED)
            return CUDA_ERROR_INVALID_VALUE;
        value = address;
        break;
    case 7:
    case 20:
        value = device ? extent->id : host->base >> 12;
        break;
    case 8:
        value = device && extent->kind == KIND_MANAGED;
        break;
    case 9:
        value = device ? (uint64_t)extent->chunk->heap->device : 0;
        break;
    case 10:
        value = device && extent->kind == KIND_LINEAR;
        break;
    case 11:
    case 19:
        value = device ? extent->base : host->base;
        break;
    case 12:
        value = device ? extent->requested : host->size;
        break;
    case 13:
        value = 1;
        break;
    case 16:
        value = 3;
        break;
    case 17:
        value = device && extent->kind == KIND_POOL ? (uint64_t)(uintptr_t)extent->pool : 0;
        break;
    case 18:
        value = device ? extent->size : host->size;
        break;
    case 5:
        return CUDA_ERROR_NOT_SUPPORTED;
    default:
        break;
    }
    memcpy(data, &value, attribute_size(which));
    return CUDA_SUCCESS;
}

API(PointerGetAttribute, void *data, int which, CUdeviceptr address) {
    CUresult rc = sim_enter();
    if (rc || !data || which < 1 || which > 22)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    rc = attribute(data, which, address);
    sim_unlock();
    return rc;
}

/* Unknown pointers are no error here: the values are empty. */
API(PointerGetAttributes, unsigned count, const int *which, void **data, CUdeviceptr address) {
    CUresult rc = sim_enter();
    if (rc || !which || !data)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    for (unsigned i = 0; i < count; i++)
        attribute(data[i], which[i], address);
    sim_unlock();
    return CUDA_SUCCESS;
}

API(PointerSetAttribute, const void *value, int which, CUdeviceptr address) {
    (void)address;
    CUresult rc = sim_enter();
    return rc ? rc : !value || which != 6 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

/* Managed memory goes to the device where it is prefetched, and keeps its place there when it is prefetched to the
   host: the real driver gives nothing back before it is freed. */
static CUresult prefetch(CUdeviceptr address, size_t size, bool to_device) {
    CUresult rc = sim_enter();
    if (rc || !size)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    struct extent *extent = extent_containing(address);
    if (!extent || extent->kind != KIND_MANAGED)
        rc = CUDA_ERROR_INVALID_VALUE;
    else if (to_device)
        rc = memory_touch(address, size, true);
    sim_unlock();
    return rc;
}

API(MemPrefetchAsync, CUdeviceptr address, size_t size, CUdevice device, CUstream stream) {
    (void)stream;
    return prefetch(address, size, sim_device_ok(device));
}

API(MemPrefetchAsync_v2, CUdeviceptr address, size_t size, CUmemLocation location, unsigned flags, CUstream stream) {
    (void)stream, (void)flags;
    return prefetch(address, size, location.type == LOCATION_DEVICE);
}

API(MemAdvise, CUdeviceptr address, size_t size, int advice, CUdevice device) {
    (void)address, (void)size, (void)advice, (void)device;
    return sim_enter();
}

API(MemAdvise_v2, CUdeviceptr address, size_t size, int advice, CUmemLocation location) {
    (void)address, (void)size, (void)advice, (void)location;
    return sim_enter();
}

API(MemRangeGetAttribute, void *data, size_t length, int which, CUdeviceptr address, size_t size) {
    (void)which, (void)address, (void)size;
    CUresult rc = sim_enter();
    if (rc || !data || !length)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    memset(data, 0, length);
    return CUDA_SUCCESS;
}
