/* SPDX-License-Identifier: Apache-2.0 */
/* The file in which refused calls are counted: exact whoever writes it and however he ends, and no matter to programs
   whatever becomes of it. That each kind of call counts once, and that none counts which succeeds, is tested with the
   kinds. */
#define _GNU_SOURCE
#include "gpu.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CONTEXT (64 * MIB)
enum { OOM = CUDA_ERROR_OUT_OF_MEMORY };

static void be_refused(unsigned times) {
    CUdeviceptr pointer;
    for (unsigned i = 0; i < times; i++)
        EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 2 * GIB), OOM);
}

static uint64_t ms_since_1970(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void expect_uuid_of(CUdevice ordinal, const char *text) {
    unsigned char uuid[16];
    CUuuid by_cuda;
    EXPECT_EQUAL(gpu.cuDeviceGetUuid_v2(&by_cuda, ordinal), CUDA_SUCCESS);
    for (unsigned at = 4, i = 0; i < 16; i++) {
        at += text[at] == '-';
        unsigned byte;
        EXPECT_EQUAL(sscanf(text + at, "%2x", &byte), 1);
        uuid[i] = (unsigned char)byte;
        at += 2;
    }
    EXPECT(memcmp(uuid, by_cuda.bytes, 16) == 0);
}

SCENARIO(A_refused_call_is_counted_with_its_size_and_time, .limit = "1g") {
    CUdeviceptr pointer;
    nvmlDevice_t device;
    char uuid[96];
    gpu_begin(0);
    gpu_allocate(MIB);
    EXPECT(access(refusals_path(), F_OK) != 0); /* what succeeds leaves nothing behind */
    for (unsigned i = 0; i < 3; i++) {
        uint64_t before = ms_since_1970();
        EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 2 * GIB + i), OOM);
        struct refusals last = refusals_of(0);
        EXPECT_EQUAL(last.count, i + 1);
        EXPECT_EQUAL(last.bytes, 2 * GIB + i);
        EXPECT(last.ms >= before && last.ms <= ms_since_1970());
    }
    EXPECT_EQUAL(gpu.nvmlInit_v2(), NVML_SUCCESS);
    EXPECT_EQUAL(gpu.nvmlDeviceGetHandleByIndex_v2(0, &device), NVML_SUCCESS);
    EXPECT_EQUAL(gpu.nvmlDeviceGetUUID(device, uuid, sizeof uuid), NVML_SUCCESS);
    EXPECT(strcmp(refusals_of(0).uuid, uuid) == 0);
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, UINT64_MAX), OOM);
    EXPECT_EQUAL(refusals_of(0).bytes, INT64_MAX);
    gpu_allocate(500 * MIB);
    EXPECT_EQUAL(refused_calls(), 4);
}

SCENARIO(Each_GPU_counts_for_itself, .limit = "1g", .gpus = "--gpus 3") {
    for (unsigned i = 2; i < 4; i++) {
        gpu_begin(i == 2 ? 2 : 0);
        be_refused(i);
    }
    EXPECT_EQUAL(refusals_of(0).count, 2);
    EXPECT_EQUAL(refusals_of(1).count, 3);
    EXPECT_EQUAL(refused_calls(), 5);
    expect_uuid_of(2, refusals_of(0).uuid);
    expect_uuid_of(0, refusals_of(1).uuid);
    EXPECT(strncmp(refusals_of(0).uuid, "GPU-", 4) == 0);
}

SCENARIO(An_instance_of_a_GPU_counts_for_itself, .limit = "1g", .gpus = "--mig 3") {
    gpu_begin(0);
    CUdeviceptr pointer;
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 2 * GIB), OOM);
    EXPECT(strncmp(refusals_of(0).uuid, "MIG-", 4) == 0);
    expect_uuid_of(0, refusals_of(0).uuid);
}

