/* SPDX-License-Identifier: Apache-2.0 */
/* What takes memory besides the allocation calls, sometimes gigabytes: graphs of any size, modules and libraries with
   large globals, kernels with much local memory, streams, contexts. */
#include "gpu.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTEXT (64 * MIB)
#define MODULE (2 * MIB)
enum { OOM = CUDA_ERROR_OUT_OF_MEMORY };

static void *driver(const char *name) {
    void *function = dlsym(dlopen("libcuda.so.1", RTLD_NOW), name);
    EXPECT(function);
    return function;
}

/* Charged to the byte, and never above the limit. */
static void expect_exact(uint64_t limit, uint64_t used) {
    EXPECT_EQUAL(device_used(0), used);
    EXPECT_EQUAL(gpu_free(), limit - used);
    EXPECT(device_peak(0) <= limit);
}

/* Graphs. */

static void *add_alloc(CUgraph graph, uint64_t size) {
    struct graph_allocation a = {.pool = {.allocType = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}}, .size = size};
    void *node, *end;
    EXPECT_EQUAL(gpu.cuGraphAddMemAllocNode(&node, graph, NULL, 0, &a), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuGraphAddMemFreeNode(&end, graph, &node, 1, a.pointer), CUDA_SUCCESS);
    return node;
}

static CUgraph new_graph(unsigned empty_nodes) {
    CUresult (*add)(void **, CUgraph, void *const *, size_t) = driver("cuGraphAddEmptyNode");
    CUgraph graph;
    void *node;
    EXPECT_EQUAL(gpu.cuGraphCreate(&graph, 0), CUDA_SUCCESS);
    for (unsigned i = 0; i < empty_nodes; i++)
        EXPECT_EQUAL(add(&node, graph, NULL, 0), CUDA_SUCCESS);
    return graph;
}

static CUgraphExec executable_of(CUgraph graph) {
    CUgraphExec executable;
    EXPECT_EQUAL(gpu.cuGraphInstantiateWithFlags(&executable, graph, 0), CUDA_SUCCESS);
    return executable;
}

SCENARIO(A_graph_of_many_nodes_is_charged_like_others, .limit = "1g") {
    gpu_begin(0);
    CUgraph graph = new_graph(5000);
    add_alloc(graph, 1500 * MIB);
    CUgraphExec executable = executable_of(graph);
    EXPECT_EQUAL(gpu.cuGraphLaunch(executable, NULL), OOM);
    EXPECT_EQUAL(gpu.cuGraphUpload(executable, NULL), OOM);
    expect_exact(GIB, CONTEXT);
    graph = new_graph(5000);
    add_alloc(graph, 500 * MIB);
    executable = executable_of(graph);
    EXPECT_EQUAL(gpu.cuGraphLaunch(executable, NULL), CUDA_SUCCESS);
    expect_exact(GIB, CONTEXT + 512 * MIB);
    EXPECT_EQUAL(refused_calls(), 2);
}

/* A graph with memory can only be moved into another. */
static CUgraph within(CUgraph child) {
    CUresult (*add)(void **, CUgraph, void *const *, const void *, size_t, void *) = driver("cuGraphAddNode_v2");
    struct {
        int type, reserved[3];
        CUgraph child;
        int moved, more[60];
    } parameters = {.type = CU_GRAPH_NODE_TYPE_GRAPH, .child = child, .moved = 1};
    CUgraph graph = new_graph(1);
    void *node;
    EXPECT_EQUAL(add(&node, graph, NULL, NULL, 0, &parameters), CUDA_SUCCESS);
    return graph;
}

SCENARIO(A_graph_within_graphs_is_charged_however_deep_it_is, .limit = "1g") {
    gpu_begin(0);
    CUgraph graph = new_graph(0);
    add_alloc(graph, 1500 * MIB);
    for (int depth = 0; depth < 20; depth++)
        graph = within(graph);
    EXPECT_EQUAL(gpu.cuGraphLaunch(executable_of(graph), NULL), OOM);
    expect_exact(GIB, CONTEXT);
    EXPECT_EQUAL(refused_calls(), 1);
}

