/* SPDX-License-Identifier: Apache-2.0 */
/* The structures that the driver's two libraries take, as the test programs and the benchmarks declare them: on their
   own, without NVIDIA's headers and without the shim's. */
#pragma once

#include <stddef.h>

struct location {
    int type, id;
};
struct memory_properties {
    int type, handle_types;
    struct location location;
    void *metadata;
    unsigned char flags[8];
};
struct access {
    struct location location;
    int flags;
};
struct pool_properties {
    int type, handle_types;
    struct location location;
    void *security;
    size_t maximum;
    unsigned char reserved[56];
};
struct array_descriptor {
    size_t width, height;
    int format;
    unsigned channels;
};
struct array3d_descriptor {
    size_t width, height, depth;
    int format;
    unsigned channels, flags;
};

/* NVML's. */
struct memory_v1 {
    unsigned long long total, free, used;
};
struct memory_v2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};
struct process {
    unsigned pid;
    unsigned long long used;
    unsigned gpu_instance, compute_instance;
};
