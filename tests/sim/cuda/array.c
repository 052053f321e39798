/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays and mipmapped arrays: device memory without contents. Sparse and deferred ones hold none by themselves. */
#include "driver.h"
#include "stream.h"

#include <stdlib.h>

#define ARRAY_MAGIC 0x41525259u
enum { FLAG_LAYERED = 1, FLAG_CUBEMAP = 4, FLAG_SPARSE = 0x40, FLAG_DEFERRED = 0x80 };

struct descriptor {
    size_t width, height, depth;
    int format;
    unsigned channels, flags;
};
_Static_assert(sizeof(struct descriptor) == 40, "CUDA_ARRAY3D_DESCRIPTOR");

struct descriptor2 {
    size_t width, height;
    int format;
    unsigned channels;
};

/* A mipmapped array is an array with levels. */
struct array {
    uint32_t magic;
    struct descriptor descriptor;
    unsigned levels;
    uint64_t size;
    struct context *context;
    struct extent *extent; /* NULL: sparse, deferred, or a level of another */
    struct array *owner;
    struct array *level[16];
    struct array *next;
};

static unsigned element_bytes(int format) {
    switch (format) {
    case 0x01:
    case 0x08:
        return 1;
    case 0x02:
    case 0x09:
    case 0x10:
        return 2;
    case 0x03:
    case 0x0a:
    case 0x20:
        return 4;
    default:
        return 0;
    }
}

/* 0 when it cannot be. Rows are padded to 64 bytes, their number to blocks of up to 128, as the real driver does. */
static uint64_t bytes_of(const struct descriptor *d, unsigned level) {
    bool layered = d->flags & (FLAG_LAYERED | FLAG_CUBEMAP);
    uint64_t width = d->width >> level ? d->width >> level : 1;
    uint64_t height = d->height >> level ? d->height >> level : 1;
    uint64_t depth = layered ? d->depth : d->depth >> level;
    uint64_t row, plane, all, block = d->height ? 8 : 1;
    while (block < 128 && block < height)
        block *= 2;
    if (__builtin_mul_overflow(width, (uint64_t)element_bytes(d->format) * d->channels, &row) || row > UINT64_MAX / 2)
        return 0;
    row = (row + 63) / 64 * 64;
    height = (height + block - 1) / block * block;
    if (__builtin_mul_overflow(row, height, &plane) || __builtin_mul_overflow(plane, depth ? depth : 1, &all))
        return 0;
    return all;
}

static CUresult create(struct array **out, const struct descriptor *d, unsigned levels) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc)
        return rc;
    if (!out || !d || !d->width || !element_bytes(d->format) || levels < 1 || levels > 16 ||
        (d->channels != 1 && d->channels != 2 && d->channels != 4))
        return CUDA_ERROR_INVALID_VALUE;
    struct array *array = calloc(1, sizeof *array);
    if (!array)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *array = (struct array){.magic = ARRAY_MAGIC, .descriptor = *d, .levels = levels, .context = context};
    for (unsigned i = 0; i < levels; i++)
        array->size += bytes_of(d, i);
    sim_latency(context->device);
    sim_lock();
    if (!array->size)
        rc = CUDA_ERROR_OUT_OF_MEMORY;
    else if (!(d->flags & (FLAG_SPARSE | FLAG_DEFERRED)))
        rc = memory_allocate(context, array->size, &array->extent);
    if (!rc) {
        array->next = context->arrays;
        context->arrays = array;
        *out = array;
    }
    sim_unlock();
    if (rc)
        free(array);
    return rc;
}

/* Under sim.lock. */
static void destroy(struct array *array) {
    for (struct array **link = &array->context->arrays; *link; link = &(*link)->next)
        if (*link == array) {
            *link = array->next;
            break;
        }
    if (array->extent)
        memory_free(array->extent);
    for (unsigned i = 0; i < array->levels; i++)
        free(array->level[i]);
    array->magic = 0;
    free(array);
}

