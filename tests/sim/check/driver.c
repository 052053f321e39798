/* SPDX-License-Identifier: Apache-2.0 */
/* What the simulated driver does within a process, each test in a process of its own that begins with an idle device of
   10989 MiB, of which 100 are reserved, 64 MiB a context. The figures are those that a real driver showed.

   `driver` runs all; `driver uuids` prints the devices that CUDA sees, in its order, or the error. */
#include "api.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1024ull * 1024)
#define OUT_OF_MEMORY 2

static const char *test;
static bool failed;

static void expect(long long got, long long wanted, const char *what, int line) {
    if (got == wanted)
        return;
    printf("not ok %s: line %d: %s is %lld, not %lld\n", test, line, what, got, wanted);
    failed = true;
}
#define EXPECT(got, wanted) expect((long long)(got), (long long)(wanted), #got, __LINE__)
#define OK(call) EXPECT(call, 0)

static void *context;

static void start(void) {
    OK(cuInit(0));
    OK(cuDevicePrimaryCtxRetain(&context, 0));
    OK(cuCtxSetCurrent(context));
}

/* MiB in use on the device, by CUDA; NVML must say the same. */
static long long used(void) {
    size_t left = 0, total = 0;
    OK(cuMemGetInfo_v2(&left, &total));
    void *device;
    struct memory_v2 m = {.version = sizeof m | 2 << 24};
    OK(nvmlInit_v2());
    OK(nvmlDeviceGetHandleByIndex_v2(0, &device));
    OK(nvmlDeviceGetMemoryInfo_v2(device, &m));
    EXPECT(m.used, total - left);
    EXPECT(m.free, left);
    OK(nvmlShutdown());
    return (long long)((total - left) / MIB);
}

static long long pool_mib(void *pool, int attribute) {
    u64 value = 0;
    OK(cuMemPoolGetAttribute(pool, attribute, &value));
    return (long long)(value / MIB);
}
enum { RESERVED = 5, USED = 7 };

static void A_context_holds_its_overhead_until_it_is_released(void) {
    start();
    EXPECT(used(), 64);
    void *second;
    OK(cuCtxCreate_v2(&second, 0, 0));
    EXPECT(used(), 128);
    u64 p;
    OK(cuMemAlloc_v2(&p, 10 * MIB));
    EXPECT(used(), 138);
    OK(cuCtxDestroy_v2(second));
    OK(cuCtxSetCurrent(context));
    EXPECT(used(), 64);
    OK(cuDevicePrimaryCtxReset_v2(0));
    size_t left, total;
    EXPECT(cuMemGetInfo_v2(&left, &total), 709);
}

static void Small_allocations_share_blocks_of_2_MiB(void) {
    start();
    static u64 p[60000];
    for (int i = 0; i < 4096; i++)
        OK(cuMemAlloc_v2(&p[i], 512));
    EXPECT(used(), 64 + 2);
    OK(cuMemAlloc_v2(&p[4096], 1));
    EXPECT(used(), 64 + 4);
    for (int i = 4097; i < 60000; i++)
        OK(cuMemAlloc_v2(&p[i], 512));
    EXPECT(used(), 64 + 30);
    for (int i = 0; i < 60000; i++)
        OK(cuMemFree_v2(p[i]));
    EXPECT(used(), 64);
}

static void Large_allocations_are_rounded_to_2_MiB(void) {
    start();
    u64 p[3];
    OK(cuMemAlloc_v2(&p[0], MIB + 1));
    EXPECT(used(), 64 + 2);
    OK(cuMemAlloc_v2(&p[1], 2 * MIB + 1));
    EXPECT(used(), 64 + 6);
    size_t pitch;
    OK(cuMemAllocPitch_v2(&p[2], &pitch, 1000, 3000, 4));
    EXPECT(pitch, 1024);
    EXPECT(used(), 64 + 10);
    u64 base;
    size_t size;
    OK(cuMemGetAddressRange_v2(&base, &size, p[1] + 100));
    EXPECT(base, p[1]);
    EXPECT(size, 2 * MIB + 1);
}

