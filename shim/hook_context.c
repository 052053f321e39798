/* Contexts: cuInit is the gate where a program waits for its quota; a context takes memory that only the driver can
   count, so it is measured after each change, and what was allocated in a context goes with it. Left alone on purpose:
   making a context current, stacks, flags. */
#include "account.h"
#include "device.h"
#include "hooks.h"
#include "linear.h"
#include "measure.h"
#include "quota_file.h"

CUresult cuInit(unsigned flags) {
    if (!inside_driver && !quota_wait())
        return CUDA_ERROR_NOT_PERMITTED;
    return INSIDE(CUDA->cuInit(flags));
}

static CUresult changed(CUresult result, CUdevice ordinal) {
    struct device *device = result == CUDA_SUCCESS && !inside_driver ? device_by_ordinal(ordinal) : NULL;
    if (device)
        measure_now(device);
    return result;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    return changed(INSIDE(CUDA->cuDevicePrimaryCtxRetain(context, device)), device);
}

CUresult cuCtxCreate(CUcontext *context, unsigned flags, CUdevice device) {
    return changed(INSIDE(CUDA->cuCtxCreate(context, flags, device)), device);
}

CUresult cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device) {
    return changed(INSIDE(CUDA->cuCtxCreate_v2(context, flags, device)), device);
}

CUresult cuCtxCreate_v3(CUcontext *context, void *affinity, int count, unsigned flags, CUdevice device) {
    return changed(INSIDE(CUDA->cuCtxCreate_v3(context, affinity, count, flags, device)), device);
}

CUresult cuCtxCreate_v4(CUcontext *context, void *parameters, unsigned flags, CUdevice device) {
    return changed(INSIDE(CUDA->cuCtxCreate_v4(context, parameters, flags, device)), device);
}

/* Destruction. */

struct ending {
    uint64_t context;
    struct device *device;
    struct { /* filled while the table is locked, worked off between sweeps */
        struct entry entry[256];
        unsigned count;
    } batch;
};

static bool belongs(const struct entry *entry, void *data) {
    struct ending *ending = data;
    if (entry->class != CLASS_POINTER || entry->kind == KIND_POOL || entry->extra != ending->context ||
        device_at(entry->device) != ending->device || ending->batch.count == 256)
        return false;
    ending->batch.entry[ending->batch.count++] = *entry;
    return true;
}

/* Everything that was allocated in the context is gone with it. */
static void end_allocations(struct device *device, uint64_t context) {
    struct ending ending = {.context = context, .device = device};
    do {
        ending.batch.count = 0;
        table_sweep(&process()->table, belongs, &ending);
        uint64_t released = 0;
        account_release_begin(device);
        for (unsigned i = 0; i < ending.batch.count; i++)
            released += linear_released(&ending.batch.entry[i]);
        account_release_end(device, released);
    } while (ending.batch.count > 0);
    pools_settle();
    measure_now(device);
}

static struct device *device_of_context(CUcontext context) {
    CUcontext popped;
    if (!context || INSIDE(CUDA->cuCtxPushCurrent_v2(context)) != CUDA_SUCCESS)
        return NULL;
    struct device *device = device_current();
    INSIDE(CUDA->cuCtxPopCurrent_v2(&popped));
    return device;
}

#define DESTROY_CONTEXT(real_call)                                                                                     \
    struct device *device = inside_driver ? NULL : device_of_context(context);                                         \
    CUresult result = INSIDE(real_call);                                                                               \
    if (device && result == CUDA_SUCCESS)                                                                              \
        end_allocations(device, (uint64_t)(uintptr_t)context);                                                         \
    return result;

CUresult cuCtxDestroy(CUcontext context){DESTROY_CONTEXT(CUDA->cuCtxDestroy(context))}

CUresult cuCtxDestroy_v2(CUcontext context) {
    DESTROY_CONTEXT(CUDA->cuCtxDestroy_v2(context))
}

/* The handle of a device's primary context; 0 while there is none. Retaining it would make one, so ask first. */
static uint64_t primary_context(CUdevice ordinal) {
    unsigned flags;
    int active = 0;
    CUcontext context = NULL;
    if (INSIDE(CUDA->cuDevicePrimaryCtxGetState(ordinal, &flags, &active)) != CUDA_SUCCESS || !active ||
        INSIDE(CUDA->cuDevicePrimaryCtxRetain(&context, ordinal)) != CUDA_SUCCESS)
        return 0;
    INSIDE(CUDA->cuDevicePrimaryCtxRelease(ordinal));
    return (uint64_t)(uintptr_t)context;
}

static bool is_active(CUdevice ordinal) {
    unsigned flags;
    int active = 0;
    return INSIDE(CUDA->cuDevicePrimaryCtxGetState(ordinal, &flags, &active)) == CUDA_SUCCESS && active;
}

#define END_PRIMARY(real_call)                                                                                         \
    if (inside_driver)                                                                                                 \
        return real_call;                                                                                              \
    uint64_t context = primary_context(ordinal);                                                                       \
    CUresult result = INSIDE(real_call);                                                                               \
    struct device *device = result == CUDA_SUCCESS && context ? device_by_ordinal(ordinal) : NULL;                     \
    if (device && !is_active(ordinal))                                                                                 \
        end_allocations(device, context);                                                                              \
    return result;

CUresult cuDevicePrimaryCtxRelease(CUdevice ordinal){END_PRIMARY(CUDA->cuDevicePrimaryCtxRelease(ordinal))}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice ordinal){END_PRIMARY(CUDA->cuDevicePrimaryCtxRelease_v2(ordinal))}

CUresult cuDevicePrimaryCtxReset(CUdevice ordinal){END_PRIMARY(CUDA->cuDevicePrimaryCtxReset(ordinal))}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice ordinal) {
    END_PRIMARY(CUDA->cuDevicePrimaryCtxReset_v2(ordinal))
}
