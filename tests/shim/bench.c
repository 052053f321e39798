/* What calls cost, on whatever driver is there: one figure a line, in nanoseconds. tests/shim/bench.sh runs it with and
 * without the shim. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long long pointer_t;

static struct {
    int (*cuInit)(unsigned);
    int (*cuDevicePrimaryCtxRetain)(void **, int);
    int (*cuCtxSetCurrent)(void *);
    int (*cuMemAlloc_v2)(pointer_t *, size_t);
    int (*cuMemFree_v2)(pointer_t);
    int (*cuMemAllocAsync)(pointer_t *, size_t, void *);
    int (*cuMemFreeAsync)(pointer_t, void *);
    int (*cuStreamSynchronize)(void *);
    int (*cuMemGetInfo_v2)(size_t *, size_t *);
    int (*cuDeviceGetDefaultMemPool)(void **, int);
    int (*cuMemPoolSetAttribute)(void *, int, void *);
    int (*cuMemCreate)(pointer_t *, size_t, const void *, unsigned long long);
    int (*cuMemRelease)(pointer_t);
    int (*cuModuleLoadData)(void **, const void *);
    int (*cuModuleGetFunction)(void **, void *, const char *);
    int (*cuLaunchKernel)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **,
                          void **);
} cu;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void need(int result, const char *what) {
    if (result == 0)
        return;
    printf("# %s: %d\n", what, result);
    exit(1);
}

static void figure(const char *name, double nanoseconds) {
    printf("%s\t%.1f\n", name, nanoseconds);
    fflush(stdout);
}

static void open_driver(void) {
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    need(!library, "libcuda.so.1");
    static const char *const names[] = {
        "cuInit",          "cuDevicePrimaryCtxRetain",  "cuCtxSetCurrent",       "cuMemAlloc_v2",
        "cuMemFree_v2",    "cuMemAllocAsync",           "cuMemFreeAsync",        "cuStreamSynchronize",
        "cuMemGetInfo_v2", "cuDeviceGetDefaultMemPool", "cuMemPoolSetAttribute", "cuMemCreate",
        "cuMemRelease",    "cuModuleLoadData",          "cuModuleGetFunction",   "cuLaunchKernel"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        ((void **)&cu)[i] = dlsym(library, names[i]);
}

static void *context;

static void begin(void) {
    double start = now();
    open_driver();
    need(cu.cuInit(0), "cuInit");
    double middle = now();
    need(cu.cuDevicePrimaryCtxRetain(&context, 0), "context");
    need(cu.cuCtxSetCurrent(context), "context");
    double end = now();
    figure("cuInit", middle - start);
    figure("first context", end - middle);
}

static void pairs(const char *name, size_t size, int count) {
    pointer_t p;
    double start = now();
    for (int i = 0; i < count; i++) {
        need(cu.cuMemAlloc_v2(&p, size), "cuMemAlloc");
        need(cu.cuMemFree_v2(p), "cuMemFree");
    }
    figure(name, (now() - start) / count);
}

static pointer_t live[60000];

static void among(int others, int count) {
    char name[100];
    for (int i = 0; i < others; i++)
        need(cu.cuMemAlloc_v2(&live[i], 512), "cuMemAlloc");
    snprintf(name, sizeof name, "alloc+free 512 B among %d", others);
    pairs(name, 512, count);
    double start = now();
    for (int i = 0; i < 1000; i++)
        need(cu.cuMemFree_v2(live[i]), "cuMemFree");
    snprintf(name, sizeof name, "free the first 1000 of %d", others);
    figure(name, (now() - start) / 1000);
    for (int i = 1000; i < others; i++)
        need(cu.cuMemFree_v2(live[i]), "cuMemFree");
}

static void async_pairs(int count) {
    void *pool;
    uint64_t everything = UINT64_MAX;
    pointer_t p;
    need(cu.cuDeviceGetDefaultMemPool(&pool, 0), "pool");
    need(cu.cuMemPoolSetAttribute(pool, 4, &everything), "pool");
    for (int round = 0; round < 2; round++) {
        double start = now();
        for (int i = 0; i < count; i++) {
            need(cu.cuMemAllocAsync(&p, 1 << 20, NULL), "cuMemAllocAsync");
            need(cu.cuMemFreeAsync(p, NULL), "cuMemFreeAsync");
        }
        if (round)
            figure("async alloc+free 1 MiB, warm pool", (now() - start) / count);
        need(cu.cuStreamSynchronize(NULL), "sync");
    }
    double start = now();
    for (int i = 0; i < count; i++)
        need(cu.cuStreamSynchronize(NULL), "sync");
    figure("cuStreamSynchronize, idle", (now() - start) / count);
}

static void async_mixed(int count) {
    pointer_t p[16];
    double start = now();
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < 16; k++)
            need(cu.cuMemAllocAsync(&p[k], (size_t)(k + 1) * 300000, NULL), "cuMemAllocAsync");
        for (int k = 0; k < 16; k++)
            need(cu.cuMemFreeAsync(p[k], NULL), "cuMemFreeAsync");
    }
    figure("async alloc+free, 16 sizes, warm pool", (now() - start) / count / 16);
    need(cu.cuStreamSynchronize(NULL), "sync");
}

static void vmm(int count) {
    struct {
        int type, handles, location, id;
        void *meta;
        unsigned char flags[8];
    } properties = {1, 0, 1, 0, NULL, {0}};
    pointer_t handle;
    double start = now();
    for (int i = 0; i < count; i++) {
        need(cu.cuMemCreate(&handle, 2 << 20, &properties, 0), "cuMemCreate");
        need(cu.cuMemRelease(handle), "cuMemRelease");
    }
    figure("cuMemCreate+Release 2 MiB", (now() - start) / count);
}

static void info(int count) {
    size_t free_bytes, total;
    double start = now();
    for (int i = 0; i < count; i++)
        need(cu.cuMemGetInfo_v2(&free_bytes, &total), "cuMemGetInfo");
    figure("cuMemGetInfo", (now() - start) / count);
}

static void launches(int count) {
    static const char image[] = ".version 6.0\n.target sm_50\n.address_size 64\n.visible .entry k()\n{\n    ret;\n}\n";
    void *module, *function;
    if (cu.cuModuleLoadData(&module, image) != 0 || cu.cuModuleGetFunction(&function, module, "k") != 0)
        return;
    for (int round = 0; round < 2; round++) {
        double start = now();
        for (int i = 0; i < count; i++)
            need(cu.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL), "cuLaunchKernel");
        if (round)
            figure("cuLaunchKernel, empty", (now() - start) / count);
        need(cu.cuStreamSynchronize(NULL), "sync");
    }
}

static void *in_thread(void *data) {
    pointer_t p;
    need(cu.cuCtxSetCurrent(context), "context");
    for (int i = 0; i < *(int *)data; i++) {
        need(cu.cuMemAlloc_v2(&p, 1 << 20), "cuMemAlloc");
        need(cu.cuMemFree_v2(p), "cuMemFree");
    }
    return NULL;
}

static void threads(int number, int each) {
    pthread_t thread[64];
    char name[100];
    double start = now();
    for (int i = 0; i < number; i++)
        pthread_create(&thread[i], NULL, in_thread, &each);
    for (int i = 0; i < number; i++)
        pthread_join(thread[i], NULL);
    snprintf(name, sizeof name, "alloc+free 1 MiB, %d threads", number);
    figure(name, (now() - start) / number / each);
}

static void processes(int number) {
    char name[100], text[20];
    double start = now();
    for (int i = 0; i < number; i++)
        if (fork() == 0) {
            snprintf(text, sizeof text, "%d", i);
            execl("/proc/self/exe", "bench", "--one", (char *)NULL);
            _exit(1);
        }
    while (wait(NULL) > 0)
        ;
    snprintf(name, sizeof name, "%d processes: start, context, 100 alloc+free", number);
    figure(name, (now() - start) / number);
}

static void nothing(int count) {
    double start = now();
    for (int i = 0; i < count; i++) {
        int pid = vfork();
        if (pid == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        waitpid(pid, NULL, 0);
    }
    figure("/bin/true", (now() - start) / count);
}

static void lookups(int count) {
    double start = now();
    for (int i = 0; i < count; i++)
        dlsym(RTLD_DEFAULT, "printf");
    figure("dlsym of a foreign name", (now() - start) / count);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--one") == 0) {
        pointer_t p;
        open_driver();
        need(cu.cuInit(0), "cuInit");
        need(cu.cuDevicePrimaryCtxRetain(&context, 0), "context");
        need(cu.cuCtxSetCurrent(context), "context");
        for (int i = 0; i < 100; i++) {
            need(cu.cuMemAlloc_v2(&p, 1 << 20), "cuMemAlloc");
            need(cu.cuMemFree_v2(p), "cuMemFree");
        }
        return 0;
    }
    int scale = argc > 1 ? atoi(argv[1]) : 1;
    nothing(200);
    lookups(200000);
    begin();
    pairs("alloc+free 512 B", 512, 1000 * scale);
    pairs("alloc+free 1 MiB", 1 << 20, 1000 * scale);
    pairs("alloc+free 16 MiB", 16 << 20, 1000 * scale);
    among(20000, 2000 * scale);
    among(60000, 2000 * scale);
    async_pairs(20000 * scale);
    async_mixed(1000 * scale);
    vmm(1000 * scale);
    info(2000 * scale);
    launches(5000 * scale);
    threads(1, 1000);
    threads(8, 300);
    threads(64, 100);
    processes(1);
    processes(8);
    processes(64);
    return 0;
}
