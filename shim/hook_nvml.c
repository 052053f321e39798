/* SPDX-License-Identifier: Apache-2.0 */
/* NVML: the wait for the quota at its init, and the memory figures that nvidia-smi and monitors show. Left alone on
   purpose: process lists, which are right in a container's PID namespace; BAR1, which is address space; field values,
   none of which is framebuffer memory; accounting and vGPU functions, which need privileges that a container lacks; and
   everything that is not memory. */
#include "account.h"
#include "device.h"
#include "hooks.h"
#include "measure.h"
#include "quota_file.h"

static nvmlReturn_t started(nvmlReturn_t result) {
    if (result == NVML_SUCCESS && !inside_driver) {
        real_started(LIBRARY_nvml);
        measure_again();
    }
    return result;
}

nvmlReturn_t nvmlInit(void) {
    if (!inside_driver && !quota_wait())
        return NVML_ERROR_NO_PERMISSION;
    return started(INSIDE(NVML->nvmlInit()));
}

nvmlReturn_t nvmlInit_v2(void) {
    if (!inside_driver && !quota_wait())
        return NVML_ERROR_NO_PERMISSION;
    return started(INSIDE(NVML->nvmlInit_v2()));
}

nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
    if (!inside_driver && !quota_wait())
        return NVML_ERROR_NO_PERMISSION;
    return started(INSIDE(NVML->nvmlInitWithFlags(flags)));
}

struct figures {
    uint64_t total, reserved, used, free; /* total = reserved + used + free */
};

/* `reserved` includes what this container cannot allocate: its share of the GPU's own reserve, and what others hold of
   the container's share. */
static struct figures figures(struct device *device, uint64_t total, uint64_t reserved, uint64_t physically_free) {
    struct figures f;
    uint64_t reserved_share;
    quota_tick();
    measure_now(device);
    struct account_view view = account_view(device);
    device_nvml_share(device, total, reserved, &f.total, &reserved_share);
    uint64_t room = f.total > reserved_share ? f.total - reserved_share : 0;
    f.used = view.used < f.total ? view.used : f.total;
    f.free = view.used < room ? room - view.used : 0;
    if (f.free > view.free)
        f.free = view.free;
    if (f.free > physically_free)
        f.free = physically_free;
    f.reserved = f.total - f.used - f.free;
    return f;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t handle, nvmlMemory_t *memory) {
    nvmlReturn_t result = INSIDE(NVML->nvmlDeviceGetMemoryInfo(handle, memory));
    struct device *device = result == NVML_SUCCESS && !inside_driver && quota_known() ? device_by_nvml(handle) : NULL;
    if (!device)
        return result;
    struct figures f = figures(device, memory->total, atomic_load(&device->nvml_reserved), memory->free);
    *memory = (nvmlMemory_t){.total = f.total, .free = f.free, .used = f.total - f.free};
    return result;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t handle, nvmlMemory_v2_t *memory) {
    nvmlReturn_t result = INSIDE(NVML->nvmlDeviceGetMemoryInfo_v2(handle, memory));
    struct device *device = result == NVML_SUCCESS && !inside_driver && quota_known() ? device_by_nvml(handle) : NULL;
    if (!device)
        return result;
    struct figures f = figures(device, memory->total, memory->reserved, memory->free);
    memory->total = f.total;
    memory->reserved = f.reserved;
    memory->used = f.used;
    memory->free = f.free;
    return result;
}

static nvmlReturn_t limited(nvmlReturn_t result, nvmlDevice_t handle, nvmlDeviceAttributes_t *attributes) {
    struct device *device = result == NVML_SUCCESS && !inside_driver && quota_known() ? device_by_nvml(handle) : NULL;
    uint64_t share, reserved;
    if (device) {
        device_nvml_share(device, attributes->memorySizeMB * MIB, 0, &share, &reserved);
        attributes->memorySizeMB = share / MIB;
    }
    return result;
}

nvmlReturn_t nvmlDeviceGetAttributes(nvmlDevice_t handle, nvmlDeviceAttributes_t *attributes) {
    return limited(NVML->nvmlDeviceGetAttributes(handle, attributes), handle, attributes);
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t handle, nvmlDeviceAttributes_t *attributes) {
    return limited(NVML->nvmlDeviceGetAttributes_v2(handle, attributes), handle, attributes);
}
