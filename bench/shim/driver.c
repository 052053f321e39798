/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "driver.h"

#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

struct cuda_functions cu;
struct nvml_functions nv;

static void *device;

static void *open_library(const char *name) {
    void *library = dlopen(name, RTLD_NOW);
    if (!library) {
        fprintf(stderr, "shim-bench: %s\n", dlerror());
        exit(1);
    }
    return library;
}

static void *find(void *library, const char *name) {
    void *address = dlsym(library, name);
    if (!address) {
        fprintf(stderr, "shim-bench: the driver has no %s\n", name);
        exit(1);
    }
    return address;
}

void *cuda_begin(void) {
    void *context, *library = open_library("libcuda.so.1");
#define FUNCTION(name, parameters) *(void **)&cu.name = find(library, #name);
    CUDA_FUNCTIONS
#undef FUNCTION
    MUST(cu.cuInit(0));
    MUST(cu.cuDevicePrimaryCtxRetain(&context, 0));
    MUST(cu.cuCtxSetCurrent(context));
    return context;
}

void nvml_begin(void) {
    void *library = open_library("libnvidia-ml.so.1");
#define FUNCTION(name, parameters) *(void **)&nv.name = find(library, #name);
    NVML_FUNCTIONS
#undef FUNCTION
    MUST(nv.nvmlInit_v2());
    MUST(nv.nvmlDeviceGetHandleByIndex_v2(0, &device));
}

struct memory_v2 nvml_device_memory(void) {
    struct memory_v2 memory = {.version = sizeof memory | 2u << 24};
    MUST(nv.nvmlDeviceGetMemoryInfo_v2(device, &memory));
    return memory;
}

uint64_t nvml_processes_use(unsigned pid, unsigned *processes) {
    struct process list[512];
    unsigned count = 512;
    uint64_t sum = 0;
    MUST(nv.nvmlDeviceGetComputeRunningProcesses_v3(device, &count, list));
    for (unsigned i = 0; i < count; i++)
        if (pid == 0 || list[i].pid == pid)
            sum += list[i].used;
    if (processes)
        *processes = count;
    return sum;
}

double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, ascending);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

void pin(int at) {
    static cpu_set_t allowed; /* before the first pin */
    static int processors;
    cpu_set_t one;
    if (processors == 0) {
        MUST(sched_getaffinity(0, sizeof allowed, &allowed));
        processors = CPU_COUNT(&allowed);
    }
    at %= processors;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || at-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        MUST(sched_setaffinity(0, sizeof one, &one));
        return;
    }
}

void own_container(void) {
    int ready[2];
    char byte;
    if (pipe(ready) != 0 || unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) {
        perror("shim-bench: a PID namespace (be root)");
        exit(1);
    }
    if (fork() == 0) { /* the namespace's first process: all others end with it */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bool made =
            mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount("proc", "/proc", "proc", 0, NULL) == 0;
        if (!made || write(ready[1], "", 1) != 1)
            _exit(1);
        close(ready[0]);
        close(ready[1]);
        for (int fd = 0; fd < 64; fd++)
            close(fd); /* the ends of pipes that others wait for */
        for (;;)
            pause();
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) {
        fprintf(stderr, "shim-bench: no /proc for a PID namespace\n");
        exit(1);
    }
    close(ready[0]);
}

void become(const char *library, char *const arguments[]) {
    if (strcmp(library, "-") != 0)
        setenv("LD_PRELOAD", library, 1);
    execv("/proc/self/exe", arguments);
    perror("shim-bench: exec");
    _exit(1);
}
