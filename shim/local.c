/* SPDX-License-Identifier: Apache-2.0 */
#include "local.h"
#include "capture.h"
#include "device.h"
#include "measure.h"
#include "real.h"
#include "refusals.h"

#include <string.h>

_Atomic(const void *) local_known[LOCAL_SETS][LOCAL_WAYS] __attribute__((aligned(64)));
_Static_assert(LOCAL_SETS == 1 << (64 - 54), "the shift in local_set");
_Static_assert(sizeof local_known[0] == 64, "a set is a cache line");

/* What every context has for each thread from its start; less once a lower limit was set. */
static _Atomic uint64_t always = 1024; /* only falls */

/* Only for the first driver, to whose table launches jump: with several drivers, every launch asks. */
static void remember(const void *function) {
    if (!real_is_alone(LIBRARY_cuda))
        return;
    _Atomic(const void *) *set = local_known[local_set(function)];
    unsigned way = 0;
    while (way < LOCAL_WAYS - 1 && atomic_load_explicit(&set[way], memory_order_relaxed))
        way++; /* the last place is for all that find no other */
    atomic_store_explicit(&set[way], function, memory_order_relaxed);
}

static bool is_known(const void *function) {
    _Atomic(const void *) *set = local_known[local_set(function)];
    for (unsigned way = 0; way < LOCAL_WAYS; way++)
        if (atomic_load_explicit(&set[way], memory_order_relaxed) == function)
            return true;
    return false;
}

void local_forget(void) {
    for (unsigned i = 0; i < LOCAL_SETS * LOCAL_WAYS; i++)
        atomic_store_explicit(&local_known[i / LOCAL_WAYS][i % LOCAL_WAYS], NULL, memory_order_relaxed);
}

static uint64_t current_context(void) {
    CUcontext context = NULL;
    return INSIDE(CUDA->cuCtxGetCurrent(&context)) == CUDA_SUCCESS ? (uint64_t)(uintptr_t)context : 0;
}

/* Bytes that the context has for each thread. */
static uint64_t has(uint64_t context) {
    struct entry entry;
    size_t stack = 0;
    if (table_find(&process()->table, CLASS_CONTEXT, context, &entry))
        return entry.size;
    return INSIDE(CUDA->cuCtxGetLimit(&stack, CU_LIMIT_STACK_SIZE)) == CUDA_SUCCESS ? stack : 0;
}

static void has_now(uint64_t context, uint64_t size) {
    struct entry entry = {.key = context, .size = size, .class = CLASS_CONTEXT};
    table_put(&process()->table, &entry);
}

void local_forget_context(uint64_t context) {
    struct entry entry;
    table_take(&process()->table, CLASS_CONTEXT, context, &entry);
    local_forget();
}

uint64_t local_size(const void *function, CUdevice ordinal, bool *everywhere) {
    enum { SIZE = CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES };
    int size = 0;
    void *f = (void *)function;
    *everywhere = BESIDE_CAPTURES(CUDA->cuFuncGetAttribute(&size, SIZE, f)) != CUDA_SUCCESS;
    if (*everywhere && BESIDE_CAPTURES(CUDA->cuKernelGetAttribute(&size, SIZE, f, ordinal)) != CUDA_SUCCESS)
        return 0;
    return size > 0 ? (uint64_t)size : 0;
}

static uint64_t behind_threads(struct device *device, uint64_t size) {
    int processors = 0, threads = 0, ordinal = atomic_load(&device->ordinal);
    uint64_t bytes;
    INSIDE(CUDA->cuDeviceGetAttribute(&processors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, ordinal));
    INSIDE(CUDA->cuDeviceGetAttribute(&threads, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, ordinal));
    return __builtin_mul_overflow(size, (uint64_t)processors * (uint64_t)threads, &bytes) ? UINT64_MAX / 4
                                                                                          : round_up(bytes, BLOCK);
}

bool local_begin(struct local_growth *growth, uint64_t size) {
    *growth = (struct local_growth){.size = size};
    if (inside_driver || size <= atomic_load(&always))
        return true;
    struct device *device = device_current();
    uint64_t context = current_context(), now = device ? has(context) : size;
    if (size <= now)
        return true;
    growth->bytes = behind_threads(device, size - now);
    growth->context = context;
    if (!account_reserve(device, growth->bytes, &growth->reservation)) {
        refused(device, growth->bytes);
        return false;
    }
    growth->device = device;
    return true;
}

void local_end(struct local_growth *growth, bool done) {
    struct device *device = growth->device;
    if (!device)
        return;
    account_settle(device, &growth->reservation, done ? growth->bytes : 0);
    if (!done)
        return;
    account_defer_to_measurement(device, growth->bytes);
    has_now(growth->context, growth->size);
    measure_now(device);
}

bool local_launch_begin(struct local_growth *growth, const void *function, CUstream stream) {
    struct device *device = inside_driver || !function ? NULL : device_current();
    bool everywhere;
    *growth = (struct local_growth){0};
    if (!device || is_known(function))
        return true;
    uint64_t size = local_size(function, atomic_load(&device->ordinal), &everywhere);
    bool little = size <= atomic_load(&always);
    if (!little && capture_of(stream))
        return true; /* the graph takes it, when it is instantiated */
    if (!local_begin(growth, size))
        return false;
    growth->remember = little || !everywhere || device_has_one_context();
    return true;
}

void local_launch_end(struct local_growth *growth, const void *function, bool done) {
    local_end(growth, done);
    if (done && growth->remember)
        remember(function);
}

uint64_t local_growth_by_limit(struct device *device, size_t value) {
    uint64_t now = has(current_context());
    return value > now ? behind_threads(device, value - now) : 0;
}

void local_limit_changed(size_t value) {
    if (value < atomic_load(&always))
        atomic_store(&always, value);
    has_now(current_context(), value);
    local_forget();
}
