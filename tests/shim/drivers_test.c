/* SPDX-License-Identifier: Apache-2.0 */
/* Several drivers in a process: stubs of toolkits, leftovers of other versions, copies opened by path. */
#define _GNU_SOURCE
#include "gpu.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STUB_ANSWERS = 34, OTHER_STUB_ANSWERS = 100, NVML_STUB_ANSWERS = 9 };

static const char *const hooks[] = {
#define HOOK(library, name, presence, since, area, returns, parameters) OF_##library(name)
#define CALL(...)
#define OF_cuda(name) #name,
#define OF_nvml(name)
#include "../../shim/hooks.def"
#undef HOOK
#undef CALL
};
enum { HOOKS = sizeof hooks / sizeof *hooks };

static const char *built(const char *name) {
    static __thread char path[4300];
    snprintf(path, sizeof path, "%s/%s", build_folder(), name);
    return path;
}

static void *open_built(const char *name, int flags) {
    void *library = dlopen(built(name), RTLD_NOW | flags);
    EXPECT(library);
    return library;
}

/* Another file, so that the loader takes it for another library. */
static void *open_copy(const char *name, const char *as) {
    char path[4200], command[9000];
    snprintf(path, sizeof path, "%s/%s", private_directory(), as);
    snprintf(command, sizeof command, "LD_PRELOAD= cp %s %s", built(name), path);
    EXPECT(system(command) == 0);
    void *library = dlopen(path, RTLD_NOW);
    EXPECT(library);
    return library;
}

static int init(void *driver) {
    int (*function)(unsigned) = dlsym(driver, "cuInit");
    EXPECT(function);
    return function(0);
}

static bool ours(const void *function) {
    Dl_info info;
    return function && dladdr(function, &info) && strstr(info.dli_fname, "librunai.so");
}

/* Checks that the driver in `gpu` works, and is limited to 1 GiB. */
static CUdeviceptr expect_limited(void) {
    CUdeviceptr pointer, more;
    gpu_begin(0);
    EXPECT_EQUAL(gpu_total(), GIB);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 500 * MIB), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&more, 600 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT(device_peak(0) <= GIB);
    return pointer;
}

SCENARIO(After_a_closed_stub_the_driver_is_limited, .limit = "1g") {
    void *stub = open_built("shim-tests/stub/libcuda.so.1", 0);
    EXPECT_EQUAL(init(stub), STUB_ANSWERS);
    EXPECT_EQUAL(dlclose(stub), 0);
    gpu_open();
    EXPECT(ours((void *)gpu.cuMemAlloc_v2));
    expect_limited();
}

SCENARIO(A_stub_that_failed_is_gone_when_it_is_closed, .limit = "1g") {
    void *stub = open_built("shim-tests/stub/libcuda.so.1", 0),
         *nvml = open_built("shim-tests/stub/libnvidia-ml.so.1", 0);
    EXPECT_EQUAL(init(stub), STUB_ANSWERS);
    EXPECT_EQUAL(((int (*)(void))dlsym(nvml, "nvmlInit_v2"))(), NVML_STUB_ANSWERS);
    EXPECT_EQUAL(dlclose(stub) | dlclose(nvml), 0);
    EXPECT(!dlopen(built("shim-tests/stub/libcuda.so.1"), RTLD_NOW | RTLD_NOLOAD));
    EXPECT(!dlopen(built("shim-tests/stub/libnvidia-ml.so.1"), RTLD_NOW | RTLD_NOLOAD));
}

SCENARIO(A_driver_beside_a_stub_that_stays_open_is_limited, .limit = "1g") {
    void *stub = open_built("shim-tests/stub/libcuda.so.1", 0),
         *nvml_stub = open_built("shim-tests/stub/libnvidia-ml.so.1", 0);
    EXPECT_EQUAL(init(stub), STUB_ANSWERS);
    EXPECT_EQUAL(((int (*)(void))dlsym(nvml_stub, "nvmlInit_v2"))(), NVML_STUB_ANSWERS);
    gpu_look_up(open_built("sim/libcuda.so.1", 0), open_built("sim/libnvidia-ml.so.1", 0));
    EXPECT(ours((void *)gpu.cuMemAlloc_v2) && ours((void *)gpu.nvmlInit_v2));
    expect_limited();
    EXPECT_EQUAL(nvml_memory(0).total, GIB);
    EXPECT_EQUAL(init(stub), STUB_ANSWERS);
}

