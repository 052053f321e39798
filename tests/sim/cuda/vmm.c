/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual memory: physical allocations with references (the handle, each mapping, each retained handle), address
   reservations and mappings. The device is charged for what lies on it (`location`), whatever device is current, until
   the last reference goes. Exported handles travel as file descriptors and can be imported in the same process. */
#include "driver.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct properties {
    int type;
    int handle_types;
    CUmemLocation location;
    void *metadata;
    unsigned char compression, rdma;
    unsigned short usage;
    unsigned char reserved[4];
};
_Static_assert(sizeof(struct properties) == 32, "CUmemAllocationProp");

struct physical {
    struct properties properties;
    uint64_t size;
    unsigned references;
    struct physical *next;
};

struct mapping {
    uint64_t base, size;
    struct physical *physical;
    int access;
    struct mapping *next;
};

/* Guarded by sim.lock. */
static struct physical *handles;
static struct mapping *mappings;
static struct heap reservations = {.chunk_size = 2 * MIB, .unit = 2 * MIB, .uncharged = true};

static struct physical *find(CUmemHandle handle) {
    struct physical *physical = handles;
    while (physical && (CUmemHandle)(uintptr_t)physical != handle)
        physical = physical->next;
    return physical;
}

static bool on_device(const struct physical *physical) {
    return physical->properties.location.type == LOCATION_DEVICE;
}

static void release(struct physical *physical) {
    if (--physical->references)
        return;
    if (on_device(physical))
        sim_give(physical->properties.location.id, physical->size);
    for (struct physical **link = &handles; *link; link = &(*link)->next)
        if (*link == physical) {
            *link = physical->next;
            break;
        }
    free(physical);
}

static CUresult check(const struct properties *p) {
    if (!p || p->type != 1 || p->location.type < 1 || p->location.type > 4)
        return CUDA_ERROR_INVALID_VALUE;
    return p->location.type != LOCATION_DEVICE || sim_device_ok(p->location.id) ? CUDA_SUCCESS
                                                                                : CUDA_ERROR_INVALID_DEVICE;
}

API(MemGetAllocationGranularity, size_t *out, const struct properties *properties, int option) {
    CUresult rc = sim_enter() ? sim_enter() : check(properties);
    if (rc || !out || option < 0 || option > 1)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    bool device = properties->location.type == LOCATION_DEVICE;
    *out = device ? sim.devices[properties->location.id].gpu.state->config.granularity : 2 * MIB;
    return CUDA_SUCCESS;
}

API(MemCreate, CUmemHandle *out, size_t size, const struct properties *properties, unsigned long long flags) {
    CUresult rc = sim_enter() ? sim_enter() : check(properties);
    if (rc || !out || size == 0 || size % (2 * MIB) || flags)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    int device = properties->location.type == LOCATION_DEVICE ? properties->location.id : 0;
    struct physical *physical = calloc(1, sizeof *physical);
    if (!physical)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *physical = (struct physical){.properties = *properties, .size = size, .references = 1};
    sim_latency(device);
    sim_lock();
    if (on_device(physical) && (!sim_attach(&sim.devices[device].gpu) || !sim_take(device, size)))
        rc = CUDA_ERROR_OUT_OF_MEMORY;
    else {
        physical->next = handles;
        handles = physical;
        *out = (CUmemHandle)(uintptr_t)physical;
    }
    sim_unlock();
    if (rc)
        free(physical);
    return rc;
}

