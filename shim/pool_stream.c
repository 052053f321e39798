/* SPDX-License-Identifier: Apache-2.0 */
/* The pool that an allocation in a stream draws from. */
#include "account.h"
#include "device.h"
#include "real.h"

static bool is_special(CUstream stream) {
    return (uintptr_t)stream <= 2; /* NULL, CU_STREAM_LEGACY, CU_STREAM_PER_THREAD: of the current context */
}

struct device *device_of_stream(CUstream stream) {
    CUcontext context, popped;
    struct device *only = device_only();
    if (only)
        return only;
    if (is_special(stream) || INSIDE(CUDA->cuStreamGetCtx(stream, &context)) != CUDA_SUCCESS)
        return device_current();
    if (INSIDE(CUDA->cuCtxPushCurrent_v2(context)) != CUDA_SUCCESS)
        return device_current();
    struct device *device = device_current();
    INSIDE(CUDA->cuCtxPopCurrent_v2(&popped));
    return device;
}

static struct pool *look_up_pool_of_stream(CUstream stream) {
    struct device *device = device_of_stream(stream);
    CUmemoryPool handle = NULL;
    if (!device || BESIDE_CAPTURES(CUDA->cuDeviceGetMemPool(&handle, atomic_load(&device->ordinal))) != CUDA_SUCCESS ||
        !handle)
        return NULL;
    struct pool *pool = pool_by_handle(handle);
    return pool ? pool : pool_add(handle, device, false);
}

/* Set only if CUDA shows just one device, and there is just one driver. */
static struct pool *pool_of_only_device(uint64_t epoch) {
    struct pools *pools = &process()->pools;
    uint64_t known = atomic_load_explicit(&pools->only, memory_order_acquire);
    return LIKELY(known >> 8 == epoch) ? &pools->pool[(known & 255) - 1] : NULL;
}

static struct pool *look_up_pool_of_only_device(CUstream stream, uint64_t epoch) {
    struct pools *pools = &process()->pools;
    struct pool *pool = look_up_pool_of_stream(stream);
    if (pool)
        atomic_store(&pools->only, epoch << 8 | (uint64_t)(pool - pools->pool + 1));
    return pool;
}

/* Special streams are the current context's, so they are cached by that context. */
struct pool *pool_of_stream(CUstream stream) {
    struct pools *pools = &process()->pools;
    uint64_t epoch = 1 + atomic_load(&pools->streams_epoch);
    const void *key = stream;
    CUcontext context;
    struct pool *pool = pool_of_only_device(epoch);
    if (LIKELY(pool))
        return pool;
    if (real_is_alone(LIBRARY_cuda) && device_only())
        return look_up_pool_of_only_device(stream, epoch);
    if (is_special(stream)) {
        if (INSIDE(CUDA->cuCtxGetCurrent(&context)) != CUDA_SUCCESS || !context)
            return NULL;
        key = context;
    }
    __auto_type place = &pools->stream_pool[((uintptr_t)key >> 4) * 0x9e3779b97f4a7c15ull >> 58];
    lock_take(&place->lock);
    if (place->key == key && place->epoch == epoch)
        pool = place->pool;
    lock_drop(&place->lock);
    if (LIKELY(pool))
        return pool;
    pool = look_up_pool_of_stream(stream);
    lock_take(&place->lock);
    place->key = key;
    place->epoch = epoch;
    place->pool = pool;
    lock_drop(&place->lock);
    return pool;
}

void pools_forget_streams(void) {
    atomic_fetch_add(&process()->pools.streams_epoch, 1);
}
