/* SPDX-License-Identifier: Apache-2.0 */
/* The time of single calls, once warm. A process of each side (native, with a shim) is kept, and they take turns by the
   round, on the same core: cores of a shared machine differ by 40% for seconds at a time. turns.c says whose turn it
   is. */
#define _GNU_SOURCE
#include "driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

enum { LIVE_PIECE = 1000, SIZES = 16 };

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

static void mixed_on(void *stream) {
    pointer_t p[SIZES];
    for (int i = 0; i < SIZES; i++)
        MUST(cu.cuMemAllocAsync(&p[i], (size_t)(i + 1) * 300000, stream));
    for (int i = 0; i < SIZES; i++)
        MUST(cu.cuMemFreeAsync(p[i], stream));
}

static void async_mixed(void) {
    mixed_on(NULL);
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

struct kind {
    const char *key;
    double (*round)(const struct kind *kind); /* ns a call */
    void (*begin)(const struct kind *kind);   /* before the first round, not timed */
    void (*end)(void);
    void (*once)(void);
    int calls;                            /* a round; below the depth of the launch queue */
    int threads;                          /* at once */
    void (*in_thread)(int at, int calls); /* what each of them does */
};

static double repeat(const struct kind *kind) {
    double begin = now_ns();
    for (int i = 0; i < kind->calls; i++)
        kind->once();
    double each = (now_ns() - begin) / kind->calls;
    MUST(cu.cuCtxSynchronize());
    return each;
}

static void warm_up(const struct kind *kind) {
    for (int i = 0; i < kind->calls / 10 + 1; i++)
        kind->once();
    MUST(cu.cuCtxSynchronize());
}

/* A ring of live allocations: new ones are made, then the oldest, the worst case of a list, are freed. */
static struct {
    pointer_t *ring;
    int live, at;
} ring;

static void fill_ring(const struct kind *kind) {
    ring.live = kind->calls;
    ring.at = 0;
    ring.ring = calloc((size_t)ring.live, sizeof *ring.ring);
    for (int i = 0; i < ring.live; i++)
        MUST(cu.cuMemAlloc_v2(&ring.ring[i], 512));
}

static void empty_ring(void) {
    for (int i = 0; i < ring.live; i++)
        MUST(cu.cuMemFree_v2(ring.ring[i]));
    free(ring.ring);
}

static double turn_ring(bool frees) {
    pointer_t fresh[LIVE_PIECE];
    double begin = now_ns();
    for (int i = 0; i < LIVE_PIECE; i++)
        MUST(cu.cuMemAlloc_v2(&fresh[i], 512));
    double middle = now_ns();
    for (int i = 0; i < LIVE_PIECE; i++)
        MUST(cu.cuMemFree_v2(ring.ring[ring.at + i]));
    double end = now_ns();
    for (int i = 0; i < LIVE_PIECE; i++)
        ring.ring[ring.at + i] = fresh[i];
    ring.at = (ring.at + LIVE_PIECE) % ring.live;
    return (frees ? end - middle : middle - begin) / LIVE_PIECE;
}

static double live_alloc(const struct kind *kind) {
    (void)kind;
    return turn_ring(false);
}
static double live_free(const struct kind *kind) {
    (void)kind;
    return turn_ring(true);
}

static struct {
    pthread_barrier_t gate;
    const struct kind *kind;
    void *stream[64];
} threads;

static void alloc_in_thread(int at, int calls) {
    (void)at;
    for (int i = 0; i < calls; i++)
        alloc_1m();
}

static void mixed_in_thread(int at, int calls) {
    for (int i = 0; i < calls; i += SIZES)
        mixed_on(threads.stream[at]);
}

static void streams_for_threads(const struct kind *kind) {
    for (int i = 0; i < kind->threads; i++)
        if (!threads.stream[i])
            MUST(cu.cuStreamCreate(&threads.stream[i], 1));
}

static void *run_thread(void *number) {
    int at = (int)(intptr_t)number;
    pin(at);
    MUST(cu.cuCtxSetCurrent(state.context));
    threads.kind->in_thread(at, SIZES); /* warm */
    pthread_barrier_wait(&threads.gate);
    threads.kind->in_thread(at, threads.kind->calls / threads.kind->threads);
    pthread_barrier_wait(&threads.gate);
    return NULL;
}

/* Each on a core of its own, as far as there are. */
static double together(const struct kind *kind) {
    pthread_t thread[64];
    threads.kind = kind;
    pthread_barrier_init(&threads.gate, NULL, (unsigned)kind->threads + 1);
    for (int i = 0; i < kind->threads; i++)
        MUST(pthread_create(&thread[i], NULL, run_thread, (void *)(intptr_t)i));
    pthread_barrier_wait(&threads.gate);
    double begin = now_ns();
    pthread_barrier_wait(&threads.gate);
    double each = (now_ns() - begin) / kind->calls;
    for (int i = 0; i < kind->threads; i++)
        pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&threads.gate);
    return each;
}

#define CALLS(name, number)                                                                                            \
    { .key = #name, .round = repeat, .begin = warm_up, .once = name, .calls = number }
#define LIVE(name, number)                                                                                             \
    { .key = "live_" #number "_" #name, .round = live_##name, .begin = fill_ring, .end = empty_ring, .calls = number }
#define THREADS(name, number, what, number_of_calls, ...)                                                              \
    { .key = #name, .round = together, .calls = number_of_calls, .threads = number, .in_thread = what, __VA_ARGS__ }

static const struct kind kinds[] = {
    CALLS(alloc_512, 200),
    CALLS(alloc_64k, 200),
    CALLS(alloc_1m, 200),
    CALLS(alloc_16m, 100),
    CALLS(alloc_256m, 40),
    CALLS(async_1m, 2000),
    CALLS(async_mixed, 100),
    CALLS(synchronize, 1000),
    CALLS(lookup, 10000),
    CALLS(vmm_2m, 100),
    CALLS(get_info, 1000),
    {.key = "get_info_beside", .round = repeat, .begin = warm_up, .once = get_info, .calls = 1000},
    CALLS(launch, 500),
    LIVE(alloc, 20000),
    LIVE(free, 20000),
    LIVE(alloc, 60000),
    LIVE(free, 60000),
    THREADS(async_threads_4, 4, mixed_in_thread, 16384, .begin = streams_for_threads),
    THREADS(threads_1, 1, alloc_in_thread, 1024),
    THREADS(threads_8, 8, alloc_in_thread, 1024),
    THREADS(threads_64, 64, alloc_in_thread, 1024),
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const char *kind_key(int kind) {
    return kind < KINDS ? kinds[kind].key : NULL;
}

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
        if (kinds[k].once)
            warm_up(&kinds[k]);
}

int turn_command(int count, char **arguments) {
    struct turn turn = {0};
    double ns = 0;
    (void)count, (void)arguments;
    pin(0);
    prepare();
    do {
        const struct kind *kind = &kinds[turn.kind];
        if (turn.what == TURN_BEGIN && kind->begin)
            kind->begin(kind);
        if (turn.what == TURN_END && kind->end)
            kind->end();
        ns = turn.what == TURN_ROUND ? kind->round(kind) : 0;
        if (write(STDOUT_FILENO, &ns, sizeof ns) != sizeof ns)
            return 1;
    } while (read(STDIN_FILENO, &turn, sizeof turn) == sizeof turn && turn.what != TURN_LEAVE);
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
COUNTED(async_mixed)
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
    calls_async_mixed(n);
    calls_vmm_2m(n);
    calls_get_info(n);
    calls_launch(n);
    return 0;
}
