/* SPDX-License-Identifier: Apache-2.0 */
/* Processes and threads at the limit: nothing overshoots, nothing that fits is refused, nothing is lost. */
#include "gpu.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define CONTEXT (64 * MIB)

struct shared {
    _Atomic unsigned ready, go, failures;
};

enum { PROCESSES = 64, THREADS = 8 };

/* By the device's count, not the shim's. */
static void expect_peak_within(uint64_t limit) {
    uint64_t peak = device_peak(0);
    if (peak > limit)
        fail(__FILE__, __LINE__, "the peak is %llu KiB above the limit; %llu KiB are in use, the shim says free: %llu",
             (unsigned long long)(peak - limit) >> 10, (unsigned long long)device_used(0) >> 10,
             (unsigned long long)gpu_free() >> 10);
}

static void race_once(struct shared *s) {
    CUdeviceptr held[64];
    unsigned n = 0;
    unsigned seed = (unsigned)getpid();
    end_with_parent();
    gpu_begin(0);
    atomic_fetch_add(&s->ready, 1);
    while (!atomic_load(&s->go))
        pause_ms(1);
    for (int i = 0; i < 300; i++) {
        size_t size = rand_r(&seed) % 3 ? (size_t)(rand_r(&seed) % 40 + 1) * MIB - (size_t)(rand_r(&seed) % 4096)
                                        : (size_t)(rand_r(&seed) % MIB) + 1; /* these share blocks */
        CUresult result = CUDA_SUCCESS;
        if (n < 64 && rand_r(&seed) % 3) {
            result = rand_r(&seed) % 4 ? gpu.cuMemAlloc_v2(&held[n], size) : gpu.cuMemAllocAsync(&held[n], size, NULL);
            n += result == CUDA_SUCCESS;
        } else if (n > 0) {
            unsigned k = (unsigned)rand_r(&seed) % n;
            result = rand_r(&seed) % 4 ? gpu.cuMemFree_v2(held[k]) : gpu.cuMemFreeAsync(held[k], NULL);
            held[k] = held[--n];
        }
        atomic_fetch_add(&s->failures, result == CUDA_ERROR_OUT_OF_MEMORY);
        if (result != CUDA_SUCCESS && result != CUDA_ERROR_OUT_OF_MEMORY)
            fail(__FILE__, __LINE__, "result %d", result);
    }
}

SCENARIO(Processes_racing_at_the_limit_never_exceed_it, .limit = "5g", .repeat = 10) {
    struct shared *s = shared_memory(sizeof *s);
    int pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        if ((pids[i] = fork()) == 0) {
            race_once(s);
            _exit(0);
        }
    while (atomic_load(&s->ready) < PROCESSES)
        pause_ms(1);
    atomic_store(&s->go, 1);
    for (int i = 0; i < PROCESSES; i++)
        EXPECT_EQUAL(wait_for(pids[i]), 0);
    gpu_begin(0);
    expect_peak_within(5 * GIB);
    EXPECT(atomic_load(&s->failures) > 0); /* it was a race at the limit */
    EXPECT_EQUAL(gpu_free(), 5 * GIB - CONTEXT);
    gpu_allocate(5 * GIB - CONTEXT);
}

static void *race_in_thread(void *data) {
    CUcontext context;
    (void)data;
    EXPECT_EQUAL(gpu.cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(context), CUDA_SUCCESS);
    unsigned seed = (unsigned)(uintptr_t)data;
    for (int i = 0; i < 3000; i++) {
        CUdeviceptr pointer;
        size_t size = rand_r(&seed) % 2 ? 512 : (size_t)(rand_r(&seed) % 100 + 1) * MIB;
        CUresult result = gpu.cuMemAlloc_v2(&pointer, size);
        if (result == CUDA_SUCCESS)
            EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
        else
            EXPECT_EQUAL(result, CUDA_ERROR_OUT_OF_MEMORY);
    }
    return NULL;
}

