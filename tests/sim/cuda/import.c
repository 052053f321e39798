/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that another process, or another API, holds: legacy IPC handles, external memory, shared pools. An import is
   an address; it is never charged, since its exporter is. Contents are not shared. */
#include "driver.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct heap imports = {.chunk_size = 2 * MIB, .unit = 2 * MIB, .uncharged = true}; /* guarded by sim.lock */

static CUresult import(CUdeviceptr *out, uint64_t size) {
    struct extent *extent;
    if (size == 0)
        return CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    CUresult rc = heap_allocate_chunk(&imports, size, 0, &extent);
    if (!rc) {
        extent->kind = KIND_IMPORT;
        extent->requested = size;
        *out = extent->base;
    }
    sim_unlock();
    return rc;
}

static CUresult forget(CUdeviceptr address) {
    sim_lock();
    struct extent *extent = extent_at(address);
    CUresult rc = extent && extent->kind == KIND_IMPORT ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    if (!rc)
        heap_free(extent);
    sim_unlock();
    return rc;
}

/* Legacy IPC: the handle names the exporter and the size. */
struct ipc {
    uint64_t magic, address, size;
    uint32_t pid, device;
    char rest[32];
};
_Static_assert(sizeof(struct ipc) == 64, "CUipcMemHandle, CUmemPoolPtrExportData");
#define IPC_MAGIC 0x434950554d495353ull
#define POINTER_MAGIC 0x52544e504d495353ull

static CUresult export(struct ipc *out, CUdeviceptr address, enum kind kind, uint64_t magic) {
    CUresult rc = CUDA_SUCCESS;
    sim_lock();
    struct extent *extent = extent_containing(address);
    if (!extent || extent->kind != kind)
        rc = CUDA_ERROR_INVALID_VALUE;
    else
        *out = (struct ipc){.magic = magic,
                            .address = extent->base,
                            .size = extent->requested,
                            .pid = (uint32_t)getpid(),
                            .device = (uint32_t)extent->chunk->heap->device};
    sim_unlock();
    return rc;
}

API(IpcGetMemHandle, struct ipc *out, CUdeviceptr address) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    return rc ? rc : !out ? CUDA_ERROR_INVALID_VALUE : export(out, address, KIND_LINEAR, IPC_MAGIC);
}

API(IpcOpenMemHandle, CUdeviceptr *out, struct ipc handle, unsigned flags) {
    struct context *context;
    (void)flags;
    CUresult rc = sim_enter_context(&context);
    if (rc || !out || handle.magic != IPC_MAGIC)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    if (handle.pid == (uint32_t)getpid())
        return CUDA_ERROR_INVALID_CONTEXT; /* as the real driver: not in the exporting process */
    return import(out, handle.size);
}

API(IpcCloseMemHandle, CUdeviceptr address) {
    CUresult rc = sim_enter();
    return rc ? rc : forget(address);
}

/* External memory: of the description only the kind and the size are read. */
struct external_memory {
    uint64_t size;
};

struct external_description {
    int type;
    uint64_t handle[2];
    unsigned long long size;
    unsigned flags, reserved[16];
};
_Static_assert(sizeof(struct external_description) == 104, "CUDA_EXTERNAL_MEMORY_HANDLE_DESC");

struct buffer_description {
    unsigned long long offset, size;
    unsigned flags, reserved[16];
};

API(ImportExternalMemory, struct external_memory **out, const struct external_description *description) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc || !out || !description || description->type < 1 || !description->size)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *out = malloc(sizeof **out);
    if (!*out)
        return CUDA_ERROR_OUT_OF_MEMORY;
    (*out)->size = description->size;
    return CUDA_SUCCESS;
}

API(ExternalMemoryGetMappedBuffer, CUdeviceptr *out, struct external_memory *memory,
    const struct buffer_description *buffer) {
    CUresult rc = sim_enter();
    if (rc || !out || !memory || !buffer || buffer->offset > memory->size ||
        buffer->size > memory->size - buffer->offset)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    return import(out, buffer->size);
}

API(DestroyExternalMemory, struct external_memory *memory) {
    CUresult rc = sim_enter();
    if (rc || !memory)
        return rc ? rc : CUDA_ERROR_INVALID_HANDLE;
    free(memory);
    return CUDA_SUCCESS;
}

/* Shared pools: the importing process gets a pool to name pointers with, from which nothing can be allocated. */
static const char pool_mark[16] = "simgpu pool";

API(MemPoolExportToShareableHandle, void *out, struct pool *pool, int type, unsigned long long flags) {
    CUresult rc = sim_enter();
    if (rc || !out || !pool || flags)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    if (type != 1 || !(pool_handle_types(pool) & 1))
        return CUDA_ERROR_INVALID_VALUE;
    int fd = (int)syscall(SYS_memfd_create, "simgpu", 1);
    if (fd < 0 || write(fd, pool_mark, sizeof pool_mark) != (ssize_t)sizeof pool_mark)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *(int *)out = fd;
    return CUDA_SUCCESS;
}

API(MemPoolImportFromShareableHandle, struct pool **out, void *handle, int type, unsigned long long flags) {
    char mark[sizeof pool_mark];
    CUresult rc = sim_enter();
    if (rc || !out || type != 1 || flags)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    if (pread((int)(intptr_t)handle, mark, sizeof mark, 0) != (ssize_t)sizeof mark ||
        memcmp(mark, pool_mark, sizeof mark) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    return pool_import(out);
}

API(MemPoolExportPointer, struct ipc *out, CUdeviceptr address) {
    CUresult rc = sim_enter();
    return rc ? rc : !out ? CUDA_ERROR_INVALID_VALUE : export(out, address, KIND_POOL, POINTER_MAGIC);
}

API(MemPoolImportPointer, CUdeviceptr *out, struct pool *pool, const struct ipc *data) {
    CUresult rc = sim_enter();
    if (rc || !out || !pool || !data || data->magic != POINTER_MAGIC)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    return import(out, data->size);
}
