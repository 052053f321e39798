/* SPDX-License-Identifier: Apache-2.0 */
/* A process allocates in every way there is, and after each reports the use that it sees; its parent, which has no
   shim, reads the driver's count. */
#define _GNU_SOURCE
#include "driver.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct report {
    char what[40];
    unsigned long long by_nvml, by_cuda;
};

static const char kernel[] = ".version 6.0\n.target sm_50\n.address_size 64\n.global .align 4 .b8 big[8388608];\n"
                             ".visible .entry empty() { ret; }\n";

static void report(const char *what) {
    struct report r = {0};
    size_t left, total;
    char byte;
    MUST(cu.cuCtxSynchronize());
    MUST(cu.cuMemGetInfo_v2(&left, &total));
    snprintf(r.what, sizeof r.what, "%s", what);
    r.by_nvml = nvml_device_memory().used;
    r.by_cuda = total - left;
    if (write(STDOUT_FILENO, &r, sizeof r) != sizeof r || read(STDIN_FILENO, &byte, 1) != 1)
        exit(1);
}

static void linear(void) {
    static const size_t sizes[] = {1, 512, 4096, 1 << 20, (1 << 20) + 1, 3 << 20, 33 << 20, 100 << 20};
    pointer_t p, small[5000];
    size_t pitch;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        MUST(cu.cuMemAlloc_v2(&p, sizes[i]));
    report("linear, 1 B to 100 MiB");
    for (int i = 0; i < 5000; i++)
        MUST(cu.cuMemAlloc_v2(&small[i], 512));
    for (int i = 0; i < 5000; i += 2)
        MUST(cu.cuMemFree_v2(small[i]));
    report("5000 of 512 B, half freed");
    MUST(cu.cuMemAllocPitch_v2(&p, &pitch, 1000, 10000, 4));
    report("pitched");
}

static void pools(void) {
    pointer_t p, kept[20];
    void *pool, *standard;
    for (int i = 0; i < 20; i++)
        MUST(cu.cuMemAllocAsync(&kept[i], 10 * MIB, NULL));
    for (int i = 0; i < 20; i += 2)
        MUST(cu.cuMemFreeAsync(kept[i], NULL));
    report("default pool, half freed");
    MUST(cu.cuDeviceGetDefaultMemPool(&standard, 0));
    MUST(cu.cuMemPoolTrimTo(standard, 0));
    report("trimmed");
    MUST(cu.cuMemPoolCreate(&pool, &(struct pool_properties){.type = 1, .location = {1, 0}}));
    MUST(cu.cuMemAllocFromPoolAsync(&p, 65 * MIB, pool, NULL));
    report("own pool");
}

static void virtual_memory(void) {
    const struct memory_properties properties = {.type = 1, .location = {1, 0}};
    const struct access access = {{1, 0}, 3};
    pointer_t handle, address;
    MUST(cu.cuMemCreate(&handle, 40 * MIB, &properties, 0));
    MUST(cu.cuMemAddressReserve(&address, 40 * MIB, 0, 0, 0));
    MUST(cu.cuMemMap(address, 40 * MIB, 0, handle, 0));
    MUST(cu.cuMemSetAccess(address, 40 * MIB, &access, 1));
    MUST(cu.cuMemRelease(handle));
    report("virtual memory, handle released");
    MUST(cu.cuMemUnmap(address, 40 * MIB));
    report("and unmapped");
}

static void arrays_and_modules(void) {
    void *array, *module, *function;
    MUST(cu.cuArrayCreate_v2(&array, &(struct array_descriptor){1024, 1024, 0x20, 1}));
    MUST(cu.cuArrayCreate_v2(&array, &(struct array_descriptor){100, 100, 0x20, 1}));
    report("arrays");
    MUST(cu.cuModuleLoadData(&module, kernel));
    MUST(cu.cuModuleGetFunction(&function, module, "empty"));
    MUST(cu.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    report("module with an 8 MiB global");
}

static void graphs(void) {
    void *stream, *graph, *executable;
    pointer_t p;
    MUST(cu.cuStreamCreate(&stream, 1));
    MUST(cu.cuStreamBeginCapture_v2(stream, 0));
    MUST(cu.cuMemAllocAsync(&p, 70 * MIB, stream));
    MUST(cu.cuMemFreeAsync(p, stream));
    MUST(cu.cuStreamEndCapture(stream, &graph));
    MUST(cu.cuGraphInstantiateWithFlags(&executable, graph, 0));
    MUST(cu.cuGraphLaunch(executable, stream));
    report("graph with a 70 MiB node");
}

/* The child. Managed memory comes last: a driver does not count it for the process. */
int resting_command(int count, char **arguments) {
    pointer_t p;
    (void)count, (void)arguments;
    cuda_begin();
    nvml_begin();
    report("context");
    linear();
    pools();
    virtual_memory();
    arrays_and_modules();
    graphs();
    MUST(cu.cuMemAllocManaged(&p, 64 * MIB, 1));
    report("managed");
    return 0;
}

int rest_command(int count, char **arguments) {
    (void)count;
    int answer[2], go[2], status;
    if (pipe(answer) != 0 || pipe(go) != 0)
        return 1;
    nvml_begin();
    pid_t child = fork();
    if (child == 0) {
        dup2(go[0], STDIN_FILENO);
        dup2(answer[1], STDOUT_FILENO);
        close(go[1]);
        become(arguments[0], (char *[]){"shim-bench", "resting", "-", "-", NULL});
    }
    close(answer[1]);
    close(go[0]);
    for (struct report r; read(answer[0], &r, sizeof r) == sizeof r;) {
        unsigned long long driver = nvml_processes_use((unsigned)child, NULL);
        printf("rest\t%s\t%.2f\t%.2f\t%.2f\n", r.what, (double)driver / (double)MIB, (double)r.by_nvml / (double)MIB,
               (double)r.by_cuda / (double)MIB);
        if (write(go[1], "", 1) != 1)
            return 1;
    }
    waitpid(child, &status, 0);
    return status != 0;
}
