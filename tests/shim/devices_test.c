/* SPDX-License-Identifier: Apache-2.0 */
/* Devices of all kinds: several, in any order and by any name; instances of a divided GPU; those that share the host's
   memory; containers without NVML. */
#define _GNU_SOURCE
#include "gpu.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTEXT (64 * MIB)
#define UUID_TEXT 41

/* Runs a shell command as on the host, without the shim. `format` gets the build folder and the devices' folder. */
static void host(const char *format) {
    char words[5000], command[5200];
    snprintf(words, sizeof words, format, build_folder(), getenv("SIMGPU_DIR"));
    snprintf(command, sizeof command, "env -u LD_PRELOAD %s", words);
    EXPECT_EQUAL(system(command), 0);
}

/* The UUIDs of all devices, as the host lists them: GPUs, each followed by its instances. */
static char uuids[8][UUID_TEXT + 1];

static void read_uuids(void) {
    char line[5000];
    snprintf(line, sizeof line, "env -u LD_PRELOAD %s/sim/simgpu show %s", build_folder(), getenv("SIMGPU_DIR"));
    FILE *pipe = popen(line, "r");
    unsigned n = 0;
    while (pipe && n < 8 && fgets(line, sizeof line, pipe))
        n += sscanf(line, "gpu %*u %41s", uuids[n]) == 1;
    EXPECT(pipe && pclose(pipe) == 0 && n > 0);
}

static void write_limits(const char *general, unsigned from, unsigned count, const char *const *limits) {
    char text[1000];
    int n = snprintf(text, sizeof text, "version=1\nlimit=%s\n", general);
    for (unsigned i = 0; i < count; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "limit.%s=%s\n", uuids[from + i], limits[i]);
    write_quota(text);
}

static nvmlDevice_t nvml_device(const char *uuid) {
    nvmlDevice_t device;
    EXPECT_EQUAL(gpu.nvmlInit_v2(), NVML_SUCCESS);
    EXPECT_EQUAL(gpu.nvmlDeviceGetHandleByUUID(uuid, &device), NVML_SUCCESS);
    return device;
}

static nvmlMemory_v2_t memory_of(nvmlDevice_t device) {
    nvmlMemory_v2_t memory = {.version = NVML_MEMORY_V2};
    EXPECT_EQUAL(gpu.nvmlDeviceGetMemoryInfo_v2(device, &memory), NVML_SUCCESS);
    return memory;
}

/* Sets the devices that CUDA shall see in a process, and returns those that it sees, in its order. */
struct choice {
    const char *visible, *order;
    int count, devices[3];
};