/* 4000 MiB in all, but never more than 2 at a time. */
SCENARIO(A_graph_needs_what_its_allocations_need_at_a_time, .limit = "1g") {
    CUstream stream;
    CUgraph graph;
    CUdeviceptr pointer;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuStreamCreate(&stream, 1), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamBeginCapture_v2(stream, 0), CUDA_SUCCESS);
    for (int i = 0; i < 2000; i++) {
        EXPECT_EQUAL(gpu.cuMemAllocAsync(&pointer, 2 * MIB, stream), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemFreeAsync(pointer, stream), CUDA_SUCCESS);
    }
    EXPECT_EQUAL(gpu.cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuGraphLaunch(executable_of(graph), NULL), CUDA_SUCCESS);
    expect_exact(GIB, CONTEXT + 32 * MIB);
}

SCENARIO(Executables_of_graphs_are_refused_at_the_limit, .limit = "256m", .gpus = "--node 2560") {
    CUgraphExec executable[100];
    CUresult result = CUDA_SUCCESS;
    gpu_begin(0);
    CUgraph graph = new_graph(1);
    void *node, *last = NULL;
    CUresult (*add)(void **, CUgraph, void *const *, size_t) = driver("cuGraphAddEmptyNode");
    for (int i = 0; i < 4000; i++, last = node)
        EXPECT_EQUAL(add(&node, graph, &last, last != NULL), CUDA_SUCCESS);
    unsigned made = 0;
    while (made < 100 && (result = gpu.cuGraphInstantiateWithFlags(&executable[made], graph, 0)) == CUDA_SUCCESS)
        made++;
    EXPECT_EQUAL(result, OOM);
    EXPECT(made >= 17 && device_peak(0) <= 256 * MIB); /* of 18.8 */
    for (unsigned i = 0; i < made; i++)                /* the driver keeps their memory for the next */
        EXPECT_EQUAL(gpu.cuGraphExecDestroy(executable[i]), CUDA_SUCCESS);
    for (unsigned i = 0; i < made; i++)
        executable_of(graph);
    EXPECT(device_peak(0) <= 256 * MIB);
    EXPECT_EQUAL(refused_calls(), 1);
}

/* Modules and libraries. */

static char *ptx(const char *declarations, const char *body) {
    static char text[2000];
    snprintf(text, sizeof text,
             ".version 6.0\n.target sm_50\n.address_size 64\n%s\n.visible .entry work() {\n%s\nret;\n}\n", declarations,
             body);
    return text;
}

static char *with_global(uint64_t bytes) {
    char declaration[200];
    snprintf(declaration, sizeof declaration, ".visible .global .align 16 .b8 big[%llu];", (unsigned long long)bytes);
    return ptx(declaration, "");
}

SCENARIO(A_module_with_globals_beyond_the_limit_is_refused, .limit = "1g") {
    CUmodule module;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuModuleLoadData(&module, with_global(1500 * MIB)), OOM);
    EXPECT_EQUAL(gpu.cuModuleLoadDataEx(&module, with_global(1500 * MIB), 0, NULL, NULL), OOM);
    EXPECT_EQUAL(gpu.cuModuleLoadFatBinary(&module, with_global(1500 * MIB)), OOM);
    expect_exact(GIB, CONTEXT);
    EXPECT_EQUAL(gpu.cuModuleLoadData(&module, with_global(500 * MIB)), CUDA_SUCCESS);
    expect_exact(GIB, CONTEXT + 500 * MIB);
    EXPECT_EQUAL(gpu.cuModuleUnload(module), CUDA_SUCCESS);
    expect_exact(GIB, CONTEXT);
    EXPECT_EQUAL(refused_calls(), 3);
}

/* A cubin with a global of that size. Its section .nv.global has the size too, or only its low 32 bits, while the
   symbol table has all of it. */
