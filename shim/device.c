/* SPDX-License-Identifier: Apache-2.0 */
/* Devices are identified by UUID: CUDA_VISIBLE_DEVICES may select and reorder them, and CUDA and NVML mean the same
   one. */
#include "device.h"
#include "quota_file.h"
#include "real.h"

#include <string.h>

static struct device *known(struct process *p, const unsigned char uuid[16]) {
    unsigned n = atomic_load_explicit(&p->devices_known, memory_order_acquire);
    for (unsigned i = 0; i < n; i++)
        if (memcmp(p->devices[i].uuid, uuid, 16) == 0)
            return &p->devices[i];
    return NULL;
}

static struct device *known_or_new(struct process *p, const unsigned char uuid[16], const unsigned char gpu[16]) {
    struct device *device = known(p, uuid);
    if (device)
        return device;
    lock_take(&p->adding);
    device = known(p, uuid);
    unsigned n = atomic_load(&p->devices_known);
    if (!device && n < DEVICES_MAX) {
        device = &p->devices[n];
        memcpy(device->uuid, uuid, 16);
        memcpy(device->gpu, gpu, 16);
        atomic_store(&device->ordinal, -1);
        atomic_store(&device->number, -1);
        atomic_store_explicit(&p->devices_known, n + 1, memory_order_release);
    }
    lock_drop(&p->adding);
    return device;
}

/* For a MIG instance, cuDeviceGetUuid returns the GPU's UUID and cuDeviceGetUuid_v2 (CUDA 11.4) the instance's. */
static bool uuid_by_cuda(CUuuid *uuid, CUuuid *gpu, CUdevice ordinal) {
    if (INSIDE(CUDA->cuDeviceGetUuid(gpu, ordinal)) != CUDA_SUCCESS)
        return false;
    if (INSIDE(CUDA->cuDeviceGetUuid_v2(uuid, ordinal)) != CUDA_SUCCESS)
        *uuid = *gpu;
    return true;
}

struct device *device_by_ordinal(CUdevice ordinal) {
    struct process *p = process();
    if (ordinal < 0 || ordinal >= ORDINALS_MAX)
        return NULL;
    struct device *device = atomic_load_explicit(&p->by_ordinal[ordinal], memory_order_acquire);
    if (LIKELY(device))
        return device;
    CUuuid uuid, gpu;
    size_t total;
    if (!uuid_by_cuda(&uuid, &gpu, ordinal) || INSIDE(CUDA->cuDeviceTotalMem_v2(&total, ordinal)) != CUDA_SUCCESS)
        return NULL;
    device = known_or_new(p, uuid.bytes, gpu.bytes);
    if (!device)
        return NULL;
    atomic_store(&device->cuda_total, total);
    atomic_store(&device->ordinal, ordinal);
    atomic_store(&device->limit_generation, 0);
    atomic_store_explicit(&p->by_ordinal[ordinal], device, memory_order_release);
    return device;
}

/* The driver's last answer, per thread. */
static __thread struct {
    CUcontext context;
    struct device *device;
    uint64_t contexts;
} last __attribute__((tls_model("initial-exec")));

/* The only device, if the current context can only be its primary context. */
static struct device *only_primary(struct process *p) {
    return atomic_load_explicit(&p->primary_made, memory_order_relaxed) && !atomic_load(&p->other_made) ? device_only()
                                                                                                        : NULL;
}

bool device_has_one_context(void) {
    return only_primary(process()) != NULL;
}

struct device *device_current_in(CUcontext *context) {
    struct process *p = process();
    struct device *only = only_primary(p);
    *context = NULL;
    if (LIKELY(only))
        return only;
    uint64_t contexts = atomic_load_explicit(&p->contexts, memory_order_acquire);
    if (INSIDE(CUDA->cuCtxGetCurrent(context)) != CUDA_SUCCESS || !*context)
        return NULL;
    if (LIKELY(last.context == *context && last.contexts == contexts))
        return last.device;
    CUdevice ordinal;
    struct device *device = INSIDE(CUDA->cuCtxGetDevice(&ordinal)) == CUDA_SUCCESS ? device_by_ordinal(ordinal) : NULL;
    last.context = *context;
    last.device = device;
    last.contexts = device ? contexts : 0;
    return device;
}

