/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "gpu.h"

#include <dlfcn.h>
#include <stdlib.h>

struct functions gpu;

static void *look(void *cuda, void *nvml, const char *name) {
    return dlsym(name[0] == 'n' ? nvml : cuda, name);
}

void gpu_open(void) {
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW), *nvml = dlopen("libnvidia-ml.so.1", RTLD_NOW);
    EXPECT(cuda);
    gpu_look_up(cuda, nvml);
}

void gpu_look_up(void *cuda, void *nvml) {
#define HOOK(library, name, presence, since, area, returns, parameters) gpu.name = look(cuda, nvml, #name);
#define CALL(library, name, returns, parameters) gpu.name = look(cuda, nvml, #name);
#include "../../shim/hooks.def"
#undef HOOK
#undef CALL
    gpu.cuDeviceGet = dlsym(cuda, "cuDeviceGet");
    gpu.cuCtxSetCurrent = dlsym(cuda, "cuCtxSetCurrent");
    gpu.cuMemHostAlloc = dlsym(cuda, "cuMemHostAlloc");
    gpu.cuMemFreeHost = dlsym(cuda, "cuMemFreeHost");
    gpu.cuMemsetD8_v2 = dlsym(cuda, "cuMemsetD8_v2");
    gpu.cuMemAddressReserve = dlsym(cuda, "cuMemAddressReserve");
    gpu.cuGraphCreate = dlsym(cuda, "cuGraphCreate");
    gpu.cuGraphAddMemAllocNode = dlsym(cuda, "cuGraphAddMemAllocNode");
    gpu.cuGraphAddMemFreeNode = dlsym(cuda, "cuGraphAddMemFreeNode");
    if (nvml) {
        gpu.nvmlShutdown = dlsym(nvml, "nvmlShutdown");
    }
}

CUcontext gpu_begin(int ordinal) {
    CUcontext context;
    if (!gpu.cuInit)
        gpu_open();
    EXPECT_EQUAL(gpu.cuInit(0), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuDevicePrimaryCtxRetain(&context, ordinal), CUDA_SUCCESS);
    EXPECT_EQUAL(gpu.cuCtxSetCurrent(context), CUDA_SUCCESS);
    return context;
}

uint64_t gpu_free(void) {
    size_t free_bytes, total;
    EXPECT_EQUAL(gpu.cuMemGetInfo_v2(&free_bytes, &total), CUDA_SUCCESS);
    return free_bytes;
}

uint64_t gpu_total(void) {
    size_t free_bytes, total;
    EXPECT_EQUAL(gpu.cuMemGetInfo_v2(&free_bytes, &total), CUDA_SUCCESS);
    return total;
}

nvmlMemory_v2_t nvml_memory(unsigned index) {
    nvmlDevice_t device;
    nvmlMemory_v2_t memory = {.version = NVML_MEMORY_V2};
    EXPECT_EQUAL(gpu.nvmlInit_v2(), NVML_SUCCESS);
    EXPECT_EQUAL(gpu.nvmlDeviceGetHandleByIndex_v2(index, &device), NVML_SUCCESS);
    EXPECT_EQUAL(gpu.nvmlDeviceGetMemoryInfo_v2(device, &memory), NVML_SUCCESS);
    return memory;
}

CUdeviceptr gpu_allocate(uint64_t bytes) {
    CUdeviceptr pointer = 0;
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, bytes), CUDA_SUCCESS);
    return pointer;
}
