/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual memory management: physical memory of cuMemCreate, which PyTorch's expandable segments and NCCL use. Charged
   to the device that location.id names, which need not be the current one, until the last handle, mapping and retained
   reference is gone. Left alone on purpose: memory on the host, imports of shareable handles (their exporter pays), and
   reserved address ranges. */
#include "account.h"
#include "device.h"
#include "hooks.h"
#include "refusals.h"

/* A number for each piece of physical memory that was ever created; never 0. */
static uint32_t next_identity(void) {
    static _Atomic uint32_t count; /* atomic add */
    uint32_t identity = atomic_fetch_add(&count, 1) + 1;
    return identity ? identity : next_identity();
}

/* If the table still has the handle, the driver has freed the earlier memory: the thread that dropped its last
   reference has not updated the table yet, and will find the entry gone. */
static void enter(struct device *device, CUmemGenericAllocationHandle handle, uint64_t bytes) {
    struct entry before, entry = {.key = handle,
                                  .size = bytes,
                                  .extra = next_identity(),
                                  .refs = 1,
                                  .class = CLASS_HANDLE,
                                  .kind = KIND_VMM,
                                  .device = device_position(device)};
    if (table_exchange(&process()->table, &entry, &before) && before.class) {
        account_release_begin(device_at(before.device));
        account_release_end(device_at(before.device), before.size);
    }
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size, const CUmemAllocationProp *properties,
                     unsigned long long flags) {
    struct device *device = NULL;
    if (!inside_driver && handle && properties && properties->location.type == CU_MEM_LOCATION_TYPE_DEVICE)
        device = device_by_ordinal(properties->location.id);
    if (!device)
        return CUDA->cuMemCreate(handle, size, properties, flags);
    uint64_t bytes = round_up(size, BLOCK);
    struct reservation reservation;
    if (!account_reserve(device, bytes, &reservation))
        return refused(device, size);
    CUresult result = INSIDE(CUDA->cuMemCreate(handle, size, properties, flags));
    if (result == CUDA_SUCCESS)
        enter(device, *handle, bytes);
    account_settle(device, &reservation, result == CUDA_SUCCESS ? bytes : 0);
    return result;
}

/* The number of the memory that has the handle now; 0 if the table does not have it. */
static uint64_t identity_of(CUmemGenericAllocationHandle handle) {
    struct entry entry;
    return table_find(&process()->table, CLASS_HANDLE, handle, &entry) ? entry.extra : 0;
}

/* Drops a reference, after the driver has dropped its own. The handle may have been reused since, for another thread's
   memory. */
static void drop(CUmemGenericAllocationHandle handle, uint64_t identity) {
    struct entry entry = {.key = handle, .extra = identity, .class = CLASS_HANDLE}, gone;
    if (table_unreference(&process()->table, &entry, false, &gone) != 0)
        return;
    struct device *device = device_at(gone.device);
    account_release_begin(device);
    account_release_end(device, gone.size);
}

/* Around a call in which first the driver and then the shim may drop the last reference: a measurement in between would
   subtract the memory from the overhead, and the shim would subtract it from the charge again. */
#define DROP_AND_RETURN(real_call, done)                                                                               \
    if (inside_driver)                                                                                                 \
        return real_call;                                                                                              \
    unsigned devices = account_release_begin_anywhere();                                                               \
    CUresult result = INSIDE(real_call);                                                                               \
    if (result == CUDA_SUCCESS)                                                                                        \
        done;                                                                                                          \
    account_release_end_anywhere(devices);                                                                             \
    return result

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
    uint64_t identity = identity_of(handle);
    DROP_AND_RETURN(CUDA->cuMemRelease(handle), drop(handle, identity));
}

static uint64_t hold(CUmemGenericAllocationHandle handle) {
    struct entry entry;
    return table_find(&process()->table, CLASS_HANDLE, handle, &entry) && table_reference(&process()->table, &entry) > 0
               ? entry.extra
               : 0;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *address) {
    CUresult result = CUDA->cuMemRetainAllocationHandle(handle, address);
    if (result == CUDA_SUCCESS && !inside_driver)
        hold(*handle);
    return result;
}

/* References the memory before the driver does: another thread may release it as soon as it is mapped. */
CUresult cuMemMap(CUdeviceptr address, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
    uint64_t identity = inside_driver ? 0 : hold(handle);
    CUresult result = CUDA->cuMemMap(address, size, offset, handle, flags);
    struct entry mapping = {.key = address,
                            .size = size,
                            .extra = handle,
                            .refs = (uint32_t)identity,
                            .class = CLASS_MAPPING,
                            .kind = KIND_VMM};
    if (identity && result == CUDA_SUCCESS)
        table_put(&process()->table, &mapping);
    else if (identity)
        drop(handle, identity);
    return result;
}

/* The range may span several mappings, but only whole ones. */
static void drop_mappings(CUdeviceptr address, size_t size) {
    struct entry mapping;
    for (uint64_t at = address; at < address + size; at += mapping.size) {
        if (!table_take(&process()->table, CLASS_MAPPING, at, &mapping) || mapping.size == 0)
            mapping.size = BLOCK; /* an imported handle: its size is not known here */
        else
            drop(mapping.extra, mapping.refs);
    }
}

CUresult cuMemUnmap(CUdeviceptr address, size_t size) {
    DROP_AND_RETURN(CUDA->cuMemUnmap(address, size), drop_mappings(address, size));
}
