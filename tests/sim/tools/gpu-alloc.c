/* SPDX-License-Identifier: Apache-2.0 */
/* gpu-alloc: allocates device memory with the CUDA driver API, reports what happened, and holds it. It knows nothing of
   the simulation: the same binary runs on a real driver. It reaches the driver as programs do: by dlopen and dlsym, by
   cuGetProcAddress (--proc-address), or linked to libcuda.so.1 (--direct, which runs gpu-alloc-direct from beside it).

   Exit code: 0 everything was allocated, 2 out of memory, 1 any other error. */
#include "../../driver_types.h"
#include "size.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef DIRECT
#include <dlfcn.h>

#include "old-glibc.h"
#endif

enum { OUT_OF_MEMORY = 2 };

typedef unsigned long long device_pointer;

/* FUNCTION(exported name, name for cuGetProcAddress, parameters) */
#define FUNCTIONS                                                                                                      \
    FUNCTION(cuInit, cuInit, (unsigned))                                                                               \
    FUNCTION(cuDeviceGet, cuDeviceGet, (int *, int))                                                                   \
    FUNCTION(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, (void **, int))                                       \
    FUNCTION(cuCtxSetCurrent, cuCtxSetCurrent, (void *))                                                               \
    FUNCTION(cuMemGetInfo_v2, cuMemGetInfo, (size_t *, size_t *))                                                      \
    FUNCTION(cuMemAlloc_v2, cuMemAlloc, (device_pointer *, size_t))                                                    \
    FUNCTION(cuMemAllocPitch_v2, cuMemAllocPitch, (device_pointer *, size_t *, size_t, size_t, unsigned))              \
    FUNCTION(cuMemAllocManaged, cuMemAllocManaged, (device_pointer *, size_t, unsigned))                               \
    FUNCTION(cuMemAllocAsync, cuMemAllocAsync, (device_pointer *, size_t, void *))                                     \
    FUNCTION(cuMemAllocFromPoolAsync, cuMemAllocFromPoolAsync, (device_pointer *, size_t, void *, void *))             \
    FUNCTION(cuMemPoolCreate, cuMemPoolCreate, (void **, const struct pool_properties *))                              \
    FUNCTION(cuMemCreate, cuMemCreate,                                                                                 \
             (unsigned long long *, size_t, const struct memory_properties *, unsigned long long))                     \
    FUNCTION(cuMemAddressReserve, cuMemAddressReserve,                                                                 \
             (device_pointer *, size_t, size_t, device_pointer, unsigned long long))                                   \
    FUNCTION(cuMemMap, cuMemMap, (device_pointer, size_t, size_t, unsigned long long, unsigned long long))             \
    FUNCTION(cuMemSetAccess, cuMemSetAccess, (device_pointer, size_t, const struct access *, size_t))                  \
    FUNCTION(cuMemsetD8_v2, cuMemsetD8, (device_pointer, unsigned char, size_t))                                       \
    FUNCTION(cuStreamSynchronize, cuStreamSynchronize, (void *))                                                       \
    FUNCTION(cuGetErrorName, cuGetErrorName, (int, const char **))                                                     \
    FUNCTION(cuGetErrorString, cuGetErrorString, (int, const char **))

#ifdef DIRECT
#define FUNCTION(name, base, parameters) extern int name parameters;
FUNCTIONS
#undef FUNCTION
#endif

static struct {
#define FUNCTION(name, base, parameters) int(*name) parameters;
    FUNCTIONS
#undef FUNCTION
} cu;

struct options {
    int device;
    unsigned hold;
    enum { LINEAR, ASYNC, MANAGED, VMM, PITCH, POOL } how;
    uint64_t step;
    bool proc_address, touch;
};

static const char usage[] = "usage: gpu-alloc [--device N] [--hold SECONDS] [--async|--managed|--vmm|--pitch|--pool]\n"
                            "                 [--step SIZE] [--touch] [--direct|--proc-address] SIZE...\n"
                            "--step allocates each SIZE in pieces, --touch writes to what was allocated.\n";