static void Wrong_arguments_get_the_real_drivers_answers(void) {
    size_t left, total;
    EXPECT(cuMemGetInfo_v2(&left, &total), 3);
    OK(cuInit(0));
    EXPECT(cuMemGetInfo_v2(&left, &total), 201);
    start();
    u64 p;
    EXPECT(cuMemAlloc_v2(&p, 0), 1);
    EXPECT(cuMemAlloc_v2(NULL, 512), 1);
    EXPECT(cuMemAlloc_v2(&p, 1ull << 45), OUT_OF_MEMORY);
    EXPECT(cuMemFree_v2(0), 0);
    EXPECT(cuMemFree_v2(0x1234), 1);
    EXPECT(cuMemFreeAsync(0x1234, NULL), 1);
    OK(cuMemGetInfo_v2(NULL, NULL));
    char byte;
    EXPECT(cuMemcpyDtoH_v2(&byte, 0x1000, 1), 1);
    OK(cuMemAlloc_v2(&p, 4 * MIB));
    EXPECT(cuMemsetD8_v2(p + 4 * MIB - 8, 0, 4096), 1);
    OK(cuMemFree_v2(p));
    EXPECT(cuMemFree_v2(p), 1);
    void *reference;
    EXPECT(cuTexRefCreate(&reference), 801);
    EXPECT(used(), 64);
}

static void Memory_is_refused_at_the_physical_end(void) {
    start();
    size_t left, total, device_total;
    OK(cuMemGetInfo_v2(&left, &total));
    OK(cuDeviceTotalMem_v2(&device_total, 0));
    EXPECT(total, 10889 * MIB);
    EXPECT(device_total, total);
    u64 p, q;
    EXPECT(cuMemAlloc_v2(&p, left + 1), OUT_OF_MEMORY);
    OK(cuMemAlloc_v2(&p, left / (2 * MIB) * (2 * MIB)));
    EXPECT(cuMemAlloc_v2(&q, 2 * MIB), OUT_OF_MEMORY);
    void *second;
    EXPECT(cuCtxCreate_v2(&second, 0, 0), OUT_OF_MEMORY);
    OK(cuMemFree_v2(p));
    EXPECT(used(), 64);
}

static void Pools_grow_by_32_MiB_and_give_back_when_synchronised(void) {
    start();
    void *pool;
    u64 p[4];
    OK(cuDeviceGetDefaultMemPool(&pool, 0));
    OK(cuMemAllocAsync(&p[0], 1 * MIB, NULL));
    EXPECT(pool_mib(pool, RESERVED), 32);
    OK(cuMemAllocAsync(&p[1], 33 * MIB, NULL));
    OK(cuMemAllocAsync(&p[2], 100, NULL));
    OK(cuMemAllocAsync(&p[3], 20 * MIB, NULL));
    EXPECT(pool_mib(pool, RESERVED), 64);
    EXPECT(used(), 64 + 64);
    OK(cuMemFreeAsync(p[1], NULL));
    OK(cuStreamSynchronize(NULL));
    EXPECT(pool_mib(pool, RESERVED), 64);
    EXPECT(pool_mib(pool, USED), 21);
    OK(cuMemFree_v2(p[2]));
    OK(cuMemFreeAsync(p[0], NULL));
    OK(cuMemFreeAsync(p[3], NULL));
    OK(cuMemPoolTrimTo(pool, 0));
    EXPECT(used(), 64 + 64);
    OK(cuCtxSynchronize());
    EXPECT(used(), 64);
    EXPECT(pool_mib(pool, RESERVED + 1), 64);
}

static void A_release_threshold_keeps_memory_until_the_device_is_short(void) {
    start();
    void *pool;
    u64 p, q, keep = UINT64_MAX;
    OK(cuDeviceGetDefaultMemPool(&pool, 0));
    OK(cuMemPoolSetAttribute(pool, 4, &keep));
    OK(cuMemAllocAsync(&p, 8000 * MIB, NULL));
    OK(cuMemFreeAsync(p, NULL));
    OK(cuStreamSynchronize(NULL));
    EXPECT(used(), 64 + 8000);
    OK(cuMemAlloc_v2(&q, 9000 * MIB));
    EXPECT(used(), 64 + 9000);
    EXPECT(pool_mib(pool, RESERVED), 0);
}