SCENARIO(A_stub_beside_a_working_driver_changes_nothing, .limit = "1g") {
    gpu_open();
    CUdeviceptr pointer = expect_limited();
    void *stub = open_built("shim-tests/stub/libcuda.so.1", RTLD_GLOBAL);
    EXPECT_EQUAL(init(stub), STUB_ANSWERS);
    EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
    EXPECT_EQUAL(dlclose(stub), 0);
    expect_limited();
}

/* The loader puts the second library where the first was. */
SCENARIO(Of_drivers_opened_in_turn_each_answers_for_itself, .limit = "1g") {
    const void *address = NULL;
    unsigned again = 0;
    for (int i = 0; i < 40; i++) {
        void *driver = open_built(i % 2 ? "shim-tests/other-stub/libcuda.so.1" : "shim-tests/stub/libcuda.so.1", 0);
        Dl_info info;
        EXPECT(dladdr(dlsym(driver, "cuCtxGetCurrent"), &info));
        again += address == info.dli_fbase;
        address = info.dli_fbase;
        EXPECT_EQUAL(init(driver), i % 2 ? OTHER_STUB_ANSWERS : STUB_ANSWERS);
        EXPECT_EQUAL(dlclose(driver), 0);
    }
    EXPECT(again > 0);
}

/* Two stubs at once, the second through entries of its own. */
SCENARIO(Two_open_stubs_answer_each_for_itself, .limit = "1g") {
    void *stub = open_built("shim-tests/stub/libcuda.so.1", 0),
         *other = open_built("shim-tests/other-stub/libcuda.so.1", 0);
    for (int i = 0; i < HOOKS; i++) {
        int (*function)(void *, void *, void *, void *, void *) = dlsym(other, hooks[i]);
        EXPECT(ours((void *)function) && function != dlsym(stub, hooks[i]));
    }
    EXPECT_EQUAL(init(other), OTHER_STUB_ANSWERS);
    EXPECT_EQUAL(init(stub), STUB_ANSWERS);
    EXPECT_EQUAL(init(other), OTHER_STUB_ANSWERS);
    EXPECT_EQUAL(((int (*)(void *))dlsym(other, "cuArrayDestroy"))(NULL), OTHER_STUB_ANSWERS);
    EXPECT_EQUAL(((int (*)(void *))dlsym(stub, "cuArrayDestroy"))(NULL), STUB_ANSWERS);
}

SCENARIO(A_measurement_needs_no_NVML_of_the_program, .limit = "3g") {
    void *stub = open_built("shim-tests/stub/libnvidia-ml.so.1", RTLD_GLOBAL);
    EXPECT_EQUAL(((int (*)(void))dlsym(stub, "nvmlInit_v2"))(), NVML_STUB_ANSWERS);
    gpu_look_up(dlopen("libcuda.so.1", RTLD_NOW), stub);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), 3 * GIB - 64 * MIB);
    EXPECT_EQUAL(gpu.cuCtxSetLimit(0, 2 << 10), CUDA_SUCCESS); /* stacks: measured */
    EXPECT(3 * GIB - gpu_free() == device_used(0));
}

static struct functions one, two;

static void begin_two(void) {
    gpu_look_up(open_built("sim/libcuda.so.1", 0), open_built("sim/libnvidia-ml.so.1", 0));
    gpu_begin(0);
    one = gpu;
    gpu_look_up(open_copy("sim/libcuda.so.1", "a-copy.so"), NULL);
    gpu_begin(0);
    two = gpu;
    EXPECT(one.cuMemAlloc_v2 != two.cuMemAlloc_v2);
    EXPECT(ours((void *)one.cuMemAlloc_v2) && ours((void *)two.cuMemAlloc_v2));
}

