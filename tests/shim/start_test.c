/* SPDX-License-Identifier: Apache-2.0 */
/* What the shim does at the start of a program that uses the GPU, and what that costs. */
#define _GNU_SOURCE
#include "gpu.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#define CONTEXT (64 * MIB)

static void *stay(void *running) {
    while (*(volatile bool *)running)
        pause_ms(1);
    return NULL;
}

/* The size of this process's descriptor table. */
static unsigned descriptors(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    unsigned size = 0;
    EXPECT(status != NULL);
    while (fgets(line, sizeof line, status))
        sscanf(line, "FDSize: %u", &size);
    fclose(status);
    EXPECT(size > 0);
    return size;
}

/* The kernel makes a process with threads wait some 10 ms for a larger table. */
SCENARIO(Joining_keeps_the_size_of_the_descriptor_table, .limit = "1g") {
    static bool running = true;
    pthread_t thread;
    EXPECT_EQUAL(pthread_create(&thread, NULL, stay, &running), 0);
    unsigned before = descriptors();
    gpu_begin(0);
    EXPECT_EQUAL(descriptors(), before);
    gpu_allocate(100 * MIB);
    nvml_memory(0);
    EXPECT_EQUAL(descriptors(), before);
    *(volatile bool *)&running = false;
    pthread_join(thread, NULL);
}

static int nvml_says(const char *what) {
    int (*count)(void) = dlsym(RTLD_DEFAULT, what);
    EXPECT(count != NULL);
    return count();
}

static int nvml_starts(void) {
    return nvml_says("mute_nvml_asked");
}

SCENARIO(Far_from_its_limit_a_process_skips_NVML, .limit = "8g", .preload = "mute/libnvidia-ml.so.1") {
    setenv("MUTE_NVML_MS", "2000", 1);
    gpu_begin(0);
    gpu_allocate(100 * MIB);
    EXPECT_EQUAL(nvml_says("mute_nvml_answered"), 0);
    EXPECT_EQUAL(gpu_free(), 8 * GIB - CONTEXT - 100 * MIB);
    EXPECT_EQUAL(nvml_starts(), 1);
}

SCENARIO(Closer_to_its_limit_it_measures_its_context_at_once, .limit = "3g", .preload = "mute/libnvidia-ml.so.1") {
    gpu_begin(0);
    EXPECT_EQUAL(nvml_starts(), 1);
}

SCENARIO(A_context_measured_later_leaves_the_last_byte, .limit = "8g") {
    CUdeviceptr pointer;
    gpu_begin(0);
    for (uint64_t left = 8 * GIB - CONTEXT; left > 0; left -= left > GIB ? GIB : left)
        gpu_allocate(left > GIB ? GIB : left);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 1), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(device_peak(0), 8 * GIB);
}

/* They may belong to a process of this container that has ended and is not gone yet. */
SCENARIO(A_process_that_starts_later_is_measured_at_once, .limit = "8g", .preload = "mute/libnvidia-ml.so.1") {
    char command[4300];
    int pid = 0;
    snprintf(command, sizeof command, "LD_PRELOAD= %s/sim/gpu-alloc --hold 60 2g >/dev/null & echo $!", build_folder());
    FILE *pipe = popen(command, "r");
    EXPECT(pipe && fscanf(pipe, "%d", &pid) == 1);
    while (device_used(0) < CONTEXT + 2 * GIB)
        pause_ms(1);
    gpu_begin(0);
    EXPECT_EQUAL(nvml_starts(), 1);
    EXPECT_EQUAL(kill(pid, SIGTERM), 0);
    pclose(pipe);
}

SCENARIO(A_process_beside_it_leaves_the_last_byte, .limit = "8g") {
    char command[4300];
    gpu_begin(0);
    snprintf(command, sizeof command, "%s/sim/gpu-alloc %llum >/dev/null", build_folder(),
             (unsigned long long)((8 * GIB - 2 * CONTEXT) / MIB + 1));
    EXPECT_EQUAL(WEXITSTATUS(system(command)), 2);
    snprintf(command, sizeof command, "%s/sim/gpu-alloc %llum >/dev/null", build_folder(),
             (unsigned long long)((8 * GIB - 2 * CONTEXT) / MIB));
    EXPECT_EQUAL(WEXITSTATUS(system(command)), 0);
    EXPECT_EQUAL(device_peak(0), 8 * GIB);
}

/* Another program that wants 1 MiB, when this one has left so much of its limit. */
static int another_beside(uint64_t limit, uint64_t left) {
    char command[4300];
    gpu_begin(0);
    for (uint64_t rest = limit - CONTEXT - left; rest > 0; rest -= rest > GIB ? GIB : rest)
        gpu_allocate(rest > GIB ? GIB : rest);
    snprintf(command, sizeof command, "%s/sim/gpu-alloc 1m >/dev/null", build_folder());
    return WEXITSTATUS(system(command));
}

SCENARIO(A_process_beside_it_needs_room_for_its_context, .limit = "8g") {
    EXPECT_EQUAL(another_beside(8 * GIB, CONTEXT - 2 * MIB), 2);
    EXPECT_EQUAL(device_peak(0), 8 * GIB - CONTEXT + 2 * MIB);
}

SCENARIO(A_process_beside_it_gets_the_last_room, .limit = "8g") {
    EXPECT_EQUAL(another_beside(8 * GIB, CONTEXT), 2);
    EXPECT_EQUAL(device_peak(0), 8 * GIB);
}

SCENARIO(A_second_context_of_a_process_stays_within_the_limit, .limit = "8g") {
    CUcontext context;
    gpu_begin(0);
    for (int i = 0; i < 7; i++)
        gpu_allocate(GIB);
    gpu_allocate(GIB - CONTEXT - (CONTEXT - 2 * MIB));
    EXPECT_EQUAL(gpu.cuCtxCreate_v2(&context, 0, 0), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(device_peak(0), 8 * GIB - CONTEXT + 2 * MIB);
}

SCENARIO(A_context_that_nobody_measured_is_gone_with_its_end, .limit = "8g") {
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), 8 * GIB - CONTEXT);
}
