/* SPDX-License-Identifier: Apache-2.0 */
/* What CUDA reports about memory: total is the limit, free is what can actually be allocated. Both agree with NVML's
   view (hook_nvml.c). Left alone on purpose: pool and graph attributes, which describe this process's own memory. */
#include "account.h"
#include "device.h"
#include "hooks.h"
#include "measure.h"
#include "quota_file.h"

struct figures {
    uint64_t free, total;
};

/* The last measurement is valid while the container's use explains what is physically free. */
static bool explained(struct device *device, uint64_t physically_free, uint64_t used) {
    return atomic_load(&device->seen_free) != 0 &&
           atomic_load(&device->seen_free) - (int64_t)physically_free == (int64_t)used - atomic_load(&device->seen_use);
}

enum { FOREIGN_ENOUGH = 3, PAUSE_LEAST = 300, PAUSE_MOST = 10000 /* us */ };

/* Use outside the container changes what is free, but not what the container has. If several measurements in a row
   found only such changes, the next one waits so that measuring takes 2% of the time at most, unless a row has changed
   or its process has ended. */
static bool foreign(struct device *device, uint64_t used) {
    return atomic_load(&device->foreign) >= FOREIGN_ENOUGH && used == (uint64_t)atomic_load(&device->seen_use) &&
           now_us() < atomic_load(&device->foreign_until) &&
           !ledger_unlocked(atomic_load(&device->number), atomic_load(&device->row));
}

static void measure_change(struct device *device, uint64_t used) {
    uint64_t begin = now_us();
    measure_now(device);
    uint64_t end = now_us(), pause = 50 * (end - begin);
    pause = pause < PAUSE_LEAST ? PAUSE_LEAST : pause > PAUSE_MOST ? PAUSE_MOST : pause;
    atomic_store(&device->foreign_until, end + pause);
    unsigned before = atomic_load(&device->foreign);
    atomic_store(&device->foreign, account_view(device).used != used ? 0 : before + (before < FOREIGN_ENOUGH));
}

static struct figures figures(struct device *device, uint64_t physically_free) {
    if (UNLIKELY(quota_tick()))
        measure_now(device);
    struct account_view view = account_view(device);
    if (!explained(device, physically_free, view.used) && !foreign(device, view.used)) {
        measure_change(device, view.used);
        view = account_view(device);
        atomic_store(&device->seen_free, (int64_t)physically_free);
        atomic_store(&device->seen_use, (int64_t)view.used);
    }
    return (struct figures){view.free < physically_free ? view.free : physically_free, view.limit};
}

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    size_t real_free = 0, real_total = 0;
    if (inside_driver)
        return CUDA->cuMemGetInfo_v2(free_bytes, total);
    CUresult result = INSIDE(CUDA->cuMemGetInfo_v2(&real_free, &real_total));
    struct device *device = result == CUDA_SUCCESS ? device_current() : NULL;
    struct figures f = {real_free, real_total};
    if (device)
        f = figures(device, real_free);
    if (free_bytes && result == CUDA_SUCCESS)
        *free_bytes = f.free;
    if (total && result == CUDA_SUCCESS)
        *total = f.total;
    return result;
}

static unsigned narrow(uint64_t bytes) {
    return bytes > UINT32_MAX ? UINT32_MAX : (unsigned)bytes;
}

CUresult cuMemGetInfo(unsigned *free_bytes, unsigned *total) {
    unsigned real_free = 0, real_total = 0;
    size_t wide_free, wide_total;
    if (inside_driver)
        return CUDA->cuMemGetInfo(free_bytes, total);
    CUresult result = INSIDE(CUDA->cuMemGetInfo(&real_free, &real_total));
    if (result == CUDA_SUCCESS && cuMemGetInfo_v2(&wide_free, &wide_total) == CUDA_SUCCESS) {
        real_free = narrow(wide_free);
        real_total = narrow(wide_total);
    }
    if (free_bytes && result == CUDA_SUCCESS)
        *free_bytes = real_free;
    if (total && result == CUDA_SUCCESS)
        *total = real_total;
    return result;
}

CUresult cuDeviceTotalMem_v2(size_t *total, CUdevice ordinal) {
    CUresult result = CUDA->cuDeviceTotalMem_v2(total, ordinal);
    struct device *device = result == CUDA_SUCCESS && !inside_driver ? device_by_ordinal(ordinal) : NULL;
    if (device)
        *total = device_limit(device);
    return result;
}

CUresult cuDeviceTotalMem(unsigned *total, CUdevice ordinal) {
    CUresult result = CUDA->cuDeviceTotalMem(total, ordinal);
    struct device *device = result == CUDA_SUCCESS && !inside_driver ? device_by_ordinal(ordinal) : NULL;
    if (device && *total > device_limit(device))
        *total = narrow(device_limit(device));
    return result;
}