static void look_through(void *data) {
    const struct choice *choice = data;
    CUdeviceptr pointer;
    int count;
    choice->visible ? setenv("CUDA_VISIBLE_DEVICES", choice->visible, 1) : unsetenv("CUDA_VISIBLE_DEVICES");
    choice->order ? setenv("CUDA_DEVICE_ORDER", choice->order, 1) : unsetenv("CUDA_DEVICE_ORDER");
    gpu_open();
    EXPECT_EQUAL(gpu.cuInit(0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuDeviceGetCount(&count), CUDA_SUCCESS);
    EXPECT_EQUAL(count, choice->count);
    for (int i = 0; i < count; i++) {
        uint64_t limit = (uint64_t)(choice->devices[i] + 1) * GIB;
        gpu_begin(i);
        EXPECT_EQUAL(gpu_total(), limit);
        gpu_allocate(limit - CONTEXT - 100 * MIB);
        EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 102 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
        EXPECT_EQUAL(gpu_free(), 100 * MIB);
        nvmlMemory_v2_t memory = memory_of(nvml_device(uuids[choice->devices[i]]));
        EXPECT_EQUAL(memory.total, limit);
        EXPECT_EQUAL(memory.used, limit - 100 * MIB);
    }
}

SCENARIO(Devices_keep_their_own_limits_whatever_they_are_called, .limit = "5g", .gpus = "--gpus 3") {
    char two[100], short_one[100], all[200];
    host("%s/sim/simgpu set %s --gpu 2 --sms 100"); /* the fastest is the last of the bus */
    read_uuids();
    write_limits("5g", 0, 3, (const char *[]){"1g", "2g", "3g"});
    snprintf(two, sizeof two, "%s,%s", uuids[1], uuids[0]);
    snprintf(short_one, sizeof short_one, "%.14s", uuids[1]);
    snprintf(all, sizeof all, "%s,%.20s,1", uuids[2], uuids[0]);
    const struct choice choices[] = {
        {NULL, NULL, 3, {2, 0, 1}},         {NULL, "FASTEST_FIRST", 3, {2, 0, 1}},
        {NULL, "PCI_BUS_ID", 3, {0, 1, 2}}, {"2,0", NULL, 2, {1, 2}},
        {"2,0", "PCI_BUS_ID", 2, {2, 0}},   {"1", "PCI_BUS_ID", 1, {1}},
        {"1,7,0", "PCI_BUS_ID", 1, {1}},    {two, NULL, 2, {1, 0}},
        {short_one, NULL, 1, {1}},          {all, "PCI_BUS_ID", 3, {2, 0, 1}},
    };
    for (unsigned i = 0; i < sizeof choices / sizeof *choices; i++)
        if (in_child(look_through, (void *)&choices[i]) != 0)
            fail(__FILE__, __LINE__, "CUDA_VISIBLE_DEVICES=%s CUDA_DEVICE_ORDER=%s",
                 choices[i].visible ? choices[i].visible : "(not set)", choices[i].order ? choices[i].order : "");
    for (unsigned i = 0; i < 3; i++)
        EXPECT(device_peak(i) <= (i + 1) * GIB);
}

/* Two processes call one device by different names; it has one account. */
SCENARIO(One_device_by_two_names_is_one_device, .limit = "1g", .gpus = "--gpus 2") {
    int *go = shared_memory(4096);
    CUdeviceptr pointer;
    read_uuids();
    int pid = fork();
    if (pid == 0) {
        setenv("CUDA_VISIBLE_DEVICES", uuids[1], 1);
        gpu_begin(0);
        gpu_allocate(500 * MIB);
        go[0] = 1;
        while (!go[1])
            pause_ms(1);
        _exit(0);
    }
    while (!go[0])
        pause_ms(1);
    setenv("CUDA_VISIBLE_DEVICES", "1,0", 1);
    gpu_begin(1);
    gpu_allocate(900 * MIB);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - 2 * CONTEXT - 500 * MIB);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 400 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    go[1] = 1;
    EXPECT_EQUAL(wait_for(pid), 0);
}

/* Divided GPUs. */

SCENARIO(An_instance_shows_its_part_of_its_own_memory, .limit = "0.5", .gpus = "--mig 3 --reserved 300m") {
    nvmlDeviceAttributes_t attributes = {0};
    CUdeviceptr pointer;
    size_t total;
    read_uuids();
    gpu_begin(0);
    gpu_allocate(GIB);
    uint64_t whole = 10989 / 3 * MIB, mine = (10989 / 3 - 100) / 2 * MIB; /* 3663 and 100 of them reserved */
    EXPECT_EQUAL(gpu_total(), mine);
    EXPECT_EQUAL(gpu.cuDeviceTotalMem_v2(&total, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(total, mine);
    nvmlDevice_t instance = nvml_device(uuids[1]);
    nvmlMemory_v2_t memory = memory_of(instance);
    EXPECT_EQUAL(memory.total, whole / 2 / MIB * MIB);
    EXPECT_EQUAL(memory.used, CONTEXT + GIB);
    EXPECT_EQUAL(memory.free, gpu_free());
    EXPECT_EQUAL(memory.total, memory.reserved + memory.used + memory.free);
    EXPECT_EQUAL(gpu.nvmlDeviceGetAttributes_v2(instance, &attributes), NVML_SUCCESS);
    EXPECT_EQUAL(attributes.memorySizeMB, memory.total / MIB);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, mine - CONTEXT - GIB + 2 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    gpu_allocate((mine - CONTEXT - GIB) / (2 * MIB) * (2 * MIB));
    /* The GPU itself: a share of the whole, which includes what its instances use. */
    memory = memory_of(nvml_device(uuids[0]));
    EXPECT_EQUAL(memory.total, 10989 / 2 * MIB);
    EXPECT_EQUAL(memory.used, mine / (2 * MIB) * (2 * MIB));
    EXPECT_EQUAL(memory.total, memory.reserved + memory.used + memory.free);
}

static void use_instance(const char *name, uint64_t total, uint64_t fits, int *go) {
    CUdeviceptr pointer;
    setenv("CUDA_VISIBLE_DEVICES", name, 1);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_total(), total);
    gpu_allocate(fits);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, total - CONTEXT - fits + 2 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    go[0]++;
    while (!go[1])
        pause_ms(1);
    _exit(0);
}

SCENARIO(Instances_of_one_GPU_have_accounts_of_their_own, .limit = "3g", .gpus = "--mig 3") {
    int *go = shared_memory(4096), pids[3];
    char place[100];
    read_uuids();
    /* The first instance has a limit of its own, the GPU has one for the others. */
    char text[300];
    snprintf(text, sizeof text, "version=1\nlimit=3g\nlimit.%s=2g\nlimit.%s=1g\n", uuids[0], uuids[1]);
    write_quota(text);
    snprintf(place, sizeof place, "MIG-%s/2/0", uuids[0]);
    snprintf(text, sizeof text, "%.12s", uuids[3]);
    const char *const names[] = {uuids[1], place, text};
    for (int i = 0; i < 3; i++)
        if ((pids[i] = fork()) == 0)
            use_instance(names[i], i == 0 ? GIB : 2 * GIB, i == 0 ? 900 * MIB : 1500 * MIB, &go[2 * i]);
    for (int i = 0; i < 3; i++)
        while (!go[2 * i])
            pause_ms(1);
    setenv("CUDA_VISIBLE_DEVICES", uuids[2], 1);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), 2 * GIB - 2 * CONTEXT - 1500 * MIB);
    for (int i = 0; i < 3; i++)
        go[2 * i + 1] = 1;
    for (int i = 0; i < 3; i++)
        EXPECT_EQUAL(wait_for(pids[i]), 0);
}