static void A_destroyed_pool_lives_until_its_last_memory(void) {
    start();
    struct pool_properties properties = {.type = 1, .location = {1, 0}};
    void *pool;
    u64 p[2];
    OK(cuMemPoolCreate(&pool, &properties));
    OK(cuMemAllocFromPoolAsync(&p[0], 5 * MIB, pool, NULL));
    OK(cuMemAllocFromPoolAsync(&p[1], 200 * MIB, pool, NULL));
    EXPECT(used(), 64 + 224);
    OK(cuMemFreeAsync(p[1], NULL));
    OK(cuMemPoolDestroy(pool));
    EXPECT(used(), 64 + 32);
    OK(cuMemFreeAsync(p[0], NULL));
    OK(cuStreamSynchronize(NULL));
    EXPECT(used(), 64);
}

/* What NVML's list counts for this process, in MiB. */
static long long listed(void) {
    struct process list[4] = {{0}};
    unsigned n = 4;
    void *device;
    OK(nvmlInit_v2());
    OK(nvmlDeviceGetHandleByIndex_v2(0, &device));
    OK(nvmlDeviceGetComputeRunningProcesses_v3(device, &n, list));
    OK(nvmlShutdown());
    EXPECT(n, 1);
    return (long long)(list[0].used / MIB);
}

/* Allocates, touches, frees and trims, and allocates less again; `placed` and `touched` MiB of it are on the GPU. */
static void use_managed(void *pool, long long placed, long long touched) {
    u64 p;
    long long before = used();
    OK(cuMemAllocFromPoolAsync(&p, 1024 * MIB, pool, NULL));
    EXPECT(used(), before + placed);
    OK(cuMemsetD8_v2(p, 1, 512 * MIB));
    EXPECT(used(), before + touched);
    OK(cuMemFreeAsync(p, NULL));
    OK(cuStreamSynchronize(NULL));
    OK(cuMemPoolTrimTo(pool, 0));
    EXPECT(pool_mib(pool, RESERVED), 0);
    EXPECT(pool_mib(pool, RESERVED + 1), 1024);
    EXPECT(used(), before + touched);
    OK(cuMemAllocFromPoolAsync(&p, 256 * MIB, pool, NULL));
    OK(cuMemsetD8_v2(p, 1, 256 * MIB));
    EXPECT(pool_mib(pool, RESERVED), 256);
    EXPECT(used(), before + touched);
    OK(cuMemFreeAsync(p, NULL));
    OK(cuCtxSynchronize());
    EXPECT(used(), before + touched);
    EXPECT(listed(), 64);
}

static void A_managed_pool_keeps_freed_memory_until_destroyed(void) {
    static const long long placed[] = {0, 1024, 0, 0}, touched[] = {512, 1024, 0, 0};
    start();
    for (int place = 0; place < 4; place++) {
        struct pool_properties properties = {.type = 2, .location = {place, 0}};
        void *pool;
        OK(cuMemPoolCreate(&pool, &properties));
        use_managed(pool, placed[place], touched[place]);
        OK(cuMemPoolDestroy(pool));
        EXPECT(used(), 64);
    }
    for (int place = 0; place < 3; place++) {
        struct location location = {place, 0};
        void *pool;
        OK(cuMemGetDefaultMemPool(&pool, &location, 2));
        use_managed(pool, placed[place], touched[place]);
        EXPECT(cuMemPoolDestroy(pool), 1);
    }
    EXPECT(used(), 64 + 512 + 1024);
}

static void *grow_managed_pools(void *unused) {
    struct pool_properties properties = {.type = 2, .location = {1, 0}};
    OK(cuCtxSetCurrent(context));
    for (int i = 0; i < 500; i++) {
        void *pool;
        u64 p;
        OK(cuMemPoolCreate(&pool, &properties));
        OK(cuMemAllocFromPoolAsync(&p, 512 * MIB, pool, NULL));
        OK(cuMemFreeAsync(p, NULL));
        OK(cuCtxSynchronize());
        OK(cuMemPoolDestroy(pool));
    }
    return unused;
}

