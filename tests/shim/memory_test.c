/* SPDX-License-Identifier: Apache-2.0 */
/* What takes memory is charged, what gives it back is refunded, and the limit is the limit. */
#include "../../shim/ledger.h"
#include "gpu.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <unistd.h>

/* A context of the simulation holds 64 MiB. */
#define CONTEXT (64 * MIB)

SCENARIO(Memory_beyond_the_limit_is_refused_as_out_of_memory, .limit = "1g", .silent = true) {
    CUdeviceptr pointer;
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, GIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, GIB - CONTEXT), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), 0);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 1), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(device_peak(0), GIB);
    EXPECT_EQUAL(refused_calls(), 2);
}

SCENARIO(Freed_memory_can_be_had_again, .limit = "1g") {
    gpu_begin(0);
    for (int i = 0; i < 200; i++) {
        CUdeviceptr pointer = gpu_allocate(900 * MIB);
        EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
    }
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    EXPECT_EQUAL(device_used(0), CONTEXT);
}

SCENARIO(Small_allocations_are_charged_by_the_blocks_they_share, .limit = "1g") {
    static CUdeviceptr pointers[20000];
    gpu_begin(0);
    for (int i = 0; i < 20000; i++)
        pointers[i] = gpu_allocate(512);
    EXPECT_EQUAL(gpu_free(), GIB - device_used(0));
    for (int i = 0; i < 20000; i += 2)
        EXPECT_EQUAL(gpu.cuMemFree_v2(pointers[i]), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - device_used(0));
    for (int i = 1; i < 20000; i += 2)
        EXPECT_EQUAL(gpu.cuMemFree_v2(pointers[i]), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

SCENARIO(Mixed_sizes_are_charged_as_the_driver_counts_them, .limit = "3g") {
    static const size_t sizes[] = {1,       100 << 10, 1 << 20,  (1 << 20) + 1, 2 << 20, (2 << 20) + 1,
                                   3 << 20, 5000000,   33 << 20, 100 << 20};
    CUdeviceptr pointers[40];
    gpu_begin(0);
    for (int i = 0; i < 40; i++) {
        pointers[i] = gpu_allocate(sizes[i % 10]);
        EXPECT_EQUAL(gpu_free(), 3 * GIB - device_used(0));
    }
    for (int i = 0; i < 40; i++) {
        EXPECT_EQUAL(gpu.cuMemFree_v2(pointers[i * 7 % 40]), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu_free(), 3 * GIB - device_used(0));
    }
}

SCENARIO(Small_allocations_can_fill_the_limit, .limit = "100m") {
    CUdeviceptr pointer;
    gpu_begin(0);
    unsigned count = 0;
    while (gpu.cuMemAlloc_v2(&pointer, 1 << 20) == CUDA_SUCCESS)
        count++;
    EXPECT(count >= 34 && count <= 36);
    EXPECT(device_peak(0) <= 100 * MIB);
}

SCENARIO(Pitched_memory_is_charged, .limit = "1g") {
    CUdeviceptr pointer;
    size_t pitch;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemAllocPitch_v2(&pointer, &pitch, 1000, 500000, 4), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - device_used(0));
    CUdeviceptr other;
    EXPECT_EQUAL(gpu.cuMemAllocPitch_v2(&other, &pitch, 1000, 500000, 4), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    EXPECT_EQUAL(gpu.cuMemAllocPitch_v2(&pointer, &pitch, (size_t)1 << 62, 8, 4), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(refused_calls(), 2);
}

SCENARIO(Managed_memory_is_charged_in_full, .limit = "1g") {
    CUdeviceptr pointer, other;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemAllocManaged(&pointer, 600 * MIB, 1), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 600 * MIB);
    EXPECT_EQUAL(gpu.cuMemAllocManaged(&other, 600 * MIB, 1), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    EXPECT_EQUAL(refused_calls(), 1);
}

SCENARIO(Stream_ordered_memory_is_charged_by_what_the_pool_holds, .limit = "1g") {
    CUdeviceptr pointers[8];
    gpu_begin(0);
    for (int i = 0; i < 8; i++) {
        EXPECT_EQUAL(gpu.cuMemAllocAsync(&pointers[i], 20 * MIB + (size_t)i, NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu_free(), GIB - device_used(0));
    }
    CUdeviceptr other;
    EXPECT_EQUAL(gpu.cuMemAllocAsync(&other, 900 * MIB, NULL), CUDA_ERROR_OUT_OF_MEMORY);
    for (int i = 0; i < 8; i++)
        EXPECT_EQUAL(gpu.cuMemFreeAsync(pointers[i], NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    EXPECT(device_peak(0) <= GIB);
    EXPECT_EQUAL(refused_calls(), 1);
}

SCENARIO(A_warm_pool_stays_charged_until_trimmed, .limit = "1g") {
    CUdeviceptr pointer;
    CUmemoryPool pool;
    uint64_t everything = UINT64_MAX;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuDeviceGetDefaultMemPool(&pool, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemPoolSetAttribute(pool, 4, &everything), CUDA_SUCCESS);
    for (int i = 0; i < 1000; i++) {
        EXPECT_EQUAL(gpu.cuMemAllocAsync(&pointer, 64 * MIB, NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemFreeAsync(pointer, NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    }
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 64 * MIB);
    EXPECT_EQUAL(gpu.cuMemPoolTrimTo(pool, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

/* After a synchronisation: before it, the driver itself reclaims nothing, even if memory is short. */
SCENARIO(Unneeded_memory_of_a_pool_makes_room_first, .limit = "1g") {
    CUdeviceptr pointer;
    CUmemoryPool pool;
    uint64_t everything = UINT64_MAX;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuDeviceGetDefaultMemPool(&pool, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemPoolSetAttribute(pool, 4, &everything), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAllocAsync(&pointer, 640 * MIB, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(pointer, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 640 * MIB), CUDA_SUCCESS);
    EXPECT(device_peak(0) <= GIB);
}

/* Natively it is reused in stream order. Freeing one of many and allocating another is what PyTorch does after an
   out-of-memory error. */
SCENARIO(A_stream_reuses_its_freed_memory_at_the_limit, .limit = "1g") {
    enum { PIECES = 15 };
    CUdeviceptr pointers[PIECES + 1];
    CUmemoryPool pool;
    uint64_t everything = UINT64_MAX;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuDeviceGetDefaultMemPool(&pool, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemPoolSetAttribute(pool, 4, &everything), CUDA_SUCCESS);
    int made = 0;
    while (made <= PIECES && gpu.cuMemAllocAsync(&pointers[made], 64 * MIB, NULL) == CUDA_SUCCESS)
        made++;
    EXPECT_EQUAL(made, PIECES);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQUAL(gpu.cuMemFreeAsync(pointers[i], NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemAllocAsync(&pointers[i], 64 * MIB, NULL), CUDA_SUCCESS);
    }
    EXPECT(device_peak(0) <= GIB);
}

SCENARIO(Explicit_pools_are_charged_and_end_with_their_destruction, .limit = "1g") {
    CUmemPoolProps properties = {.allocType = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemoryPool pool;
    CUdeviceptr pointer;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemPoolCreate(&pool, &properties), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&pointer, 200 * MIB, pool, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - device_used(0));
    EXPECT_EQUAL(gpu.cuMemFreeAsync(pointer, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemPoolDestroy(pool), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

/* As XLA's and TensorFlow's asynchronous allocators do. */
SCENARIO(The_default_pool_is_charged_when_named, .limit = "1g", .gpus = "--gpus 2") {
    CUmemoryPool pool;
    CUdeviceptr pointer;
    for (int ordinal = 0; ordinal < 2; ordinal++) {
        gpu_begin(ordinal);
        EXPECT_EQUAL(gpu.cuDeviceGetDefaultMemPool(&pool, ordinal), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&pointer, 600 * MIB, pool, NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu_free(), GIB - device_used((unsigned)ordinal));
        EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&pointer, 600 * MIB, pool, NULL), CUDA_ERROR_OUT_OF_MEMORY);
        EXPECT(device_peak((unsigned)ordinal) <= GIB);
    }
    EXPECT_EQUAL(refused_calls(), 2);
}

/* A piece of a destroyed pool says nothing about the next pool. */
SCENARIO(Memory_that_outlives_its_pool_stays_its_own, .limit = "1g") {
    CUmemPoolProps properties = {.allocType = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemoryPool first, second;
    CUdeviceptr pointer;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemPoolCreate(&first, &properties), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&pointer, 600 * MIB, first, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemPoolDestroy(first), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemPoolCreate(&second, &properties), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(pointer, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    gpu_allocate(600 * MIB);
    EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&pointer, 600 * MIB, second, NULL), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT(device_peak(0) <= GIB);
}

/* A pool without a place in the table would not be charged. */
SCENARIO(Many_pools_together_stay_within_the_limit, .limit = "1g") {
    CUmemPoolProps properties = {.allocType = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemoryPool pool;
    CUdeviceptr pointer;
    gpu_begin(0);
    for (int i = 0; i < 100 && gpu.cuMemPoolCreate(&pool, &properties) == CUDA_SUCCESS; i++)
        if (i >= 60)
            gpu.cuMemAllocFromPoolAsync(&pointer, 100 * MIB, pool, NULL);
    while (gpu.cuMemAllocAsync(&pointer, 100 * MIB, NULL) == CUDA_SUCCESS)
        EXPECT(device_used(0) <= GIB);
    EXPECT(device_peak(0) <= GIB);
}

/* The ways to a pool of managed memory. */
static CUmemoryPool managed_pool(int way, CUmemLocation place) {
    CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_MANAGED, .location = place};
    CUmemoryPool pool;
    if (way == 0)
        EXPECT_EQUAL(gpu.cuMemPoolCreate(&pool, &properties), CUDA_SUCCESS);
    else if (way == 1)
        EXPECT_EQUAL(gpu.cuMemGetDefaultMemPool(&pool, &place, CU_MEM_ALLOCATION_TYPE_MANAGED), CUDA_SUCCESS);
    else
        EXPECT_EQUAL(gpu.cuMemGetMemPool(&pool, &place, CU_MEM_ALLOCATION_TYPE_MANAGED), CUDA_SUCCESS);
    return pool;
}

/* Takes what fits once from a pool of that kind, and tries for more. */
static void fill_managed_pool(void *data) {
    const int *kind = data;
    CUdeviceptr pointer, other;
    gpu_begin(0);
    CUmemoryPool pool = managed_pool(kind[0], (CUmemLocation){kind[1], 0});
    EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&pointer, 608 * MIB, pool, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 608 * MIB);
    EXPECT_EQUAL(gpu.cuMemsetD8_v2(pointer, 0, 400 * MIB), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 608 * MIB);
    EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&other, 608 * MIB, pool, NULL), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&other, 608 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(pointer, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemPoolTrimTo(pool, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 608 * MIB);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&other, 608 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu.cuMemPoolDestroy(pool), kind[0] == 0 ? CUDA_SUCCESS : 1);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - (kind[0] == 0 ? 0 : 608 * MIB));
}

/* It prefers no location, a GPU, the host, or a node of the host: in each case it may come to lie on a GPU. */
SCENARIO(A_managed_pool_is_charged_wherever_it_lies, .limit = "1g") {
    for (int place = 0; place <= 3; place++)
        for (int way = 0; way < 3; way++)
            EXPECT_EQUAL(in_child(fill_managed_pool, (int[2]){way, place}), 0);
    EXPECT(device_peak(0) <= GIB);
}

/* The driver says that nothing is reserved any more, and keeps all of it on the GPU. */
SCENARIO(Freed_managed_memory_stays_charged_with_its_pool, .limit = "1g") {
    CUdeviceptr first, second;
    uint64_t none = 0;
    gpu_begin(0);
    CUmemoryPool pool = managed_pool(0, (CUmemLocation){CU_MEM_LOCATION_TYPE_DEVICE, 0});
    EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&first, 608 * MIB, pool, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(first, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemPoolTrimTo(pool, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &none), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 608 * MIB);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&first, 608 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(device_used(0), CONTEXT + 608 * MIB);
    EXPECT_EQUAL(gpu.cuMemPoolDestroy(pool), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&second, 608 * MIB), CUDA_SUCCESS);
    EXPECT(device_peak(0) <= GIB);
}

SCENARIO(Memory_once_held_by_a_managed_pool_is_reusable, .limit = "1g") {
    CUdeviceptr first, second, rest;
    gpu_begin(0);
    CUmemoryPool pool = managed_pool(0, (CUmemLocation){CU_MEM_LOCATION_TYPE_DEVICE, 0});
    EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&first, 640 * MIB, pool, NULL), CUDA_SUCCESS);
    gpu_allocate(GIB - CONTEXT - 640 * MIB);
    EXPECT_EQUAL(gpu_free(), 0);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQUAL(gpu.cuMemFreeAsync(first, NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&first, 256 * MIB, pool, NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&second, 384 * MIB, pool, NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&rest, 32 * MIB, pool, NULL), CUDA_ERROR_OUT_OF_MEMORY);
        EXPECT_EQUAL(gpu.cuMemFreeAsync(second, NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu_free(), 0);
    }
    EXPECT_EQUAL(device_peak(0), GIB);
    EXPECT_EQUAL(refused_calls(), 3);
}

/* The list of processes counts neither, so the two must not be confused. */
SCENARIO(A_module_beside_a_pool_of_managed_memory_is_charged, .limit = "1g", .gpus = "--module 90m") {
    static const char image[4096] =
        "//\n.version 7.0\n.target sm_50\n.address_size 64\n.visible .entry k()\n{\n    ret;\n}\n";
    CUdeviceptr pointer;
    CUmodule module;
    void *function;
    gpu_begin(0);
    CUmemoryPool pool = managed_pool(0, (CUmemLocation){CU_MEM_LOCATION_TYPE_DEVICE, 0});
    EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&pointer, 320 * MIB, pool, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuModuleLoadData(&module, image), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuModuleGetFunction(&function, module, "k"), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - device_used(0));
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - (320 + 90) * MIB);
}

SCENARIO(A_managed_pool_is_charged_to_its_preferred_GPU, .limit = "1g", .gpus = "--gpus 2") {
    CUdeviceptr pointer, other;
    gpu_begin(0);
    CUmemoryPool pool = managed_pool(0, (CUmemLocation){CU_MEM_LOCATION_TYPE_DEVICE, 1});
    EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&pointer, 608 * MIB, pool, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&other, 608 * MIB, pool, NULL), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    gpu_begin(1);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 608 * MIB);
}

/* The driver neither counts it nor says what is released before its last piece is freed: all of it stays charged until
   then, and if that piece is freed in stream order, until a synchronisation. */
SCENARIO(Managed_memory_that_outlives_its_pool_stays_charged, .limit = "1g") {
    CUdeviceptr first, second, other;
    gpu_begin(0);
    for (int i = 0; i < 100; i++) { /* more than there are places for */
        CUmemoryPool pool = managed_pool(0, (CUmemLocation){i % 4, 0});
        EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&first, 320 * MIB, pool, NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&second, 320 * MIB, pool, NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemPoolDestroy(pool), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 640 * MIB);
        EXPECT_EQUAL(gpu.cuMemAlloc_v2(&other, 640 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
        EXPECT_EQUAL(gpu.cuMemFree_v2(first), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 640 * MIB);
        EXPECT_EQUAL(gpu.cuMemFreeAsync(second, NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemAlloc_v2(&other, 640 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
        EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    }
    EXPECT(device_peak(0) <= GIB);
}

SCENARIO(A_pool_of_host_memory_is_free_of_charge, .limit = "1g") {
    CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = {2, 0}};
    CUmemoryPool pool;
    CUdeviceptr pointer;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemPoolCreate(&pool, &properties), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAllocFromPoolAsync(&pointer, 2 * GIB, pool, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

SCENARIO(Each_free_call_takes_the_others_pointers, .limit = "1g") {
    CUdeviceptr linear, ordered;
    gpu_begin(0);
    linear = gpu_allocate(100 * MIB);
    EXPECT_EQUAL(gpu.cuMemAllocAsync(&ordered, 100 * MIB, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(linear, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFree_v2(ordered), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - device_used(0));
}

SCENARIO(A_synchronisation_makes_freed_memory_reusable, .limit = "1g") {
    gpu_begin(0);
    CUdeviceptr pointer = gpu_allocate(600 * MIB);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(pointer, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 600 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    gpu_allocate(600 * MIB);
    EXPECT(device_peak(0) <= GIB);
}

/* Two share a block of the driver. The first, which is returned, is freed in stream order, so the block stays until a
   synchronisation, although the other one is freed at once. */
static CUdeviceptr begin_with_a_held_block(void) {
    CUdeviceptr first, second;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&first, MIB / 2), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&second, MIB / 2), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(first, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFree_v2(second), CUDA_SUCCESS);
    return first;
}

SCENARIO(A_block_freed_in_stream_order_counts_until_returned, .limit = "1g") {
    CUdeviceptr rest;
    begin_with_a_held_block();
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&rest, GIB - CONTEXT),
                 device_used(0) == CONTEXT ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT(device_peak(0) <= GIB);
}

/* What the rows of the first device contain, without a measurement. */
static int64_t in_the_ledger(void) {
    struct ledger_place place;
    int fd = open(ledger_path(), O_RDONLY);
    EXPECT_EQUAL(pread(fd, &place, sizeof place, 0), sizeof place);
    close(fd);
    struct ledger_file *file = shmat(place.segment, NULL, SHM_RDONLY);
    EXPECT(file != (void *)-1);
    int64_t sum = (int64_t)file->devices[0].others;
    for (int i = 0; i < LEDGER_ROWS; i++)
        if (file->rows[i].owner && file->chunk_device[i / LEDGER_CHUNK_ROWS] == 1)
            sum += (int64_t)file->rows[i].charged + file->rows[i].overhead;
    shmdt(file);
    return sum;
}

/* The same with a third that takes the place of the second, and with a measurement that finds no difference: the first
   still holds the block when the third is freed. The limit is far away, so that nothing is measured meanwhile. */
SCENARIO(A_block_held_by_stream_order_keeps_counting, .limit = "8g") {
    CUdeviceptr first = begin_with_a_held_block(), third;
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&third, MIB / 2), CUDA_SUCCESS);
    EXPECT_EQUAL(third >> 21, first >> 21);
    EXPECT_EQUAL(nvml_memory(0).used, device_used(0));
    EXPECT_EQUAL(gpu.cuMemFree_v2(third), CUDA_SUCCESS);
    EXPECT(in_the_ledger() >= (int64_t)device_used(0));
    EXPECT_EQUAL(gpu.cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQUAL(nvml_memory(0).used, device_used(0));
}

static void *synchronise(void *data) {
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(data), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuCtxSynchronize(), CUDA_SUCCESS);
    return NULL;
}

/* One thread waits in a synchronisation that has made the pool smaller. Another measures before the first can settle
   that: the difference must not be subtracted twice. */
SCENARIO(A_pool_that_shrinks_while_another_thread_measures_stays_counted, .limit = "8g",
         .gpus = "--latency-ns 200000000") {
    CUdeviceptr pointer;
    pthread_t waiting;
    CUcontext context = gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemAllocAsync(&pointer, 100 * MIB, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(pointer, NULL), CUDA_SUCCESS);
    uint64_t before = device_used(0);
    EXPECT_EQUAL(pthread_create(&waiting, NULL, synchronise, context), 0);
    while (device_used(0) == before)
        pause_ms(1);
    EXPECT_EQUAL(nvml_memory(0).used, device_used(0));
    pthread_join(waiting, NULL);
    EXPECT(in_the_ledger() >= (int64_t)device_used(0));
    EXPECT_EQUAL(nvml_memory(0).used, device_used(0));
}

SCENARIO(An_unknown_pointer_goes_to_the_driver, .limit = "1g") {
    gpu_begin(0);
    EXPECT(gpu.cuMemFree_v2(0x1234560000) != CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFree_v2(0), CUDA_SUCCESS); /* as the driver answers */
    CUdeviceptr pointer = gpu_allocate(MIB);
    EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
    EXPECT(gpu.cuMemFree_v2(pointer) != CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

SCENARIO(Physical_memory_is_charged_until_its_last_reference, .limit = "1g") {
    CUmemAllocationProp properties = {.type = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemGenericAllocationHandle handle, other;
    CUdeviceptr address;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemCreate(&handle, 600 * MIB, &properties, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 600 * MIB);
    EXPECT_EQUAL(gpu.cuMemCreate(&other, 600 * MIB, &properties, 0), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu.cuMemAddressReserve(&address, 600 * MIB, 0, 0, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemMap(address, 600 * MIB, 0, handle, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemRelease(handle), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - device_used(0));
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 600 * MIB);
    EXPECT_EQUAL(gpu.cuMemUnmap(address, 600 * MIB), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    EXPECT_EQUAL(refused_calls(), 1);
}

SCENARIO(Physical_memory_is_charged_to_the_device_it_names, .limit = "1g", .gpus = "--gpus 2") {
    CUmemAllocationProp there = {.type = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 1}},
                        host = {.type = 1, .location = {2, 0}};
    CUmemGenericAllocationHandle handle;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemCreate(&handle, 900 * MIB, &there, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    EXPECT_EQUAL(gpu.cuMemCreate(&handle, 900 * MIB, &there, 0), CUDA_ERROR_OUT_OF_MEMORY);
    CUresult result = gpu.cuMemCreate(&handle, 2 * GIB, &host, 0);
    EXPECT(result != CUDA_ERROR_OUT_OF_MEMORY);
}

SCENARIO(Host_memory_is_free_of_charge, .limit = "1g") {
    void *pointer;
    CUdeviceptr address;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemHostAlloc(&pointer, 1100 * MIB, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAddressReserve(&address, 64 * GIB, 0, 0, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

SCENARIO(A_destroyed_context_takes_its_memory_with_it, .limit = "1g") {
    CUcontext context;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuCtxCreate_v2(&context, 0, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - 2 * CONTEXT);
    for (int i = 0; i < 1000; i++)
        gpu_allocate(100000);
    gpu_allocate(500 * MIB);
    EXPECT_EQUAL(gpu_free(), GIB - device_used(0));
    EXPECT_EQUAL(gpu.cuCtxDestroy_v2(context), CUDA_SUCCESS);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

SCENARIO(A_reset_of_the_device_gives_everything_back, .limit = "1g") {
    CUdeviceptr pointer;
    gpu_begin(0);
    gpu_allocate(300 * MIB);
    EXPECT_EQUAL(gpu.cuMemAllocAsync(&pointer, 300 * MIB, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    gpu_allocate(900 * MIB);
}

SCENARIO(Each_device_has_the_limit_for_itself, .limit = "1g", .gpus = "--gpus 3") {
    for (int i = 0; i < 3; i++) {
        gpu_begin(i);
        gpu_allocate(900 * MIB);
        EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 900 * MIB);
    }
}
