/* SPDX-License-Identifier: Apache-2.0 */
/* Does the use that the shim reports equal the driver's count for this process, after each kind of call that takes
   memory? Runs on any driver, with the shim preloaded and a quota of 0.5: `exact`. One line a step; exit code 1 if a
   step is off by more than 2 MiB or a refusal is not the ordinary out-of-memory error. */
#define _GNU_SOURCE
#include "gpu.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static unsigned wrong;
static nvmlDevice_t device;

/* build_folder and others are part of the harness, which is not linked here. */
#include <stdarg.h>
void fail(const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("%s:%d: ", file, line);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    _exit(1);
}

static uint64_t counted(void) {
    nvmlProcessInfo_t list[64];
    unsigned n = 64;
    uint64_t sum = 0;
    EXPECT_EQUAL(gpu.nvmlDeviceGetComputeRunningProcesses_v3(device, &n, list), NVML_SUCCESS);
    for (unsigned i = 0; i < n; i++)
        if (list[i].pid == (unsigned)getpid())
            sum += list[i].usedGpuMemory;
    return sum;
}

static void step(const char *what) {
    static uint64_t before;
    uint64_t total = gpu_total(), reported = total - gpu_free(), real = counted();
    nvmlMemory_v2_t nvml = {.version = NVML_MEMORY_V2};
    EXPECT_EQUAL(gpu.nvmlDeviceGetMemoryInfo_v2(device, &nvml), NVML_SUCCESS);
    int64_t off = (int64_t)(reported - real), off_nvml = (int64_t)(nvml.used - real);
    bool good = off <= (int64_t)(2 * MIB) && off >= -(int64_t)(2 * MIB) && off_nvml <= (int64_t)(2 * MIB) &&
                off_nvml >= -(int64_t)(2 * MIB);
    printf("%s %-52s driver %9.2f MiB (%+.2f)  CUDA %+.2f  NVML %+.2f\n", good ? "ok    " : "FAILED", what,
           (double)real / MIB, ((double)real - (double)before) / MIB, (double)off / MIB, (double)off_nvml / MIB);
    fflush(stdout);
    before = real;
    wrong += !good;
}

static void refused(const char *what, CUresult result) {
    bool good = result == CUDA_ERROR_OUT_OF_MEMORY;
    printf("%s %-52s %s\n", good ? "ok    " : "FAILED", what, good ? "out of memory" : "something else");
    if (!good)
        printf("       result %d\n", result);
    wrong += !good;
}

static void linear(void) {
    static const size_t sizes[] = {512,           512,     65536,         1 << 20, 1 << 20,
                                   (1 << 20) + 1, 2 << 20, (2 << 20) + 1, 5000000, 100 << 20};
    CUdeviceptr p[10], small[3000], pitched;
    size_t pitch;
    for (int i = 0; i < 10; i++)
        p[i] = gpu_allocate(sizes[i]);
    step("linear, 10 sizes");
    for (int i = 0; i < 3000; i++)
        small[i] = gpu_allocate(1536);
    step("3000 x 1536 B");
    EXPECT_EQUAL(gpu.cuMemAllocPitch_v2(&pitched, &pitch, 1000, 10000, 4), CUDA_SUCCESS);
    step("pitched 1000 x 10000");
    for (int i = 0; i < 2999; i++)
        gpu.cuMemFree_v2(small[i]);
    step("all but the last small one freed");
    gpu.cuMemFree_v2(small[2999]);
    gpu.cuMemFree_v2(pitched);
    for (int i = 0; i < 10; i++)
        gpu.cuMemFree_v2(p[i]);
    step("all freed");
}