/* The driver never counts such a pool, whenever it is asked. */
static void A_growing_managed_pool_leaves_the_list_alone(void) {
    pthread_t thread;
    start();
    OK(pthread_create(&thread, NULL, grow_managed_pools, NULL));
    while (pthread_tryjoin_np(thread, NULL) != 0 && !failed)
        EXPECT(listed(), 64);
}

static void A_free_in_a_streams_order_waits_for_a_synchronisation(void) {
    start();
    u64 p;
    OK(cuMemAlloc_v2(&p, 4 * MIB));
    OK(cuMemFreeAsync(p, NULL));
    EXPECT(used(), 64 + 4);
    EXPECT(cuMemFree_v2(p), 1);
    OK(cuStreamSynchronize(NULL));
    EXPECT(used(), 64);
}

static void Mapped_memory_lives_until_its_last_reference(void) {
    start();
    struct memory_properties properties = {.type = 1, .location = {1, 0}};
    struct access access = {{1, 0}, 3};
    u64 handle, again, address;
    EXPECT(cuMemCreate(&handle, 1000, &properties, 0), 1);
    OK(cuMemCreate(&handle, 4 * MIB, &properties, 0));
    OK(cuMemAddressReserve(&address, 8 * MIB, 0, 0, 0));
    OK(cuMemMap(address, 4 * MIB, 0, handle, 0));
    EXPECT(cuMemMap(address, 4 * MIB, 0, handle, 0), 1);
    OK(cuMemMap(address + 4 * MIB, 4 * MIB, 0, handle, 0));
    OK(cuMemSetAccess(address, 8 * MIB, &access, 1));
    OK(cuMemsetD8_v2(address + 3 * MIB, 1, 2 * MIB));
    OK(cuMemRelease(handle));
    OK(cuMemRetainAllocationHandle(&again, (void *)address));
    EXPECT(used(), 64 + 4);
    EXPECT(cuMemAddressFree(address, 8 * MIB), 1);
    OK(cuMemUnmap(address, 4 * MIB));
    OK(cuMemUnmap(address + 4 * MIB, 4 * MIB));
    EXPECT(used(), 64 + 4);
    OK(cuMemRelease(again));
    EXPECT(used(), 64);
    OK(cuMemAddressFree(address, 8 * MIB));
    properties.location.type = 2;
    OK(cuMemCreate(&handle, 4 * MIB, &properties, 0));
    EXPECT(used(), 64);
}

static void Arrays_are_padded_and_sparse_ones_are_free(void) {
    start();
    void *array;
    struct array3d_descriptor d = {.width = 10000, .height = 3000, .format = 0x20, .channels = 1};
    OK(cuArray3DCreate_v2(&array, &d));
    EXPECT(used(), 64 + 118);
    OK(cuArrayDestroy(array));
    EXPECT(used(), 64);
    d.flags = 0x40;
    OK(cuArray3DCreate_v2(&array, &d));
    EXPECT(used(), 64);
    OK(cuArrayDestroy(array));
}

static void Graphs_take_memory_at_launch_and_keep_it_until_trimmed(void) {
    start();
    void *graph, *node, *executable, *other;
    struct alloc_node parameters = {.pool = {.type = 1, .location = {1, 0}}, .size = 50 * MIB};
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddMemAllocNode(&node, graph, NULL, 0, &parameters));
    OK(cuGraphInstantiateWithFlags(&executable, graph, 0));
    EXPECT(cuGraphInstantiateWithFlags(&other, graph, 0), 801);
    EXPECT(used(), 64);
    OK(cuGraphLaunch(executable, NULL));
    EXPECT(used(), 64 + 64);
    EXPECT(cuGraphLaunch(executable, NULL), 1);
    OK(cuMemFree_v2(parameters.address));
    EXPECT(cuMemFree_v2(parameters.address), 1);
    EXPECT(used(), 64 + 64);
    OK(cuDeviceGraphMemTrim(0));
    EXPECT(used(), 64);
    OK(cuGraphLaunch(executable, NULL));
    OK(cuGraphExecDestroy(executable));
    OK(cuGraphDestroy(graph));
    OK(cuDeviceGraphMemTrim(0));
    EXPECT(used(), 64 + 64);
    OK(cuMemFree_v2(parameters.address));
    OK(cuDeviceGraphMemTrim(0));
    EXPECT(used(), 64);
}

