/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that die, fork and lose descriptors; ledgers that are damaged. */
#define _GNU_SOURCE
#include "../../shim/ledger.h"
#include "gpu.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CONTEXT (64 * MIB)

static void allocate_for_ever(void) {
    unsigned seed = (unsigned)getpid();
    gpu_begin(0);
    for (;;) {
        CUdeviceptr pointer;
        size_t size = (size_t)(rand_r(&seed) % 300 + 1) * MIB;
        if (gpu.cuMemAlloc_v2(&pointer, size) == CUDA_SUCCESS && rand_r(&seed) % 4)
            gpu.cuMemFree_v2(pointer);
    }
}

SCENARIO(Processes_killed_at_random_moments_leave_nothing_behind, .limit = "1g") {
    srand((unsigned)getpid());
    for (int i = 0; i < 1000; i++) {
        int pid = fork();
        if (pid == 0)
            allocate_for_ever();
        nanosleep(&(struct timespec){0, rand() % 15000000}, NULL);
        kill(pid, SIGKILL);
        EXPECT_EQUAL(wait_for(pid), 1000 + SIGKILL);
    }
    gpu_begin(0);
    gpu_allocate(GIB - CONTEXT);
    EXPECT(device_peak(0) <= GIB);
}

static void hold_and_wait(int *go) {
    gpu_begin(0);
    gpu_allocate(300 * MIB);
    go[0] = 1;
    for (;;)
        pause_ms(1000);
}

SCENARIO(What_a_killed_process_held_can_be_had_at_once, .limit = "1g") {
    int *go = shared_memory(4096);
    int pid = fork();
    if (pid == 0)
        hold_and_wait(go);
    while (!go[0])
        pause_ms(1);
    gpu_begin(0);
    CUdeviceptr pointer;
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 700 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    kill(pid, SIGKILL);
    wait_for(pid);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 700 * MIB), CUDA_SUCCESS);
}

SCENARIO(A_process_that_exits_without_freeing_leaves_nothing_behind, .limit = "1g") {
    for (int i = 0; i < 20; i++) {
        int pid = fork();
        if (pid == 0) {
            gpu_begin(0);
            gpu_allocate(800 * MIB);
            _exit(0);
        }
        EXPECT_EQUAL(wait_for(pid), 0);
    }
}

/* CUDA itself does not survive a fork, but programs that use it fork anyway: the parent's charge must stay, and a child
   must not change it. */
SCENARIO(A_child_does_not_touch_its_parents_charge, .limit = "1g") {
    gpu_begin(0);
    gpu_allocate(200 * MIB);
    int pid = fork();
    if (pid == 0) {
        CUdeviceptr pointer;
        gpu.cuMemAlloc_v2(&pointer, MIB); /* the driver may refuse: nothing may hang or crash */
        _exit(0);
    }
    EXPECT_EQUAL(wait_for(pid), 0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 200 * MIB);
    gpu_allocate(GIB - CONTEXT - 200 * MIB);
}

SCENARIO(A_child_program_has_its_own_place, .limit = "1g") {
    char command[4300];
    gpu_begin(0);
    gpu_allocate(200 * MIB);
    snprintf(command, sizeof command, "%s/sim/gpu-alloc 300m >/dev/null", build_folder());
    EXPECT_EQUAL(system(command), 0);
    snprintf(command, sizeof command, "%s/sim/gpu-alloc 800m >/dev/null", build_folder());
    EXPECT_EQUAL(WEXITSTATUS(system(command)), 2);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 200 * MIB);
}

SCENARIO(A_raw_clone_is_noticed_like_a_fork, .limit = "1g") {
    nvmlMemory_v2_t before;
    gpu_open();
    before = nvml_memory(0);
    EXPECT_EQUAL(before.used, 0);
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        gpu_begin(0);
        gpu_allocate(100 * MIB);
        syscall(SYS_exit_group, gpu_free() == GIB - CONTEXT - 100 * MIB ? 0 : 1);
    }
    EXPECT_EQUAL(wait_for((int)pid), 0);
    EXPECT_EQUAL(nvml_memory(0).used, 0);
}

