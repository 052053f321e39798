/* SPDX-License-Identifier: Apache-2.0 */
/* Copies and sets of linear memory, for real; arrays have no contents. While a stream is captured they become nodes. */
#include "stream.h"

#include <string.h>

static CUresult enter(CUstream stream, bool *done) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    *done = rc || stream_is_capturing(stream);
    return rc;
}

static CUresult record(CUstream stream, int type, CUresult rc) {
    if (rc)
        return rc;
    sim_lock();
    rc = graph_record(stream->capture, type) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    sim_unlock();
    return rc;
}

static CUresult touch(uint64_t address, uint64_t size) {
    sim_lock();
    CUresult rc = memory_touch(address, size, true);
    sim_unlock();
    return rc;
}

/* `devices`: which of the two must be an address that the driver knows. */
enum { DEVICE_NONE, DEVICE_TO = 1, DEVICE_FROM = 2 };

static CUresult copy(uint64_t to, uint64_t from, size_t size, CUstream stream, int devices) {
    bool done;
    CUresult rc = enter(stream, &done);
    if (done)
        return record(stream, NODE_MEMCPY, rc);
    if (size == 0)
        return CUDA_SUCCESS;
    if (!to || !from || (devices & DEVICE_TO && !memory_known(to)) || (devices & DEVICE_FROM && !memory_known(from)))
        return CUDA_ERROR_INVALID_VALUE;
    rc = touch(to, size);
    if (!rc)
        rc = touch(from, size);
    if (!rc)
        memmove((void *)to, (const void *)from, size);
    return rc;
}

API(Memcpy, CUdeviceptr to, CUdeviceptr from, size_t size) {
    return copy(to, from, size, NULL, DEVICE_NONE);
}

API(MemcpyAsync, CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
    return copy(to, from, size, stream, DEVICE_NONE);
}

API(MemcpyHtoD, CUdeviceptr to, CUdeviceptr from, size_t size) {
    return copy(to, from, size, NULL, DEVICE_TO);
}

API(MemcpyDtoH, CUdeviceptr to, CUdeviceptr from, size_t size) {
    return copy(to, from, size, NULL, DEVICE_FROM);
}

API(MemcpyDtoD, CUdeviceptr to, CUdeviceptr from, size_t size) {
    return copy(to, from, size, NULL, DEVICE_TO | DEVICE_FROM);
}

API(MemcpyHtoDAsync, CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
    return copy(to, from, size, stream, DEVICE_TO);
}

API(MemcpyDtoHAsync, CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
    return copy(to, from, size, stream, DEVICE_FROM);
}

API(MemcpyDtoDAsync, CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
    return copy(to, from, size, stream, DEVICE_TO | DEVICE_FROM);
}

API(MemcpyPeer, CUdeviceptr to, struct context *to_context, CUdeviceptr from, struct context *from_context,
    size_t size) {
    (void)to_context, (void)from_context;
    return copy(to, from, size, NULL, DEVICE_TO | DEVICE_FROM);
}

API(MemcpyPeerAsync, CUdeviceptr to, struct context *to_context, CUdeviceptr from, struct context *from_context,
    size_t size, CUstream stream) {
    (void)to_context, (void)from_context;
    return copy(to, from, size, stream, DEVICE_TO | DEVICE_FROM);
}

enum { TYPE_HOST = 1, TYPE_DEVICE, TYPE_ARRAY, TYPE_UNIFIED };

struct copy3d {
    size_t from_x, from_y, from_z, from_level;
    int from_type;
    uint64_t from_host, from_device;
    struct array *from_array;
    void *reserved0;
    size_t from_pitch, from_height;
    size_t to_x, to_y, to_z, to_level;
    int to_type;
    uint64_t to_host, to_device;
    struct array *to_array;
    void *reserved1;
    size_t to_pitch, to_height;
    size_t width, height, depth;
};
_Static_assert(sizeof(struct copy3d) == 200, "CUDA_MEMCPY3D");

API(Memcpy3DAsync, const struct copy3d *p, CUstream stream) {
    bool done;
    CUresult rc = enter(stream, &done);
    if (done)
        return record(stream, NODE_MEMCPY, rc);
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    if (p->from_type == TYPE_ARRAY || p->to_type == TYPE_ARRAY)
        return CUDA_SUCCESS;
    uint64_t from = p->from_type == TYPE_HOST ? p->from_host : p->from_device;
    uint64_t to = p->to_type == TYPE_HOST ? p->to_host : p->to_device;
    for (size_t z = 0; z < p->depth && !rc; z++)
        for (size_t row = 0; row < p->height && !rc; row++)
            rc = copy(to + ((p->to_z + z) * p->to_height + p->to_y + row) * p->to_pitch + p->to_x,
                      from + ((p->from_z + z) * p->from_height + p->from_y + row) * p->from_pitch + p->from_x, p->width,
                      NULL, DEVICE_NONE);
    return rc;
}

API(Memcpy3D, const struct copy3d *p) {
    return api_Memcpy3DAsync(p, NULL);
}