static void Captured_allocations_become_nodes(void) {
    start();
    void *stream, *graph, *executable;
    u64 p, q;
    OK(cuStreamCreate(&stream, 1));
    OK(cuStreamBeginCapture_v2(stream, 2));
    OK(cuMemAllocAsync(&p, 50 * MIB, stream));
    OK(cuMemFreeAsync(p, stream));
    OK(cuMemAllocAsync(&q, 50 * MIB, stream));
    OK(cuStreamEndCapture(stream, &graph));
    EXPECT(used(), 64);
    OK(cuGraphInstantiateWithFlags(&executable, graph, 0));
    OK(cuGraphLaunch(executable, stream));
    EXPECT(used(), 64 + 64);
    OK(cuMemFreeAsync(q, stream));
}

static void A_captured_managed_allocation_becomes_a_device_node(void) {
    start();
    struct pool_properties properties = {.type = 2, .location = {1, 0}};
    struct alloc_node node = {.size = 0};
    void *pool, *stream, *graph, *executable, *nodes[2];
    size_t count = 2;
    u64 p;
    OK(cuMemPoolCreate(&pool, &properties));
    OK(cuStreamCreate(&stream, 1));
    OK(cuStreamBeginCapture_v2(stream, 0));
    OK(cuMemAllocFromPoolAsync(&p, 64 * MIB, pool, stream));
    OK(cuMemFreeAsync(p, stream));
    OK(cuStreamEndCapture(stream, &graph));
    OK(cuGraphGetNodes(graph, nodes, &count));
    EXPECT(count, 2);
    OK(cuGraphMemAllocNodeGetParams(nodes[0], &node));
    EXPECT(node.pool.type, 1);
    EXPECT(node.pool.location.type, 1);
    OK(cuGraphInstantiateWithFlags(&executable, graph, 0));
    EXPECT(used(), 64);
    OK(cuGraphLaunch(executable, stream));
    EXPECT(listed(), 64 + 64);
    EXPECT(pool_mib(pool, RESERVED + 1), 0);
}

static void A_managed_node_is_made_on_the_device_only(void) {
    start();
    void *graph, *node;
    OK(cuGraphCreate(&graph, 0));
    for (int place = 0; place < 4; place++) {
        struct alloc_node parameters = {.pool = {.type = 2, .location = {place, 0}}, .size = 50 * MIB};
        EXPECT(cuGraphAddMemAllocNode(&node, graph, NULL, 0, &parameters), place == 1 ? 0 : 801);
    }
}

static void Managed_memory_is_taken_when_the_device_touches_it(void) {
    start();
    u64 p;
    OK(cuMemAllocManaged(&p, 300ull << 30, 1));
    OK(cuMemFree_v2(p));
    OK(cuMemAllocManaged(&p, 64 * MIB, 1));
    EXPECT(used(), 64);
    *(volatile char *)p = 1;
    EXPECT(used(), 64);
    OK(cuMemsetD8_v2(p, 1, 64 * MIB));
    EXPECT(used(), 128);
    OK(cuMemFree_v2(p));
    EXPECT(used(), 64);
}

static void Stacks_and_modules_take_memory(void) {
    start();
    OK(cuCtxSetLimit(0, 2048));
    EXPECT(used(), 64 + 68);
    OK(cuCtxSetLimit(0, 1024));
    EXPECT(used(), 64);
    void *module, *function;
    OK(cuModuleLoadData(&module, "\n.version 6.0\n.visible .entry kernel(){ret;}"));
    EXPECT(used(), 64);
    EXPECT(cuModuleGetFunction(&function, module, "nothing"), 500);
    OK(cuModuleGetFunction(&function, module, "kernel"));
    EXPECT(used(), 66);
    OK(cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, NULL, NULL, NULL));
    OK(cuModuleUnload(module));
    EXPECT(used(), 64);
}

