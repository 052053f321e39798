/* SPDX-License-Identifier: Apache-2.0 */
/* cuInit, the driver's state, and the checks that every call passes. */
#include "driver.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

struct driver sim = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* 1 once cuInit has succeeded, on a page that reads 0 in a forked child: as with the real driver, a child of a process
   that uses CUDA cannot use it. Written once under sim.lock. */
static volatile int *alive;

void sim_lock(void) {
    pthread_mutex_lock(&sim.lock);
}

void sim_unlock(void) {
    pthread_mutex_unlock(&sim.lock);
}

CUresult sim_enter(void) {
    return alive && *alive ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

CUresult sim_enter_context(struct context **out) {
    CUresult rc = sim_enter();
    if (rc)
        return rc;
    *out = context_current();
    return *out ? context_alive(*out) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult sim_enter_context_or(struct context **it) {
    CUresult rc = sim_enter();
    if (rc || *it)
        return rc ? rc : context_alive(*it);
    return sim_enter_context(it);
}

bool sim_device_ok(CUdevice device) {
    return device >= 0 && device < sim.count;
}

CUresult sim_enter_device(CUdevice device) {
    CUresult rc = sim_enter();
    return rc ? rc : sim_device_ok(device) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

/* Short waits spin, as a call into the driver would keep the core; long ones sleep. */
void sim_latency(int device) {
    uint64_t ns = sim.devices[device].gpu.state->config.latency_ns;
    if (ns == 0)
        return;
    if (ns >= 200000) {
        struct timespec pause = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
        nanosleep(&pause, NULL);
        return;
    }
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((uint64_t)((now.tv_sec - start.tv_sec) * 1000000000 + (now.tv_nsec - start.tv_nsec)) < ns);
}

/* Like the real driver, gives back what this process's pools hold without need before memory is refused. */
bool sim_take(int device, uint64_t bytes) {
    struct sim_gpu *gpu = &sim.devices[device].gpu;
    return bytes == 0 || sim_charge(gpu, bytes) || (pools_release(device) && sim_charge(gpu, bytes));
}

bool sim_take_unlisted(int device, uint64_t bytes) {
    struct sim_gpu *gpu = &sim.devices[device].gpu;
    return sim_charge_unlisted(gpu, bytes) || (pools_release(device) && sim_charge_unlisted(gpu, bytes));
}

void sim_give(int device, uint64_t bytes) {
    if (bytes)
        sim_refund(&sim.devices[device].gpu, bytes);
}

/* Whole GPUs, and the instances of divided ones. */
static unsigned open_devices(struct sim_gpu all[SIM_GPUS]) {
    static struct sim_gpu whole[SIM_GPUS];
    unsigned wholes = sim_open_all(sim_dir(), whole, SIM_GPUS), count = 0;
    for (unsigned i = 0; i < wholes && count < SIM_GPUS; i++)
        if (whole[i].state->config.instances)
            count += sim_open_instances(sim_dir(), &whole[i], &all[count], SIM_GPUS - count);
        else
            all[count++] = whole[i];
    return count;
}

static CUresult start(void) {
    static struct sim_gpu all[SIM_GPUS];
    static unsigned found;
    unsigned order[SIM_GPUS];
    if (found == 0)
        found = open_devices(all);
    unsigned count = visible_devices(all, found, order);
    if (count == 0)
        return CUDA_ERROR_NO_DEVICE;
    volatile int *page =
        mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    madvise((void *)page, (size_t)sysconf(_SC_PAGESIZE), MADV_WIPEONFORK);
    for (unsigned i = 0; i < count; i++) {
        struct visible_device *device = &sim.devices[i];
        device->gpu = all[order[i]];
        pools_init(device, (int)i);
    }
    sim.count = (int)count;
    sim.initialised = true;
    *page = 1;
    alive = page;
    return CUDA_SUCCESS;
}

API(Init, unsigned flags) {
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (sim_enter() == CUDA_SUCCESS)
        return CUDA_SUCCESS;
    if (alive) /* a child of a process that uses CUDA; its lock may be held for ever */
        return CUDA_ERROR_NOT_INITIALIZED;
    sim_lock();
    CUresult rc = sim.initialised ? CUDA_SUCCESS : start();
    sim_unlock();
    return rc;
}

API(DriverGetVersion, int *version) {
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    *version = SIM_DRIVER_VERSION;
    return CUDA_SUCCESS;
}
