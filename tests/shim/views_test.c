/* SPDX-License-Identifier: Apache-2.0 */
/* What CUDA and NVML show. */
#define _GNU_SOURCE
#include "gpu.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTEXT (64 * MIB)

SCENARIO(A_fraction_divides_what_both_interfaces_show, .limit = "0.3") {
    size_t total;
    gpu_begin(0);
    EXPECT_EQUAL(gpu_total() / MIB, 3296);
    EXPECT_EQUAL(gpu.cuDeviceTotalMem_v2(&total, 0), CUDA_SUCCESS);
    EXPECT_EQUAL(total, gpu_total());
    nvmlMemory_v2_t memory = nvml_memory(0);
    EXPECT_EQUAL(memory.total, gpu_total());
    EXPECT_EQUAL(memory.used, CONTEXT);
    EXPECT_EQUAL(memory.free, gpu_free());
}

SCENARIO(Totals_add_up_where_the_GPU_reserves_memory_for_itself, .limit = "0.5",
         .gpus = "--total 143771m --reserved 616m") {
    gpu_begin(0);
    gpu_allocate(GIB);
    nvmlMemory_v2_t two = nvml_memory(0);
    EXPECT_EQUAL(two.total, 143771 / 2 * MIB);
    EXPECT_EQUAL(two.reserved, 616 / 2 * MIB);
    EXPECT_EQUAL(two.used, CONTEXT + GIB);
    EXPECT_EQUAL(two.total, two.reserved + two.used + two.free);
    EXPECT_EQUAL(gpu_total(), 143155 / 2 * MIB);
    EXPECT_EQUAL(gpu_free(), two.free);
    nvmlDevice_t device;
    nvmlMemory_t one;
    EXPECT_EQUAL(gpu.nvmlDeviceGetHandleByIndex_v2(0, &device), NVML_SUCCESS);
    EXPECT_EQUAL(gpu.nvmlDeviceGetMemoryInfo(device, &one), NVML_SUCCESS);
    EXPECT_EQUAL(one.total, two.total);
    EXPECT_EQUAL(one.total, one.used + one.free);
    EXPECT_EQUAL(one.free, two.free);
}

SCENARIO(A_size_is_shown_as_it_is, .limit = "3g", .gpus = "--total 143771m --reserved 616m") {
    gpu_begin(0);
    nvmlMemory_v2_t memory = nvml_memory(0);
    EXPECT_EQUAL(memory.total, 3 * GIB);
    EXPECT_EQUAL(memory.reserved, 0);
    EXPECT_EQUAL(gpu_total(), 3 * GIB);
}

SCENARIO(A_size_above_the_GPU_shows_the_GPU, .limit = "100t") {
    gpu_begin(0);
    EXPECT_EQUAL(gpu_total(), 10989 * MIB);
    EXPECT_EQUAL(nvml_memory(0).total, 10989 * MIB);
}

SCENARIO(A_program_that_only_asks_NVML_sees_the_quota_too, .limit = "0.3") {
    gpu_open();
    nvmlMemory_v2_t memory = nvml_memory(0);
    EXPECT_EQUAL(memory.total / MIB, 3296);
    EXPECT_EQUAL(memory.used, 0);
    EXPECT_EQUAL(memory.free, memory.total);
}

static void hold(void *data) {
    int *go = data;
    gpu_begin(0);
    gpu_allocate(500 * MIB);
    go[0] = 1;
    while (!go[1])
        pause_ms(1);
}