/* The same with a depth of 1. */
struct copy2d {
    size_t from_x, from_y;
    int from_type;
    uint64_t from_host, from_device;
    struct array *from_array;
    size_t from_pitch;
    size_t to_x, to_y;
    int to_type;
    uint64_t to_host, to_device;
    struct array *to_array;
    size_t to_pitch;
    size_t width, height;
};
_Static_assert(sizeof(struct copy2d) == 128, "CUDA_MEMCPY2D");

API(Memcpy2DAsync, const struct copy2d *p, CUstream stream) {
    if (!p)
        return api_Memcpy3DAsync(NULL, stream);
    const struct copy3d whole = {.from_x = p->from_x,
                                 .from_y = p->from_y,
                                 .from_type = p->from_type,
                                 .from_host = p->from_host,
                                 .from_device = p->from_device,
                                 .from_array = p->from_array,
                                 .from_pitch = p->from_pitch,
                                 .to_x = p->to_x,
                                 .to_y = p->to_y,
                                 .to_type = p->to_type,
                                 .to_host = p->to_host,
                                 .to_device = p->to_device,
                                 .to_array = p->to_array,
                                 .to_pitch = p->to_pitch,
                                 .width = p->width,
                                 .height = p->height,
                                 .depth = 1};
    return api_Memcpy3DAsync(&whole, stream);
}

API(Memcpy2D, const struct copy2d *p) {
    return api_Memcpy2DAsync(p, NULL);
}

/* To and from arrays: accepted, without effect. */

static CUresult with_array(const struct array *array, CUstream stream) {
    bool done;
    CUresult rc = enter(stream, &done);
    if (done)
        return record(stream, NODE_MEMCPY, rc);
    return array ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

API(MemcpyDtoA, struct array *to, size_t offset, CUdeviceptr from, size_t size) {
    (void)offset, (void)from, (void)size;
    return with_array(to, NULL);
}

API(MemcpyAtoD, CUdeviceptr to, struct array *from, size_t offset, size_t size) {
    (void)offset, (void)to, (void)size;
    return with_array(from, NULL);
}

API(MemcpyAtoA, struct array *to, size_t to_offset, struct array *from, size_t from_offset, size_t size) {
    (void)to_offset, (void)from_offset, (void)size;
    return with_array(to && from ? to : NULL, NULL);
}

API(MemcpyHtoAAsync, struct array *to, size_t offset, const void *from, size_t size, CUstream stream) {
    (void)offset, (void)from, (void)size;
    return with_array(to, stream);
}

API(MemcpyAtoHAsync, void *to, struct array *from, size_t offset, size_t size, CUstream stream) {
    (void)offset, (void)to, (void)size;
    return with_array(from, stream);
}

API(MemcpyHtoA, struct array *to, size_t offset, const void *from, size_t size) {
    return api_MemcpyHtoAAsync(to, offset, from, size, NULL);
}

API(MemcpyAtoH, void *to, struct array *from, size_t offset, size_t size) {
    return api_MemcpyAtoHAsync(to, from, offset, size, NULL);
}

/* Sets. */

static CUresult set(uint64_t to, size_t pitch, unsigned value, unsigned unit, size_t width, size_t height,
                    CUstream stream) {
    bool done;
    CUresult rc = enter(stream, &done);
    if (done)
        return record(stream, NODE_MEMSET, rc);
    if (width == 0 || height == 0)
        return CUDA_SUCCESS;
    if (to % unit || !memory_known(to))
        return CUDA_ERROR_INVALID_VALUE;
    rc = touch(to, (height - 1) * pitch + width * unit);
    for (size_t row = 0; row < height && !rc; row++) {
        char *line = (char *)to + row * pitch;
        if (unit == 1)
            memset(line, (int)value, width);
        else if (unit == 2)
            for (size_t i = 0; i < width; i++)
                ((uint16_t *)line)[i] = (uint16_t)value;
        else
            for (size_t i = 0; i < width; i++)
                ((uint32_t *)line)[i] = value;
    }
    return rc;
}

#define SETS(bits, type)                                                                                               \
    API(MemsetD##bits, CUdeviceptr to, type value, size_t count) {                                                     \
        return set(to, 0, value, bits / 8, count, 1, NULL);                                                            \
    }                                                                                                                  \
    API(MemsetD##bits##Async, CUdeviceptr to, type value, size_t count, CUstream stream) {                             \
        return set(to, 0, value, bits / 8, count, 1, stream);                                                          \
    }                                                                                                                  \
    API(MemsetD2D##bits, CUdeviceptr to, size_t pitch, type value, size_t width, size_t height) {                      \
        return set(to, pitch, value, bits / 8, width, height, NULL);                                                   \
    }                                                                                                                  \
    API(MemsetD2D##bits##Async, CUdeviceptr to, size_t pitch, type value, size_t width, size_t height,                 \
        CUstream stream) {                                                                                             \
        return set(to, pitch, value, bits / 8, width, height, stream);                                                 \
    }

SETS(8, unsigned char)
SETS(16, unsigned short)
SETS(32, unsigned)