static const char *cubin_with(unsigned machine, uint64_t bytes, unsigned section) {
    static struct {
        unsigned char ident[16];
        uint16_t type, machine;
        uint32_t version;
        uint64_t entry, programs, sections;
        uint32_t flags;
        uint16_t size, program_size, program_count, section_size, section_count, names;
        struct {
            uint32_t name, type;
            uint64_t flags, address, offset, size;
            uint32_t link, info;
            uint64_t align, entry_size;
        } section[4];
        char text[32];
        struct {
            uint32_t name;
            unsigned char info, other;
            uint16_t section;
            uint64_t value, size;
        } symbol;
    } elf = {.ident = "\177ELF\2\1\1", .sections = 64, .section_size = 64, .section_count = 4, .names = 1};
    memcpy(elf.text, "\0.nv.global\0.shstrtab", 22);
    elf.symbol.section = (uint16_t)section;
    elf.symbol.size = bytes;
    elf.section[3].name = 11;
    elf.section[3].type = 2;
    elf.section[3].offset = offsetof(__typeof__(elf), symbol);
    elf.section[3].size = sizeof elf.symbol;
    elf.machine = (uint16_t)machine;
    elf.section[1].name = 12;
    elf.section[1].offset = offsetof(__typeof__(elf), text);
    elf.section[1].size = sizeof elf.text;
    elf.section[2].name = 1;
    elf.section[2].type = 8;
    elf.section[2].size = (uint32_t)bytes;
    return (const char *)&elf;
}

static const char *cubin(unsigned machine, uint64_t bytes) {
    return cubin_with(machine, bytes, 2);
}

static void *library_of(const char *image) {
    void *library = NULL;
    EXPECT_EQUAL(gpu.cuLibraryLoadData(&library, image, NULL, NULL, 0, NULL, NULL, 0), CUDA_SUCCESS);
    return library;
}

static void *kernel_of(void *library) {
    CUresult (*get)(void **, void *, const char *) = driver("cuLibraryGetKernel");
    void *kernel = NULL;
    EXPECT_EQUAL(get(&kernel, library, "work"), CUDA_SUCCESS);
    return kernel;
}

static CUresult launch(const void *function) {
    return gpu.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL);
}

/* 6 GiB, of which the section declares 2. */
SCENARIO(A_cubin_takes_what_its_symbols_say, .limit = "3g") {
    CUmodule module;
    void *function;
    CUdeviceptr pointer;
    size_t size;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuModuleLoadData(&module, cubin(190, 6 * GIB)), OOM);
    void *library = library_of(cubin(190, 6 * GIB));
    for (int i = 0; i < 2; i++) {
        EXPECT_EQUAL(launch(kernel_of(library)), OOM);
        EXPECT_EQUAL(gpu.cuKernelGetFunction(&function, kernel_of(library)), OOM);
        EXPECT_EQUAL(gpu.cuLibraryGetGlobal(&pointer, &size, library, "big"), OOM);
    }
    expect_exact(3 * GIB, CONTEXT);
    EXPECT_EQUAL(gpu.cuLibraryUnload(library), CUDA_SUCCESS);
    EXPECT_EQUAL(launch(kernel_of(library_of(cubin(190, GIB)))), CUDA_SUCCESS);
    expect_exact(3 * GIB, CONTEXT + MODULE + GIB);
    EXPECT_EQUAL(refused_calls(), 7);
}

/* Nothing that the shim reads declares 6 GiB: it is loaded as a module first, which can be unloaded. */
SCENARIO(A_library_of_unknown_size_is_not_left_loaded, .limit = "3g") {
    CUdeviceptr pointer;
    size_t size;
    gpu_begin(0);
    void *library = library_of(cubin_with(190, 6 * GIB, 0));
    for (int i = 0; i < 2; i++) {
        EXPECT_EQUAL(gpu.cuLibraryGetGlobal(&pointer, &size, library, "big"), OOM);
        EXPECT_EQUAL(device_used(0), CONTEXT);
        EXPECT_EQUAL(gpu_free(), 3 * GIB - CONTEXT);
    }
    EXPECT_EQUAL(refused_calls(), 2);
}

SCENARIO(So_is_a_cubin, .limit = "1g") {
    CUmodule module;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuModuleLoadData(&module, cubin(190, 1500 * MIB)), OOM);
    expect_exact(GIB, CONTEXT);
    EXPECT_EQUAL(gpu.cuModuleLoadData(&module, cubin(190, 500 * MIB)), CUDA_SUCCESS);
    expect_exact(GIB, CONTEXT + 500 * MIB);
    EXPECT_EQUAL(refused_calls(), 1);
}