SCENARIO(A_vforked_child_may_start_a_program, .limit = "1g") {
    char program[4300];
    snprintf(program, sizeof program, "%s/sim/gpu-alloc", build_folder());
    gpu_begin(0);
    gpu_allocate(100 * MIB);
    int pid = vfork();
    if (pid == 0) {
        execl(program, program, "100m", (char *)NULL);
        _exit(9);
    }
    EXPECT_EQUAL(wait_for(pid), 0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 100 * MIB);
}

static void damage_and_go_on(void (*damage)(void)) {
    gpu_begin(0);
    CUdeviceptr pointer = gpu_allocate(300 * MIB), other;
    for (int i = 0; i < 3; i++) {
        damage();
        for (int k = 0; k < 10; k++) {
            EXPECT_EQUAL(gpu.cuMemAlloc_v2(&other, 100 * MIB), CUDA_SUCCESS);
            EXPECT_EQUAL(gpu.cuMemFree_v2(other), CUDA_SUCCESS);
        }
        EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 300 * MIB);
        EXPECT_EQUAL(gpu.cuMemAlloc_v2(&other, 700 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    }
    EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    gpu_allocate(GIB - CONTEXT);
    EXPECT(device_peak(0) <= GIB);
}

static void truncate_ledger(void) {
    EXPECT_EQUAL(truncate(ledger_path(), 0), 0);
}

static void shorten_ledger(void) {
    EXPECT_EQUAL(truncate(ledger_path(), 5000), 0);
}

static void delete_ledger(void) {
    EXPECT_EQUAL(unlink(ledger_path()), 0);
}

static void fill_ledger(int pattern) {
    static unsigned char garbage[61440];
    int fd = open(ledger_path(), O_WRONLY);
    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = pattern < 0 ? (unsigned char)rand() : (unsigned char)pattern;
    EXPECT_EQUAL(pwrite(fd, garbage, sizeof garbage, 0), sizeof garbage);
    /* Not closed: that would drop the locks of this very process, which is another test. */
    pause_ms(1100); /* it is looked at once a second */
}

static void garbage_ledger(void) {
    fill_ledger(-1);
}

static void zero_ledger(void) {
    fill_ledger(0);
}

static void ones_ledger(void) {
    fill_ledger(255);
}

SCENARIO(A_truncated_ledger_is_written_anew, .limit = "1g") {
    damage_and_go_on(truncate_ledger);
}

SCENARIO(A_shortened_ledger_is_written_anew, .limit = "1g") {
    damage_and_go_on(shorten_ledger);
}

SCENARIO(A_deleted_ledger_is_written_anew, .limit = "1g") {
    damage_and_go_on(delete_ledger);
}

SCENARIO(A_ledger_full_of_garbage_is_written_anew, .limit = "1g") {
    damage_and_go_on(garbage_ledger);
}

SCENARIO(A_ledger_full_of_zeros_is_written_anew, .limit = "1g") {
    damage_and_go_on(zero_ledger);
}

SCENARIO(A_ledger_full_of_ones_is_written_anew, .limit = "1g") {
    damage_and_go_on(ones_ledger);
}

SCENARIO(A_ledger_that_was_garbage_before_is_made_good, .limit = "1g") {
    int fd = open(ledger_path(), O_WRONLY | O_CREAT, 0666);
    char garbage[50000];
    memset(garbage, 0xa5, sizeof garbage);
    EXPECT_EQUAL(write(fd, garbage, sizeof garbage), sizeof garbage);
    close(fd);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT);
    gpu_allocate(900 * MIB);
}