/* A pool has 64 places in a process; that there is none for it is no size. */
SCENARIO(A_pool_that_there_is_no_place_for_counts, .limit = "1g") {
    CUmemPoolProps properties = {.allocType = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemoryPool pool;
    gpu_begin(0);
    unsigned refused = 0;
    for (int i = 0; i < 70; i++)
        refused += gpu.cuMemPoolCreate(&pool, &properties) == OOM;
    EXPECT(refused >= 6);
    EXPECT_EQUAL(refused_calls(), refused);
    EXPECT_EQUAL(refusals_of(0).bytes, 0);
}

/* Before it is refused, a pool is trimmed, its stream waited for, and the reservation tried once more. */
SCENARIO(A_pool_that_tries_twice_is_counted_once, .limit = "1g") {
    CUdeviceptr pointer, freed;
    gpu_begin(0);
    EXPECT_EQUAL(gpu.cuMemAllocAsync(&freed, 300 * MIB, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemFreeAsync(freed, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuMemAllocAsync(&pointer, 990 * MIB, NULL), OOM);
    EXPECT_EQUAL(refused_calls(), 1);
    EXPECT_EQUAL(refusals_of(0).bytes, 990 * MIB);
    EXPECT_EQUAL(gpu.cuMemAllocAsync(&pointer, 900 * MIB, NULL), CUDA_SUCCESS);
    EXPECT_EQUAL(refused_calls(), 1);
}

enum { THREADS = 8, EACH = 50 };
static CUcontext context;

static void *refused_in_thread(void *unused) {
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(context), CUDA_SUCCESS);
    be_refused(EACH);
    return unused;
}

SCENARIO(Threads_lose_no_count, .limit = "1g") {
    pthread_t threads[THREADS];
    context = gpu_begin(0);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, refused_in_thread, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    EXPECT_EQUAL(refused_calls(), THREADS * EACH);
}

struct race {
    _Atomic unsigned ready, go, refused;
};

/* A context takes 64 MiB, so GPUs of their own: the file is the same. */
static void race_as(struct race *race, int ordinal, unsigned times) {
    gpu_begin(ordinal);
    atomic_fetch_add(&race->ready, 1);
    while (!atomic_load(&race->go))
        pause_ms(1);
    be_refused(times);
    _exit(0);
}

static void start_race(unsigned processes, unsigned times) {
    struct race *race = shared_memory(sizeof *race);
    int pids[64];
    for (unsigned i = 0; i < processes; i++)
        if ((pids[i] = fork()) == 0)
            race_as(race, (int)(i % 8), times);
    while (atomic_load(&race->ready) < processes)
        pause_ms(1);
    atomic_store(&race->go, 1);
    for (unsigned i = 0; i < processes; i++)
        EXPECT_EQUAL(wait_for(pids[i]), 0);
    EXPECT_EQUAL(refused_calls(), processes * times);
}

SCENARIO(Sixteen_processes_lose_no_count, .limit = "1g", .gpus = "--gpus 8") {
    start_race(16, 100);
}

SCENARIO(Sixty_four_processes_lose_no_count, .limit = "1g", .gpus = "--gpus 8") {
    start_race(64, 5);
}

/* Each says so when it has its answer: at the moment of its death one more may be written down. */
SCENARIO(Processes_killed_at_random_moments_lose_no_count, .limit = "1g") {
    struct race *race = shared_memory(sizeof *race);
    enum { KILLED = 100 };
    CUdeviceptr pointer;
    srand((unsigned)getpid());
    for (int i = 0; i < KILLED; i++) {
        atomic_store(&race->ready, 0);
        int pid = fork();
        if (pid == 0) {
            gpu_begin(0);
            for (;;) {
                EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 2 * GIB), OOM);
                atomic_fetch_add(&race->refused, 1);
                atomic_store(&race->ready, 1);
            }
        }
        while (!atomic_load(&race->ready))
            pause_ms(1);
        nanosleep(&(struct timespec){0, rand() % 5000000}, NULL);
        kill(pid, SIGKILL);
        EXPECT_EQUAL(wait_for(pid), 1000 + SIGKILL);
    }
    uint64_t counted = refused_calls(), answered = atomic_load(&race->refused);
    EXPECT(counted >= answered && counted <= answered + KILLED);
    gpu_begin(0);
    be_refused(1);
    EXPECT_EQUAL(refused_calls(), counted + 1);
}