API(MemRelease, CUmemHandle handle) {
    CUresult rc = sim_enter();
    if (rc)
        return rc;
    sim_lock();
    struct physical *physical = find(handle);
    if (physical)
        release(physical);
    sim_unlock();
    return physical ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API(MemAddressReserve, CUdeviceptr *out, size_t size, size_t alignment, CUdeviceptr wanted, unsigned long long flags) {
    (void)wanted;
    CUresult rc = sim_enter();
    if (rc || !out || size == 0 || size % (2 * MIB) || flags || (alignment & (alignment - 1)))
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    struct extent *extent;
    rc = heap_allocate_chunk(&reservations, size, alignment, &extent);
    if (!rc) {
        extent->kind = KIND_RESERVATION;
        extent->context = NULL;
        extent->requested = size;
        *out = extent->base;
    }
    sim_unlock();
    return rc;
}

API(MemAddressFree, CUdeviceptr address, size_t size) {
    CUresult rc = sim_enter();
    if (rc)
        return rc;
    sim_lock();
    struct extent *extent = extent_at(address);
    if (!extent || extent->kind != KIND_RESERVATION || extent->requested != size)
        rc = CUDA_ERROR_INVALID_VALUE;
    for (struct mapping *m = mappings; m && !rc; m = m->next)
        if (m->base >= address && m->base < address + size)
            rc = CUDA_ERROR_INVALID_VALUE;
    if (!rc)
        heap_free(extent);
    sim_unlock();
    return rc;
}

API(MemMap, CUdeviceptr address, size_t size, size_t offset, CUmemHandle handle, unsigned long long flags) {
    CUresult rc = sim_enter();
    if (rc || size == 0 || address % (2 * MIB) || size % (2 * MIB) || flags)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    struct mapping *mapping = calloc(1, sizeof *mapping);
    if (!mapping)
        return CUDA_ERROR_OUT_OF_MEMORY;
    sim_lock();
    struct physical *physical = find(handle);
    struct extent *extent = extent_containing(address);
    if (!physical || offset || size != physical->size || !extent || extent->kind != KIND_RESERVATION ||
        address + size > extent->base + extent->size)
        rc = CUDA_ERROR_INVALID_VALUE;
    for (struct mapping *m = mappings; m && !rc; m = m->next)
        if (m->base < address + size && address < m->base + m->size)
            rc = CUDA_ERROR_INVALID_VALUE;
    if (!rc) {
        *mapping = (struct mapping){.base = address, .size = size, .physical = physical, .next = mappings};
        mappings = mapping;
        physical->references++;
    }
    sim_unlock();
    if (rc)
        free(mapping);
    return rc;
}

API(MemUnmap, CUdeviceptr address, size_t size) {
    CUresult rc = sim_enter();
    if (rc)
        return rc;
    uint64_t unmapped = 0;
    sim_lock();
    for (struct mapping **link = &mappings; *link;) {
        struct mapping *m = *link;
        if (m->base < address || m->base + m->size > address + size) {
            link = &m->next;
            continue;
        }
        *link = m->next;
        unmapped += m->size;
        madvise((void *)m->base, m->size, MADV_DONTNEED); /* refused, and needless, where nothing was touched */
        release(m->physical);
        free(m);
    }
    sim_unlock();
    return unmapped == size && size ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static struct mapping *mapping_at(uint64_t address) {
    struct mapping *m = mappings;
    while (m && (address < m->base || address >= m->base + m->size))
        m = m->next;
    return m;
}

API(MemSetAccess, CUdeviceptr address, size_t size, const CUmemAccessDesc *access, size_t count) {
    CUresult rc = sim_enter();
    if (rc || !access || !count || !size)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    for (uint64_t at = address; at < address + size && !rc;) {
        struct mapping *m = mapping_at(at);
        if (!m)
            rc = CUDA_ERROR_INVALID_VALUE;
        else {
            m->access = access[0].flags;
            at = m->base + m->size;
        }
    }
    sim_unlock();
    return rc;
}

API(MemGetAccess, unsigned long long *flags, const CUmemLocation *location, CUdeviceptr address) {
    CUresult rc = sim_enter();
    if (rc || !flags || !location)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    struct mapping *m = mapping_at(address);
    *flags = m ? (unsigned long long)m->access : 0;
    sim_unlock();
    return m ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API(MemRetainAllocationHandle, CUmemHandle *out, void *address) {
    CUresult rc = sim_enter();
    if (rc || !out)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    struct mapping *m = mapping_at((uint64_t)address);
    if (m) {
        m->physical->references++;
        *out = (CUmemHandle)(uintptr_t)m->physical;
    }
    sim_unlock();
    return m ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API(MemGetAllocationPropertiesFromHandle, struct properties *out, CUmemHandle handle) {
    CUresult rc = sim_enter();
    if (rc || !out)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    struct physical *physical = find(handle);
    if (physical)
        *out = physical->properties;
    sim_unlock();
    return physical ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* The descriptor carries the size and who holds the memory. An import elsewhere is a reference that is not charged. */
struct shared {
    uint64_t magic, size;
    pid_t pid;
    uintptr_t physical;
    struct properties properties;
};
#define SHARED_MAGIC 0x6d656d46444d4953ull

API(MemExportToShareableHandle, void *out, CUmemHandle handle, int type, unsigned long long flags) {
    CUresult rc = sim_enter();
    if (rc || !out || flags)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    if (type != 1)
        return CUDA_ERROR_NOT_SUPPORTED;
    sim_lock();
    struct physical *physical = find(handle);
    struct shared shared = {0};
    if (physical)
        shared = (struct shared){SHARED_MAGIC, physical->size, getpid(), (uintptr_t)physical, physical->properties};
    sim_unlock();
    if (!physical || !(shared.properties.handle_types & 1))
        return CUDA_ERROR_INVALID_VALUE;
    int fd = (int)syscall(SYS_memfd_create, "simgpu", 1);
    if (fd < 0 || write(fd, &shared, sizeof shared) != (ssize_t)sizeof shared)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *(int *)out = fd;
    return CUDA_SUCCESS;
}

API(MemImportFromShareableHandle, CUmemHandle *out, void *os_handle, int type) {
    CUresult rc = sim_enter();
    if (rc || !out)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    if (type != 1)
        return CUDA_ERROR_NOT_SUPPORTED;
    struct shared shared;
    if (pread((int)(intptr_t)os_handle, &shared, sizeof shared, 0) != (ssize_t)sizeof shared ||
        shared.magic != SHARED_MAGIC)
        return CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    struct physical *physical = shared.pid == getpid() ? find((CUmemHandle)shared.physical) : NULL;
    if (physical)
        physical->references++;
    else if ((physical = calloc(1, sizeof *physical))) {
        *physical = (struct physical){.properties = shared.properties, .size = shared.size, .references = 1};
        physical->properties.location.type = 2; /* held by its exporter */
        physical->next = handles;
        handles = physical;
    }
    sim_unlock();
    *out = (CUmemHandle)(uintptr_t)physical;
    return physical ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult reservation_touch(struct extent *reservation, uint64_t address, uint64_t size) {
    for (uint64_t at = address; at < address + size;) {
        struct mapping *m = mapping_at(at);
        if (!m || m->access != 3)
            return CUDA_ERROR_INVALID_VALUE;
        at = m->base + m->size;
    }
    return space_touch(reservation->chunk) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
