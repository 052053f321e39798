/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Lock bytes lie behind the data: one for the device, then one a slot. */
#define LOCK_DEVICE (1L << 30)
#define LOCK_SLOT(i) (LOCK_DEVICE + 1 + (i))

#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#endif

_Static_assert(sizeof(struct sim_device) < LOCK_DEVICE, "lock bytes must not meet data");

/* Serialises this process's threads, which share its POSIX locks; held around every device lock. */
static pthread_mutex_t threads = PTHREAD_MUTEX_INITIALIZER;

/* By system call: glibc's fcntl carries a symbol version that old containers lack. */
static long lock_call(int fd, int command, short type, off_t byte, pid_t *owner) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    long rc;
    do {
        rc = syscall(SYS_fcntl, fd, command, &lock);
        /* EDEADLK: the kernel takes the threads of a process for one; we never wait holding another device. */
        if (rc < 0 && errno == EDEADLK)
            sched_yield();
    } while (rc < 0 && (errno == EINTR || errno == EDEADLK));
    if (rc == 0 && owner)
        *owner = lock.l_type == F_UNLCK ? -1 : lock.l_pid;
    return rc;
}

static void device_lock(struct sim_gpu *gpu) {
    pthread_mutex_lock(&threads);
    lock_call(gpu->fd, F_SETLKW, F_WRLCK, LOCK_DEVICE, NULL);
}

static void device_unlock(struct sim_gpu *gpu) {
    lock_call(gpu->fd, F_SETLK, F_UNLCK, LOCK_DEVICE, NULL);
    pthread_mutex_unlock(&threads);
}

/* The owner's PID here, 0 when it has none in this namespace, -1 when the slot is dead. Asked as an open file
   description, so that this process's own lock is seen too. */
static pid_t slot_owner(struct sim_gpu *gpu, unsigned slot) {
    pid_t owner = -1;
    if (lock_call(gpu->fd, F_OFD_GETLK, F_WRLCK, LOCK_SLOT(slot), &owner) < 0)
        return -1;
    return owner;
}

static void collect(struct sim_gpu *gpu) {
    for (unsigned i = 0; i < gpu->state->slots_used; i++) {
        struct sim_slot *slot = &gpu->state->slots[i];
        if (slot->pid && slot_owner(gpu, i) < 0)
            memset(slot, 0, sizeof *slot);
    }
}

static uint64_t sum(const struct sim_gpu *gpu) {
    uint64_t used = 0;
    for (unsigned i = 0; i < gpu->state->slots_used; i++)
        used += __atomic_load_n(&gpu->state->slots[i].bytes, __ATOMIC_RELAXED);
    return used;
}

const char *sim_dir(void) {
    const char *dir = getenv("SIMGPU_DIR");
    if (dir && *dir)
        return dir;
    return access(SIM_DEFAULT_DIR, F_OK) == 0 ? SIM_DEFAULT_DIR : SIM_HOST_DIR;
}

static bool file_of(char path[4096], const char *dir, unsigned number, unsigned instance) {
    int n = instance ? snprintf(path, 4096, "%s/gpu%u.%u", dir, number, instance)
                     : snprintf(path, 4096, "%s/gpu%u", dir, number);
    return n < 4096;
}

static bool open_file(const char *dir, unsigned number, unsigned instance, struct sim_gpu *gpu) {
    char path[4096];
    if (!file_of(path, dir, number, instance))
        return false;
    /* Read-only is enough to read: NVML below a read-only mount. */
    int access = PROT_READ | PROT_WRITE, fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && (errno == EROFS || errno == EACCES)) {
        access = PROT_READ;
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0)
        return false;
    struct sim_device *state = MAP_FAILED;
    if (lseek(fd, 0, SEEK_END) >= (off_t)sizeof *state)
        state = mmap(NULL, sizeof *state, access, MAP_SHARED, fd, 0);
    if (state == MAP_FAILED || state->magic != SIM_MAGIC || state->version != SIM_VERSION) {
        if (state != MAP_FAILED)
            munmap(state, sizeof *state);
        close(fd);
        return false;
    }
    *gpu = (struct sim_gpu){.fd = fd, .slot = -1, .state = state};
    return true;
}

unsigned sim_open_all(const char *dir, struct sim_gpu *gpus, unsigned max) {
    unsigned count = 0;
    for (unsigned i = 0; i < SIM_GPUS && count < max; i++)
        count += open_file(dir, i, 0, &gpus[count]);
    return count;
}

unsigned sim_open_instances(const char *dir, const struct sim_gpu *gpu, struct sim_gpu *out, unsigned max) {
    const struct sim_config *config = &gpu->state->config;
    unsigned count = 0;
    for (unsigned i = 1; i <= config->instances && count < max; i++)
        count += open_file(dir, config->index, i, &out[count]);
    return count;
}

bool sim_create(const char *dir, const struct sim_config *config) {
    char path[4096], beside[4096 + 8];
    if (!file_of(path, dir, config->index, config->instance))
        return false;
    snprintf(beside, sizeof beside, "%s.new", path);
    int fd = open(beside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return false;
    struct sim_device *state = MAP_FAILED;
    if (fchmod(fd, 0666) == 0 && ftruncate(fd, sizeof *state) == 0)
        state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    bool ok = state != MAP_FAILED;
    if (ok) {
        state->magic = SIM_MAGIC;
        state->version = SIM_VERSION;
        state->config = *config;
        munmap(state, sizeof *state);
        ok = rename(beside, path) == 0;
    }
    close(fd);
    return ok;
}

static uint64_t own_pid_namespace(void) {
    char link[64];
    ssize_t n = readlink("/proc/self/ns/pid", link, sizeof link - 1);
    if (n <= 0)
        return 0;
    link[n] = 0;
    const char *digits = strchr(link, '[');
    return digits ? strtoull(digits + 1, NULL, 10) : 0;
}

static void own_command(char *out, size_t size) {
    memset(out, 0, size);
    int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, out, size - 1);
    close(fd);
    if (n > 0 && out[n - 1] == '\n')
        out[n - 1] = 0;
}