static void ordered(void) {
    static const size_t sizes[] = {512, 1 << 20, 33 << 20, 1 << 20, 65 << 20, 300 << 20};
    CUdeviceptr p[6], q;
    CUmemoryPool pool;
    uint64_t everything = UINT64_MAX;
    for (int i = 0; i < 6; i++)
        EXPECT_EQUAL(gpu.cuMemAllocAsync(&p[i], sizes[i], NULL), CUDA_SUCCESS);
    step("async, 6 sizes");
    for (int i = 0; i < 6; i++)
        EXPECT_EQUAL(gpu.cuMemFreeAsync(p[i], NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    step("freed and synchronised");
    EXPECT_EQUAL(gpu.cuDeviceGetDefaultMemPool(&pool, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemPoolSetAttribute(pool, 4, &everything), CUDA_SUCCESS);
    for (int i = 0; i < 100; i++) {
        EXPECT_EQUAL(gpu.cuMemAllocAsync(&q, (size_t)(i % 7 + 1) << 20, NULL), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemFreeAsync(q, NULL), CUDA_SUCCESS);
    }
    EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    step("warm pool");
    q = gpu_allocate(10 << 20);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(q, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    step("cuMemAlloc freed by cuMemFreeAsync");
    EXPECT_EQUAL(gpu.cuMemPoolTrimTo(pool, 0), CUDA_SUCCESS);
    step("trimmed");
    refused("async beyond the limit", gpu.cuMemAllocAsync(&q, gpu_total(), NULL));
    step("after the refusal");
}

static void others(void) {
    CUmemAllocationProp properties = {.type = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemGenericAllocationHandle handle;
    struct array_descriptor two = {.width = 1000, .height = 1000, .format = 0x20, .channels = 4};
    struct array3d_descriptor three = {.width = 200, .height = 200, .depth = 100, .format = 0x10, .channels = 2};
    CUarray a, b;
    CUmipmappedArray m;
    EXPECT_EQUAL(gpu.cuMemCreate(&handle, 20 << 20, &properties, 0), CUDA_SUCCESS);
    step("cuMemCreate 20 MiB");
    EXPECT_EQUAL(gpu.cuMemRelease(handle), CUDA_SUCCESS);
    step("released");
    refused("cuMemCreate beyond the limit", gpu.cuMemCreate(&handle, gpu_total(), &properties, 0));
    EXPECT_EQUAL(gpu.cuArrayCreate_v2(&a, &two), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuArray3DCreate_v2(&b, &three), CUDA_SUCCESS);
    step("two arrays");
    EXPECT_EQUAL(gpu.cuMipmappedArrayCreate(&m, &(struct array3d_descriptor){4096, 4096, 0, 0x20, 4, 0}, 13),
                 CUDA_SUCCESS);
    step("a mipmapped array");
    EXPECT_EQUAL(gpu.cuArrayDestroy(a), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuArrayDestroy(b), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMipmappedArrayDestroy(m), CUDA_SUCCESS);
    step("destroyed");
}

static void graphs(void) {
    struct graph_allocation g = {.pool = {.allocType = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}},
                                 .size = 70 << 20};
    CUgraph graph;
    CUgraphExec executable;
    void *node, *end;
    EXPECT_EQUAL(gpu.cuGraphCreate(&graph, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuGraphAddMemAllocNode(&node, graph, NULL, 0, &g), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuGraphAddMemFreeNode(&end, graph, &node, 1, g.pointer), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuGraphInstantiateWithFlags(&executable, graph, 0), CUDA_SUCCESS);
    step("graph with 70 MiB instantiated");
    EXPECT_EQUAL(gpu.cuGraphLaunch(executable, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuGraphLaunch(executable, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    step("launched twice");
    EXPECT_EQUAL(gpu.cuDeviceGraphMemTrim(0), CUDA_SUCCESS);
    step("trimmed");
    CUdeviceptr all = gpu_allocate(gpu_free() - 40 * MIB);
    step("the limit filled up to 40 MiB");
    refused("its launch beyond the limit", gpu.cuGraphLaunch(executable, NULL));
    step("after the refusal");
    EXPECT_EQUAL(gpu.cuMemFree_v2(all), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuGraphLaunch(executable, NULL), CUDA_SUCCESS);
    step("launched again");
    EXPECT_EQUAL(gpu.cuGraphExecDestroy(executable), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuDeviceGraphMemTrim(0), CUDA_SUCCESS);
    step("trimmed again");
}

static void modules(CUcontext primary) {
    static const char image[] = ".version 6.0\n.target sm_50\n.address_size 64\n.global .align 8 .b8 big[8388608];\n"
                                ".visible .entry k()\n{\n    ret;\n}\n";
    CUmodule module;
    CUcontext context;
    void *function;
    if (gpu.cuModuleLoadData(&module, image) == CUDA_SUCCESS) {
        gpu.cuModuleGetFunction(&function, module, "k");
        step("a module with 8 MiB");
        EXPECT_EQUAL(gpu.cuModuleUnload(module), CUDA_SUCCESS);
        step("unloaded");
    }
    EXPECT_EQUAL(gpu.cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 16384), CUDA_SUCCESS);
    step("stack of 16 KiB a thread");
    EXPECT_EQUAL(gpu.cuCtxCreate_v2(&context, 0, 0), CUDA_SUCCESS);
    step("a second context");
    gpu_allocate(50 << 20);
    step("50 MiB in it");
    EXPECT_EQUAL(gpu.cuCtxDestroy_v2(context), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(primary), CUDA_SUCCESS);
    step("destroyed");
}

static void the_limit(void) {
    CUdeviceptr p, q;
    p = gpu_allocate(gpu_free() / (2 * MIB) * (2 * MIB));
    step("filled to the last block");
    refused("2 MiB more", gpu.cuMemAlloc_v2(&q, 2 << 20));
    refused("1 B more", gpu.cuMemAlloc_v2(&q, 1));
    EXPECT(counted() <= gpu_total());
    EXPECT_EQUAL(gpu.cuMemFree_v2(p), CUDA_SUCCESS);
    step("freed");
}

int main(void) {
    CUcontext primary = gpu_begin(0);
    EXPECT_EQUAL(gpu.nvmlInit_v2(), NVML_SUCCESS);
    EXPECT_EQUAL(gpu.nvmlDeviceGetHandleByIndex_v2(0, &device), NVML_SUCCESS);
    step("context");
    linear();
    ordered();
    others();
    graphs();
    modules(primary);
    the_limit();
    EXPECT_EQUAL(gpu.cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
    gpu_begin(0);
    step("after a reset");
    printf("%u wrong\n", wrong);
    return wrong != 0;
}
