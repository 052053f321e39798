/* SPDX-License-Identifier: Apache-2.0 */
/* Streams as the other files need them. */
#pragma once

#include "driver.h"

enum { NODE_KERNEL, NODE_MEMCPY, NODE_MEMSET, NODE_HOST, NODE_GRAPH, NODE_EMPTY, NODE_MEM_ALLOC = 10, NODE_MEM_FREE };

int stream_device(CUstream stream, int current);
bool stream_is_capturing(CUstream stream);

/* graph.c: what an asynchronous allocation or free becomes while its stream is captured. Under sim.lock. */
CUresult stream_capture_alloc(CUstream stream, int device, size_t size, CUdeviceptr *out);
CUresult stream_capture_free(CUstream stream, struct extent *extent);

/* graph.c */
struct graph *graph_new(int device);
bool graph_record_host(struct graph *graph, void (*function)(void *), void *data);
bool graph_record(struct graph *graph, int type); /* a node whose work is not modelled */
bool graph_record_kernel(struct graph *graph, struct function *kernel);
void graph_drop(struct graph *graph); /* of an invalidated capture */

/* module.c: the current context's local memory, as a launch needs it. Under sim.lock. */
CUresult function_grow_local(const struct function *function);

struct stream {
    uint32_t magic;
    int device;
    unsigned flags;
    int priority;
    uint64_t id;
    struct context *context;
    struct graph *capture; /* not NULL while captured */
    int capture_mode;
    pthread_t capture_thread; /* that began it */
    bool invalidated;         /* by a call that is prohibited beside it */
    uint64_t capture_id;
    bool joined; /* takes part in another stream's capture, through an event */
};

struct event {
    uint32_t magic;
    unsigned flags;
    int device;
    struct context *context;
    uint64_t time;           /* ns; 0 = never recorded */
    struct stream *captured; /* recorded in this stream's capture */
};

/* NULL for the default streams' handles (0, 1, 2), which are never captured. */
struct stream *stream_real(CUstream stream);

/* Called first by functions that a capture prohibits (as a real 580 driver does). A capture in global mode prohibits
   them to every thread, in thread-local mode to its own, in relaxed mode to none; the thread's own mode counts as well
   (cuThreadExchangeStreamCaptureMode). The capture is invalidated, and the call returns that error. Some are prohibited
   `always`, whatever the modes. */
CUresult stream_prohibits(bool always);
#define PROHIBITED_IN_CAPTURES()                                                                                       \
    do {                                                                                                               \
        CUresult prohibited_ = stream_prohibits(false);                                                                \
        if (prohibited_)                                                                                               \
            return prohibited_;                                                                                        \
    } while (0)