static void Copies_and_sets_move_bytes(void) {
    start();
    u64 p, q;
    char in[1000], out[1000];
    OK(cuMemAlloc_v2(&p, 8 * MIB));
    OK(cuMemAlloc_v2(&q, 1000));
    for (int i = 0; i < 1000; i++)
        in[i] = (char)(i * 7);
    OK(cuMemcpyHtoD_v2(p + 3 * MIB, in, sizeof in));
    OK(cuMemcpyDtoD_v2(q, p + 3 * MIB, sizeof in));
    OK(cuMemcpyDtoH_v2(out, q, sizeof out));
    EXPECT(memcmp(in, out, sizeof in), 0);
    OK(cuMemsetD32_v2(q, 0x01020304, 250));
    OK(cuMemcpyDtoH_v2(out, q, sizeof out));
    EXPECT(out[999], 1);
    EXPECT(out[0], 4);
}

static void A_forked_child_cannot_use_the_parents_driver(void) {
    start();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        u64 p;
        int count;
        void *function = NULL;
        bool right = cuInit(0) == 3 && cuMemAlloc_v2(&p, 512) == 3 && cuDeviceGetCount(&count) == 3 &&
                     cuGetProcAddress_v2("cuMemAlloc", &function, 12000, 0, NULL) == 0 && function;
        _exit(right ? 0 : 1);
    }
    int status = -1;
    EXPECT(waitpid(child, &status, 0), child);
    EXPECT(status, 0);
    EXPECT(used(), 64);
}

static void A_child_forked_before_cuInit_has_its_own_driver(void) {
    fflush(stdout);
    int ready[2], done[2];
    OK(pipe(ready));
    OK(pipe(done));
    pid_t child = fork();
    if (child == 0) {
        char byte;
        start();
        _exit(failed || write(ready[1], "x", 1) != 1 || read(done[0], &byte, 1) != 1);
    }
    char byte;
    EXPECT(read(ready[0], &byte, 1), 1);
    start();
    EXPECT(used(), 128);
    EXPECT(write(done[1], "x", 1), 1);
    int status = -1;
    EXPECT(waitpid(child, &status, 0), child);
    EXPECT(status, 0);
    EXPECT(used(), 64);
}

static void Entry_points_are_found_by_version_and_stream_kind(void) {
    void *p = NULL;
    int status;
    OK(cuGetProcAddress_v2("cuMemAlloc", &p, 12000, 0, &status));
    EXPECT((uintptr_t)p, (uintptr_t)cuMemAlloc_v2);
    OK(cuGetProcAddress_v2("cuMemAlloc", &p, 3000, 0, &status));
    EXPECT(p != NULL && (uintptr_t)p != (uintptr_t)cuMemAlloc_v2, 1);
    OK(cuGetProcAddress_v2("cuMemAllocAsync", &p, 11020, 0, &status));
    EXPECT((uintptr_t)p, (uintptr_t)cuMemAllocAsync);
    OK(cuGetProcAddress_v2("cuMemAllocAsync", &p, 11020, 2, &status));
    EXPECT(p != NULL && (uintptr_t)p != (uintptr_t)cuMemAllocAsync, 1);
    OK(cuGetProcAddress_v2("cuMemAllocAsync", &p, 11010, 0, &status));
    EXPECT(status, 2);
    EXPECT((uintptr_t)p, 0);
    OK(cuGetProcAddress_v2("cuMemAlloc_v2", &p, 12000, 0, &status));
    EXPECT(status, 1);
    OK(cuGetProcAddress_v2("cuNothing", &p, 12000, 0, &status));
    EXPECT(status, 1);
    OK(cuGetProcAddress_v2("cuTexRefCreate", &p, 12000, 0, &status));
    EXPECT(p != NULL, 1);
}

static void *churn(void *unused) {
    (void)unused;
    u64 p[64] = {0};
    unsigned seed = (unsigned)(uintptr_t)&p;
    cuCtxSetCurrent(context);
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1664525 + 1013904223;
        u64 *slot = &p[seed >> 26];
        if (*slot) {
            if (seed >> 20 & 1 ? cuMemFree_v2(*slot) : cuMemFreeAsync(*slot, NULL))
                return "a free failed";
            *slot = 0;
        } else {
            size_t size = (size_t)1 << (seed >> 8 & 15) << (seed >> 4 & 7);
            if (seed >> 21 & 1 ? cuMemAlloc_v2(slot, size) : cuMemAllocAsync(slot, size, NULL))
                return "an allocation failed";
        }
    }
    for (int i = 0; i < 64; i++)
        if (p[i] && cuMemFree_v2(p[i]))
            return "a last free failed";
    return NULL;
}

