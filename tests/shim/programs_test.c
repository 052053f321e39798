/* SPDX-License-Identifier: Apache-2.0 */
/* Other people's programs: with signal handlers everywhere, with an allocator or a dlsym of their own, built with
   sanitizers, for another libc. */
#define _GNU_SOURCE
#include "gpu.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Everything that the shim does: init, a context, memory of two kinds, a refusal, both views. */
static void use_everything(void) {
    CUdeviceptr pointer, other;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 50 * MIB), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAllocAsync(&other, 10 * MIB, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(other, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&other, 2 * GIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu_total(), GIB);
    EXPECT_EQUAL(nvml_memory(0).total, GIB);
    EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
}

/* Signals. A JVM has handlers for most of them, stops its threads by SIGUSR1 or SIGUSR2, and blocks some in some
   threads: the shim changes none of that. */

enum { THREADS = 4, SIGNALS = 64 };

struct kernel_action {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

struct dispositions {
    struct kernel_action action[SIGNALS + 1];
    char status[400]; /* this thread's lines of /proc */
    stack_t stack;
};

static void note(struct dispositions *d) {
    char line[200];
    memset(d, 0, sizeof *d);
    for (int s = 1; s <= SIGNALS; s++)
        EXPECT_EQUAL(syscall(SYS_rt_sigaction, s, NULL, &d->action[s], sizeof(uint64_t)), 0);
    EXPECT_EQUAL(sigaltstack(NULL, &d->stack), 0);
    FILE *file = fopen("/proc/thread-self/status", "r");
    EXPECT(file);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, "SigBlk:", 7) == 0 || strncmp(line, "SigIgn:", 7) == 0 || strncmp(line, "SigCgt:", 7) == 0)
            strcat(d->status, line);
    fclose(file);
    EXPECT(strlen(d->status) > 60);
}

static void expect_unchanged(const struct dispositions *before) {
    struct dispositions now;
    note(&now);
    for (int s = 1; s <= SIGNALS; s++)
        if (memcmp(&now.action[s], &before->action[s], sizeof now.action[s]) != 0)
            fail(__FILE__, __LINE__, "what happens at signal %d has changed", s);
    if (strcmp(now.status, before->status) != 0)
        fail(__FILE__, __LINE__, "%sbefore:\n%s", now.status, before->status);
    EXPECT(now.stack.ss_sp == before->stack.ss_sp && now.stack.ss_flags == before->stack.ss_flags);
}

static _Atomic int handled[SIGNALS + 1];

static void handle(int s) {
    atomic_fetch_add(&handled[s], 1);
}

static void install(int s, int flags) {
    struct sigaction action = {.sa_handler = handle, .sa_flags = flags};
    sigaddset(&action.sa_mask, SIGRTMIN + s % 8);
    EXPECT_EQUAL(sigaction(s, &action, NULL), 0);
}

static void *thread_with_signals(void *data) {
    static char stacks[THREADS][65536];
    int number = (int)(intptr_t)data;
    struct dispositions before;
    stack_t stack = {.ss_sp = stacks[number], .ss_size = sizeof stacks[number]}, as_it_was;
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGRTMIN + 10 + number);
    if (number % 2)
        sigaddset(&blocked, SIGTERM);
    EXPECT_EQUAL(sigaltstack(&stack, &as_it_was), 0);
    EXPECT_EQUAL(pthread_sigmask(SIG_BLOCK, &blocked, NULL), 0);
    note(&before);
    use_everything();
    expect_unchanged(&before);
    EXPECT_EQUAL(pthread_kill(pthread_self(), SIGUSR1), 0);
    EXPECT_EQUAL(sigaltstack(&as_it_was, NULL), 0); /* a sanitizer's own */
    return NULL;
}

static void *nothing(void *data) {
    return data;
}

SCENARIO(Signal_handlers_and_masks_are_the_programs_own, .limit = "1g", .silent = true) {
    static const int hotspot[] = {SIGSEGV, SIGBUS,  SIGFPE, SIGILL,  SIGPIPE, SIGXFSZ,
                                  SIGUSR1, SIGUSR2, SIGINT, SIGQUIT, SIGTERM, SIGCHLD};
    struct dispositions before;
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < sizeof hotspot / sizeof *hotspot; i++)
        install(hotspot[i], SA_RESTART | (i % 2 ? SA_ONSTACK : SA_NODEFER));
    install(SIGRTMIN + 3, 0);
    signal(SIGHUP, SIG_IGN);
    EXPECT_EQUAL(pthread_create(&threads[0], NULL, nothing, NULL), 0); /* glibc's own handlers come with the first */
    EXPECT_EQUAL(pthread_join(threads[0], NULL), 0);
    note(&before);
    gpu_open();
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQUAL(pthread_create(&threads[i], NULL, thread_with_signals, (void *)(intptr_t)i), 0);
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQUAL(pthread_join(threads[i], NULL), 0);
    use_everything();
    expect_unchanged(&before);
    EXPECT_EQUAL(handled[SIGUSR1], THREADS);
    EXPECT_EQUAL(raise(SIGUSR2), 0);
    EXPECT_EQUAL(handled[SIGUSR2], 1);
}

static void *interrupted_thread(void *data) {
    CUcontext context = data;
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(context), CUDA_SUCCESS);
    for (int i = 0; i < 400; i++) {
        CUdeviceptr pointer;
        EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 100 * MIB), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
        if (i % 40 == 0)
            EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 2 * GIB), CUDA_ERROR_OUT_OF_MEMORY);
    }
    return NULL;
}