SCENARIO(All_processes_of_the_container_count, .limit = "1g") {
    int *go = shared_memory(4096);
    int pid = 0;
    gpu_open();
    if ((pid = fork()) == 0) {
        hold(go);
        _exit(0);
    }
    while (!go[0])
        pause_ms(1);
    EXPECT_EQUAL(nvml_memory(0).used, CONTEXT + 500 * MIB);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - 2 * CONTEXT - 500 * MIB);
    EXPECT_EQUAL(nvml_memory(0).used, 2 * CONTEXT + 500 * MIB);
    go[1] = 1;
    EXPECT_EQUAL(wait_for(pid), 0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

SCENARIO(A_process_without_the_shim_counts, .limit = "1g") {
    char command[4300];
    gpu_begin(0);
    snprintf(command, sizeof command, "LD_PRELOAD= %s/sim/gpu-alloc --hold 60 400m >/dev/null & echo $!",
             build_folder());
    FILE *pipe = popen(command, "r");
    int pid = 0;
    EXPECT(pipe && fscanf(pipe, "%d", &pid) == 1);
    for (int i = 0; i < 2000 && device_used(0) < 2 * CONTEXT + 400 * MIB; i++)
        pause_ms(5);
    EXPECT_EQUAL(nvml_memory(0).used, 2 * CONTEXT + 400 * MIB);
    EXPECT_EQUAL(gpu_free(), GIB - 2 * CONTEXT - 400 * MIB);
    CUdeviceptr pointer;
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 600 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    snprintf(command, sizeof command, "kill %d", pid);
    EXPECT_EQUAL(system(command), 0);
    for (int i = 0; i < 2000 && device_used(0) > CONTEXT; i++)
        pause_ms(5);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 600 * MIB), CUDA_SUCCESS);
}

/* As bubblewrap, unshare or apptainer start it: in a PID namespace of its own, where it has another PID. */

struct nested {
    _Atomic unsigned ready, go;
    bool own_proc;
};

static void allocate_in_namespace(struct nested *n) {
    if (n->own_proc)
        EXPECT_EQUAL(mount("proc", "/proc", "proc", 0, NULL), 0);
    EXPECT_EQUAL(getpid(), 1);
    gpu_begin(0);
    gpu_allocate(300 * MIB);
    atomic_fetch_add(&n->ready, 1);
    while (atomic_load(&n->go) < 1)
        pause_ms(1);
    EXPECT_EQUAL(gpu_free(), GIB - 2 * CONTEXT - 500 * MIB);
    EXPECT_EQUAL(nvml_memory(0).used, 2 * CONTEXT + 500 * MIB);
    gpu_allocate(GIB - 2 * CONTEXT - 500 * MIB);
    atomic_fetch_add(&n->ready, 1);
    while (atomic_load(&n->go) < 2)
        pause_ms(1);
}

static int start_in_namespace(struct nested *n) {
    int pid = fork();
    if (pid != 0)
        return pid;
    EXPECT_EQUAL(unshare(CLONE_NEWPID | CLONE_NEWNS), 0);
    EXPECT_EQUAL(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    if ((pid = fork()) != 0)
        _exit(wait_for(pid));
    allocate_in_namespace(n);
    _exit(0);
}

static void count_once(bool own_proc) {
    struct nested *n = shared_memory(sizeof *n);
    n->own_proc = own_proc;
    int pid = start_in_namespace(n);
    while (atomic_load(&n->ready) < 1)
        pause_ms(1);
    gpu_begin(0);
    gpu_allocate(200 * MIB);
    EXPECT_EQUAL(gpu_free(), GIB - 2 * CONTEXT - 500 * MIB);
    EXPECT_EQUAL(nvml_memory(0).used, 2 * CONTEXT + 500 * MIB);
    atomic_store(&n->go, 1);
    while (atomic_load(&n->ready) < 2)
        pause_ms(1);
    CUdeviceptr pointer;
    EXPECT_EQUAL(gpu_free(), 0);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 4 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(device_used(0), GIB);
    atomic_store(&n->go, 2);
    EXPECT_EQUAL(wait_for(pid), 0);
    gpu_allocate(GIB - CONTEXT - 200 * MIB);
    EXPECT_EQUAL(device_peak(0), GIB);
}

SCENARIO(A_process_in_a_nested_PID_namespace_is_counted_once, .limit = "1g") {
    count_once(true);
}

SCENARIO(A_process_with_the_containers_proc_is_counted_once, .limit = "1g") {
    count_once(false);
}

static void find_no_more_than_is_left(struct nested *n) {
    CUdeviceptr pointer;
    EXPECT_EQUAL(unshare(CLONE_NEWPID), 0);
    int pid = fork();
    if (pid != 0)
        _exit(wait_for(pid));
    while (atomic_load(&n->go) < 1)
        pause_ms(1);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - 3 * CONTEXT - 200 * MIB);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 700 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    _exit(0);
}