void arrays_free(struct context *context) {
    while (context->arrays)
        destroy(context->arrays);
}

static CUresult check(const struct array *array) {
    CUresult rc = sim_enter();
    return rc ? rc : array && array->magic == ARRAY_MAGIC ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

API(Array3DCreate, struct array **out, const struct descriptor *descriptor) {
    PROHIBITED_IN_CAPTURES();
    return create(out, descriptor, 1);
}

API(ArrayCreate, struct array **out, const struct descriptor2 *d) {
    if (!d)
        return CUDA_ERROR_INVALID_VALUE;
    const struct descriptor full = {
        .width = d->width, .height = d->height, .format = d->format, .channels = d->channels};
    return create(out, &full, 1);
}

API(ArrayDestroy, struct array *array) {
    PROHIBITED_IN_CAPTURES();
    CUresult rc = check(array);
    if (rc || array->owner)
        return rc ? rc : CUDA_ERROR_INVALID_HANDLE;
    sim_latency(array->context->device);
    sim_lock();
    destroy(array);
    sim_unlock();
    return CUDA_SUCCESS;
}

API(Array3DGetDescriptor, struct descriptor *out, struct array *array) {
    CUresult rc = check(array);
    if (!rc && out)
        *out = array->descriptor;
    return rc;
}

API(ArrayGetDescriptor, struct descriptor2 *out, struct array *array) {
    CUresult rc = check(array);
    if (!rc && out)
        *out = (struct descriptor2){array->descriptor.width, array->descriptor.height, array->descriptor.format,
                                    array->descriptor.channels};
    return rc;
}

struct requirements {
    size_t size, alignment;
    unsigned reserved[4];
};

API(ArrayGetMemoryRequirements, struct requirements *out, struct array *array, CUdevice device) {
    CUresult rc = check(array);
    if (rc || !out || !sim_device_ok(device) || !(array->descriptor.flags & (FLAG_SPARSE | FLAG_DEFERRED)))
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *out = (struct requirements){.size = (array->size + 65535) / 65536 * 65536, .alignment = 65536};
    return CUDA_SUCCESS;
}

struct sparse {
    unsigned width, height, depth, tail_level;
    unsigned long long tail_size;
    unsigned flags, reserved[4];
};

API(ArrayGetSparseProperties, struct sparse *out, struct array *array) {
    CUresult rc = check(array);
    if (rc || !out || !(array->descriptor.flags & FLAG_SPARSE))
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *out = (struct sparse){.width = 256, .height = 128, .depth = 1, .tail_level = array->levels};
    return CUDA_SUCCESS;
}

API(MipmappedArrayCreate, struct array **out, const struct descriptor *descriptor, unsigned levels) {
    PROHIBITED_IN_CAPTURES();
    return create(out, descriptor, levels > 16 ? 16 : levels);
}

API(MipmappedArrayDestroy, struct array *array) {
    PROHIBITED_IN_CAPTURES();
    return api_ArrayDestroy(array);
}

API(MipmappedArrayGetLevel, struct array **out, struct array *array, unsigned level) {
    CUresult rc = check(array);
    if (rc || !out || level >= array->levels)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    if (!array->level[level] && (array->level[level] = calloc(1, sizeof *array))) {
        struct descriptor d = array->descriptor;
        d.width = d.width >> level ? d.width >> level : 1;
        d.height = d.height ? (d.height >> level ? d.height >> level : 1) : 0;
        *array->level[level] = (struct array){
            .magic = ARRAY_MAGIC, .descriptor = d, .size = bytes_of(&d, 0), .context = array->context, .owner = array};
    }
    *out = array->level[level];
    sim_unlock();
    return *out ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* Tiles of sparse arrays take their memory from cuMemCreate's handles: nothing to charge here. */
API(MemMapArrayAsync, const void *list, unsigned count, CUstream stream) {
    (void)stream;
    CUresult rc = sim_enter();
    return rc ? rc : count && !list ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}