/* An image that the shim cannot read, as if compressed: it is unloaded at once. */
SCENARIO(A_module_that_does_not_fit_is_unloaded, .limit = "1g") {
    CUmodule module;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuModuleLoadData(&module, cubin(7, 1500 * MIB)), OOM);
    EXPECT_EQUAL(device_used(0), CONTEXT);
    EXPECT_EQUAL(gpu.cuModuleLoadData(&module, cubin(7, 500 * MIB)), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 500 * MIB);
    EXPECT_EQUAL(refused_calls(), 1);
}

SCENARIO(Globals_beyond_the_limit_are_refused_at_first_use, .limit = "1g") {
    void *library, *function;
    CUdeviceptr pointer;
    CUmodule module;
    size_t size;
    gpu_begin(0);
    library = library_of(with_global(1500 * MIB));
    EXPECT_EQUAL(gpu.cuKernelGetFunction(&function, kernel_of(library)), OOM);
    EXPECT_EQUAL(gpu.cuLibraryGetGlobal(&pointer, &size, library, "big"), OOM);
    EXPECT_EQUAL(gpu.cuLibraryGetModule(&module, library), OOM);
    EXPECT_EQUAL(launch(kernel_of(library)), OOM);
    EXPECT_EQUAL(gpu.cuLibraryUnload(library), CUDA_SUCCESS);
    expect_exact(GIB, CONTEXT);
    library = library_of(with_global(500 * MIB));
    expect_exact(GIB, CONTEXT);
    EXPECT_EQUAL(launch(kernel_of(library)), CUDA_SUCCESS);
    expect_exact(GIB, CONTEXT + MODULE + 500 * MIB);
    EXPECT_EQUAL(gpu.cuLibraryGetGlobal(&pointer, &size, library, "big"), CUDA_SUCCESS);
    EXPECT_EQUAL(refused_calls(), 4);
}

SCENARIO(And_when_it_is_loaded_where_that_is_eager, .limit = "1g") {
    void *library;
    setenv("CUDA_MODULE_LOADING", "EAGER", 1);
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuLibraryLoadData(&library, with_global(1500 * MIB), NULL, NULL, 0, NULL, NULL, 0), OOM);
    expect_exact(GIB, CONTEXT);
    library_of(with_global(500 * MIB));
    expect_exact(GIB, CONTEXT + MODULE + 500 * MIB);
    EXPECT_EQUAL(refused_calls(), 1);
}

static void load_together(struct together *t) {
    CUmodule module;
    gpu_begin(0);
    together_begin(t);
    CUresult result = gpu.cuModuleLoadData(&module, with_global(200 * MIB));
    EXPECT(result == CUDA_SUCCESS || result == OOM);
    together_done(t, result == CUDA_SUCCESS);
}

SCENARIO(Modules_that_processes_load_together_stay_within_the_limit, .limit = "1g", .repeat = 3) {
    enum { STARTS = 8 };
    struct together *t = start_together(STARTS, load_together);
    EXPECT_EQUAL(t->succeeded, (GIB - STARTS * CONTEXT) / (200 * MIB));
    EXPECT(device_peak(0) <= GIB);
    end_together(t);
}

/* Local memory of 68 x 1024 threads; the sizes used give whole blocks. */
#define LOCAL(bytes) (((uint64_t)(bytes)-1024) * 68 * 1024 / (2 * MIB) * (2 * MIB))

static CUmodule load_local(unsigned bytes) {
    char body[200];
    CUmodule module;
    snprintf(body, sizeof body, ".local .align 16 .b8 depot[%u];", bytes);
    EXPECT_EQUAL(gpu.cuModuleLoadData(&module, ptx("", body)), CUDA_SUCCESS);
    return module;
}

static void *function_of(CUmodule module) {
    void *function;
    EXPECT_EQUAL(gpu.cuModuleGetFunction(&function, module, "work"), CUDA_SUCCESS);
    return function;
}

