/* The time of single calls, once warm. Each figure is the median of some batches. */
#define _GNU_SOURCE
#include "driver.h"

#include <dlfcn.h>
#include <pthread.h>

enum { DEFAULT_BATCHES = 7, MOST_BATCHES = 64, LIVE_PIECE = 1000, THREAD_CALLS = 1024 };

static const char empty_kernel[] = ".version 6.0\n.target sm_50\n.address_size 64\n.visible .entry empty() { ret; }\n";

static struct {
    void *context, *function;
    pointer_t address; /* reserved for the VMM */
} state;

static void alloc_free(size_t size) {
    pointer_t p;
    MUST(cu.cuMemAlloc_v2(&p, size));
    MUST(cu.cuMemFree_v2(p));
}

static void alloc_512(void) {
    alloc_free(512);
}
static void alloc_64k(void) {
    alloc_free(64 << 10);
}
static void alloc_1m(void) {
    alloc_free(1 << 20);
}
static void alloc_16m(void) {
    alloc_free(16 << 20);
}
static void alloc_256m(void) {
    alloc_free(256 << 20);
}

static void async_1m(void) {
    pointer_t p;
    MUST(cu.cuMemAllocAsync(&p, 1 << 20, NULL));
    MUST(cu.cuMemFreeAsync(p, NULL));
}

static void async_mixed(void) {
    pointer_t p[16];
    for (int i = 0; i < 16; i++)
        MUST(cu.cuMemAllocAsync(&p[i], (size_t)(i + 1) * 300000, NULL));
    for (int i = 0; i < 16; i++)
        MUST(cu.cuMemFreeAsync(p[i], NULL));
}

static void synchronize(void) {
    MUST(cu.cuStreamSynchronize(NULL));
}

static void vmm_2m(void) {
    static const struct memory_properties properties = {.type = 1, .location = {1, 0}};
    static const struct access access = {{1, 0}, 3};
    pointer_t handle;
    MUST(cu.cuMemCreate(&handle, 2 * MIB, &properties, 0));
    MUST(cu.cuMemMap(state.address, 2 * MIB, 0, handle, 0));
    MUST(cu.cuMemSetAccess(state.address, 2 * MIB, &access, 1));
    MUST(cu.cuMemUnmap(state.address, 2 * MIB));
    MUST(cu.cuMemRelease(handle));
}

static void get_info(void) {
    size_t left, total;
    MUST(cu.cuMemGetInfo_v2(&left, &total));
}

