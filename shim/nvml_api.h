/* SPDX-License-Identifier: Apache-2.0 */
/* The part of NVML that the shim handles, declared by ourselves. */
#ifndef RUNAI_NVML_API_H
#define RUNAI_NVML_API_H

#include <stddef.h>
#include <stdint.h>

typedef int nvmlReturn_t;
typedef struct nvmlDevice_st *nvmlDevice_t;

typedef struct {
    unsigned long long total;
    unsigned long long free;
    unsigned long long used; /* includes what is reserved */
} nvmlMemory_t;

typedef struct {
    unsigned int version;
    unsigned long long total;
    unsigned long long reserved;
    unsigned long long free;
    unsigned long long used;
} nvmlMemory_v2_t;

/* Process lists before CUDA 11.0, and since. */
typedef struct {
    unsigned int pid;
    unsigned long long usedGpuMemory;
} nvmlProcessInfo_v1_t;

typedef struct {
    unsigned int pid;
    unsigned long long usedGpuMemory;
    unsigned int gpuInstanceId;
    unsigned int computeInstanceId;
} nvmlProcessInfo_t;

/* Of a MIG device. */
typedef struct {
    unsigned int multiprocessors, copy_engines, decoders, encoders, jpegs, ofas, gpu_slices, compute_slices;
    unsigned long long memorySizeMB;
} nvmlDeviceAttributes_t;

enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NO_PERMISSION = 4,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_FUNCTION_NOT_FOUND = 13,
    NVML_DEVICE_UUID_BUFFER_SIZE = 96,
};

#define NVML_VALUE_NOT_AVAILABLE (~0ull)
#define NVML_MEMORY_V2 ((unsigned int)(sizeof(nvmlMemory_v2_t) | (2u << 24)))

_Static_assert(sizeof(nvmlMemory_t) == 24, "nvml.h: nvmlMemory_t is three 64-bit numbers");
_Static_assert(sizeof(nvmlMemory_v2_t) == 40, "nvml.h: nvmlMemory_v2_t is 40 bytes");
_Static_assert(offsetof(nvmlDeviceAttributes_t, memorySizeMB) == 32, "nvml.h: after eight ints");
_Static_assert(sizeof(nvmlProcessInfo_v1_t) == 16, "nvml.h: nvmlProcessInfo_v1_t is 16 bytes");
_Static_assert(sizeof(nvmlProcessInfo_t) == 24, "nvml.h: nvmlProcessInfo_t is 24 bytes");

#endif
