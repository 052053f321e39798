/* Virtual memory management: physical memory made by cuMemCreate, used by PyTorch's expandable segments and NCCL.
   Charged to the device that location.id names, which need not be the current one, until the last of release, unmap and
   retained references. Left alone on purpose: memory on the host, imports of shareable handles (their exporter pays),
   and reserved address ranges. */
#include "account.h"
#include "device.h"
#include "hooks.h"

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
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = INSIDE(CUDA->cuMemCreate(handle, size, properties, flags));
    if (result == CUDA_SUCCESS) {
        struct entry entry = {
            .key = *handle, .size = bytes, .class = CLASS_HANDLE, .kind = KIND_VMM, .device = device_position(device)};
        table_reference(&process()->table, &entry);
    }
    account_settle(device, &reservation, result == CUDA_SUCCESS ? bytes : 0);
    return result;
}

/* One reference less, after the driver has dropped its own. */
static void drop(uint64_t handle) {
    struct entry gone;
    if (table_unreference(&process()->table, CLASS_HANDLE, handle, false, &gone) != 0)
        return;
    struct device *device = device_at(gone.device);
    account_release_begin(device);
    account_release_end(device, gone.size);
}

static bool hold(uint64_t handle) {
    struct entry entry;
    return table_find(&process()->table, CLASS_HANDLE, handle, &entry) &&
           table_reference(&process()->table, &entry) > 0;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
    CUresult result = CUDA->cuMemRelease(handle);
    if (result == CUDA_SUCCESS && !inside_driver)
        drop(handle);
    return result;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *address) {
    CUresult result = CUDA->cuMemRetainAllocationHandle(handle, address);
    if (result == CUDA_SUCCESS && !inside_driver)
        hold(*handle);
    return result;
}

CUresult cuMemMap(CUdeviceptr address, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
    CUresult result = CUDA->cuMemMap(address, size, offset, handle, flags);
    if (result == CUDA_SUCCESS && !inside_driver && hold(handle)) {
        struct entry mapping = {
            .key = address, .size = size, .extra = handle, .class = CLASS_MAPPING, .kind = KIND_VMM};
        table_put(&process()->table, &mapping);
    }
    return result;
}

/* The range may span several mappings, whole ones always. */
CUresult cuMemUnmap(CUdeviceptr address, size_t size) {
    CUresult result = CUDA->cuMemUnmap(address, size);
    if (result != CUDA_SUCCESS || inside_driver)
        return result;
    struct entry mapping;
    for (uint64_t at = address; at < address + size; at += mapping.size) {
        if (!table_take(&process()->table, CLASS_MAPPING, at, &mapping) || mapping.size == 0)
            mapping.size = BLOCK; /* an imported handle: its size is not known here */
        else
            drop(mapping.extra);
    }
    return result;
}