SCENARIO(A_folder_without_space_leaves_the_limit_to_the_process, .limit = "1g") {
    char path[4300];
    snprintf(path, sizeof path, "%s/usage/filler", private_directory());
    int fd = open(path, O_WRONLY | O_CREAT, 0666);
    char block[4096] = "";
    int blocks = 0;
    while (blocks < 16 && write(fd, block, sizeof block) == sizeof block)
        blocks++;
    gpu_begin(0);
    gpu_allocate(900 * MIB);
    CUdeviceptr pointer;
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 200 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
}

SCENARIO(A_missing_folder_leaves_the_limit_to_the_process, .limit = "1g") {
    char command[4300];
    snprintf(command, sizeof command, "umount %s/usage 2>/dev/null; rmdir %s/usage", private_directory(),
             private_directory());
    EXPECT_EQUAL(system(command), 0);
    gpu_begin(0);
    gpu_allocate(900 * MIB);
    CUdeviceptr pointer;
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 200 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
}

/* A daemon that closes every descriptor closes ours too; the kernel then drops our locks. */
SCENARIO(A_program_that_closes_all_descriptors_keeps_its_place, .limit = "1g") {
    int *go = shared_memory(4096);
    int pid = fork();
    if (pid == 0) {
        gpu_begin(0);
        gpu_allocate(300 * MIB);
        struct stat ledger, s;
        EXPECT_EQUAL(stat(ledger_path(), &ledger), 0);
        for (int fd = 3; fd < 4096; fd++)
            if (fstat(fd, &s) == 0 && s.st_ino == ledger.st_ino && s.st_dev == ledger.st_dev)
                close(fd);
        gpu_allocate(MIB);
        go[0] = 1;
        while (!go[1])
            pause_ms(1);
        EXPECT_EQUAL(gpu_free(), GIB - 2 * CONTEXT - 302 * MIB);
        _exit(0);
    }
    while (!go[0])
        pause_ms(1);
    gpu_begin(0);
    EXPECT_EQUAL(gpu_free(), GIB - 2 * CONTEXT - 302 * MIB);
    CUdeviceptr pointer;
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 700 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    go[1] = 1;
    EXPECT_EQUAL(wait_for(pid), 0);
}

/* It counts without calling the driver again: without NVML nothing else counts what it holds. */
SCENARIO(Without_NVML_a_program_without_descriptors_keeps_its_memory, .limit = "1g", .without_nvml = true) {
    int *go = shared_memory(4096), pid = fork();
    CUdeviceptr pointer;
    if (pid == 0) {
        gpu_begin(0);
        gpu_allocate(600 * MIB);
        close(open(ledger_path(), O_RDONLY));
        go[0] = 1;
        while (!go[1])
            pause_ms(1);
        _exit(0);
    }
    while (!go[0])
        pause_ms(1);
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 400 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    go[1] = 1;
    EXPECT_EQUAL(wait_for(pid), 0);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 700 * MIB), CUDA_SUCCESS);
}

/* A process on its way out: the lock of its row is gone, its memory is not. */
static void begin_to_die(void) {
    gpu_begin(0);
    gpu_allocate(600 * MIB);
    close(open(ledger_path(), O_RDONLY)); /* drops the process's locks on the file */
}

/* Starts one that waits for a signal to continue, and dies `after` ms later. */
static int start_dying(int *passthrough, unsigned after) {
    int *ready = shared_memory(4096), pid = fork();
    if (pid == 0) {
        begin_to_die();
        __atomic_store_n(ready, 1, __ATOMIC_SEQ_CST);
        while (!__atomic_load_n(passthrough, __ATOMIC_SEQ_CST))
            pause_ms(1);
        pause_ms(after);
        _exit(0);
    }
    while (!__atomic_load_n(ready, __ATOMIC_SEQ_CST))
        pause_ms(1);
    gpu_begin(0);
    return pid;
}

SCENARIO(What_a_dying_process_still_holds_is_not_given_away, .limit = "1g") {
    int *passthrough = shared_memory(4096), pid = start_dying(passthrough, 0);
    CUdeviceptr pointer;
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 400 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT(device_peak(0) <= GIB);
    __atomic_store_n(passthrough, 1, __ATOMIC_SEQ_CST);
    EXPECT_EQUAL(wait_for(pid), 0);
}

