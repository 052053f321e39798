/* SPDX-License-Identifier: Apache-2.0 */
/* Linear memory: the calls that every program uses. Charged by blocks of 2 MiB (account.c). Left alone on purpose: host
   memory (cuMemAllocHost, cuMemHostAlloc, cuMemHostRegister), IPC imports (charged to the process that allocated), and
   address ranges (cuMemAddressReserve). Frees of pointers that are not known go to the driver untouched. */
#include "account.h"
#include "device.h"
#include "hooks.h"
#include "linear.h"
#include "refusals.h"

static uint64_t remember(struct device *device, CUcontext context, enum table_kind kind, uint64_t pointer,
                         uint64_t size) {
    struct entry entry = {.key = pointer,
                          .size = size,
                          .extra = (uint64_t)(uintptr_t)context,
                          .class = CLASS_POINTER,
                          .kind = (uint8_t)kind,
                          .device = device_position(device)};
    if (kind == KIND_MANAGED)
        atomic_fetch_add(&device->managed, size);
    return account_remember(device, &entry);
}

/* Every hook here finds the device, reserves the most that the call may take, makes the real call, and charges what it
   took. */
#define LINEAR_ALLOCATE_AND_RETURN(kind, most, asked, size, real_call, pointer)                                        \
    CUcontext context;                                                                                                 \
    struct device *device = inside_driver || !pointer ? NULL : device_current_in(&context);                            \
    struct reservation reservation;                                                                                    \
    if (!device)                                                                                                       \
        return real_call;                                                                                              \
    if (!account_reserve(device, round_up(most, BLOCK), &reservation))                                                 \
        return refused(device, asked);                                                                                 \
    CUresult result = INSIDE(real_call);                                                                               \
    account_settle(device, &reservation,                                                                               \
                   result == CUDA_SUCCESS ? remember(device, context, kind, *(pointer), size) : 0);                    \
    return result

CUresult cuMemAlloc(CUdeviceptr_v1 *pointer, unsigned size) {
    LINEAR_ALLOCATE_AND_RETURN(KIND_LINEAR, size, size, size, CUDA->cuMemAlloc(pointer, size), pointer);
}

CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t size) {
    LINEAR_ALLOCATE_AND_RETURN(KIND_LINEAR, size, size, size, CUDA->cuMemAlloc_v2(pointer, size), pointer);
}

CUresult cuMemAllocManaged(CUdeviceptr *pointer, size_t size, unsigned flags) {
    LINEAR_ALLOCATE_AND_RETURN(KIND_MANAGED, size, size, size, CUDA->cuMemAllocManaged(pointer, size, flags), pointer);
}

/* The driver chooses the pitch: always a multiple of 512, as far as seen. */
static uint64_t pitched(uint64_t width, uint64_t height) {
    uint64_t bytes;
    return __builtin_mul_overflow(round_up(width, 512), height ? height : 1, &bytes) ? UINT64_MAX / 4 : bytes;
}

CUresult cuMemAllocPitch(CUdeviceptr_v1 *pointer, unsigned *pitch, unsigned width, unsigned height, unsigned element) {
    LINEAR_ALLOCATE_AND_RETURN(KIND_LINEAR, pitched(width, height), reservation.bytes, (uint64_t)*pitch * height,
                               CUDA->cuMemAllocPitch(pointer, pitch, width, height, element), pointer);
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *pointer, size_t *pitch, size_t width, size_t height, unsigned element) {
    LINEAR_ALLOCATE_AND_RETURN(KIND_LINEAR, pitched(width, height), reservation.bytes, (uint64_t)*pitch * height,
                               CUDA->cuMemAllocPitch_v2(pointer, pitch, width, height, element), pointer);
}

bool linear_take(uint64_t pointer, struct entry *entry) {
    if (!table_take(&process()->table, CLASS_POINTER, pointer, entry))
        return false;
    if (entry->kind == KIND_POOL)
        pool_frees(entry);
    return true;
}

uint64_t linear_freed(const struct entry *entry, bool ordered) {
    if (entry->kind == KIND_MANAGED)
        atomic_fetch_sub(&device_at(entry->device)->managed, entry->size);
    return account_forget(entry, ordered);
}

void linear_put_back(const struct entry *entry) {
    table_put(&process()->table, entry);
}

#define LINEAR_FREE_AND_RETURN(pointer, real_call)                                                                     \
    struct entry entry;                                                                                                \
    if (inside_driver || !linear_take(pointer, &entry))                                                                \
        return real_call;                                                                                              \
    struct device *device = device_at(entry.device);                                                                   \
    account_release_begin(device);                                                                                     \
    CUresult result = INSIDE(real_call);                                                                               \
    if (result != CUDA_SUCCESS)                                                                                        \
        linear_put_back(&entry);                                                                                       \
    else if (entry.kind == KIND_POOL)                                                                                  \
        pool_freed(&entry, NO_STREAM);                                                                                 \
    account_release_end(device, result == CUDA_SUCCESS ? linear_freed(&entry, false) : 0);                             \
    return result

CUresult cuMemFree(CUdeviceptr_v1 pointer) {
    LINEAR_FREE_AND_RETURN(pointer, CUDA->cuMemFree(pointer));
}

CUresult cuMemFree_v2(CUdeviceptr pointer) {
    LINEAR_FREE_AND_RETURN(pointer, CUDA->cuMemFree_v2(pointer));
}