struct device *device_only(void) {
    struct process *p = process();
    int count = atomic_load_explicit(&p->visible, memory_order_relaxed);
    if (UNLIKELY(count == 0)) {
        if (INSIDE(CUDA->cuDeviceGetCount(&count)) != CUDA_SUCCESS)
            return NULL;
        atomic_store(&p->visible, count);
    }
    return count == 1 ? device_by_ordinal(0) : NULL;
}

struct device *device_current(void) {
    struct device *only = device_only();
    if (LIKELY(only))
        return only;
    CUcontext context;
    return device_current_in(&context);
}

void device_forget_contexts(void) {
    atomic_fetch_add(&process()->contexts, 1);
}

static bool uuid_by_nvml(unsigned char uuid[16], nvmlDevice_t handle) {
    char text[NVML_DEVICE_UUID_BUFFER_SIZE] = "";
    return INSIDE(NVML->nvmlDeviceGetUUID(handle, text, sizeof text)) == NVML_SUCCESS &&
           uuid_parse(uuid, text, strnlen(text, sizeof text));
}

struct device *device_by_nvml(nvmlDevice_t handle) {
    nvmlDevice_t whole;
    unsigned char uuid[16], gpu[16];
    if (!uuid_by_nvml(uuid, handle))
        return NULL;
    struct device *device = known(process(), uuid);
    if (!device) {
        bool instance = INSIDE(NVML->nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle, &whole)) == NVML_SUCCESS;
        if (!instance || !uuid_by_nvml(gpu, whole))
            memcpy(gpu, uuid, sizeof gpu);
        device = known_or_new(process(), uuid, gpu);
    }
    if (!device || atomic_load(&device->nvml_total))
        return device;
    nvmlMemory_v2_t two = {.version = NVML_MEMORY_V2};
    nvmlMemory_t one;
    if (INSIDE(NVML->nvmlDeviceGetMemoryInfo_v2(handle, &two)) == NVML_SUCCESS) {
        atomic_store(&device->nvml_reserved, two.reserved);
        atomic_store(&device->nvml_total, two.total);
    } else if (INSIDE(NVML->nvmlDeviceGetMemoryInfo(handle, &one)) == NVML_SUCCESS) {
        atomic_store(&device->nvml_total, one.total);
    }
    atomic_store(&device->limit_generation, 0);
    return device;
}

static uint64_t allocatable(struct device *device) {
    uint64_t cuda = atomic_load(&device->cuda_total);
    return cuda ? cuda : atomic_load(&device->nvml_total) - atomic_load(&device->nvml_reserved);
}

/* Rounded down to whole MiB, because nvidia-smi rounds up: 0.3 of 143771 MiB must show as 43131. Nothing is lost, since
   the driver allocates in blocks of 2 MiB. */
static uint64_t share_of(uint64_t total, const struct quota_value *value) {
    uint64_t share = quota_value_bytes(value, total);
    if (!value->is_size && share >= MIB)
        share -= share % MIB;
    return share < total ? share : total;
}

uint64_t device_limit(struct device *device) {
    uint32_t generation = quota_generation();
    if (LIKELY(atomic_load_explicit(&device->limit_generation, memory_order_acquire) == generation && generation))
        return atomic_load_explicit(&device->limit, memory_order_relaxed);
    uint64_t total = allocatable(device);
    if (total == 0)
        return UINT64_MAX;
    struct quota_value value = quota_for(device->uuid, device->gpu);
    uint64_t limit = share_of(total, &value);
    atomic_store_explicit(&device->limit, limit, memory_order_relaxed);
    atomic_store_explicit(&device->limit_generation, generation, memory_order_release);
    return limit;
}

void device_nvml_share(struct device *device, uint64_t total, uint64_t reserved, uint64_t *share,
                       uint64_t *reserved_share) {
    struct quota_value value = quota_for(device->uuid, device->gpu);
    *share = share_of(total, &value);
    *reserved_share = value.is_size ? 0 : *share - share_of(total - reserved, &value);
}