static void Eight_threads_leave_nothing_behind(void) {
    start();
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        OK(pthread_create(&threads[i], NULL, churn, NULL));
    for (int i = 0; i < 8; i++) {
        void *message;
        OK(pthread_join(threads[i], &message));
        if (message)
            printf("not ok %s: %s\n", test, (char *)message), failed = true;
    }
    OK(cuCtxSynchronize());
    EXPECT(used(), 64);
}

static void What_another_process_shares_is_not_charged_twice(void) {
    int handles[2];
    OK(pipe(handles));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct ipc_handle handle;
        u64 p = 0;
        bool right = read(handles[0], &handle, sizeof handle) == (ssize_t)sizeof handle;
        start();
        long long before = used();
        right = right && cuIpcOpenMemHandle_v2(&p, handle, 1) == 0 && p && used() == before;
        right = right && cuMemFree_v2(p) == 1 && cuIpcCloseMemHandle(p) == 0;
        _exit(right && !failed ? 0 : 1);
    }
    start();
    struct ipc_handle handle;
    u64 p;
    OK(cuMemAlloc_v2(&p, 100 * MIB));
    OK(cuIpcGetMemHandle(&handle, p));
    EXPECT(cuIpcOpenMemHandle_v2(&p, handle, 1), 201);
    EXPECT(write(handles[1], &handle, sizeof handle), sizeof handle);
    int status = -1;
    EXPECT(waitpid(child, &status, 0), child);
    EXPECT(status, 0);
}

static void Imports_of_pools_and_external_memory_are_not_charged(void) {
    start();
    struct pool_properties properties = {.type = 1, .handle_types = 1, .location = {1, 0}};
    struct ipc_handle data;
    void *pool, *imported;
    u64 p, q;
    int fd;
    OK(cuMemPoolCreate(&pool, &properties));
    OK(cuMemAllocFromPoolAsync(&p, 10 * MIB, pool, NULL));
    OK(cuMemPoolExportToShareableHandle(&fd, pool, 1, 0));
    OK(cuMemPoolImportFromShareableHandle(&imported, (void *)(intptr_t)fd, 1, 0));
    EXPECT(cuMemAllocFromPoolAsync(&q, MIB, imported, NULL), 1);
    OK(cuMemPoolExportPointer(&data, p));
    OK(cuMemPoolImportPointer(&q, imported, &data));
    EXPECT(used(), 64 + 32);
    OK(cuMemFreeAsync(q, NULL));
    EXPECT(cuMemFreeAsync(q, NULL), 1);
    EXPECT(used(), 64 + 32);

    struct external_memory description = {.type = 1, .handle = {3}, .size = 100 * MIB};
    struct external_buffer buffer = {.offset = 10 * MIB, .size = 90 * MIB};
    void *external;
    OK(cuImportExternalMemory(&external, &description));
    OK(cuExternalMemoryGetMappedBuffer(&q, external, &buffer));
    EXPECT(used(), 64 + 32);
    OK(cuDestroyExternalMemory(external));
}