SCENARIO(A_launch_with_local_memory_beyond_the_limit_is_refused, .limit = "1g") {
    struct launch_config config = {.grid = {1, 1, 1}, .block = {1, 1, 1}};
    gpu_begin(0);
    void *deep = function_of(load_local(65536));
    for (int i = 0; i < 2; i++) {
        EXPECT_EQUAL(launch(deep), OOM);
        EXPECT_EQUAL(gpu.cuLaunchKernel_ptsz(deep, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL), OOM);
        EXPECT_EQUAL(gpu.cuLaunchKernelEx(&config, deep, NULL, NULL), OOM);
        EXPECT_EQUAL(gpu.cuLaunchKernelEx_ptsz(&config, deep, NULL, NULL), OOM);
        EXPECT_EQUAL(gpu.cuLaunchCooperativeKernel(deep, 1, 1, 1, 1, 1, 1, 0, NULL, NULL), OOM);
        EXPECT_EQUAL(gpu.cuLaunchCooperativeKernel_ptsz(deep, 1, 1, 1, 1, 1, 1, 0, NULL, NULL), OOM);
    }
    EXPECT_EQUAL(launch(kernel_of(library_of(ptx("", ".local .align 16 .b8 depot[65536];")))), OOM);
    expect_exact(GIB, CONTEXT + MODULE);
    EXPECT_EQUAL(launch(function_of(load_local(1024))), CUDA_SUCCESS);
    expect_exact(GIB, CONTEXT + 2 * MODULE);
    EXPECT_EQUAL(refused_calls(), 13);
}

SCENARIO(A_launch_grows_local_memory_once, .limit = "1g") {
    gpu_begin(0);
    void *deep = function_of(load_local(4096)), *deeper = function_of(load_local(8192));
    for (int i = 0; i < 3; i++)
        EXPECT_EQUAL(launch(deep), CUDA_SUCCESS);
    expect_exact(GIB, CONTEXT + 2 * MODULE + LOCAL(4096));
    gpu_allocate(300 * MIB);
    EXPECT_EQUAL(launch(deeper), CUDA_SUCCESS);
    gpu_allocate(gpu_free());
    for (int i = 0; i < 3; i++) {
        EXPECT_EQUAL(launch(deep), CUDA_SUCCESS);
        EXPECT_EQUAL(launch(deeper), CUDA_SUCCESS);
    }
    EXPECT_EQUAL(device_peak(0), GIB);
}

SCENARIO(A_stack_limit_sets_local_memory_anew, .limit = "1g") {
    gpu_begin(0);
    void *deep = function_of(load_local(8192));
    EXPECT_EQUAL(launch(deep), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 2048), CUDA_SUCCESS);
    expect_exact(GIB, CONTEXT + MODULE + LOCAL(2048));
    CUdeviceptr pointer = gpu_allocate(700 * MIB);
    EXPECT_EQUAL(launch(deep), OOM);
    EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
    EXPECT_EQUAL(launch(deep), CUDA_SUCCESS);
    expect_exact(GIB, CONTEXT + MODULE + LOCAL(8192));
    EXPECT_EQUAL(refused_calls(), 1);
}

/* The same address may be another function once its module is unloaded. */
SCENARIO(A_function_is_known_as_long_as_its_module, .limit = "1g") {
    gpu_begin(0);
    for (int i = 0; i < 50; i++) {
        CUmodule module = load_local(i % 2 ? 65536 : 512);
        EXPECT_EQUAL(launch(function_of(module)), i % 2 ? OOM : CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuModuleUnload(module), CUDA_SUCCESS);
    }
    expect_exact(GIB, CONTEXT);
    EXPECT_EQUAL(refused_calls(), 25);
}

SCENARIO(Each_context_has_local_memory_of_its_own, .limit = "1g") {
    CUcontext second;
    gpu_begin(0);
    EXPECT_EQUAL(launch(function_of(load_local(4096))), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuCtxCreate_v2(&second, 0, 0), CUDA_SUCCESS);
    void *deep = function_of(load_local(4096));
    CUdeviceptr pointer = gpu_allocate(600 * MIB);
    EXPECT_EQUAL(launch(deep), OOM);
    EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
    EXPECT_EQUAL(launch(deep), CUDA_SUCCESS);
    expect_exact(GIB, 2 * CONTEXT + 2 * MODULE + 2 * LOCAL(4096));
    EXPECT_EQUAL(gpu.cuCtxDestroy_v2(second), CUDA_SUCCESS);
    gpu_begin(0);
    expect_exact(GIB, CONTEXT + MODULE + LOCAL(4096));
    EXPECT_EQUAL(refused_calls(), 1);
}