SCENARIO(What_a_dying_process_gives_back_is_waited_for, .limit = "1g") {
    int *passthrough = shared_memory(4096), pid = start_dying(passthrough, 100);
    CUdeviceptr pointer;
    __atomic_store_n(passthrough, 1, __ATOMIC_SEQ_CST);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 700 * MIB), CUDA_SUCCESS);
    EXPECT(device_peak(0) <= GIB);
    EXPECT_EQUAL(wait_for(pid), 0);
}

SCENARIO(A_lowered_limit_stops_allocation_and_takes_nothing_away, .limit = "1g") {
    CUdeviceptr pointer, other;
    gpu_begin(0);
    pointer = gpu_allocate(500 * MIB);
    write_limit("200m");
    pause_ms(1100);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&other, 10 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(gpu_free(), 0);
    EXPECT_EQUAL(gpu_total(), 200 * MIB);
    EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&other, 10 * MIB), CUDA_SUCCESS);
}

SCENARIO(A_changed_limit_is_shown_within_a_second, .limit = "1g") {
    gpu_begin(0);
    EXPECT_EQUAL(gpu_total(), GIB);
    write_limit("2g");
    pause_ms(1100);
    EXPECT_EQUAL(gpu_free(), 2 * GIB - CONTEXT);
    EXPECT_EQUAL(gpu_total(), 2 * GIB);
}

SCENARIO(A_raised_limit_counts_before_the_next_refusal, .limit = "200m") {
    CUdeviceptr pointer;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 500 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    write_limit("1g");
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 500 * MIB), CUDA_SUCCESS);
}

SCENARIO(A_quota_file_that_goes_bad_changes_nothing, .limit = "1g") {
    CUdeviceptr pointer;
    gpu_begin(0);
    write_quota("version=1\nlimit=nonsense\n");
    pause_ms(1100);
    gpu_allocate(500 * MIB);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 600 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
}

static void quota_later(void *data) {
    (void)data;
    pause_ms(500);
    write_limit("1g");
}

SCENARIO(The_first_call_waits_for_the_quota, .silent = true) {
    int pid = fork();
    if (pid == 0) {
        quota_later(NULL);
        _exit(0);
    }
    gpu_begin(0);
    EXPECT_EQUAL(gpu_total(), GIB);
    EXPECT_EQUAL(wait_for(pid), 0);
}

static unsigned count_lines(const char *path, char *last, size_t size) {
    FILE *file = fopen(path, "r");
    unsigned lines = 0;
    char line[2000];
    while (file && fgets(line, sizeof line, file)) {
        lines++;
        snprintf(last, size, "%s", line);
    }
    if (file)
        fclose(file);
    return lines;
}

static void refused(const char *expected) {
    char path[4200], line[1000] = "";
    snprintf(path, sizeof path, "%s/stderr", private_directory());
    gpu_open();
    EXPECT_EQUAL(gpu.cuInit(0), CUDA_ERROR_NOT_PERMITTED);
    EXPECT_EQUAL(gpu.nvmlInit_v2(), NVML_ERROR_NO_PERMISSION);
    EXPECT_EQUAL(gpu.cuInit(0), CUDA_ERROR_NOT_PERMITTED);
    EXPECT_EQUAL(count_lines(path, line, sizeof line), 1);
    EXPECT(strncmp(line, "runai: GPU use refused: ", 24) == 0);
    if (!strstr(line, expected))
        fail(__FILE__, __LINE__, "%s", line);
    EXPECT_EQUAL(truncate(path, 0), 0);
}

SCENARIO(Without_a_quota_GPU_use_is_refused_with_one_line) {
    refused("no quota in");
}

SCENARIO(A_bad_quota_file_is_refused_with_its_fault) {
    write_quota("version=2\nlimit=1g\n");
    refused("its version is not 1");
}