static void Nvml_lists_the_process_with_all_it_holds(void) {
    unsigned n = 0;
    EXPECT(nvmlDeviceGetCount_v2(&n), 1);
    start();
    u64 p;
    OK(cuMemAlloc_v2(&p, 1000 * MIB));
    void *device;
    OK(nvmlInit_v2());
    OK(nvmlDeviceGetHandleByIndex_v2(0, &device));
    struct process list[4] = {{0}};
    n = 0;
    EXPECT(nvmlDeviceGetComputeRunningProcesses_v3(device, &n, NULL), 7);
    EXPECT(n, 1);
    n = 4;
    OK(nvmlDeviceGetComputeRunningProcesses_v3(device, &n, list));
    EXPECT(n, 1);
    EXPECT(list[0].pid, getpid());
    EXPECT(list[0].used, 1064 * MIB);
    EXPECT(list[0].gpu_instance, UINT32_MAX);
    struct {
        unsigned pid;
        u64 used;
    } old[4];
    OK(nvmlDeviceGetComputeRunningProcesses(device, &n, old));
    EXPECT(old[0].used, 1064 * MIB);
    struct memory_v1 m;
    OK(nvmlDeviceGetMemoryInfo(device, &m));
    EXPECT(m.used, (1064 + 100) * MIB);
    EXPECT(m.total, m.used + m.free);
    struct memory_v2 m2 = {0};
    EXPECT(nvmlDeviceGetMemoryInfo_v2(device, &m2), 13);
    m2.version = sizeof m2 | 2 << 24;
    OK(nvmlDeviceGetMemoryInfo_v2(device, &m2));
    EXPECT(m2.total, 10989 * MIB);
    EXPECT(m2.total, m2.reserved + m2.used + m2.free);
    OK(nvmlShutdown());
    EXPECT(used(), 1064); /* closing NVML must not cost the process its slot */
}

#define TEST(name)                                                                                                     \
    { #name, name }
static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    TEST(A_context_holds_its_overhead_until_it_is_released),
    TEST(Small_allocations_share_blocks_of_2_MiB),
    TEST(Large_allocations_are_rounded_to_2_MiB),
    TEST(Wrong_arguments_get_the_real_drivers_answers),
    TEST(Memory_is_refused_at_the_physical_end),
    TEST(Pools_grow_by_32_MiB_and_give_back_when_synchronised),
    TEST(A_release_threshold_keeps_memory_until_the_device_is_short),
    TEST(A_destroyed_pool_lives_until_its_last_memory),
    TEST(A_managed_pool_keeps_freed_memory_until_destroyed),
    TEST(A_growing_managed_pool_leaves_the_list_alone),
    TEST(A_free_in_a_streams_order_waits_for_a_synchronisation),
    TEST(Mapped_memory_lives_until_its_last_reference),
    TEST(Arrays_are_padded_and_sparse_ones_are_free),
    TEST(Graphs_take_memory_at_launch_and_keep_it_until_trimmed),
    TEST(Captured_allocations_become_nodes),
    TEST(A_captured_managed_allocation_becomes_a_device_node),
    TEST(A_managed_node_is_made_on_the_device_only),
    TEST(Managed_memory_is_taken_when_the_device_touches_it),
    TEST(Stacks_and_modules_take_memory),
    TEST(Copies_and_sets_move_bytes),
    TEST(A_forked_child_cannot_use_the_parents_driver),
    TEST(A_child_forked_before_cuInit_has_its_own_driver),
    TEST(Entry_points_are_found_by_version_and_stream_kind),
    TEST(Eight_threads_leave_nothing_behind),
    TEST(What_another_process_shares_is_not_charged_twice),
    TEST(Imports_of_pools_and_external_memory_are_not_charged),
    TEST(Nvml_lists_the_process_with_all_it_holds),
};

static int print_uuids(void) {
    int rc = cuInit(0), count = 0;
    if (rc) {
        printf("error %d\n", rc);
        return 0;
    }
    cuDeviceGetCount(&count);
    for (int i = 0; i < count; i++) {
        unsigned char u[16], gpu[16];
        cuDeviceGetUuid_v2((char *)u, i);
        cuDeviceGetUuid((char *)gpu, i);
        printf(memcmp(u, gpu, 16) == 0 ? "GPU-" : "MIG-");
        for (int b = 0; b < 16; b++)
            printf("%s%02x", b == 4 || b == 6 || b == 8 || b == 10 ? "-" : "", u[b]);
        printf("\n");
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "uuids") == 0)
        return print_uuids();
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            test = tests[i].name;
            alarm(60);
            tests[i].run();
            fflush(stdout);
            _exit(failed);
        }
        int status = -1;
        waitpid(child, &status, 0);
        if (status == 0)
            printf("ok %s\n", tests[i].name);
        else if (!WIFEXITED(status))
            printf("not ok %s: ended by signal %d\n", tests[i].name, WTERMSIG(status));
    }
    return 0;
}