SCENARIO(Threads_racing_at_the_limit_never_exceed_it, .limit = "400m") {
    pthread_t threads[THREADS];
    gpu_begin(0);
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQUAL(pthread_create(&threads[i], NULL, race_in_thread, (void *)(uintptr_t)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    expect_peak_within(400 * MIB);
    EXPECT_EQUAL(gpu_free(), 400 * MIB - CONTEXT);
}

/* Physical memory, freed by its handle's or by its mapping's end. */
static void *race_in_physical_memory(void *data) {
    CUmemAllocationProp properties = {.type = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUdeviceptr range;
    CUcontext context;
    EXPECT_EQUAL(gpu.cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(context), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAddressReserve(&range, 100 * MIB, 0, 0, 0), CUDA_SUCCESS);
    unsigned seed = (unsigned)(uintptr_t)data;
    for (int i = 0; i < 1000; i++) {
        CUmemGenericAllocationHandle handle;
        size_t size = (size_t)(rand_r(&seed) % 8 + 1) * 4 * MIB;
        CUresult result = gpu.cuMemCreate(&handle, size, &properties, 0);
        EXPECT(result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY);
        if (result != CUDA_SUCCESS)
            continue;
        bool mapped = rand_r(&seed) % 2;
        if (mapped)
            EXPECT_EQUAL(gpu.cuMemMap(range, size, 0, handle, 0), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemRelease(handle), CUDA_SUCCESS);
        if (mapped)
            EXPECT_EQUAL(gpu.cuMemUnmap(range, size), CUDA_SUCCESS);
    }
    return NULL;
}

SCENARIO(Threads_racing_in_physical_memory_never_exceed_the_limit, .limit = "128m") {
    pthread_t threads[THREADS];
    gpu_begin(0);
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQUAL(pthread_create(&threads[i], NULL, race_in_physical_memory, (void *)(uintptr_t)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    expect_peak_within(128 * MIB);
    EXPECT_EQUAL(gpu_free(), 128 * MIB - CONTEXT);
}

/* Contexts come and go with all that was allocated in them. */
static void *race_in_contexts(void *data) {
    unsigned seed = (unsigned)(uintptr_t)data;
    for (int i = 0; i < 40; i++) {
        CUcontext context;
        CUdeviceptr pointer;
        CUresult result = gpu.cuCtxCreate_v2(&context, 0, 0);
        EXPECT(result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY);
        if (result != CUDA_SUCCESS)
            continue;
        for (int k = 0; k < 4; k++) {
            result = gpu.cuMemAlloc_v2(&pointer, (size_t)(rand_r(&seed) % 8 + 1) * 8 * MIB);
            EXPECT(result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY);
        }
        EXPECT_EQUAL(gpu.cuCtxDestroy_v2(context), CUDA_SUCCESS);
    }
    return NULL;
}

SCENARIO(Threads_whose_contexts_come_and_go_never_exceed_the_limit, .limit = "512m") {
    pthread_t threads[THREADS];
    gpu_begin(0);
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQUAL(pthread_create(&threads[i], NULL, race_in_contexts, (void *)(uintptr_t)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    expect_peak_within(512 * MIB);
    EXPECT_EQUAL(gpu_free(), 512 * MIB - CONTEXT);
}

/* What the driver keeps for the next stream, and memory that is freed in the order of one. */
static void *race_in_streams(void *data) {
    CUcontext context;
    EXPECT_EQUAL(gpu.cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(context), CUDA_SUCCESS);
    unsigned seed = (unsigned)(uintptr_t)data;
    for (int i = 0; i < 500; i++) {
        CUstream stream;
        CUdeviceptr pointer;
        CUresult result = gpu.cuStreamCreate(&stream, 1);
        EXPECT(result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY);
        if (result != CUDA_SUCCESS)
            continue;
        result = gpu.cuMemAlloc_v2(&pointer, rand_r(&seed) % 2 ? 512 : (size_t)(rand_r(&seed) % 8 + 1) * 2 * MIB);
        EXPECT(result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY);
        if (result == CUDA_SUCCESS)
            EXPECT_EQUAL(gpu.cuMemFreeAsync(pointer, stream), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuStreamSynchronize(stream), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuStreamDestroy_v2(stream), CUDA_SUCCESS);
    }
    return NULL;
}

SCENARIO(Threads_whose_streams_come_and_go_never_exceed_the_limit, .limit = "100m", .gpus = "--stream 560k") {
    pthread_t threads[THREADS];
    gpu_begin(0);
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQUAL(pthread_create(&threads[i], NULL, race_in_streams, (void *)(uintptr_t)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    expect_peak_within(100 * MIB);
    EXPECT_EQUAL(gpu_free(), 100 * MIB - device_used(0));
}

static void *race_for_blocks(void *data) {
    CUcontext context;
    EXPECT_EQUAL(gpu.cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(context), CUDA_SUCCESS);
    unsigned seed = (unsigned)(uintptr_t)data;
    for (int i = 0; i < 3000; i++) {
        CUdeviceptr pointer[2];
        size_t size = rand_r(&seed) % 4 ? 512 : (size_t)(rand_r(&seed) % 3 + 1) * 2 * MIB;
        for (int k = 0; k < 2; k++)
            if (gpu.cuMemAlloc_v2(&pointer[k], size) != CUDA_SUCCESS)
                pointer[k] = 0;
        for (int k = 0; k < 2; k++)
            EXPECT_EQUAL(gpu.cuMemFree_v2(pointer[k]), CUDA_SUCCESS);
    }
    return NULL;
}

/* Only the calls themselves are known, and the device is full all the time. */
SCENARIO(Without_NVML_racing_threads_stay_within_the_limit, .limit = "80m", .without_nvml = true) {
    pthread_t threads[THREADS];
    gpu_begin(0);
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQUAL(pthread_create(&threads[i], NULL, race_for_blocks, (void *)(uintptr_t)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    expect_peak_within(80 * MIB);
    EXPECT_EQUAL(gpu_free(), 80 * MIB - CONTEXT);
}

/* Two small allocations share 2 MiB. The thread that frees the first is held up inside the driver, by a signal, while
   the second is freed: the 2 MiB are there until the driver has had both. There is no NVML here, by which a measurement
   might find them. */
static struct {
    CUcontext context;
    CUdeviceptr first;
    _Atomic bool goes_on;
} held_up;

static void hold_up(int signal) {
    (void)signal;
    while (!atomic_load(&held_up.goes_on))
        pause_ms(1);
}

static void *free_the_first(void *unused) {
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(held_up.context), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFree_v2(held_up.first), CUDA_SUCCESS);
    return unused;
}

SCENARIO(A_block_of_small_allocations_counts_until_all_return, .limit = "100m", .gpus = "--latency-ns 300000000",
         .without_nvml = true) {
    CUdeviceptr second, pointer;
    pthread_t thread;
    signal(SIGUSR1, hold_up);
    held_up.context = gpu_begin(0);
    held_up.first = gpu_allocate(512);
    second = gpu_allocate(512);
    gpu_allocate(100 * MIB - CONTEXT - 2 * MIB);
    EXPECT_EQUAL(pthread_create(&thread, NULL, free_the_first, NULL), 0);
    pause_ms(100);
    EXPECT_EQUAL(pthread_kill(thread, SIGUSR1), 0);
    EXPECT_EQUAL(gpu.cuMemFree_v2(second), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 2 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    atomic_store(&held_up.goes_on, true);
    pthread_join(thread, NULL);
    expect_peak_within(100 * MIB);
    gpu_allocate(2 * MIB);
}

/* Threads share a pool of managed memory and two streams, besides linear memory; now and then the pool's high-water
   mark is reset. */
static struct {
    CUcontext context;
    CUmemoryPool pool;
    CUstream streams[2];
} managed;

static void *race_in_managed_pool(void *data) {
    CUdeviceptr held[4] = {0};
    uint64_t none = 0;
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(managed.context), CUDA_SUCCESS);
    unsigned seed = (unsigned)(uintptr_t)data;
    for (int i = 0; i < 2000; i++) {
        CUstream stream = managed.streams[rand_r(&seed) % 2];
        CUdeviceptr *one = &held[rand_r(&seed) % 4];
        size_t size = (size_t)(rand_r(&seed) % 3 + 1) * 32 * MIB;
        CUresult result = CUDA_SUCCESS;
        if (*one) {
            EXPECT_EQUAL(gpu.cuMemFreeAsync(*one, stream), CUDA_SUCCESS);
            *one = 0;
        } else if (rand_r(&seed) % 4)
            result = gpu.cuMemAllocFromPoolAsync(one, size, managed.pool, stream);
        else
            result = gpu.cuMemAlloc_v2(one, size);
        EXPECT(result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY);
        if (result != CUDA_SUCCESS)
            *one = 0;
        if (rand_r(&seed) % 8 == 0)
            EXPECT_EQUAL(gpu.cuStreamSynchronize(stream), CUDA_SUCCESS);
        if (rand_r(&seed) % 4 == 0)
            EXPECT_EQUAL(gpu.cuMemPoolSetAttribute(managed.pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &none),
                         CUDA_SUCCESS);
    }
    for (int i = 0; i < 4; i++)
        if (held[i])
            EXPECT_EQUAL(gpu.cuMemFree_v2(held[i]), CUDA_SUCCESS);
    return NULL;
}

SCENARIO(Threads_racing_in_a_managed_pool_stay_within_the_limit, .limit = "1g", .repeat = 5) {
    CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_MANAGED,
                                 .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    pthread_t threads[THREADS];
    managed.context = gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemPoolCreate(&managed.pool, &properties), CUDA_SUCCESS);
    for (int i = 0; i < 2; i++)
        EXPECT_EQUAL(gpu.cuStreamCreate(&managed.streams[i], 1), CUDA_SUCCESS);
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQUAL(pthread_create(&threads[i], NULL, race_in_managed_pool, (void *)(uintptr_t)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    expect_peak_within(GIB);
    EXPECT_EQUAL(gpu.cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT(gpu_free() <= GIB - device_used(0));
    EXPECT_EQUAL(gpu.cuMemPoolDestroy(managed.pool), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

/* The same in two pools of ordinary memory, in pieces of many sizes, with trims: threads get what others have freed,
   and the pools shrink and grow all the time. */
static CUmemoryPool ordinary[2];

static void *race_in_pools(void *data) {
    CUdeviceptr held[8] = {0};
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(managed.context), CUDA_SUCCESS);
    unsigned seed = (unsigned)(uintptr_t)data;
    for (int i = 0; i < 3000; i++) {
        CUstream stream = managed.streams[rand_r(&seed) % 2];
        CUdeviceptr *one = &held[rand_r(&seed) % 8];
        size_t size =
            rand_r(&seed) % 4 ? (size_t)(rand_r(&seed) % 8 + 1) << 20 : (size_t)(rand_r(&seed) % 90 + 1) << 20;
        if (*one) {
            EXPECT_EQUAL(gpu.cuMemFreeAsync(*one, stream), CUDA_SUCCESS);
            *one = 0;
        } else {
            CUresult result = rand_r(&seed) % 8
                                  ? gpu.cuMemAllocFromPoolAsync(one, size, ordinary[rand_r(&seed) % 2], stream)
                                  : gpu.cuMemAlloc_v2(one, size);
            EXPECT(result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY);
            if (result != CUDA_SUCCESS)
                *one = 0;
        }
        if (rand_r(&seed) % 64 == 0)
            EXPECT_EQUAL(gpu.cuStreamSynchronize(stream), CUDA_SUCCESS);
        if (rand_r(&seed) % 64 == 0)
            EXPECT_EQUAL(gpu.cuMemPoolTrimTo(ordinary[rand_r(&seed) % 2], 0), CUDA_SUCCESS);
    }
    for (int i = 0; i < 8; i++)
        if (held[i])
            EXPECT_EQUAL(gpu.cuMemFreeAsync(held[i], NULL), CUDA_SUCCESS);
    return NULL;
}

static void race_in_two_pools(uint64_t limit) {
    CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    uint64_t keep = UINT64_MAX;
    pthread_t threads[THREADS];
    managed.context = gpu_begin(0);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQUAL(gpu.cuMemPoolCreate(&ordinary[i], &properties), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuStreamCreate(&managed.streams[i], 1), CUDA_SUCCESS);
    }
    EXPECT_EQUAL(gpu.cuMemPoolSetAttribute(ordinary[1], CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep), CUDA_SUCCESS);
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQUAL(pthread_create(&threads[i], NULL, race_in_pools, (void *)(uintptr_t)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    expect_peak_within(limit);
    EXPECT_EQUAL(gpu.cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), limit - device_used(0));
    EXPECT_EQUAL(gpu.cuMemPoolTrimTo(ordinary[1], 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), limit - CONTEXT);
}

SCENARIO(Threads_racing_in_pools_stay_within_the_limit, .limit = "700m", .repeat = 3) {
    race_in_two_pools(700 * MIB);
}

SCENARIO(Threads_racing_from_far_below_stay_within_the_limit, .limit = "2g", .repeat = 3) {
    race_in_two_pools(2 * GIB);
}

static void hold_a_warm_pool(struct shared *s) {
    CUdeviceptr pointer;
    uint64_t keep = UINT64_MAX;
    CUmemoryPool pool;
    end_with_parent();
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuDeviceGetDefaultMemPool(&pool, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep), CUDA_SUCCESS);
    for (int i = 0; i < 100; i++) {
        EXPECT_EQUAL(gpu.cuMemAllocAsync(&pointer, 20 * MIB, NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemFreeAsync(pointer, NULL), CUDA_SUCCESS);
    }
    EXPECT_EQUAL(gpu_free(), 4 * GIB - CONTEXT - 32 * MIB);
    atomic_fetch_add(&s->ready, 1);
    while (!atomic_load(&s->go))
        pause_ms(1);
}

/* The pool's process is idle then, and keeps its reservation. */
SCENARIO(Another_process_gets_what_a_warm_pool_reserved, .limit = "4g") {
    struct shared *s = shared_memory(sizeof *s);
    int pid = fork();
    if (pid == 0) {
        hold_a_warm_pool(s);
        _exit(0);
    }
    while (!atomic_load(&s->ready))
        pause_ms(1);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), 4 * GIB - 2 * CONTEXT - 32 * MIB);
    gpu_allocate(gpu_free());
    EXPECT_EQUAL(device_used(0), 4 * GIB);
    atomic_store(&s->go, 1);
    EXPECT_EQUAL(wait_for(pid), 0);
}

/* What a thread allocates, from the pool or as linear memory, and when. */
struct taking {
    unsigned after_ms;
    uint64_t bytes;
    bool linear;
    CUresult result;
};

static void *take(void *data) {
    struct taking *taking = data;
    CUdeviceptr pointer;
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(managed.context), CUDA_SUCCESS);
    pause_ms(taking->after_ms);
    taking->result = taking->linear ? gpu.cuMemAlloc_v2(&pointer, taking->bytes)
                                    : gpu.cuMemAllocFromPoolAsync(&pointer, taking->bytes, managed.pool, NULL);
    return NULL;
}

/* Each in a thread of its own, while 320 MiB were freed of the pool and `left` MiB are left of the limit. */
static void take_beside_each_other(struct taking *takings, unsigned count, uint64_t left) {
    CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_MANAGED,
                                 .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    pthread_t threads[4];
    CUdeviceptr pointer;
    managed.context = gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemPoolCreate(&managed.pool, &properties), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&pointer, 320 * MIB, managed.pool, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(pointer, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    gpu_allocate(GIB - CONTEXT - 320 * MIB - left);
    for (unsigned i = 0; i < count; i++)
        EXPECT_EQUAL(pthread_create(&threads[i], NULL, take, &takings[i]), 0);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    expect_peak_within(GIB);
}

SCENARIO(Freed_managed_memory_serves_one_thread_only, .limit = "1g", .gpus = "--latency-ns 200000000") {
    struct taking takings[2] = {{.bytes = 288 * MIB}, {.after_ms = 50, .bytes = 288 * MIB}};
    take_beside_each_other(takings, 2, 0);
    bool first = takings[0].result == CUDA_SUCCESS; /* on a busy machine it may be the second */
    EXPECT_EQUAL(takings[first ? 0 : 1].result, CUDA_SUCCESS);
    EXPECT_EQUAL(takings[first ? 1 : 0].result, CUDA_ERROR_OUT_OF_MEMORY);
}

/* The second gets what is left of the limit; the first, which finishes earlier, does not give that to the third. */
SCENARIO(Managed_memory_about_to_be_taken_is_kept, .limit = "1g", .gpus = "--latency-ns 400000000") {
    struct taking takings[3] = {{.bytes = 96 * MIB},
                                {.after_ms = 200, .bytes = 320 * MIB},
                                {.after_ms = 500, .bytes = 96 * MIB, .linear = true}};
    take_beside_each_other(takings, 3, 96 * MIB);
    EXPECT_EQUAL(takings[0].result, CUDA_SUCCESS);
    EXPECT_EQUAL(takings[1].result, CUDA_SUCCESS);
    EXPECT_EQUAL(takings[2].result, CUDA_ERROR_OUT_OF_MEMORY);
}

/* One thread frees a piece while another allocates, in another stream, and gets it; a third, which finds it free, makes
   the pool grow after that; and a fourth wants all that is left, before. */
static struct {
    CUdeviceptr piece;
    CUstream other;
    uint64_t left;
    CUresult third, fourth;
} warm;

static void *free_the_piece(void *unused) {
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(managed.context), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(warm.piece, NULL), CUDA_SUCCESS);
    return unused;
}

static void *get_the_piece(void *unused) {
    CUdeviceptr pointer;
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(managed.context), CUDA_SUCCESS);
    pause_ms(300);
    EXPECT_EQUAL(gpu.cuMemAllocAsync(&pointer, 32 * MIB, warm.other), CUDA_SUCCESS);
    return unused;
}

static void *find_it_free(void *unused) {
    CUdeviceptr pointer;
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(managed.context), CUDA_SUCCESS);
    pause_ms(500);
    warm.third = gpu.cuMemAllocAsync(&pointer, 32 * MIB, NULL);
    return unused;
}

static void *take_what_is_left(void *unused) {
    CUdeviceptr pointer;
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(managed.context), CUDA_SUCCESS);
    pause_ms(780);
    warm.fourth = gpu.cuMemAlloc_v2(&pointer, warm.left);
    return unused;
}

SCENARIO(Freed_pool_memory_is_uncertain_while_others_allocate, .limit = "1g", .gpus = "--latency-ns 400000000") {
    void *(*const doing[])(void *) = {free_the_piece, get_the_piece, find_it_free, take_what_is_left};
    pthread_t threads[4];
    managed.context = gpu_begin(0);
    EXPECT_EQUAL(gpu.cuStreamCreate(&warm.other, 1), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAllocAsync(&warm.piece, 32 * MIB, NULL), CUDA_SUCCESS);
    warm.left = gpu_free();
    for (int i = 0; i < 4; i++)
        EXPECT_EQUAL(pthread_create(&threads[i], NULL, doing[i], NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    expect_peak_within(GIB);
    EXPECT(warm.third == CUDA_ERROR_OUT_OF_MEMORY || warm.fourth == CUDA_ERROR_OUT_OF_MEMORY);
}

static void take_one(struct together *t) {
    CUdeviceptr pointer;
    gpu_begin(0);
    atomic_fetch_add(&t->ready, 1);
    while (!atomic_load(&t->go))
        ; /* a millisecond apart they would not race */
    together_done(t, gpu.cuMemAlloc_v2(&pointer, 100 * MIB) == CUDA_SUCCESS);
}

/* Eight want the last free memory at once: refusing all of them because each saw the others would be wrong, too. */
SCENARIO(One_of_racing_processes_gets_the_last_place, .limit = "612m", .repeat = 10) {
    struct together *t = start_together(8, take_one);
    EXPECT_EQUAL(t->succeeded, 1);
    EXPECT_EQUAL(device_used(0), 8 * CONTEXT + 100 * MIB);
    end_together(t);
}

static void hold_a_context(struct together *t) {
    CUcontext context;
    gpu_open();
    together_begin(t);
    EXPECT_EQUAL(gpu.cuInit(0), CUDA_SUCCESS);
    CUresult result = gpu.cuDevicePrimaryCtxRetain(&context, 0);
    EXPECT(result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY);
    together_done(t, result == CUDA_SUCCESS);
}

/* Only the shims know what a context takes, and each reserves it. As many contexts are created as fit. */
SCENARIO(Without_NVML_as_many_contexts_start_as_fit, .limit = "2g", .without_nvml = true) {
    struct together *t = start_together(PROCESSES, hold_a_context);
    EXPECT(device_peak(0) <= 2 * GIB);
    EXPECT_EQUAL(t->succeeded, 2 * GIB / CONTEXT);
    end_together(t);
}
