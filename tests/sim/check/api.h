/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that the checks call, as their users declare them. */
#pragma once

#include "../../driver_types.h"

#include <stdint.h>

typedef unsigned long long u64;

struct alloc_node {
    struct pool_properties pool;
    const struct access *access;
    size_t access_count, size;
    u64 address;
};
struct ipc_handle {
    char bytes[64];
};
struct external_memory {
    int type;
    u64 handle[2], size;
    unsigned flags, reserved[16];
};
struct external_buffer {
    u64 offset, size;
    unsigned flags, reserved[16];
};

int cuInit(unsigned);
int cuDeviceGetCount(int *);
int cuDeviceGetUuid(char *, int);
int cuDeviceGetUuid_v2(char *, int);
int cuDeviceTotalMem_v2(size_t *, int);
int cuDevicePrimaryCtxRetain(void **, int);
int cuDevicePrimaryCtxRelease_v2(int);
int cuDevicePrimaryCtxReset_v2(int);
int cuCtxCreate_v2(void **, unsigned, int);
int cuCtxDestroy_v2(void *);
int cuCtxSetCurrent(void *);
int cuCtxGetCurrent(void **);
int cuCtxSynchronize(void);
int cuCtxSetLimit(int, size_t);
int cuMemGetInfo_v2(size_t *, size_t *);
int cuMemAlloc_v2(u64 *, size_t);
int cuMemAllocPitch_v2(u64 *, size_t *, size_t, size_t, unsigned);
int cuMemAllocManaged(u64 *, size_t, unsigned);
int cuMemFree_v2(u64);
int cuMemGetAddressRange_v2(u64 *, size_t *, u64);
int cuMemAllocAsync(u64 *, size_t, void *);
int cuMemAllocFromPoolAsync(u64 *, size_t, void *, void *);
int cuMemFreeAsync(u64, void *);
int cuMemPoolCreate(void **, const struct pool_properties *);
int cuMemPoolDestroy(void *);
int cuMemPoolTrimTo(void *, size_t);
int cuMemPoolGetAttribute(void *, int, void *);
int cuMemPoolSetAttribute(void *, int, const void *);
int cuDeviceGetDefaultMemPool(void **, int);
int cuMemGetDefaultMemPool(void **, struct location *, int);
int cuMemCreate(u64 *, size_t, const struct memory_properties *, u64);
int cuMemRelease(u64);
int cuMemAddressReserve(u64 *, size_t, size_t, u64, u64);
int cuMemAddressFree(u64, size_t);
int cuMemMap(u64, size_t, size_t, u64, u64);
int cuMemUnmap(u64, size_t);
int cuMemSetAccess(u64, size_t, const struct access *, size_t);
int cuMemRetainAllocationHandle(u64 *, void *);
int cuArray3DCreate_v2(void **, const struct array3d_descriptor *);
int cuArrayDestroy(void *);
int cuStreamCreate(void **, unsigned);
int cuStreamSynchronize(void *);
int cuStreamBeginCapture_v2(void *, int);
int cuStreamEndCapture(void *, void **);
int cuGraphCreate(void **, unsigned);
int cuGraphDestroy(void *);
int cuGraphAddMemAllocNode(void **, void *, void *const *, size_t, struct alloc_node *);
int cuGraphMemAllocNodeGetParams(void *, struct alloc_node *);
int cuGraphGetNodes(void *, void **, size_t *);
int cuGraphInstantiateWithFlags(void **, void *, u64);
int cuGraphLaunch(void *, void *);
int cuGraphExecDestroy(void *);
int cuDeviceGraphMemTrim(int);
int cuModuleLoadData(void **, const void *);
int cuModuleGetFunction(void **, void *, const char *);
int cuModuleUnload(void *);
int cuLaunchKernel(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **,
                   void **);
int cuMemcpyHtoD_v2(u64, const void *, size_t);
int cuMemcpyDtoH_v2(void *, u64, size_t);
int cuMemcpyDtoD_v2(u64, u64, size_t);
int cuMemsetD8_v2(u64, unsigned char, size_t);
int cuMemsetD32_v2(u64, unsigned, size_t);
int cuIpcGetMemHandle(struct ipc_handle *, u64);
int cuIpcOpenMemHandle_v2(u64 *, struct ipc_handle, unsigned);
int cuIpcCloseMemHandle(u64);
int cuMemPoolExportToShareableHandle(void *, void *, int, u64);
int cuMemPoolImportFromShareableHandle(void **, void *, int, u64);
int cuMemPoolExportPointer(struct ipc_handle *, u64);
int cuMemPoolImportPointer(u64 *, void *, struct ipc_handle *);
int cuImportExternalMemory(void **, const struct external_memory *);
int cuExternalMemoryGetMappedBuffer(u64 *, void *, const struct external_buffer *);
int cuDestroyExternalMemory(void *);
int cuGetProcAddress_v2(const char *, void **, int, u64, int *);
int cuTexRefCreate(void **);

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *);
int nvmlDeviceGetHandleByIndex_v2(unsigned, void **);
int nvmlDeviceGetHandleByUUID(const char *, void **);
int nvmlDeviceGetUUID(void *, char *, unsigned);
int nvmlDeviceGetMemoryInfo(void *, struct memory_v1 *);
int nvmlDeviceGetMemoryInfo_v2(void *, struct memory_v2 *);
int nvmlDeviceGetComputeRunningProcesses_v3(void *, unsigned *, struct process *);
int nvmlDeviceGetComputeRunningProcesses(void *, unsigned *, void *);
