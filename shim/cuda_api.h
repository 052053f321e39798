/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the CUDA driver API that the shim handles, declared by ourselves: no NVIDIA header is needed to build. */
#ifndef RUNAI_CUDA_API_H
#define RUNAI_CUDA_API_H

#include <stddef.h>
#include <stdint.h>

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef unsigned int CUdeviceptr_v1; /* before CUDA 3.2 */
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
typedef struct CUmod_st *CUmodule;
typedef struct CUarray_st *CUarray;
typedef struct CUmipmappedArray_st *CUmipmappedArray;
typedef struct CUmemPoolHandle_st *CUmemoryPool;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;
typedef unsigned long long CUmemGenericAllocationHandle;

typedef struct {
    unsigned char bytes[16];
} CUuuid;

typedef struct {
    int type;
    int id;
} CUmemLocation;

typedef struct {
    int type;
    int requestedHandleTypes;
    CUmemLocation location;
    void *win32HandleMetaData;
    unsigned char allocFlags[8];
} CUmemAllocationProp;

typedef struct {
    int allocType;
    int handleTypes;
    CUmemLocation location;
    void *win32SecurityAttributes;
    size_t maxSize;
    unsigned char reserved[56];
} CUmemPoolProps;

struct array_descriptor_v1 { /* CUDA_ARRAY_DESCRIPTOR_v1 */
    unsigned width, height;
    int format;
    unsigned channels;
};
struct array_descriptor {
    size_t width, height;
    int format;
    unsigned channels;
};
struct array3d_descriptor_v1 {
    unsigned width, height, depth;
    int format;
    unsigned channels, flags;
};
struct array3d_descriptor {
    size_t width, height, depth;
    int format;
    unsigned channels, flags;
};

struct graph_allocation { /* CUDA_MEM_ALLOC_NODE_PARAMS */
    CUmemPoolProps pool;
    const void *access;
    size_t accesses;
    size_t size;
    CUdeviceptr pointer;
};

#define CU_STREAM_PER_THREAD ((CUstream)2)

struct kernel_node { /* CUDA_KERNEL_NODE_PARAMS, of version 1 up to `extra` */
    const void *function;
    unsigned grid[3], block[3], shared;
    void **parameters, **extra;
    const void *kernel; /* where there is no function */
    CUcontext context;
};

struct launch_config { /* CUlaunchConfig */
    unsigned grid[3], block[3], shared;
    CUstream stream;
    void *attributes;
    unsigned count;
};

enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NOT_PERMITTED = 800,
    CUDA_ERROR_NOT_READY = 600,
    CUDA_ERROR_NOT_SUPPORTED = 801,

    CU_MEM_ALLOCATION_TYPE_PINNED = 1,
    CU_MEM_ALLOCATION_TYPE_MANAGED = 2,
    CU_MEM_LOCATION_TYPE_DEVICE = 1,
    CU_MEM_LOCATION_TYPE_HOST = 2,
    CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT = 4,
    CU_MEMPOOL_ATTR_RELEASE_THRESHOLD = 4,
    CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT = 5,
    CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH = 6,
    CU_STREAM_CAPTURE_STATUS_NONE = 0,
    CU_STREAM_CAPTURE_MODE_RELAXED = 2,
    CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES = 3,
    CU_MODULE_EAGER_LOADING = 1,
    CU_LIMIT_STACK_SIZE = 0,
    CU_LIMIT_PRINTF_FIFO_SIZE = 1,
    CU_LIMIT_MALLOC_HEAP_SIZE = 2,
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
    CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR = 39,
    CUDA_ARRAY3D_SPARSE = 0x40,
    CUDA_ARRAY3D_DEFERRED_MAPPING = 0x80,
    CU_GRAPH_NODE_TYPE_KERNEL = 0,
    CU_GRAPH_NODE_TYPE_GRAPH = 4,
    CU_GRAPH_NODE_TYPE_MEM_ALLOC = 10,
    CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT = 0,
    CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT = 2,
};

_Static_assert(sizeof(CUuuid) == 16, "cuda.h: CUuuid is 16 bytes");
_Static_assert(sizeof(CUmemLocation) == 8, "cuda.h: CUmemLocation is two ints");
_Static_assert(sizeof(CUmemAllocationProp) == 32, "cuda.h: CUmemAllocationProp is 32 bytes");
_Static_assert(offsetof(CUmemAllocationProp, location) == 8, "cuda.h: location follows two enums");
_Static_assert(sizeof(CUmemPoolProps) == 88, "cuda.h: CUmemPoolProps is 88 bytes");
_Static_assert(offsetof(CUmemPoolProps, location) == 8, "cuda.h: location follows two enums");
_Static_assert(sizeof(struct array3d_descriptor) == 40, "cuda.h: CUDA_ARRAY3D_DESCRIPTOR is 40 bytes");
_Static_assert(sizeof(struct kernel_node) == 72, "cuda.h: CUDA_KERNEL_NODE_PARAMS_v2 is 72 bytes");
_Static_assert(offsetof(struct launch_config, stream) == 32, "cuda.h: hStream follows seven numbers");
_Static_assert(sizeof(struct graph_allocation) == 120, "cuda.h: CUDA_MEM_ALLOC_NODE_PARAMS is 120 bytes");

#endif