SCENARIO(A_limit_of_the_GPU_reaches_monitors_of_its_instances, .limit = "3g", .gpus = "--mig 2") {
    read_uuids();
    write_limits("3g", 0, 1, (const char *[]){"1g"});
    gpu_open();
    EXPECT_EQUAL(memory_of(nvml_device(uuids[2])).total, GIB);
}

/* A GPU that shares the host's memory: NVML has no figures for it, but knows its processes. */

SCENARIO(A_GPU_without_figures_in_NVML_is_limited_by_CUDAs, .limit = "0.3", .gpus = "--unified 1") {
    CUdeviceptr pointer;
    nvmlMemory_v2_t two = {.version = NVML_MEMORY_V2, .total = 4711};
    nvmlMemory_t one = {.total = 4711};
    size_t total;
    read_uuids();
    gpu_begin(0);
    EXPECT_EQUAL(gpu_total(), 3296 * MIB);
    EXPECT_EQUAL(gpu.cuDeviceTotalMem_v2(&total, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(total, 3296 * MIB);
    EXPECT_EQUAL(gpu_free(), 3296 * MIB - CONTEXT);
    nvmlDevice_t device = nvml_device(uuids[0]);
    EXPECT_EQUAL(gpu.nvmlDeviceGetMemoryInfo_v2(device, &two), NVML_ERROR_NOT_SUPPORTED);
    EXPECT_EQUAL(gpu.nvmlDeviceGetMemoryInfo(device, &one), NVML_ERROR_NOT_SUPPORTED);
    EXPECT_EQUAL(two.total, 4711);
    EXPECT_EQUAL(one.total, 4711);
    gpu_allocate(3000 * MIB);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 300 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu_free(), 232 * MIB);
    EXPECT(device_peak(0) <= 3296 * MIB);
}

/* Without NVML. */

static void hold_until_told(int *go) {
    gpu_begin(0);
    gpu_allocate(300 * MIB);
    go[0]++;
    while (!go[1])
        pause_ms(1);
    _exit(0);
}

SCENARIO(Without_NVML_a_fraction_and_several_processes_count, .limit = "0.1", .without_nvml = true) {
    int *go = shared_memory(4096), pids[2];
    CUdeviceptr pointer;
    for (int i = 0; i < 2; i++) {
        if ((pids[i] = fork()) == 0)
            hold_until_told(&go[2 * i]);
        while (!go[2 * i])
            pause_ms(1);
    }
    gpu_begin(0);
    EXPECT_EQUAL(gpu_total(), 1098 * MIB);
    EXPECT_EQUAL(gpu_free(), 1098 * MIB - 3 * CONTEXT - 600 * MIB);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 308 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    gpu_allocate(306 * MIB);
    EXPECT_EQUAL(device_used(0), 3 * CONTEXT + 906 * MIB);
    go[1] = go[3] = 1;
    for (int i = 0; i < 2; i++)
        EXPECT_EQUAL(wait_for(pids[i]), 0);
}
