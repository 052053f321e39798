/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays, graphs, modules, limits and contexts: what takes memory beside the allocation calls. */
#include "../../shim/ledger.h"
#include "gpu.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define CONTEXT (64 * MIB)

static uint64_t unexplained(uint64_t limit) {
    uint64_t free_bytes = gpu_free(), used = device_used(0);
    return used + free_bytes > limit ? used + free_bytes - limit : limit - used - free_bytes;
}

SCENARIO(Arrays_are_charged_as_the_driver_counts_them, .limit = "1g") {
    struct array_descriptor two = {.width = 1000, .height = 1000, .format = 0x20, .channels = 4};
    struct array3d_descriptor three = {.width = 100, .height = 100, .depth = 100, .format = 0x10, .channels = 2};
    struct array_descriptor line = {.width = 64, .format = 1, .channels = 1};
    CUarray arrays[3];
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuArrayCreate_v2(&arrays[0], &two), CUDA_SUCCESS);
    EXPECT_EQUAL(unexplained(GIB), 0);
    EXPECT_EQUAL(gpu.cuArray3DCreate_v2(&arrays[1], &three), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuArrayCreate_v2(&arrays[2], &line), CUDA_SUCCESS);
    EXPECT_EQUAL(unexplained(GIB), 0);
    EXPECT(gpu_free() < GIB - CONTEXT - 15 * MIB);
    for (int i = 0; i < 3; i++)
        EXPECT_EQUAL(gpu.cuArrayDestroy(arrays[i]), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

SCENARIO(Arrays_beyond_the_limit_are_refused, .limit = "1g") {
    struct array_descriptor large = {.width = 16384, .height = 16384, .format = 0x20, .channels = 4};
    struct array3d_descriptor huge = {
        .width = (size_t)1 << 60, .height = (size_t)1 << 60, .depth = 9, .format = 0x20, .channels = 4};
    CUarray array;
    CUmipmappedArray mipmapped;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuArrayCreate_v2(&array, &large), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu.cuArray3DCreate_v2(&array, &huge), CUDA_ERROR_OUT_OF_MEMORY);
    struct array3d_descriptor levels = {.width = 8192, .height = 8192, .format = 0x20, .channels = 4};
    EXPECT_EQUAL(gpu.cuMipmappedArrayCreate(&mipmapped, &levels, 14), CUDA_ERROR_OUT_OF_MEMORY);
    levels.width = 4096;
    EXPECT_EQUAL(gpu.cuMipmappedArrayCreate(&mipmapped, &levels, 13), CUDA_SUCCESS);
    EXPECT_EQUAL(unexplained(GIB), 0);
    EXPECT_EQUAL(gpu.cuMipmappedArrayDestroy(mipmapped), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    EXPECT_EQUAL(gpu.cuArrayCreate_v2(&array, NULL), 1);
    EXPECT_EQUAL(refused_calls(), 3);
}

SCENARIO(Sparse_and_deferred_arrays_are_free, .limit = "1g") {
    struct array3d_descriptor d = {
        .width = 16384, .height = 16384, .format = 0x20, .channels = 4, .flags = CUDA_ARRAY3D_SPARSE};
    CUarray array;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuArray3DCreate_v2(&array, &d), CUDA_SUCCESS);
    d.flags = CUDA_ARRAY3D_DEFERRED_MAPPING;
    EXPECT_EQUAL(gpu.cuArray3DCreate_v2(&array, &d), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

SCENARIO(Arrays_end_with_their_context, .limit = "1g") {
    struct array_descriptor two = {.width = 4000, .height = 4000, .format = 0x20, .channels = 4};
    CUcontext context;
    CUarray array;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuCtxCreate_v2(&context, 0, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuArrayCreate_v2(&array, &two), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuCtxDestroy_v2(context), CUDA_SUCCESS);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

static CUgraph graph_of_kind(int type, uint64_t size) {
    struct graph_allocation a = {.pool = {.allocType = type, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}},
                                 .size = size};
    CUgraph graph;
    void *node, *end;
    EXPECT_EQUAL(gpu.cuGraphCreate(&graph, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuGraphAddMemAllocNode(&node, graph, NULL, 0, &a), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuGraphAddMemFreeNode(&end, graph, &node, 1, a.pointer), CUDA_SUCCESS);
    return graph;
}

static CUgraph graph_of(uint64_t size) {
    return graph_of_kind(CU_MEM_ALLOCATION_TYPE_PINNED, size);
}

SCENARIO(A_graph_with_managed_memory_is_refused, .limit = "1g") {
    CUgraphExec executable;
    gpu_begin(0);
    CUgraph graph = graph_of_kind(CU_MEM_ALLOCATION_TYPE_MANAGED, 500 * MIB);
    EXPECT_EQUAL(gpu.cuGraphInstantiateWithFlags(&executable, graph, 0), CUDA_ERROR_NOT_SUPPORTED);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

SCENARIO(A_graphs_memory_is_charged_from_launch_to_trim, .limit = "1g") {
    CUgraphExec executable;
    gpu_begin(0);
    CUgraph graph = graph_of(500 * MIB);
    EXPECT_EQUAL(gpu.cuGraphInstantiateWithFlags(&executable, graph, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQUAL(gpu.cuGraphLaunch(executable, NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(unexplained(GIB), 0);
    }
    EXPECT(gpu_free() <= GIB - CONTEXT - 500 * MIB);
    EXPECT_EQUAL(gpu.cuDeviceGraphMemTrim(0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    EXPECT_EQUAL(gpu.cuGraphExecDestroy(executable), CUDA_SUCCESS);
}

SCENARIO(A_graph_beyond_the_limit_is_refused_at_launch, .limit = "1g") {
    CUgraphExec executable;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuGraphInstantiateWithFlags(&executable, graph_of(500 * MIB), 0), CUDA_SUCCESS);
    CUdeviceptr pointer = gpu_allocate(700 * MIB);
    for (int i = 0; i < 2; i++)
        EXPECT_EQUAL(gpu.cuGraphLaunch(executable, NULL), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuGraphLaunch(executable, NULL), CUDA_SUCCESS);
    EXPECT(device_peak(0) <= GIB);
    EXPECT_EQUAL(refused_calls(), 2);
}

/* From that pool; NULL: from the device's pool. */
static void capture_and_launch(CUmemoryPool pool) {
    CUstream stream;
    CUgraph graph;
    CUgraphExec executable;
    CUdeviceptr pointer;
    CUdeviceptr held = gpu_allocate(700 * MIB);
    EXPECT_EQUAL(gpu.cuStreamCreate(&stream, 1), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamBeginCapture_v2(stream, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(pool ? gpu.cuMemAllocFromPoolAsync(&pointer, 500 * MIB, pool, stream)
                      : gpu.cuMemAllocAsync(&pointer, 500 * MIB, stream),
                 CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(pointer, stream), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 700 * MIB);
    EXPECT_EQUAL(gpu.cuGraphInstantiateWithFlags(&executable, graph, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuGraphLaunch(executable, stream), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu.cuMemFree_v2(held), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuGraphLaunch(executable, stream), CUDA_SUCCESS);
    EXPECT_EQUAL(unexplained(GIB), 0);
    EXPECT(gpu_free() <= GIB - CONTEXT - 500 * MIB);
    EXPECT(device_peak(0) <= GIB);
}

SCENARIO(A_captured_allocation_takes_nothing_until_its_graph_is_launched, .limit = "1g") {
    gpu_begin(0);
    capture_and_launch(NULL);
}

/* The driver makes an ordinary node of it. */
SCENARIO(Nor_does_one_from_a_pool_of_managed_memory, .limit = "1g") {
    CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_MANAGED,
                                 .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemoryPool pool;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemPoolCreate(&pool, &properties), CUDA_SUCCESS);
    capture_and_launch(pool);
}

SCENARIO(Modules_are_measured, .limit = "1g", .gpus = "--module 30m") {
    CUmodule modules[3];
    static const char image[4096] =
        "//\n.version 7.0\n.target sm_50\n.address_size 64\n.visible .entry k()\n{\n    ret;\n}\n";
    gpu_begin(0);
    for (int i = 0; i < 3; i++)
        if (gpu.cuModuleLoadData(&modules[i], image) != CUDA_SUCCESS)
            return; /* an image that this driver does not take */
    CUdeviceptr pointer;
    void *function;
    for (int i = 0; i < 3; i++)
        EXPECT_EQUAL(gpu.cuModuleGetFunction(&function, modules[i], "k"), CUDA_SUCCESS);
    EXPECT_EQUAL(unexplained(GIB), 0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 90 * MIB);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, GIB - CONTEXT - 60 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    for (int i = 0; i < 3; i++)
        EXPECT_EQUAL(gpu.cuModuleUnload(modules[i]), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

SCENARIO(A_larger_limit_of_the_context_is_charged, .limit = "1g") {
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, 2 * GIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu.cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, 100 * MIB), CUDA_SUCCESS);
    EXPECT_EQUAL(unexplained(GIB), 0);
    EXPECT_EQUAL(refused_calls(), 1);
}

static void make_context(struct together *t) {
    CUcontext context;
    gpu_open();
    EXPECT_EQUAL(gpu.cuInit(0), CUDA_SUCCESS);
    together_begin(t);
    CUresult result = gpu.cuDevicePrimaryCtxRetain(&context, 0);
    EXPECT(result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY);
    together_done(t, result == CUDA_SUCCESS);
}

SCENARIO(Contexts_of_processes_that_start_together_stay_within_the_limit, .limit = "1g", .repeat = 3) {
    struct together *t = start_together(40, make_context);
    EXPECT_EQUAL(t->succeeded, 16);
    EXPECT_EQUAL(device_peak(0), GIB);
    end_together(t);
}

SCENARIO(Without_NVML_a_context_is_charged_by_its_likely_size, .limit = "1g", .without_nvml = true) {
    CUcontext context;
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    EXPECT_EQUAL(gpu.cuCtxCreate_v2(&context, 0, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - 2 * CONTEXT);
    EXPECT_EQUAL(gpu.cuCtxDestroy_v2(context), CUDA_SUCCESS);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

/* Nothing is measured here, so a leftover charge would show. */
SCENARIO(What_was_allocated_leaves_with_its_own_context, .limit = "1g", .without_nvml = true) {
    CUcontext primary = gpu_begin(0), second, popped;
    gpu_allocate(300 * MIB);
    EXPECT_EQUAL(gpu.cuCtxCreate_v2(&second, 0, 0), CUDA_SUCCESS);
    gpu_allocate(100 * MIB);
    EXPECT_EQUAL(gpu.cuCtxPushCurrent_v2(primary), CUDA_SUCCESS);
    gpu_allocate(50 * MIB);
    EXPECT_EQUAL(gpu.cuCtxPopCurrent_v2(&popped), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - 2 * CONTEXT - 450 * MIB);
    EXPECT_EQUAL(gpu.cuCtxDestroy_v2(second), CUDA_SUCCESS);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 350 * MIB);
    EXPECT_EQUAL(gpu.cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

/* A kernel of a separate library: its launch loads it, which no hook sees. */
static void launch_another(void) {
    static const char text[] = ".version 6.0\n.target sm_50\n.address_size 64\n.visible .entry empty() { ret; }\n";
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW), *library, *kernel;
    CUresult (*load)(void **, const void *, void *, void *, unsigned, void *, void *, unsigned) =
        dlsym(cuda, "cuLibraryLoadData");
    CUresult (*get)(void **, void *, const char *) = dlsym(cuda, "cuLibraryGetKernel");
    CUresult (*launch)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void **,
                       void **) = dlsym(cuda, "cuLaunchKernel");
    EXPECT_EQUAL(load(&library, text, NULL, NULL, 0, NULL, NULL, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(get(&kernel, library, "empty"), CUDA_SUCCESS);
    EXPECT_EQUAL(launch(kernel, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL), CUDA_SUCCESS);
}

SCENARIO(Kernels_that_load_unseen_count_before_the_limit_is_reached, .limit = "2g", .gpus = "--module 90m") {
    CUmemAllocationProp properties = {.type = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemGenericAllocationHandle handle;
    gpu_begin(0);
    int pieces = 0;
    while (gpu.cuMemCreate(&handle, 20 * MIB, &properties, 0) == CUDA_SUCCESS) {
        pieces++;
        if (pieces == 5 || pieces == 70)
            launch_another();
        if (pieces == 70)
            pause_ms(2); /* loading takes time */
    }
    EXPECT_EQUAL(pieces, (2 * GIB - CONTEXT - 2 * 90 * MIB) / (20 * MIB));
    EXPECT(device_peak(0) <= 2 * GIB);
}

static void begin_and_end(void *data) {
    (void)data;
    gpu_begin(0);
}

/* The first process measured it. Its rows are gone, and the next process finds the size in the ledger's file. */
SCENARIO(The_size_of_a_context_is_remembered, .limit = "1g") {
    uint32_t context = 0;
    EXPECT_EQUAL(in_child(begin_and_end, NULL), 0);
    int fd = open(ledger_path(), O_RDONLY);
    off_t at = offsetof(struct ledger_file, devices) + offsetof(struct ledger_device, context);
    EXPECT(fd >= 0 && pread(fd, &context, sizeof context, at) == sizeof context);
    EXPECT_EQUAL(context, CONTEXT / MIB);
    close(fd);
    EXPECT_EQUAL(in_child(begin_and_end, NULL), 0);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    EXPECT_EQUAL(device_peak(0), CONTEXT);
}