/* A process without a row shows only outside the namespace: inside it must still count. */
SCENARIO(Processes_outside_a_PID_namespace_still_count, .limit = "1g") {
    struct nested *n = shared_memory(sizeof *n);
    int inside = fork();
    if (inside == 0)
        find_no_more_than_is_left(n);
    gpu_begin(0);
    char program[4300];
    snprintf(program, sizeof program, "%s/sim/gpu-alloc", build_folder());
    int holder = fork();
    if (holder == 0) {
        unsetenv("LD_PRELOAD");
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        execl(program, program, "--hold", "100", "200m", (char *)NULL);
        _exit(9);
    }
    while (device_used(0) < 2 * CONTEXT + 200 * MIB)
        pause_ms(2);
    EXPECT_EQUAL(gpu_free(), GIB - 2 * CONTEXT - 200 * MIB);
    atomic_store(&n->go, 1);
    EXPECT_EQUAL(wait_for(inside), 0);
    kill(holder, SIGKILL);
    wait_for(holder);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
}

static void see_own_changes(void) {
    EXPECT_EQUAL(unshare(CLONE_NEWPID), 0); /* the neighbour is outside then */
    int pid = fork();
    if (pid != 0)
        _exit(wait_for(pid));
    gpu_begin(0);
    for (int i = 0; i < 300; i++) {
        CUdeviceptr pointer = gpu_allocate(10 * MIB);
        EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 10 * MIB);
        EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 10 * MIB);
        EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    }
    _exit(0);
}

SCENARIO(Our_own_changes_show_beside_a_busy_neighbour, .limit = "1g") {
    char command[4300];
    snprintf(command, sizeof command, "unset LD_PRELOAD; while :; do %s/sim/gpu-alloc 64m >/dev/null; done",
             build_folder());
    int neighbour = fork();
    if (neighbour == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(9);
    }
    int pid = fork();
    if (pid == 0)
        see_own_changes();
    EXPECT_EQUAL(wait_for(pid), 0);
    kill(neighbour, SIGKILL);
    wait_for(neighbour);
}

/* If the PID namespace is larger than the container, the control group says to which container a process without the
   shim belongs. */

static char groups[200]; /* a control group (version 2) of our own; below it `mine` and `theirs` */

static void join(const char *name) {
    char path[300];
    snprintf(path, sizeof path, "%s%s/cgroup.procs", groups, name);
    FILE *file = fopen(path, "w");
    EXPECT(file && fputs("0", file) >= 0 && fclose(file) == 0);
}

static int hold_without_shim(const char *group, const char *size) {
    char program[4300];
    snprintf(program, sizeof program, "%s/sim/gpu-alloc", build_folder());
    int pid = fork();
    if (pid == 0) {
        join(group);
        unsetenv("LD_PRELOAD");
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        execl(program, program, "--hold", "100", size, (char *)NULL);
        _exit(9);
    }
    return pid;
}

