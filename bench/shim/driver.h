/* SPDX-License-Identifier: Apache-2.0 */
/* The driver as programs get it, by dlopen and dlsym. Every call must succeed, or the program ends and says which did
 * not. */
#ifndef RUNAI_BENCH_DRIVER_H
#define RUNAI_BENCH_DRIVER_H

#include "../../tests/driver_types.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB ((uint64_t)1 << 20)
enum { OUT_OF_MEMORY = 2 };

typedef unsigned long long pointer_t;

#define CUDA_FUNCTIONS                                                                                                 \
    FUNCTION(cuInit, (unsigned))                                                                                       \
    FUNCTION(cuDevicePrimaryCtxRetain, (void **, int))                                                                 \
    FUNCTION(cuCtxSetCurrent, (void *))                                                                                \
    FUNCTION(cuCtxSynchronize, (void))                                                                                 \
    FUNCTION(cuMemGetInfo_v2, (size_t *, size_t *))                                                                    \
    FUNCTION(cuMemAlloc_v2, (pointer_t *, size_t))                                                                     \
    FUNCTION(cuMemAllocPitch_v2, (pointer_t *, size_t *, size_t, size_t, unsigned))                                    \
    FUNCTION(cuMemAllocManaged, (pointer_t *, size_t, unsigned))                                                       \
    FUNCTION(cuMemFree_v2, (pointer_t))                                                                                \
    FUNCTION(cuMemAllocAsync, (pointer_t *, size_t, void *))                                                           \
    FUNCTION(cuMemFreeAsync, (pointer_t, void *))                                                                      \
    FUNCTION(cuDeviceGetDefaultMemPool, (void **, int))                                                                \
    FUNCTION(cuMemPoolSetAttribute, (void *, int, void *))                                                             \
    FUNCTION(cuMemPoolTrimTo, (void *, size_t))                                                                        \
    FUNCTION(cuMemPoolCreate, (void **, const struct pool_properties *))                                               \
    FUNCTION(cuMemAllocFromPoolAsync, (pointer_t *, size_t, void *, void *))                                           \
    FUNCTION(cuMemCreate, (pointer_t *, size_t, const struct memory_properties *, unsigned long long))                 \
    FUNCTION(cuMemRelease, (pointer_t))                                                                                \
    FUNCTION(cuMemAddressReserve, (pointer_t *, size_t, size_t, pointer_t, unsigned long long))                        \
    FUNCTION(cuMemMap, (pointer_t, size_t, size_t, pointer_t, unsigned long long))                                     \
    FUNCTION(cuMemUnmap, (pointer_t, size_t))                                                                          \
    FUNCTION(cuMemSetAccess, (pointer_t, size_t, const struct access *, size_t))                                       \
    FUNCTION(cuArrayCreate_v2, (void **, const struct array_descriptor *))                                             \
    FUNCTION(cuModuleLoadData, (void **, const void *))                                                                \
    FUNCTION(cuModuleGetFunction, (void **, void *, const char *))                                                     \
    FUNCTION(cuLaunchKernel,                                                                                           \
             (void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **)) \
    FUNCTION(cuStreamCreate, (void **, unsigned))                                                                      \
    FUNCTION(cuStreamSynchronize, (void *))                                                                            \
    FUNCTION(cuStreamBeginCapture_v2, (void *, int))                                                                   \
    FUNCTION(cuStreamEndCapture, (void *, void **))                                                                    \
    FUNCTION(cuGraphInstantiateWithFlags, (void **, void *, unsigned long long))                                       \
    FUNCTION(cuGraphLaunch, (void *, void *))
#define NVML_FUNCTIONS                                                                                                 \
    FUNCTION(nvmlInit_v2, (void))                                                                                      \
    FUNCTION(nvmlDeviceGetHandleByIndex_v2, (unsigned, void **))                                                       \
    FUNCTION(nvmlDeviceGetMemoryInfo_v2, (void *, struct memory_v2 *))                                                 \
    FUNCTION(nvmlDeviceGetComputeRunningProcesses_v3, (void *, unsigned *, struct process *))

#define FUNCTION(name, parameters) int(*name) parameters;
extern struct cuda_functions { CUDA_FUNCTIONS } cu;
extern struct nvml_functions { NVML_FUNCTIONS } nv;
#undef FUNCTION

#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        int code_ = (call);                                                                                            \
        if (code_ != 0) {                                                                                              \
            fprintf(stderr, "shim-bench: %s: %d (%s:%d)\n", #call, code_, __FILE__, __LINE__);                         \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Loads libcuda, initialises it, and makes the primary context of device 0 current. Returns that context. */
void *cuda_begin(void);
/* Loads NVML and finds device 0. */
void nvml_begin(void);
/* Device 0 as a whole, in bytes. */
struct memory_v2 nvml_device_memory(void);
/* What the driver counts for a process, or for all (pid 0), in bytes; processes: how many there are. */
uint64_t nvml_processes_use(unsigned pid, unsigned *processes);

/* Pins this thread to one of the processors that the process could use at first. */
void pin(int at);
/* From now on children are in a PID namespace of their own with its /proc, as a container's processes: the driver's
   list has just them, and a process that is started outside is none of theirs. Once a process. */
void own_container(void);

/* What turns.c asks of the processes that measure; each answers a double, as it does when it is ready: the ns of a call
   or nothing. */
enum { TURN_NONE, TURN_BEGIN, TURN_ROUND, TURN_END, TURN_LEAVE };
struct turn {
    int what, kind;
};
/* NULL behind the last. */
const char *kind_key(int kind);

double now_ns(void);
/* Sorts. */
double median(double *values, int count);
/* Replaces this process by shim-bench with these arguments, `library` preloaded unless it is "-". */
void become(const char *library, char *const arguments[]) __attribute__((noreturn));

/* The commands; each gets what follows its name. */
int turns_command(int count, char **arguments);
int turn_command(int count, char **arguments);
int neighbour_command(int count, char **arguments);
int count_command(int count, char **arguments);
int start_command(int count, char **arguments);
int spawn_command(int count, char **arguments);
int overshoot_command(int count, char **arguments);
int racer_command(int count, char **arguments);
int rest_command(int count, char **arguments);
int resting_command(int count, char **arguments);

#endif