static void launch(void) {
    MUST(cu.cuLaunchKernel(state.function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
}

static void lookup(void) {
    MUST(dlsym(RTLD_DEFAULT, "printf") == NULL);
}

static const struct kind {
    const char *key;
    void (*once)(void);
    int calls; /* a batch; below the depth of the launch queue */
} kinds[] = {
    {"alloc_512", alloc_512, 200},     {"alloc_64k", alloc_64k, 200},      {"alloc_1m", alloc_1m, 200},
    {"alloc_16m", alloc_16m, 100},     {"alloc_256m", alloc_256m, 40},     {"async_1m", async_1m, 2000},
    {"async_mixed", async_mixed, 100}, {"synchronize", synchronize, 1000}, {"lookup", lookup, 10000},
    {"vmm_2m", vmm_2m, 100},           {"get_info", get_info, 1000},       {"launch", launch, 500},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void prepare(void) {
    void *module, *pool;
    uint64_t keep = UINT64_MAX;
    state.context = cuda_begin();
    MUST(cu.cuModuleLoadData(&module, empty_kernel));
    MUST(cu.cuModuleGetFunction(&state.function, module, "empty"));
    MUST(cu.cuMemAddressReserve(&state.address, 2 * MIB, 0, 0, 0));
    MUST(cu.cuDeviceGetDefaultMemPool(&pool, 0));
    MUST(cu.cuMemPoolSetAttribute(pool, 4, &keep)); /* RELEASE_THRESHOLD: a warm pool stays warm */
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < kinds[k].calls / 10 + 1; i++)
            kinds[k].once();
    MUST(cu.cuCtxSynchronize());
}

static void time_kind(const struct kind *kind, int batches) {
    double batch[MOST_BATCHES];
    for (int b = 0; b < batches; b++) {
        double begin = now_ns();
        for (int i = 0; i < kind->calls; i++)
            kind->once();
        batch[b] = (now_ns() - begin) / kind->calls;
        MUST(cu.cuCtxSynchronize());
    }
    printf("%s\t%.1f\n", kind->key, median(batch, batches));
}

/* A ring of live allocations: new ones are made, then the oldest, the worst case of a list, are freed. */
static void time_live(int live, int batches) {
    double allocating[MOST_BATCHES], freeing[MOST_BATCHES];
    pointer_t *ring = calloc((size_t)live, sizeof *ring), fresh[LIVE_PIECE];
    for (int i = 0; i < live; i++)
        MUST(cu.cuMemAlloc_v2(&ring[i], 512));
    for (int b = 0, at = 0; b < batches; b++, at = (at + LIVE_PIECE) % live) {
        double begin = now_ns();
        for (int i = 0; i < LIVE_PIECE; i++)
            MUST(cu.cuMemAlloc_v2(&fresh[i], 512));
        double middle = now_ns();
        for (int i = 0; i < LIVE_PIECE; i++)
            MUST(cu.cuMemFree_v2(ring[at + i]));
        freeing[b] = (now_ns() - middle) / LIVE_PIECE;
        allocating[b] = (middle - begin) / LIVE_PIECE;
        for (int i = 0; i < LIVE_PIECE; i++)
            ring[at + i] = fresh[i];
    }
    for (int i = 0; i < live; i++)
        MUST(cu.cuMemFree_v2(ring[i]));
    free(ring);
    printf("live_%d_alloc\t%.1f\nlive_%d_free\t%.1f\n", live, median(allocating, batches), live,
           median(freeing, batches));
}

static pthread_barrier_t gate;

static void *allocate_in_thread(void *calls) {
    MUST(cu.cuCtxSetCurrent(state.context));
    pthread_barrier_wait(&gate);
    for (intptr_t i = 0; i < (intptr_t)calls; i++)
        alloc_1m();
    return NULL;
}

static double run_threads(int threads) {
    pthread_t thread[64];
    pthread_barrier_init(&gate, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++)
        MUST(pthread_create(&thread[i], NULL, allocate_in_thread, (void *)(intptr_t)(THREAD_CALLS / threads)));
    pthread_barrier_wait(&gate);
    double begin = now_ns();
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    double each = (now_ns() - begin) / THREAD_CALLS;
    pthread_barrier_destroy(&gate);
    return each;
}

static void time_threads(int threads, int batches) {
    double batch[MOST_BATCHES];
    for (int b = 0; b < batches; b++)
        batch[b] = run_threads(threads);
    printf("threads_%d\t%.1f\n", threads, median(batch, batches));
}

int figures_command(int count, char **arguments) {
    int batches = count > 0 ? atoi(arguments[0]) : DEFAULT_BATCHES;
    if (batches < 1 || batches > MOST_BATCHES)
        return 2;
    prepare();
    for (int k = 0; k < KINDS; k++)
        time_kind(&kinds[k], batches);
    time_live(20000, batches);
    time_live(60000, batches);
    time_threads(1, batches);
    time_threads(8, batches);
    time_threads(64, batches);
    return 0;
}

/* One function a kind, for callgrind's --toggle-collect. */
#define COUNTED(kind)                                                                                                  \
    static void __attribute__((noinline)) calls_##kind(int n) {                                                        \
        for (int i = 0; i < n; i++)                                                                                    \
            kind();                                                                                                    \
    }
COUNTED(alloc_512)
COUNTED(alloc_1m)
COUNTED(async_1m)
COUNTED(vmm_2m)
COUNTED(get_info)
COUNTED(launch)

int count_command(int count, char **arguments) {
    int n = atoi(arguments[0]);
    (void)count;
    prepare();
    calls_alloc_512(n);
    calls_alloc_1m(n);
    calls_async_1m(n);
    calls_vmm_2m(n);
    calls_get_info(n);
    calls_launch(n);
    return 0;
}
