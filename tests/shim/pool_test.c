/* SPDX-License-Identifier: Apache-2.0 */
/* How often the driver is asked what a pool holds: never while the pool has the requested memory. */
#define _GNU_SOURCE
#include "gpu.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIECES = 16, THREADS = 4, ROUNDS = 50 };

static _Atomic unsigned *questions;

static CUcontext begin(void) {
    CUmemoryPool pool;
    uint64_t keep = UINT64_MAX;
    CUcontext context = gpu_begin(0);
    questions = dlsym(dlopen("libcuda.so.1", RTLD_NOW), "sim_pool_questions");
    EXPECT(questions);
    EXPECT_EQUAL(gpu.cuDeviceGetDefaultMemPool(&pool, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep), CUDA_SUCCESS);
    return context;
}

static void take(CUdeviceptr *piece, unsigned i, CUstream stream) {
    EXPECT_EQUAL(gpu.cuMemAllocAsync(piece, (i + 1) * MIB, stream), CUDA_SUCCESS);
}

static void give(CUdeviceptr piece, CUstream stream) {
    EXPECT_EQUAL(gpu.cuMemFreeAsync(piece, stream), CUDA_SUCCESS);
}

static void one_after_another(CUstream stream) {
    CUdeviceptr piece;
    for (unsigned i = 0; i < PIECES; i++)
        take(&piece, i, stream), give(piece, stream);
}

static void all_together(CUstream stream) {
    CUdeviceptr pieces[PIECES];
    for (unsigned i = 0; i < PIECES; i++)
        take(&pieces[i], i, stream);
    for (unsigned i = 0; i < PIECES; i++)
        give(pieces[i], stream);
}

/* Some allocations live on while others come and go. */
static void some_stay(CUstream stream) {
    CUdeviceptr pieces[PIECES];
    for (unsigned i = 0; i < PIECES; i += 2)
        take(&pieces[i], i, stream);
    for (unsigned i = 1; i < PIECES; i += 2)
        take(&pieces[i], i, stream), give(pieces[i], stream);
    for (unsigned i = 0; i < PIECES; i += 2)
        give(pieces[i], stream);
}

static unsigned asked_when_warm(void (*round)(CUstream)) {
    round(NULL), round(NULL), round(NULL);
    unsigned before = atomic_load(questions);
    for (int i = 0; i < 10; i++)
        round(NULL);
    return atomic_load(questions) - before;
}

SCENARIO(Of_a_warm_pool_the_driver_is_asked_nothing, .limit = "4g") {
    begin();
    EXPECT_EQUAL(asked_when_warm(one_after_another), 0);
    EXPECT_EQUAL(asked_when_warm(all_together), 0);
    EXPECT_EQUAL(asked_when_warm(some_stay), 0);
    EXPECT_EQUAL(4 * GIB - gpu_free(), device_used(0));
}

SCENARIO(A_warm_pool_is_not_asked_about_near_the_limit, .limit = "400m") {
    begin();
    EXPECT_EQUAL(asked_when_warm(all_together), 0);
    EXPECT_EQUAL(400 * MIB - gpu_free(), device_used(0));
}

SCENARIO(A_pool_that_grows_is_asked_about_once_an_allocation, .limit = "4g") {
    CUdeviceptr pieces[PIECES];
    begin();
    take(&pieces[0], 63, NULL);
    unsigned before = atomic_load(questions);
    for (unsigned i = 1; i < PIECES; i++)
        take(&pieces[i], 63, NULL);
    EXPECT(atomic_load(questions) - before <= 2 * PIECES); /* what it holds, once again where that had changed */
    EXPECT_EQUAL(4 * GIB - gpu_free(), device_used(0));
}

/* Each growth is reserved against the limit, also if the one before used credit. */
SCENARIO(A_pool_that_grows_on_credit_ends_at_the_limit, .limit = "3g") {
    CUdeviceptr warm, piece;
    CUresult result;
    unsigned pieces = 0;
    begin();
    for (int i = 0; i < 8; i++)
        take(&warm, 63, NULL), give(warm, NULL);
    while ((result = gpu.cuMemAllocAsync(&piece, 64 * MIB, NULL)) == CUDA_SUCCESS)
        pieces++;
    EXPECT_EQUAL(result, CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT(pieces > 40);
    EXPECT(device_peak(0) <= 3 * GIB);
    EXPECT_EQUAL(refused_calls(), 1);
}

/* The same from many pools in turn. */
SCENARIO(Pools_that_grow_in_turn_end_at_the_limit, .limit = "3g") {
    CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemoryPool pools[8];
    CUdeviceptr piece;
    CUresult result = CUDA_SUCCESS;
    begin();
    for (int i = 0; i < 8; i++)
        EXPECT_EQUAL(gpu.cuMemPoolCreate(&pools[i], &properties), CUDA_SUCCESS);
    for (unsigned i = 0; result == CUDA_SUCCESS; i++)
        result = gpu.cuMemAllocFromPoolAsync(&piece, 64 * MIB, pools[i % 8], NULL);
    EXPECT_EQUAL(result, CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT(device_peak(0) <= 3 * GIB);
    EXPECT_EQUAL(refused_calls(), 1);
}

static CUcontext context;

static void *in_thread(void *unused) {
    CUstream stream;
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(context), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamCreate(&stream, 1), CUDA_SUCCESS);
    for (int i = 0; i < ROUNDS; i++)
        all_together(stream);
    return unused;
}

/* What is known of the pool depends on how their allocations interleave; in any case one query each at most. */
SCENARIO(A_shared_pool_is_asked_about_once_an_allocation, .limit = "4g") {
    pthread_t threads[THREADS];
    context = begin();
    unsigned before = atomic_load(questions);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, in_thread, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    unsigned asked = atomic_load(questions) - before;
    if (asked > THREADS * ROUNDS * PIECES)
        fail(__FILE__, __LINE__, "%u questions", asked);
    if (getenv("RUNAI_TEST_SHOW"))
        printf("%u questions\n", asked);
    EXPECT_EQUAL(4 * GIB - gpu_free(), device_used(0));
}