#ifndef DIRECT
static bool load(const struct options *o) {
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) {
        fprintf(stderr, "gpu-alloc: %s\n", dlerror());
        return false;
    }
    int (*get)(const char *, void **, int, uint64_t, int *) = NULL;
    if (o->proc_address) {
        *(void **)&get = dlsym(library, "cuGetProcAddress_v2");
        if (!get) {
            fprintf(stderr, "gpu-alloc: this driver has no cuGetProcAddress_v2\n");
            return false;
        }
    }
#define FUNCTION(name, base, parameters)                                                                               \
    if (get)                                                                                                           \
        get(#base, (void **)&cu.name, 12000, 0, NULL);                                                                 \
    else                                                                                                               \
        *(void **)&cu.name = dlsym(library, #name);
    FUNCTIONS
#undef FUNCTION
    return true;
}
#else
static bool load(const struct options *o) {
    (void)o;
#define FUNCTION(name, base, parameters) cu.name = name;
    FUNCTIONS
#undef FUNCTION
    return true;
}
#endif

/* Sizes in whole MiB as nvidia-smi shows them, smaller ones exactly. */
static const char *show(uint64_t size, char out[32]) {
    if (size % (1 << 20) == 0 || size > 1ull << 30)
        snprintf(out, 32, "%llu MiB", (unsigned long long)(size >> 20));
    else if (size % 1024 == 0)
        snprintf(out, 32, "%llu KiB", (unsigned long long)(size >> 10));
    else
        snprintf(out, 32, "%llu B", (unsigned long long)size);
    return out;
}

static int failed(const char *call, uint64_t size, int rc) {
    const char *name = NULL, *text = NULL;
    char argument[32];
    cu.cuGetErrorName(rc, &name);
    cu.cuGetErrorString(rc, &text);
    printf("%s", call);
    if (size)
        printf("(%s)", show(size, argument));
    printf(": %s (%s)\n", text ? text : "error", name ? name : "unknown");
    return rc == OUT_OF_MEMORY ? 2 : 1;
}

static int allocate_vmm(device_pointer *out, uint64_t *size, const struct options *o, const char **call) {
    const struct memory_properties properties = {.type = 1, .location = {1, o->device}};
    const struct access access = {{1, o->device}, 3};
    unsigned long long handle;
    *size = (*size + (2 << 20) - 1) / (2 << 20) * (2 << 20);
    *call = "cuMemCreate";
    int rc = cu.cuMemCreate(&handle, *size, &properties, 0);
    if (rc)
        return rc;
    *call = "cuMemAddressReserve";
    rc = cu.cuMemAddressReserve(out, *size, 0, 0, 0);
    if (rc)
        return rc;
    *call = "cuMemMap";
    rc = cu.cuMemMap(*out, *size, 0, handle, 0);
    if (rc)
        return rc;
    *call = "cuMemSetAccess";
    return cu.cuMemSetAccess(*out, *size, &access, 1);
}

static int allocate(device_pointer *out, uint64_t size, const struct options *o, const char **call) {
    static void *pool;
    int rc = 0;
    size_t pitch;
    switch (o->how) {
    case ASYNC:
        *call = "cuMemAllocAsync";
        return cu.cuMemAllocAsync(out, size, NULL);
    case POOL:
        *call = "cuMemPoolCreate";
        if (!pool)
            rc = cu.cuMemPoolCreate(&pool, &(struct pool_properties){.type = 1, .location = {1, o->device}});
        if (rc)
            return rc;
        *call = "cuMemAllocFromPoolAsync";
        return cu.cuMemAllocFromPoolAsync(out, size, pool, NULL);
    case MANAGED:
        *call = "cuMemAllocManaged";
        return cu.cuMemAllocManaged(out, size, 1);
    case PITCH:
        *call = "cuMemAllocPitch";
        return cu.cuMemAllocPitch_v2(out, &pitch, 4096, (size + 4095) / 4096, 4);
    case VMM:
        return allocate_vmm(out, &size, o, call);
    default:
        *call = "cuMemAlloc";
        return cu.cuMemAlloc_v2(out, size);
    }
}

static int report(uint64_t size) {
    char text[32];
    size_t left = 0, total = 0;
    int rc = cu.cuMemGetInfo_v2(&left, &total);
    if (rc)
        return failed("cuMemGetInfo", 0, rc);
    printf("allocated %s, %llu MiB free of %llu MiB\n", show(size, text), (unsigned long long)left >> 20,
           (unsigned long long)total >> 20);
    return 0;
}

static int run(const struct options *o, char **sizes, int count) {
    void *context = NULL;
    int device, rc = cu.cuInit(0);
    if (rc)
        return failed("cuInit", 0, rc);
    if ((rc = cu.cuDeviceGet(&device, o->device)))
        return failed("cuDeviceGet", 0, rc);
    if ((rc = cu.cuDevicePrimaryCtxRetain(&context, device)))
        return failed("cuDevicePrimaryCtxRetain", 0, rc);
    if ((rc = cu.cuCtxSetCurrent(context)))
        return failed("cuCtxSetCurrent", 0, rc);
    int code = 0;
    for (int i = 0; i < count && !code; i++) {
        uint64_t size = 0, done = 0;
        if (!parse_size(sizes[i], &size) || size == 0) {
            fprintf(stderr, "gpu-alloc: not a size: %s\n", sizes[i]);
            return 1;
        }
        while (done < size && !code) {
            uint64_t piece = o->step && o->step < size - done ? o->step : size - done;
            const char *call = "";
            device_pointer pointer = 0;
            rc = allocate(&pointer, piece, o, &call);
            if (!rc && o->touch)
                rc = cu.cuMemsetD8_v2(pointer, 1, piece), call = rc ? "cuMemsetD8" : call;
            if (rc) {
                if (done)
                    report(done);
                code = failed(call, piece, rc);
            } else
                done += piece;
        }
        if (!code)
            code = report(size);
        fflush(stdout);
    }
    fflush(stdout);
    if (o->hold)
        sleep(o->hold);
    return code;
}

#ifndef DIRECT
static int run_direct(char **argv) {
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 16);
    if (n > 0) {
        strcpy(path + n, "-direct");
        execv(path, argv);
    }
    perror("gpu-alloc: gpu-alloc-direct");
    return 1;
}
#endif