SCENARIO(Two_drivers_share_the_limit_but_not_memory, .limit = "1g") {
    CUdeviceptr first, second, none;
    CUcontext context;
    begin_two();
    EXPECT_EQUAL(one.cuMemAlloc_v2(&first, 400 * MIB), CUDA_SUCCESS);
    EXPECT_EQUAL(two.cuMemAlloc_v2(&second, 400 * MIB), CUDA_SUCCESS);
    EXPECT_EQUAL(one.cuMemAlloc_v2(&none, 200 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(two.cuMemAlloc_v2(&none, 200 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(GIB - gpu_free(), device_used(0));
    EXPECT(two.cuMemFree_v2(first) != CUDA_SUCCESS);
    EXPECT_EQUAL(one.cuDevicePrimaryCtxReset(0), CUDA_SUCCESS);
    EXPECT_EQUAL(GIB - gpu_free(), device_used(0));
    EXPECT(device_used(0) > 400 * MIB);
    EXPECT_EQUAL(two.cuMemAlloc_v2(&none, 600 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(two.cuMemFree_v2(second), CUDA_SUCCESS);
    EXPECT_EQUAL(one.cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(one.cuCtxSetCurrent(context), CUDA_SUCCESS);
    EXPECT_EQUAL(one.cuMemAlloc_v2(&first, 700 * MIB), CUDA_SUCCESS);
    EXPECT(device_peak(0) <= GIB);
}

/* Also beyond the registers: a launch passes the last block size and the stream on the stack. */
SCENARIO(A_second_drivers_launch_gets_all_of_its_arguments, .limit = "1g") {
    static const char text[] = ".version 6.0\n.visible .entry work() {\n.local .align 16 .b8 depot[65536];\nret;\n}\n";
    CUmodule module;
    CUstream stream;
    CUgraph graph;
    void *function;
    size_t nodes = 0;
    begin_two();
    EXPECT_EQUAL(two.cuModuleLoadData(&module, "a kernel that needs no memory"), CUDA_SUCCESS);
    EXPECT_EQUAL(two.cuModuleGetFunction(&function, module, "work"), CUDA_SUCCESS);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQUAL(two.cuLaunchKernel(function, 1, 1, 1, 1, 1, 0, 0, NULL, NULL, NULL), 1);
        EXPECT_EQUAL(two.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL), CUDA_SUCCESS);
    }
    EXPECT_EQUAL(two.cuStreamCreate(&stream, 1), CUDA_SUCCESS);
    EXPECT_EQUAL(two.cuStreamBeginCapture_v2(stream, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(two.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, NULL, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(two.cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
    EXPECT_EQUAL(two.cuGraphGetNodes(graph, NULL, &nodes), CUDA_SUCCESS);
    EXPECT_EQUAL(nodes, 1);
    EXPECT_EQUAL(two.cuModuleLoadData(&module, text), CUDA_SUCCESS);
    EXPECT_EQUAL(two.cuModuleGetFunction(&function, module, "work"), CUDA_SUCCESS);
    EXPECT_EQUAL(two.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL), CUDA_ERROR_OUT_OF_MEMORY);
}

/* Before a refusal, each driver's pools give back what they hold without need, and no driver is asked about
   another's. */
SCENARIO(Pools_of_two_drivers_are_each_asked_through_their_own, .limit = "1g") {
    CUdeviceptr first, second, third;
    CUmemoryPool pool;
    uint64_t all = UINT64_MAX;
    begin_two();
    EXPECT_EQUAL(one.cuDeviceGetMemPool(&pool, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(one.cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &all), CUDA_SUCCESS);
    EXPECT_EQUAL(one.cuMemAllocAsync(&first, 300 * MIB, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(two.cuMemAllocAsync(&second, 300 * MIB, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(GIB - gpu_free(), device_used(0));
    EXPECT_EQUAL(one.cuMemFreeAsync(first, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(one.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(two.cuMemAlloc_v2(&third, 500 * MIB), CUDA_SUCCESS);
    EXPECT_EQUAL(two.cuMemFreeAsync(second, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(two.cuStreamSynchronize(NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(one.cuMemAlloc_v2(&first, 350 * MIB), CUDA_SUCCESS);
    EXPECT_EQUAL(GIB - gpu_free(), device_used(0));
    EXPECT(device_peak(0) <= GIB);
}

SCENARIO(A_second_drivers_cuGetProcAddress_gives_its_own_functions, .limit = "1g") {
    void *function = NULL;
    int status = -1;
    begin_two();
    EXPECT_EQUAL(two.cuGetProcAddress_v2("cuMemAlloc", &function, 12000, 0, &status), CUDA_SUCCESS);
    EXPECT(function == (void *)two.cuMemAlloc_v2);
    EXPECT_EQUAL(one.cuGetProcAddress_v2("cuMemAlloc", &function, 12000, 0, &status), CUDA_SUCCESS);
    EXPECT(function == (void *)one.cuMemAlloc_v2);
}

/* 15 of them have numbers of their own: see real.h. */
SCENARIO(More_drivers_than_can_be_told_apart_are_refused, .limit = "1g") {
    unsigned working = 0, refused = 0;
    for (int i = 0; i < 20; i++) {
        char name[20];
        snprintf(name, sizeof name, "libcuda.so.%d", i);
        void *driver = open_copy("sim/libcuda.so.1", name);
        int answer = init(driver);
        EXPECT(answer == CUDA_SUCCESS || answer == CUDA_ERROR_NOT_PERMITTED);
        EXPECT(ours(dlsym(driver, "cuMemAlloc_v2")));
        answer == CUDA_SUCCESS ? working++ : refused++;
    }
    EXPECT_EQUAL(working, 15);
    EXPECT_EQUAL(refused, 5);
}

static void *use(void *data) {
    struct functions *driver = data;
    CUcontext context;
    EXPECT_EQUAL(driver->cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(driver->cuCtxSetCurrent(context), CUDA_SUCCESS);
    for (int i = 0; i < 300; i++) {
        CUdeviceptr pointer = 0;
        CUresult result = driver->cuMemAlloc_v2(&pointer, 120 * MIB);
        EXPECT(result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY);
        if (result == CUDA_SUCCESS)
            EXPECT_EQUAL(driver->cuMemFree_v2(pointer), CUDA_SUCCESS);
    }
    return NULL;
}

static void *look(void *data) {
    for (int i = 0; i < 300; i++) {
        bool other = (i + *(int *)data) % 2;
        void *stub = open_built(other ? "shim-tests/other-stub/libcuda.so.1" : "shim-tests/stub/libcuda.so.1", 0);
        EXPECT_EQUAL(init(stub), other ? OTHER_STUB_ANSWERS : STUB_ANSWERS);
        dlclose(stub);
    }
    return NULL;
}

SCENARIO(Threads_with_two_drivers_stay_within_the_limit, .limit = "500m") {
    pthread_t users[6], lookers[2];
    static int first = 0, second = 1;
    begin_two();
    for (int i = 0; i < 6; i++)
        pthread_create(&users[i], NULL, use, i % 2 ? &one : &two);
    pthread_create(&lookers[0], NULL, look, &first);
    pthread_create(&lookers[1], NULL, look, &second);
    for (int i = 0; i < 6; i++)
        pthread_join(users[i], NULL);
    pthread_join(lookers[0], NULL);
    pthread_join(lookers[1], NULL);
    EXPECT(device_peak(0) <= 500 * MIB);
    EXPECT_EQUAL(500 * MIB - gpu_free(), device_used(0));
}

/* The shim tries each NVML that it finds. The program closes a slow one meanwhile. */
static void *close_soon(void *library) {
    pause_ms(100);
    EXPECT_EQUAL(dlclose(library), 0);
    return NULL;
}

SCENARIO(An_NVML_closed_meanwhile_is_tried_to_its_end, .limit = "1g") {
    pthread_t thread;
    setenv("RUNAI_STUB_WAIT_MS", "300", 1);
    void *stub = open_built("shim-tests/stub/libnvidia-ml.so.1", 0);
    EXPECT_EQUAL(pthread_create(&thread, NULL, close_soon, stub), 0);
    gpu_look_up(open_built("sim/libcuda.so.1", 0), NULL);
    expect_limited();
    pthread_join(thread, NULL);
    EXPECT(!dlopen(built("shim-tests/stub/libnvidia-ml.so.1"), RTLD_NOW | RTLD_NOLOAD));
    EXPECT_EQUAL(gpu.cuCtxSetLimit(0, 2 << 10), CUDA_SUCCESS); /* stacks: another NVML measures */
    EXPECT_EQUAL(GIB - gpu_free(), device_used(0));
}

/* Before the first cuInit no driver is kept: another thread may close one that was just found. */
static _Atomic bool started;

static void *open_and_close(void *data) {
    static const char *const names[] = {"shim-tests/stub/libnvidia-ml.so.1", "shim-tests/stub/libcuda.so.1",
                                        "shim-tests/namesake.so", "shim-tests/other-stub/libcuda.so.1"};
    for (unsigned i = *(unsigned *)data; !atomic_load(&started); i++)
        dlclose(open_built(names[i % 4], 0));
    return NULL;
}

static void start_while_others_close(void *unused) {
    static unsigned first[3] = {0, 1, 2};
    pthread_t threads[3];
    (void)unused;
    setenv("RUNAI_STUB_WAIT_MS", "1", 1);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, open_and_close, &first[i]);
    gpu_look_up(open_built("sim/libcuda.so.1", 0), NULL);
    expect_limited();
    atomic_store(&started, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

SCENARIO(A_library_closed_while_a_driver_starts_is_not_read, .limit = "1g") {
    for (int i = 0; i < 20; i++)
        EXPECT_EQUAL(in_child(start_while_others_close, NULL), 0);
}