static void go_on_as_new_program(void) {
    char program[4300];
    snprintf(program, sizeof program, "%s/sim/gpu-alloc", build_folder());
    be_refused(2);
    EXPECT(dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO) >= 0);
    execl(program, program, "2g", (char *)NULL);
    _exit(9);
}

SCENARIO(Counts_go_on_across_fork_and_exec, .limit = "1g") {
    int pid = fork();
    if (pid == 0) {
        gpu_begin(0);
        go_on_as_new_program();
    }
    EXPECT_EQUAL(wait_for(pid), 2);
    EXPECT_EQUAL(refused_calls(), 3);
    gpu_begin(0);
    be_refused(1);
    EXPECT_EQUAL(refused_calls(), 4);
}

/* What the file may have become. The call is answered all the same, at once. */

static void expect_answer_without_count(void) {
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    errno = 77;
    be_refused(1);
    EXPECT_EQUAL(errno, 77);
    clock_gettime(CLOCK_MONOTONIC, &to);
    EXPECT(to.tv_sec - from.tv_sec < 30); /* not for ever */
    gpu_allocate(MIB);
}

static void make_folder(void) {
    EXPECT_EQUAL(mkdir(refusals_path(), 0755), 0);
}

static void make_link(void) {
    char target[4300];
    snprintf(target, sizeof target, "%s/target", private_directory());
    EXPECT_EQUAL(symlink(target, refusals_path()), 0);
}

static void make_pipe(void) {
    EXPECT_EQUAL(mkfifo(refusals_path(), 0666), 0);
}

static void make_link_to_the_ledger(void) {
    EXPECT_EQUAL(link(ledger_path(), refusals_path()), 0);
}

/* Whatever it was, when it is gone what could not be written down is. */
static void spoil_and_go_on(void (*spoil)(void)) {
    gpu_begin(0);
    spoil();
    expect_answer_without_count();
    expect_answer_without_count();
    char target[4300];
    snprintf(target, sizeof target, "%s/target", private_directory());
    EXPECT(access(target, F_OK) != 0);
    EXPECT_EQUAL(remove(refusals_path()), 0);
    EXPECT_EQUAL(refused_calls(), 0);
    be_refused(1);
    EXPECT_EQUAL(refused_calls(), 3);
}

SCENARIO(A_folder_in_its_place_costs_only_the_counts, .limit = "1g", .silent = true) {
    spoil_and_go_on(make_folder);
}

SCENARIO(A_link_in_place_of_the_file_is_not_followed, .limit = "1g", .silent = true) {
    spoil_and_go_on(make_link);
}

SCENARIO(A_pipe_in_its_place_is_not_waited_for, .limit = "1g", .silent = true) {
    spoil_and_go_on(make_pipe);
}

SCENARIO(The_ledger_by_another_name_is_left_alone, .limit = "1g", .silent = true) {
    spoil_and_go_on(make_link_to_the_ledger);
    gpu_allocate(900 * MIB);
    EXPECT_EQUAL(in_child((void (*)(void *))gpu_open, NULL), 0);
    EXPECT(device_peak(0) <= GIB);
}