static void interrupted_process(void) {
    pthread_t threads[THREADS];
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF};
    struct itimerspec often = {{0, 100000}, {0, 100000}};
    timer_t timer;
    sigset_t blocked;
    install(SIGPROF, 0); /* without SA_RESTART: blocking calls are interrupted */
    EXPECT_EQUAL(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    EXPECT_EQUAL(timer_settime(timer, 0, &often, NULL), 0);
    CUcontext context = gpu_begin(0);
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQUAL(pthread_create(&threads[i], NULL, interrupted_thread, context), 0);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGPROF);
    EXPECT_EQUAL(pthread_sigmask(SIG_BLOCK, &blocked, NULL), 0); /* the others get them */
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQUAL(pthread_join(threads[i], NULL), 0);
    EXPECT(handled[SIGPROF] > 0);
}

SCENARIO(An_interrupted_program_gets_what_fits, .limit = "2g") {
    int pid = fork();
    if (pid == 0) {
        interrupted_process();
        _exit(0);
    }
    interrupted_process();
    EXPECT_EQUAL(wait_for(pid), 0);
}

/* Allocators. They are preloaded too, stand in for malloc in every library, and start threads of their own. */

#ifndef __SANITIZE_ADDRESS__ /* a sanitizer is an allocator itself */
static void *churn(void *data) {
    CUcontext context = data;
    unsigned seed = (unsigned)(uintptr_t)&context;
    void *held[64] = {0};
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(context), CUDA_SUCCESS);
    for (int i = 0; i < 2000; i++) {
        int k = rand_r(&seed) % 64;
        if (i % 3)
            held[k] = realloc(held[k], (size_t)(rand_r(&seed) % 200000) + 1);
        else
            free(held[k]), held[k] = calloc(1, (size_t)(rand_r(&seed) % 5000) + 1);
        EXPECT(held[k]);
        if (i % 20)
            continue;
        CUdeviceptr pointer;
        EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 100 * MIB), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
    }
    for (int k = 0; k < 64; k++)
        free(held[k]);
    return NULL;
}

static void use_in_child(void *data) {
    (void)data;
    free(malloc(100000));
    use_everything();
}

/* malloc is the allocator's, and everything works as usual. */
static void with_allocator(const char *library) {
    pthread_t threads[THREADS];
    Dl_info info;
    EXPECT(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) && strstr(info.dli_fname, library));
    gpu_open();
    EXPECT_EQUAL(in_child(use_in_child, NULL), 0); /* before CUDA is initialised, as programs must */
    use_everything();
    CUcontext context = gpu_begin(0);
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQUAL(pthread_create(&threads[i], NULL, churn, context), 0);
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQUAL(pthread_join(threads[i], NULL), 0);
}

SCENARIO(jemalloc_behind_the_shim, .limit = "1g", .beside = "libjemalloc.so.2", .silent = true) {
    with_allocator("jemalloc");
}

SCENARIO(jemalloc_before_the_shim, .limit = "1g", .beside = "libjemalloc.so.2", .before = true, .silent = true) {
    with_allocator("jemalloc");
}

SCENARIO(tcmalloc_behind_the_shim, .limit = "1g", .beside = "libtcmalloc_minimal.so.4", .silent = true) {
    with_allocator("tcmalloc");
}

SCENARIO(tcmalloc_before_the_shim, .limit = "1g", .beside = "libtcmalloc_minimal.so.4", .before = true,
         .silent = true) {
    with_allocator("tcmalloc");
}

/* A dlsym of the program's own. */

static void with_interposer(bool asked) {
    int *lookups = dlsym(RTLD_DEFAULT, "runai_test_lookups");
    EXPECT(lookups);
    int before = *lookups;
    use_everything();
    if (asked)
        EXPECT(*lookups > before);
    EXPECT(!dlsym(RTLD_DEFAULT, "no_such_function_anywhere"));
    EXPECT(dlsym(RTLD_DEFAULT, "printf") == (void *)printf);
}

SCENARIO(A_dlsym_before_the_shim_is_asked_first, .limit = "1g", .preload = "interposer.so", .before = true,
         .silent = true) {
    with_interposer(true);
}

SCENARIO(A_dlsym_behind_the_shim_does_no_harm, .limit = "1g", .preload = "interposer.so", .silent = true) {
    with_interposer(false);
}
#endif

/* Other people's builds. A sanitizer's runtime calls dlsym before anything else works. */
SCENARIO(An_ordinary_program_is_limited, .limit = "1g", .program = "plain", .silent = true) {
}

#ifndef __SANITIZE_ADDRESS__ /* one runtime a process */
SCENARIO(A_program_with_ThreadSanitizer_is_limited, .limit = "1g", .program = "plain-thread") {
}

SCENARIO(A_program_with_AddressSanitizer_is_limited, .limit = "1g", .program = "plain-address") {
}

/* Not because of the shim: AddressSanitizer refuses any preload, unless the check is disabled. */
SCENARIO(AddressSanitizer_refuses_to_start_behind_any_preload, .limit = "1g") {
    char command[5000], line[500] = "";
    snprintf(command, sizeof command, "ASAN_OPTIONS= %s/shim-tests/plain-address 2>&1", build_folder());
    FILE *pipe = popen(command, "r");
    EXPECT(pipe && fgets(line, sizeof line, pipe));
    EXPECT(strstr(line, "ASan runtime does not come first"));
    EXPECT(pclose(pipe) != 0);
}

SCENARIO(A_program_of_another_libc_is_not_disturbed, .program = "plain-musl", .silent = true) {
}
#endif