SCENARIO(An_error_in_the_quota_file_is_passed_on) {
    write_quota("version=1\nerror=gpu-memory=2 is no value: write 2g\n");
    refused("gpu-memory=2 is no value: write 2g");
}

SCENARIO(A_limit_by_UUID_goes_before_the_general_one, .limit = "1g", .gpus = "--gpus 2") {
    CUuuid u;
    char text[400];
    gpu_open();
    EXPECT_EQUAL(gpu.cuInit(0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuDeviceGetUuid(&u, 1), CUDA_SUCCESS);
    int n = snprintf(text, sizeof text, "version=1\nlimit=1g\nlimit.GPU-");
    for (int i = 0; i < 16; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                      u.bytes[i]);
    snprintf(text + n, sizeof text - (size_t)n, "=2g\n");
    write_quota(text);
    pause_ms(1100);
    gpu_begin(0);
    gpu_allocate(MIB);
    EXPECT_EQUAL(gpu_total(), GIB);
    gpu_begin(1);
    EXPECT_EQUAL(gpu_total(), 2 * GIB);
}

static void visible(const char *devices) {
    char text[100];
    setenv("CUDA_VISIBLE_DEVICES", devices, 1);
    gpu_open();
    gpu_begin(0);
    gpu_allocate(300 * MIB);
    snprintf(text, sizeof text, "%llu", (unsigned long long)gpu_free());
    EXPECT_EQUAL(gpu_free(), GIB - 2 * CONTEXT - 600 * MIB);
}

static void second_device_by_order(void *data) {
    (void)data;
    visible("1,0");
}

SCENARIO(A_device_is_the_same_under_any_order, .limit = "1g", .gpus = "--gpus 2") {
    int *go = shared_memory(4096);
    int pid = fork();
    if (pid == 0) {
        gpu_begin(1);
        gpu_allocate(300 * MIB);
        go[0] = 1;
        while (!go[1])
            pause_ms(1);
        _exit(0);
    }
    while (!go[0])
        pause_ms(1);
    EXPECT_EQUAL(in_child(second_device_by_order, NULL), 0);
    go[1] = 1;
    EXPECT_EQUAL(wait_for(pid), 0);
}

SCENARIO(Without_NVML_the_limit_is_kept, .limit = "1g", .without_nvml = true) {
    CUdeviceptr pointer;
    gpu_begin(0);
    EXPECT_EQUAL(gpu_total(), GIB);
    gpu_allocate(900 * MIB);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 200 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
}

static void replace_library(const char *by) {
    char command[9000];
    snprintf(command, sizeof command, "cp %s/%s %s/new && mv %s/new %s/librunai.so", build_folder(), by,
             private_directory(), private_directory(), private_directory());
    EXPECT_EQUAL(system(command), 0);
}

static int allocate_in_new_program(const char *size) {
    char command[4300];
    snprintf(command, sizeof command, "%s/sim/gpu-alloc %s >/dev/null", build_folder(), size);
    return WEXITSTATUS(system(command));
}

SCENARIO(The_library_can_be_replaced_while_programs_run, .limit = "1g") {
    gpu_begin(0);
    replace_library("shim/librunai.so");
    gpu_allocate(500 * MIB);
    EXPECT_EQUAL(allocate_in_new_program("600m"), 2);
    EXPECT_EQUAL(allocate_in_new_program("300m"), 0);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 500 * MIB);
}

static void hold_in_new_program(void) {
    char program[4300];
    snprintf(program, sizeof program, "%s/sim/gpu-alloc", build_folder());
    dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
    execl(program, program, "--hold", "100", "300m", (char *)NULL);
    _exit(9);
}

/* What both ledgers begin with: where their rows are. */
static void read_ledgers(char place[2][64]) {
    const int versions[] = {LEDGER_VERSION, LATER_VERSION};
    for (int i = 0; i < 2; i++) {
        int fd = open(ledger_path_of(versions[i]), O_RDONLY); /* not closed: that would drop this process's locks */
        EXPECT_EQUAL(pread(fd, place[i], 64, 0), 64);
    }
}

