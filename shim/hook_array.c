/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays and mipmapped arrays. The driver does not document their layout, so an estimate is reserved and charged, and
   corrected by a measurement right away. Left alone on purpose: sparse arrays and those with deferred mapping, which
   take memory only through cuMemCreate, and views of levels and planes. */
#include "account.h"
#include "device.h"
#include "hooks.h"
#include "measure.h"
#include "refusals.h"

/* Bytes per channel, by CUarray_format; the largest size for unknown formats. */
static uint64_t element_bytes(int format) {
    switch (format) {
    case 0x01: /* 8 bits */
    case 0x08:
    case 0xc0: /* normalised, 1 channel */
    case 0xc3:
        return 1;
    case 0x02: /* 16 bits */
    case 0x09:
    case 0x10:
        return 2;
    default:
        return 4;
    }
}

static uint64_t times(uint64_t a, uint64_t b) {
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) || product > UINT64_MAX / 8 ? UINT64_MAX / 8 : product;
}

/* Rows are padded to 64 bytes, the width of the hardware's tiles. */
static uint64_t estimate(const struct array3d_descriptor *d, unsigned levels) {
    uint64_t bytes = 0, element = element_bytes(d->format) * (d->channels ? d->channels : 1);
    for (unsigned i = 0; i < (levels ? levels : 1) && i < 32; i++) {
        uint64_t width = d->width >> i ? d->width >> i : 1, height = d->height >> i ? d->height >> i : 1;
        bytes += times(times(round_up(times(width, element), 64), height), d->depth ? d->depth : 1);
        if (bytes > UINT64_MAX / 8)
            return UINT64_MAX / 8;
    }
    return round_up(bytes, BLOCK);
}

static uint64_t current_context(void) {
    CUcontext context = NULL;
    return INSIDE(CUDA->cuCtxGetCurrent(&context)) == CUDA_SUCCESS ? (uint64_t)(uintptr_t)context : 0;
}

static struct device *device_of_array(const struct array3d_descriptor *d) {
    if (inside_driver || (d->flags & (CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING)))
        return NULL;
    return device_current();
}

static void remember(struct device *device, uint64_t array, uint64_t bytes) {
    struct entry entry = {.key = array,
                          .size = bytes,
                          .extra = current_context(),
                          .class = CLASS_ARRAY,
                          .kind = KIND_ARRAY,
                          .device = device_position(device)};
    table_put(&process()->table, &entry);
}

#define ARRAY_CREATE_AND_RETURN(full, levels, real_call)                                                               \
    struct device *device = array && descriptor ? device_of_array(full) : NULL;                                        \
    if (!device)                                                                                                       \
        return real_call;                                                                                              \
    uint64_t bytes = estimate(full, levels);                                                                           \
    struct reservation reservation;                                                                                    \
    if (!account_reserve(device, bytes, &reservation))                                                                 \
        return refused(device, bytes);                                                                                 \
    CUresult result = INSIDE(real_call);                                                                               \
    if (result == CUDA_SUCCESS)                                                                                        \
        remember(device, (uint64_t)(uintptr_t)*array, bytes);                                                          \
    account_settle(device, &reservation, result == CUDA_SUCCESS ? bytes : 0);                                          \
    measure_now(device);                                                                                               \
    return result

CUresult cuArrayCreate(CUarray *array, const struct array_descriptor_v1 *descriptor) {
    const struct array_descriptor_v1 *d = descriptor;
    struct array3d_descriptor full = {0};
    if (d)
        full = (struct array3d_descriptor){d->width, d->height, 0, d->format, d->channels, 0};
    ARRAY_CREATE_AND_RETURN(&full, 1, CUDA->cuArrayCreate(array, descriptor));
}

CUresult cuArrayCreate_v2(CUarray *array, const struct array_descriptor *descriptor) {
    const struct array_descriptor *d = descriptor;
    struct array3d_descriptor full = {0};
    if (d)
        full = (struct array3d_descriptor){d->width, d->height, 0, d->format, d->channels, 0};
    ARRAY_CREATE_AND_RETURN(&full, 1, CUDA->cuArrayCreate_v2(array, descriptor));
}

CUresult cuArray3DCreate(CUarray *array, const struct array3d_descriptor_v1 *descriptor) {
    const struct array3d_descriptor_v1 *d = descriptor;
    struct array3d_descriptor full = {0};
    if (d)
        full = (struct array3d_descriptor){d->width, d->height, d->depth, d->format, d->channels, d->flags};
    ARRAY_CREATE_AND_RETURN(&full, 1, CUDA->cuArray3DCreate(array, descriptor));
}

CUresult cuArray3DCreate_v2(CUarray *array, const struct array3d_descriptor *descriptor) {
    ARRAY_CREATE_AND_RETURN(descriptor, 1, CUDA->cuArray3DCreate_v2(array, descriptor));
}

CUresult cuMipmappedArrayCreate(CUmipmappedArray *array, const struct array3d_descriptor *descriptor, unsigned levels) {
    ARRAY_CREATE_AND_RETURN(descriptor, levels, CUDA->cuMipmappedArrayCreate(array, descriptor, levels));
}

#define ARRAY_DESTROY_AND_RETURN(real_call)                                                                            \
    struct entry entry;                                                                                                \
    if (inside_driver || !table_take(&process()->table, CLASS_ARRAY, (uint64_t)(uintptr_t)array, &entry))              \
        return real_call;                                                                                              \
    struct device *device = device_at(entry.device);                                                                   \
    account_release_begin(device);                                                                                     \
    CUresult result = INSIDE(real_call);                                                                               \
    if (result != CUDA_SUCCESS)                                                                                        \
        table_put(&process()->table, &entry);                                                                          \
    account_release_end(device, result == CUDA_SUCCESS ? entry.size : 0);                                              \
    measure_now(device);                                                                                               \
    return result

CUresult cuArrayDestroy(CUarray array) {
    ARRAY_DESTROY_AND_RETURN(CUDA->cuArrayDestroy(array));
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray array) {
    ARRAY_DESTROY_AND_RETURN(CUDA->cuMipmappedArrayDestroy(array));
}
