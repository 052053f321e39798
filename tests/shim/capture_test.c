/* SPDX-License-Identifier: Apache-2.0 */
/* Captures: driver calls of the shim's own must not invalidate one (shim/hook_capture.c, BESIDE_CAPTURES). */
#include "gpu.h"

#include <pthread.h>

#define CONTEXT (64 * MIB)
enum { GLOBAL, THREAD_LOCAL, RELAXED };

static CUstream begin_capture(int mode) {
    CUstream stream;
    EXPECT_EQUAL(gpu.cuStreamCreate(&stream, 1), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamBeginCapture_v2(stream, mode), CUDA_SUCCESS);
    return stream;
}

static void expect_whole(CUstream stream) {
    CUgraph graph = NULL;
    EXPECT_EQUAL(gpu.cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
    EXPECT(graph);
}

static CUdeviceptr allocate_in(CUstream stream, uint64_t bytes) {
    CUdeviceptr pointer = 0;
    EXPECT_EQUAL(gpu.cuMemAllocAsync(&pointer, bytes, stream), CUDA_SUCCESS);
    return pointer;
}

/* Leaves the default pool with memory that nothing uses. */
static void fill_the_pool(CUstream stream) {
    CUmemoryPool pool;
    uint64_t keep = UINT64_MAX;
    EXPECT_EQUAL(gpu.cuDeviceGetDefaultMemPool(&pool, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep), CUDA_SUCCESS);
    CUdeviceptr pointers[100];
    for (int i = 0; i < 100; i++)
        pointers[i] = allocate_in(stream, MIB);
    for (int i = 0; i < 100; i++)
        EXPECT_EQUAL(gpu.cuMemFreeAsync(pointers[i], stream), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamSynchronize(stream), CUDA_SUCCESS);
}

SCENARIO(A_process_may_capture_its_first_allocation_from_a_pool, .limit = "1g") {
    gpu_begin(0);
    CUstream stream = begin_capture(GLOBAL);
    CUdeviceptr pointer = allocate_in(stream, MIB);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(pointer, stream), CUDA_SUCCESS);
    expect_whole(stream);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

SCENARIO(A_warm_pool_may_be_captured_many_times, .limit = "1g") {
    CUstream stream;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuStreamCreate(&stream, 1), CUDA_SUCCESS);
    fill_the_pool(stream);
    uint64_t before = gpu_free();
    EXPECT_EQUAL(gpu.cuStreamBeginCapture_v2(stream, GLOBAL), CUDA_SUCCESS);
    for (int i = 0; i < 200; i++)
        EXPECT_EQUAL(gpu.cuMemFreeAsync(allocate_in(stream, MIB), stream), CUDA_SUCCESS);
    expect_whole(stream);
    EXPECT_EQUAL(gpu_free(), before);
}

/* Captured allocations belong to a graph: the pool's free pieces stay where they were, but the shim no longer relies on
   them. */
SCENARIO(What_is_captured_takes_no_piece_of_the_pool, .limit = "1g") {
    CUstream stream;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuStreamCreate(&stream, 1), CUDA_SUCCESS);
    fill_the_pool(stream);
    uint64_t before = gpu_free();
    EXPECT_EQUAL(gpu.cuStreamBeginCapture_v2(stream, GLOBAL), CUDA_SUCCESS);
    for (int i = 0; i < 100; i++)
        allocate_in(stream, MIB);
    expect_whole(stream);
    for (int i = 0; i < 100; i++)
        allocate_in(stream, MIB);
    EXPECT_EQUAL(gpu_free(), before);
    uint64_t keep = 0;
    CUmemoryPool pool;
    EXPECT_EQUAL(gpu.cuDeviceGetDefaultMemPool(&pool, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemPoolGetAttribute(pool, 7, &keep), CUDA_SUCCESS);
    EXPECT_EQUAL(keep, 100 * MIB);
}

SCENARIO(What_is_free_may_be_asked_in_a_capture, .limit = "1g") {
    CUstream stream;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuStreamCreate(&stream, 1), CUDA_SUCCESS);
    fill_the_pool(stream);
    allocate_in(stream, MIB);
    CUstream captured = begin_capture(GLOBAL);
    gpu_free();
    EXPECT_EQUAL(nvml_memory(0).total, GIB);
    expect_whole(captured);
}

SCENARIO(A_refusal_does_not_end_a_capture, .limit = "1g") {
    CUmemAllocationProp properties = {.type = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemGenericAllocationHandle handle;
    CUstream stream;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuStreamCreate(&stream, 1), CUDA_SUCCESS);
    fill_the_pool(stream);
    CUstream captured = begin_capture(GLOBAL);
    EXPECT_EQUAL(gpu.cuMemCreate(&handle, 2 * GIB, &properties, 0), CUDA_ERROR_OUT_OF_MEMORY);
    expect_whole(captured);
}

/* A capture in global mode prohibits other threads' allocations, but not cuMemGetInfo. */
static void *ask(void *context) {
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(context), CUDA_SUCCESS);
    gpu_free();
    return NULL;
}

static void *use_a_pool(void *context) {
    CUstream stream;
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(context), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamCreate(&stream, 1), CUDA_SUCCESS);
    CUdeviceptr pointers[100];
    for (int i = 0; i < 100; i++)
        pointers[i] = allocate_in(stream, MIB << i % 3);
    for (int i = 0; i < 100; i++)
        EXPECT_EQUAL(gpu.cuMemFreeAsync(pointers[i], stream), CUDA_SUCCESS);
    return ask(context);
}

SCENARIO(Another_threads_capture_survives_what_is_done_beside_it, .limit = "1g") {
    CUstream stream;
    pthread_t thread;
    CUcontext context = gpu_begin(0);
    EXPECT_EQUAL(gpu.cuStreamCreate(&stream, 1), CUDA_SUCCESS);
    fill_the_pool(stream);
    for (int mode = GLOBAL; mode <= RELAXED; mode++) {
        CUstream captured = begin_capture(mode);
        EXPECT_EQUAL(pthread_create(&thread, NULL, mode == GLOBAL ? ask : use_a_pool, context), 0);
        EXPECT_EQUAL(pthread_join(thread, NULL), 0);
        expect_whole(captured);
    }
}

/* The program's own calls are treated as without the shim, and the thread's mode stays as it was. */
SCENARIO(What_a_capture_prohibits_stays_prohibited, .limit = "1g") {
    CUgraph graph;
    CUdeviceptr pointer;
    int mode = RELAXED;
    gpu_begin(0);
    CUstream captured = begin_capture(GLOBAL);
    allocate_in(captured, MIB);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, MIB), 900);
    EXPECT_EQUAL(gpu.cuStreamEndCapture(captured, &graph), 901);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    captured = begin_capture(GLOBAL);
    EXPECT_EQUAL(gpu.cuThreadExchangeStreamCaptureMode(&mode), CUDA_SUCCESS);
    EXPECT_EQUAL(mode, GLOBAL);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, MIB), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuThreadExchangeStreamCaptureMode(&mode), CUDA_SUCCESS);
    EXPECT_EQUAL(mode, RELAXED);
    expect_whole(captured);
}