/* The programs of both ledgers see each other in the driver's list of processes. */
static void go_on_beside(const char *other_version) {
    char first[2][64], now[2][64];
    CUdeviceptr pointer;
    gpu_begin(0);
    gpu_allocate(300 * MIB);
    replace_library(other_version);
    EXPECT_EQUAL(allocate_in_new_program("600m"), 2);
    EXPECT_EQUAL(allocate_in_new_program("500m"), 0);
    int pid = fork();
    if (pid == 0)
        hold_in_new_program();
    while (device_used(0) < 600 * MIB + 2 * CONTEXT)
        pause_ms(2);
    read_ledgers(first);
    pause_ms(1100); /* it is looked at once a second */
    for (int i = 0; i < 3; i++) {
        EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 290 * MIB), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemFree_v2(pointer), CUDA_SUCCESS);
        EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 310 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
        EXPECT_EQUAL(gpu_free(), GIB - 2 * CONTEXT - 600 * MIB);
        EXPECT_EQUAL(allocate_in_new_program("300m"), 2);
    }
    read_ledgers(now);
    EXPECT(memcmp(first, now, sizeof first) == 0);
    kill(pid, SIGKILL);
    wait_for(pid);
    EXPECT_EQUAL(gpu_free(), GIB - CONTEXT - 300 * MIB);
    EXPECT(device_peak(0) <= GIB);
}

SCENARIO(Programs_go_on_beside_those_of_a_later_version, .limit = "1g") {
    go_on_beside("shim-tests/next/shim/librunai.so");
}

SCENARIO(Programs_go_on_beside_those_of_an_earlier_version, .limit = "1g", .shim = "shim-tests/next/shim/librunai.so") {
    go_on_beside("shim/librunai.so");
}

static void limit_files(unsigned long long bytes) {
    struct rlimit limit = {bytes, bytes};
    EXPECT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* docker run --ulimit fsize=0, and limits that cut off later writes. */
static void compute_within(void *bytes) {
    CUdeviceptr pointer;
    sigset_t pending;
    limit_files(*(unsigned long long *)bytes);
    gpu_begin(0);
    gpu_allocate(500 * MIB);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 600 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQUAL(sigpending(&pending), 0);
    EXPECT(!sigismember(&pending, SIGXFSZ));
}

SCENARIO(A_program_that_may_write_no_files_runs, .limit = "1g") {
    for (unsigned long long *bytes = (unsigned long long[]){0, 64, 100, 4096, 61439, 61440, 1}; *bytes != 1; bytes++) {
        unlink(ledger_path());
        EXPECT_EQUAL(in_child(compute_within, bytes), 0);
    }
}

/* Without segments, the file itself would be the ledger. */
SCENARIO(A_program_without_files_and_segments_runs, .limit = "1g") {
    unsigned long long bytes[] = {0, 4096};
    EXPECT_EQUAL(unshare(CLONE_NEWIPC), 0);
    FILE *segments = fopen("/proc/sys/kernel/shmmni", "w");
    EXPECT(segments && fputs("0", segments) >= 0 && fclose(segments) == 0);
    for (int i = 0; i < 2; i++) {
        unlink(ledger_path());
        EXPECT_EQUAL(in_child(compute_within, &bytes[i]), 0);
    }
}

static void be_refused(void *ends) {
    EXPECT_EQUAL(dup2(((int *)ends)[1], STDERR_FILENO), STDERR_FILENO);
    setenv("RUNAI_QUOTA_TIMEOUT", "0", 1);
    gpu_open();
    _exit(gpu.cuInit(0) == CUDA_SUCCESS ? 1 : 0);
}

SCENARIO(A_refusal_to_an_unread_pipe_ends_no_program) {
    int ends[2];
    EXPECT_EQUAL(pipe(ends), 0);
    close(ends[0]);
    EXPECT_EQUAL(in_child(be_refused, ends), 0);
}
