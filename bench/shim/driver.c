#define _GNU_SOURCE
#include "driver.h"

#include <dlfcn.h>
#include <string.h>
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

void become(const char *library, char *const arguments[]) {
    if (strcmp(library, "-") != 0)
        setenv("LD_PRELOAD", library, 1);
    execv("/proc/self/exe", arguments);
    perror("shim-bench: exec");
    _exit(1);
}