bool sim_attach(struct sim_gpu *gpu) {
    if (gpu->slot >= 0)
        return true;
    struct sim_slot mine = {.pid = (uint32_t)getpid(), .pid_ns = own_pid_namespace()};
    own_command(mine.command, sizeof mine.command);

    device_lock(gpu);
    /* Several drivers of a process have one slot: the kernel takes its locks for one, too. */
    for (unsigned i = 0; i < gpu->state->slots_used && gpu->slot < 0; i++)
        if (gpu->state->slots[i].pid == mine.pid && gpu->state->slots[i].pid_ns == mine.pid_ns &&
            slot_owner(gpu, i) == (pid_t)mine.pid)
            gpu->slot = (int)i;
    /* A lock that succeeds is on a free slot or on a dead one, whose memory is freed with it. */
    for (unsigned i = 0; i < SIM_SLOTS && gpu->slot < 0; i++) {
        if (lock_call(gpu->fd, F_SETLK, F_WRLCK, LOCK_SLOT(i), NULL) < 0)
            continue;
        if (i >= gpu->state->slots_used)
            gpu->state->slots_used = i + 1;
        gpu->state->slots[i] = mine;
        gpu->slot = (int)i;
    }
    device_unlock(gpu);
    return gpu->slot >= 0;
}

uint64_t sim_capacity(const struct sim_gpu *gpu) {
    return gpu->state->config.total - gpu->state->config.reserved;
}

bool sim_charge_unlisted(struct sim_gpu *gpu, uint64_t bytes) {
    uint64_t capacity = sim_capacity(gpu);
    if (bytes > capacity || gpu->slot < 0)
        return false;
    device_lock(gpu);
    uint64_t used = sum(gpu) + bytes;
    if (used > capacity || used > gpu->state->peak) {
        collect(gpu);
        used = sum(gpu) + bytes;
    }
    bool fits = used <= capacity;
    if (fits) {
        __atomic_fetch_add(&gpu->state->slots[gpu->slot].bytes, bytes, __ATOMIC_RELAXED);
        if (used > gpu->state->peak)
            gpu->state->peak = used;
    }
    device_unlock(gpu);
    return fits;
}

/* Without the device lock: only the owner writes its slot, and giving back cannot exceed anything. */
void sim_refund_unlisted(struct sim_gpu *gpu, uint64_t bytes) {
    if (gpu->slot >= 0)
        __atomic_fetch_sub(&gpu->state->slots[gpu->slot].bytes, bytes, __ATOMIC_RELAXED);
}

/* A separate count: a difference of two would be wrong whenever one has changed and the other not yet. */
static void list(struct sim_gpu *gpu, uint64_t bytes) {
    if (gpu->slot >= 0)
        __atomic_fetch_add(&gpu->state->slots[gpu->slot].listed, bytes, __ATOMIC_SEQ_CST);
}

bool sim_charge(struct sim_gpu *gpu, uint64_t bytes) {
    bool fits = sim_charge_unlisted(gpu, bytes);
    if (fits)
        list(gpu, bytes);
    return fits;
}

void sim_refund(struct sim_gpu *gpu, uint64_t bytes) {
    list(gpu, -bytes);
    sim_refund_unlisted(gpu, bytes);
}

void sim_count_context(struct sim_gpu *gpu, int change) {
    if (gpu->slot >= 0)
        __atomic_fetch_add(&gpu->state->slots[gpu->slot].contexts, (uint32_t)change, __ATOMIC_RELAXED);
}

uint64_t sim_used(struct sim_gpu *gpu) {
    uint64_t used = 0;
    for (unsigned i = 0; i < gpu->state->slots_used; i++) {
        struct sim_slot *slot = &gpu->state->slots[i];
        uint64_t bytes = __atomic_load_n(&slot->bytes, __ATOMIC_RELAXED);
        if (bytes && ((int)i == gpu->slot || slot_owner(gpu, i) >= 0))
            used += bytes;
    }
    return used;
}

unsigned sim_processes(struct sim_gpu *gpu, struct sim_process *out, unsigned max) {
    unsigned count = 0;
    for (unsigned i = 0; i < gpu->state->slots_used; i++) {
        struct sim_slot slot = gpu->state->slots[i];
        pid_t owner = slot.pid ? slot_owner(gpu, i) : -1;
        if (owner < 0)
            continue;
        if (count < max) {
            out[count] = (struct sim_process){.pid = owner,
                                              .own_pid = (pid_t)slot.pid,
                                              .pid_ns = slot.pid_ns,
                                              .bytes = slot.listed,
                                              .contexts = slot.contexts};
            memcpy(out[count].command, slot.command, sizeof slot.command);
        }
        count++;
    }
    return count;
}

void sim_uuid_text(const struct sim_config *config, char text[SIM_UUID_TEXT]) {
    const uint8_t *u = config->uuid;
    snprintf(text, SIM_UUID_TEXT, "%s-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             config->instance ? "MIG" : "GPU", u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11],
             u[12], u[13], u[14], u[15]);
}