static CUgraph capture_of(const void *function) {
    CUstream stream;
    CUgraph graph;
    EXPECT_EQUAL(gpu.cuStreamCreate(&stream, 1), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamBeginCapture_v2(stream, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, NULL, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
    return graph;
}

SCENARIO(A_graphs_local_memory_is_refused_when_it_is_instantiated, .limit = "1g") {
    CUgraphExec executable;
    gpu_begin(0);
    CUgraph graph = capture_of(function_of(load_local(65536)));
    EXPECT_EQUAL(gpu.cuGraphInstantiateWithFlags(&executable, graph, 0), OOM);
    expect_exact(GIB, CONTEXT + MODULE);
    executable = executable_of(capture_of(function_of(load_local(8192))));
    expect_exact(GIB, CONTEXT + 2 * MODULE + LOCAL(8192));
    EXPECT_EQUAL(gpu.cuGraphLaunch(executable, NULL), CUDA_SUCCESS);
    expect_exact(GIB, CONTEXT + 2 * MODULE + LOCAL(8192));
    EXPECT_EQUAL(refused_calls(), 1);
}

/* Streams and contexts. */

SCENARIO(Streams_are_refused_at_the_limit, .limit = "256m", .gpus = "--stream 560k") {
    CUstream stream[1000];
    CUresult result = CUDA_SUCCESS;
    gpu_begin(0);
    unsigned made = 0;
    while (made < 1000 && (result = gpu.cuStreamCreate(&stream[made], 1)) == CUDA_SUCCESS)
        made++;
    EXPECT_EQUAL(result, OOM);
    EXPECT_EQUAL(gpu.cuStreamCreateWithPriority(&stream[made], 1, 0), OOM);
    EXPECT(made > 340 && device_peak(0) <= 256 * MIB); /* of 351 */
    for (int round = 0; round < 2; round++) {          /* the driver keeps their memory for the next */
        for (unsigned i = 0; i < made; i++)
            EXPECT_EQUAL(gpu.cuStreamDestroy_v2(stream[i]), CUDA_SUCCESS);
        for (unsigned i = 0; i < made; i++)
            EXPECT_EQUAL(gpu.cuStreamCreate(&stream[i], 1), CUDA_SUCCESS);
    }
    EXPECT(device_peak(0) <= 256 * MIB);
    EXPECT_EQUAL(refused_calls(), 2);
}

/* Starts a program without the shim, and waits until it holds its memory. */
static int outside(const char *size, uint64_t bytes) {
    char command[4300];
    int pid = 0;
    snprintf(command, sizeof command, "LD_PRELOAD= %s/sim/gpu-alloc --hold 60 %s >/dev/null & echo $!", build_folder(),
             size);
    FILE *pipe = popen(command, "r");
    EXPECT(pipe && fscanf(pipe, "%d", &pid) == 1);
    pclose(pipe);
    while (device_used(0) < bytes)
        pause_ms(5);
    return pid;
}

/* For a program without the shim, for example one for musl, only the driver's count is known. */
SCENARIO(No_context_starts_where_others_exceed_the_limit, .limit = "1g") {
    CUcontext context;
    int pid = outside("1200m", 1200 * MIB + CONTEXT);
    gpu_open();
    EXPECT_EQUAL(gpu.cuInit(0), CUDA_SUCCESS);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQUAL(gpu.cuDevicePrimaryCtxRetain(&context, 0), OOM);
        EXPECT_EQUAL(gpu.cuCtxCreate_v2(&context, 0, 0), OOM);
    }
    EXPECT_EQUAL(device_used(0), 1200 * MIB + CONTEXT);
    kill(pid, SIGKILL);
    while (device_used(0) > 0)
        pause_ms(5);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    EXPECT_EQUAL(refused_calls(), 4);
}

SCENARIO(An_unmeasured_first_context_is_refused_too, .limit = "8g", .gpus = "--total 16g") {
    CUcontext context;
    int pid = outside("9g", 9 * GIB + CONTEXT);
    gpu_open();
    EXPECT_EQUAL(gpu.cuInit(0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuDevicePrimaryCtxRetain(&context, 0), OOM);
    EXPECT_EQUAL(device_used(0), 9 * GIB + CONTEXT);
    kill(pid, SIGKILL);
    EXPECT_EQUAL(refused_calls(), 1);
}