static void fill(const char *bytes, size_t size) {
    int fd = open(refusals_path(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    EXPECT(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

SCENARIO(Garbage_is_replaced, .limit = "1g", .silent = true) {
    static char text[20000];
    const char *const lines[] = {
        "GPU-00000000-0000-0000-0000-000000000001 9999999999999999999999999999999999999999 1 1",
        "GPU-00000000-0000-0000-0000-000000000001 -1 1 1",
        "GPU-00000000-0000-0000-0000-000000000001",
        "GPU-00000000-0000-0000-0000-0000000000011 1 1 1",
        "",
        "%s%n%s%n",
    };
    gpu_begin(0);
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        for (size_t size = 1; size < sizeof text; size = size * 3 + 1) {
            memset(text, i % 2 ? ' ' : '\377', sizeof text);
            memcpy(text, lines[i], strlen(lines[i]));
            fill(text, size);
            be_refused(2);
            EXPECT_EQUAL(refusals_of(0).count, 2);
        }
    }
}

/* 32 lines of other GPUs, which somebody has made up: there is no place for ours. */
SCENARIO(A_file_without_a_free_line_stays_as_it_is, .limit = "1g", .silent = true) {
    static char text[32 * 128 + 1], after[sizeof text + 1000];
    for (int i = 0; i < 32; i++)
        snprintf(text + i * 128, 129, "GPU-%08x-0000-0000-0000-000000000001 5 6 7%81s\n", i, "");
    EXPECT_EQUAL(strlen(text), sizeof text - 1);
    gpu_begin(0);
    fill(text, sizeof text - 1);
    expect_answer_without_count();
    int fd = open(refusals_path(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQUAL(read(fd, after, sizeof after), sizeof text - 1);
    close(fd);
    EXPECT(memcmp(text, after, sizeof text - 1) == 0);
}

/* A user of the container without a right to it. */
static void without_rights(void *unused) {
    (void)unused;
    EXPECT(setgid(65534) == 0 && setuid(65534) == 0);
    gpu_begin(0);
    expect_answer_without_count();
}

SCENARIO(A_file_without_write_permission_costs_nothing_but_counts, .limit = "1g", .silent = true) {
    fill("", 0);
    EXPECT_EQUAL(chmod(refusals_path(), 0444), 0);
    EXPECT_EQUAL(in_child(without_rights, NULL), 0);
    EXPECT_EQUAL(refused_calls(), 0);
}

static void counted_as_another_user(void *user) {
    EXPECT(setgid(*(gid_t *)user) == 0 && setuid(*(uid_t *)user) == 0);
    umask(0777);
    gpu_begin(0);
    be_refused(2);
}

SCENARIO(All_users_of_the_container_count_in_one_file, .limit = "1g") {
    for (unsigned user = 1000; user < 1003; user++)
        EXPECT_EQUAL(in_child(counted_as_another_user, &user), 0);
    gpu_begin(0);
    be_refused(2);
    EXPECT_EQUAL(refused_calls(), 8);
}

static void lock_for_ever(int *locked) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(refusals_path(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    EXPECT_EQUAL(fcntl(fd, F_SETLK, &lock), 0);
    locked[0] = 1;
    for (;;)
        pause_ms(1000);
}

SCENARIO(A_file_locked_for_ever_costs_a_moment, .limit = "1g", .silent = true) {
    int *locked = shared_memory(4096), pid = fork();
    if (pid == 0)
        lock_for_ever(locked);
    while (!locked[0])
        pause_ms(1);
    gpu_begin(0);
    expect_answer_without_count();
    EXPECT_EQUAL(refused_calls(), 0);
    kill(pid, SIGKILL);
    EXPECT_EQUAL(wait_for(pid), 1000 + SIGKILL);
    be_refused(1);
    EXPECT_EQUAL(refused_calls(), 2);
}

/* Who opens the file would wait for as long as /proc/sys/fs/lease-break-time says: 45 s. */
static void lease_for_ever(int *leased) {
    int fd = open(refusals_path(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    signal(SIGIO, SIG_IGN);
    EXPECT_EQUAL(fcntl(fd, F_SETLEASE, F_WRLCK), 0);
    leased[0] = 1;
    for (;;)
        pause_ms(1000);
}

SCENARIO(A_lease_on_the_file_is_not_waited_for, .limit = "1g", .silent = true) {
    int *leased = shared_memory(4096), pid = fork();
    if (pid == 0)
        lease_for_ever(leased);
    while (!leased[0])
        pause_ms(1);
    gpu_begin(0);
    expect_answer_without_count();
    kill(pid, SIGKILL);
    EXPECT_EQUAL(wait_for(pid), 1000 + SIGKILL);
    be_refused(1);
    EXPECT_EQUAL(refused_calls(), 2);
}

static void fill_up(const char *name, off_t *size) {
    char path[4300], block[4096] = {1};
    snprintf(path, sizeof path, "%s/usage/%s", private_directory(), name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    for (*size = 0; write(fd, block, sizeof block) > 0; *size += (off_t)sizeof block)
        continue;
    close(fd);
}

static void remove_filling(const char *name) {
    char path[4300];
    snprintf(path, sizeof path, "%s/usage/%s", private_directory(), name);
    EXPECT_EQUAL(unlink(path), 0);
}

SCENARIO(A_full_folder_costs_nothing_but_counts, .limit = "1g", .silent = true) {
    off_t size;
    gpu_begin(0);
    fill_up("filling", &size);
    expect_answer_without_count();
    EXPECT_EQUAL(refused_calls(), 0);
    remove_filling("filling");
    be_refused(1);
    EXPECT_EQUAL(refused_calls(), 2);
    fill_up("filling", &size); /* what is there is replaced in place */
    be_refused(1);
    EXPECT_EQUAL(refused_calls(), 3);
}

/* 60 KiB of ledger, where there are no segments, and 4 of refusals. */
SCENARIO(The_folder_has_room_for_the_ledger_and_for_this, .limit = "1g") {
    struct stat s;
    off_t size;
    EXPECT_EQUAL(unshare(CLONE_NEWIPC), 0);
    FILE *segments = fopen("/proc/sys/kernel/shmmni", "w");
    EXPECT(segments && fputs("0", segments) >= 0 && fclose(segments) == 0);
    gpu_begin(0);
    EXPECT(stat(ledger_path(), &s) == 0 && s.st_size == 61440);
    be_refused(1);
    EXPECT_EQUAL(refused_calls(), 1);
    fill_up("filling", &size);
    EXPECT_EQUAL(size, 0);
    be_refused(1);
    EXPECT_EQUAL(refused_calls(), 2);
    gpu_allocate(900 * MIB);
}

static void refused_within(void *bytes) {
    struct rlimit limit = {*(rlim_t *)bytes, *(rlim_t *)bytes};
    sigset_t pending;
    EXPECT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
    gpu_begin(0);
    expect_answer_without_count();
    EXPECT_EQUAL(sigpending(&pending), 0);
    EXPECT(!sigismember(&pending, SIGXFSZ));
}

/* 100: a line is cut off behind the count. */
SCENARIO(A_program_that_writes_no_files_is_still_refused, .limit = "1g", .silent = true) {
    for (rlim_t *bytes = (rlim_t[]){0, 100, 128, 1}; *bytes != 1; bytes++)
        EXPECT_EQUAL(in_child(refused_within, bytes), 0);
    EXPECT_EQUAL(refused_calls(), 2);
}

static void without_descriptors(void *unused) {
    (void)unused;
    gpu_begin(0);
    be_refused(1);
    struct rlimit limit = {3, 3};
    EXPECT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    be_refused(1);
}

SCENARIO(A_program_without_spare_descriptors_is_still_refused, .limit = "1g", .silent = true) {
    EXPECT_EQUAL(in_child(without_descriptors, NULL), 0);
    EXPECT_EQUAL(refused_calls(), 1);
}

SCENARIO(A_program_without_the_folder_is_refused_all_the_same, .limit = "1g", .silent = true) {
    char path[4300];
    gpu_begin(0);
    snprintf(path, sizeof path, "%s/usage", private_directory());
    EXPECT_EQUAL(umount2(path, MNT_DETACH), 0);
    EXPECT_EQUAL(rmdir(path), 0);
    expect_answer_without_count();
}