static void count_by_group(bool own_namespace) {
    char path[300];
    snprintf(path, sizeof path, "%s/cgroup", private_directory());
    EXPECT_EQUAL(mkdir(path, 0700), 0);
    EXPECT_EQUAL(mount("none", path, "cgroup2", 0, NULL), 0);
    snprintf(groups, sizeof groups, "%s/runai-test-%d", path, (int)getpid());
    EXPECT_EQUAL(mkdir(groups, 0700), 0);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", groups, i ? "theirs" : "mine");
        EXPECT_EQUAL(mkdir(path, 0700), 0);
    }
    join("/mine");
    if (own_namespace)
        EXPECT_EQUAL(unshare(CLONE_NEWCGROUP), 0);
    int ours = hold_without_shim("/mine", "100m"), theirs = hold_without_shim("/theirs", "300m");
    gpu_begin(0);
    while (device_used(0) < 3 * CONTEXT + 400 * MIB)
        pause_ms(2);
    EXPECT_EQUAL(gpu_free(), GIB - 2 * CONTEXT - 100 * MIB);
    EXPECT_EQUAL(nvml_memory(0).used, 2 * CONTEXT + 100 * MIB);
    gpu_allocate(GIB - 2 * CONTEXT - 100 * MIB);
    kill(ours, SIGKILL);
    kill(theirs, SIGKILL);
    wait_for(ours);
    wait_for(theirs);
    join("/.."); /* so that they can be removed */
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", groups, i == 0 ? "/mine" : i == 1 ? "/theirs" : "");
        EXPECT_EQUAL(rmdir(path), 0);
    }
    snprintf(path, sizeof path, "%s/cgroup", private_directory());
    EXPECT_EQUAL(umount2(path, MNT_DETACH), 0);
}

SCENARIO(Processes_without_the_shim_count_by_control_group, .limit = "1g") {
    count_by_group(false);
}

SCENARIO(In_a_control_group_namespace_the_own_group_counts, .limit = "1g") {
    count_by_group(true);
}

SCENARIO(Free_is_never_more_than_is_physically_free, .limit = "0.9", .gpus = "--total 2g") {
    char command[4300];
    gpu_begin(0);
    /* As another container would: its processes are not listed here, but this one's are; so it is distinguished by its
       PID namespace. */
    snprintf(command, sizeof command,
             "LD_PRELOAD= unshare -p -f --kill-child %s/sim/gpu-alloc --hold 60 1g >/dev/null & echo $!",
             build_folder());
    FILE *pipe = popen(command, "r");
    int pid = 0;
    EXPECT(pipe && fscanf(pipe, "%d", &pid) == 1);
    for (int i = 0; i < 400 && device_used(0) < GIB; i++)
        pause_ms(5);
    if (device_used(0) >= GIB) {
        uint64_t physical = 2 * GIB - device_used(0);
        EXPECT(gpu_free() <= physical);
        EXPECT(nvml_memory(0).free <= physical);
    }
    snprintf(command, sizeof command, "kill %d", pid);
    EXPECT_EQUAL(system(command), 0);
}

SCENARIO(Null_arguments_are_legal, .limit = "1g") {
    size_t value;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemGetInfo_v2(NULL, &value), CUDA_SUCCESS);
    EXPECT_EQUAL(value, GIB);
    EXPECT_EQUAL(gpu.cuMemGetInfo_v2(&value, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemGetInfo_v2(NULL, NULL), CUDA_SUCCESS);
    EXPECT(gpu.cuMemAlloc_v2(NULL, 10) != CUDA_SUCCESS);
    EXPECT(gpu.cuDeviceTotalMem_v2(NULL, 0) != CUDA_SUCCESS);
}

SCENARIO(A_limit_below_the_context_leaves_nothing_free, .limit = "10m") {
    CUdeviceptr pointer;
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), 0);
    EXPECT_EQUAL(gpu_total(), 10 * MIB);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 1), CUDA_ERROR_OUT_OF_MEMORY);
    nvmlMemory_v2_t memory = nvml_memory(0);
    EXPECT_EQUAL(memory.free, 0);
    EXPECT_EQUAL(memory.total, memory.reserved + memory.used + memory.free);
}

SCENARIO(Errors_of_the_driver_come_through, .limit = "1g") {
    size_t value;
    gpu_open();
    EXPECT_EQUAL(gpu.cuMemGetInfo_v2(&value, &value), 3); /* not initialised */
    EXPECT_EQUAL(gpu.cuInit(0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemGetInfo_v2(&value, &value), 201); /* no context */
    EXPECT_EQUAL(gpu.cuDeviceTotalMem_v2(&value, 99), 101);
}
