/* SPDX-License-Identifier: Apache-2.0 */
/* The driver as programs reach it: dlopen and dlsym. */
#ifndef RUNAI_TESTS_GPU_H
#define RUNAI_TESTS_GPU_H

#include "../../shim/cuda_api.h"
#include "../../shim/nvml_api.h"
#include "harness.h"

struct functions {
#define HOOK(library, name, presence, since, area, returns, parameters) returns(*name) parameters;
#define CALL(library, name, returns, parameters) returns(*name) parameters;
#include "../../shim/hooks.def"
#undef HOOK
#undef CALL
    CUresult (*cuDeviceGet)(CUdevice *device, int ordinal);
    CUresult (*cuCtxSetCurrent)(CUcontext context);
    CUresult (*cuMemHostAlloc)(void **pointer, size_t size, unsigned flags);
    CUresult (*cuMemFreeHost)(void *pointer);
    CUresult (*cuMemsetD8_v2)(CUdeviceptr pointer, unsigned char value, size_t count);
    CUresult (*cuMemAddressReserve)(CUdeviceptr *pointer, size_t size, size_t alignment, CUdeviceptr address,
                                    unsigned long long flags);
    CUresult (*cuGraphCreate)(CUgraph *graph, unsigned flags);
    CUresult (*cuGraphAddMemAllocNode)(void **node, CUgraph graph, void *const *dependencies, size_t count,
                                       struct graph_allocation *parameters);
    CUresult (*cuGraphAddMemFreeNode)(void **node, CUgraph graph, void *const *dependencies, size_t count,
                                      CUdeviceptr pointer);
    nvmlReturn_t (*nvmlShutdown)(void);
};
extern struct functions gpu;

/* dlopens both libraries and looks everything up. */
void gpu_open(void);
/* Looks everything up in libraries that the test has opened; nvml may be NULL. */
void gpu_look_up(void *cuda, void *nvml);
/* The same, then cuInit, and makes the device's primary context current. */
CUcontext gpu_begin(int ordinal);
/* What CUDA reports to this process. */
uint64_t gpu_free(void);
uint64_t gpu_total(void);
/* By NVML. */
nvmlMemory_v2_t nvml_memory(unsigned index);
CUdeviceptr gpu_allocate(uint64_t bytes);

#endif