/* By default no signal ends a container's first process. */
static void end(int signal_number) {
    _exit(128 + signal_number);
}

int main(int argc, char **argv) {
    struct options o = {0};
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--async") == 0)
            o.how = ASYNC;
        else if (strcmp(argv[i], "--managed") == 0)
            o.how = MANAGED;
        else if (strcmp(argv[i], "--vmm") == 0)
            o.how = VMM;
        else if (strcmp(argv[i], "--pitch") == 0)
            o.how = PITCH;
        else if (strcmp(argv[i], "--pool") == 0)
            o.how = POOL;
        else if (strcmp(argv[i], "--proc-address") == 0)
            o.proc_address = true;
        else if (strcmp(argv[i], "--touch") == 0)
            o.touch = true;
        else if (strcmp(argv[i], "--direct") == 0) {
#ifndef DIRECT
            return run_direct(argv);
#endif
        } else if (value && strcmp(argv[i], "--device") == 0)
            o.device = atoi(argv[++i]);
        else if (value && strcmp(argv[i], "--hold") == 0)
            o.hold = (unsigned)atoi(argv[++i]);
        else if (value && strcmp(argv[i], "--step") == 0 && parse_size(value, &o.step) && o.step)
            i++;
        else
            break;
    }
    if (i == argc || strncmp(argv[i], "--", 2) == 0) {
        fputs(usage, stderr);
        return 1;
    }
    signal(SIGTERM, end);
    signal(SIGINT, end);
    return load(&o) ? run(&o, argv + i, argc - i) : 1;
}
