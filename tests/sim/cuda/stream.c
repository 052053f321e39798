/* SPDX-License-Identifier: Apache-2.0 */
/* Streams and events. Work is done when the call returns, so that a stream is always ready; what is modelled is
   capture, with the calls that invalidate one, and that synchronising gives back what pools hold above their
   threshold. */
#include "stream.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define STREAM_MAGIC 0x5354524du
#define EVENT_MAGIC 0x45564e54u

/* All live streams are found here when a capture ends; guarded by sim.lock. */
static struct stream **streams;
static size_t stream_count, stream_room;

static _Atomic unsigned captures;  /* under way; changed under sim.lock */
static __thread int exchange_mode; /* of this thread: 0 global, 1 thread-local, 2 relaxed */

struct stream *stream_real(CUstream stream) {
    return (uintptr_t)stream > 2 ? stream : NULL;
}

int stream_device(CUstream stream, int current) {
    struct stream *real = stream_real(stream);
    return real ? real->device : current;
}

bool stream_is_capturing(CUstream stream) {
    struct stream *real = stream_real(stream);
    return real && real->capture;
}

CUresult stream_prohibits(bool always) {
    CUresult rc = CUDA_SUCCESS;
    if (atomic_load(&captures) == 0 || (exchange_mode == 2 && !always))
        return rc;
    sim_lock();
    for (size_t i = 0; i < stream_count; i++) {
        struct stream *s = streams[i];
        bool own = s->capture && pthread_equal(s->capture_thread, pthread_self());
        bool beside = s->capture_mode == 2 || (!own && (exchange_mode || s->capture_mode));
        if (!s->capture || s->joined || (beside && !always))
            continue;
        s->invalidated = true;
        rc = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    sim_unlock();
    return rc;
}

static CUresult check(CUstream stream) {
    CUresult rc = sim_enter();
    struct stream *real = stream_real(stream);
    return rc ? rc : real && real->magic != STREAM_MAGIC ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
}

static CUresult create(struct stream **out, unsigned flags, int priority, struct context *context) {
    if (!out || flags > 1)
        return CUDA_ERROR_INVALID_VALUE;
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *stream = (struct stream){
        .magic = STREAM_MAGIC, .device = context->device, .flags = flags, .priority = priority, .context = context};
    sim_lock();
    if (context_hold(context, &context->streams, &context->stream_memory, 1,
                     sim.devices[context->device].gpu.state->config.stream_bytes)) {
        sim_unlock();
        free(stream);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    stream->id = ++sim.next_id;
    if (stream_count == stream_room) {
        size_t room = stream_room ? stream_room * 2 : 16;
        struct stream **larger = realloc(streams, room * sizeof(struct stream *));
        if (!larger) {
            sim_unlock();
            free(stream);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        streams = larger;
        stream_room = room;
    }
    streams[stream_count++] = stream;
    sim_unlock();
    *out = stream;
    return CUDA_SUCCESS;
}

API(StreamCreate, struct stream **out, unsigned flags) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    return rc ? rc : create(out, flags, 0, context);
}

API(StreamCreateWithPriority, struct stream **out, unsigned flags, int priority) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    return rc ? rc : create(out, flags, priority, context);
}

API(GreenCtxStreamCreate, struct stream **out, struct context *green, unsigned flags, int priority) {
    CUresult rc = sim_enter() ? sim_enter() : context_alive(green);
    return rc ? rc : create(out, flags, priority, green);
}

API(StreamDestroy, struct stream *stream) {
    CUresult rc = check(stream);
    if (rc || !stream_real(stream))
        return rc ? rc : CUDA_ERROR_INVALID_HANDLE;
    sim_lock();
    if (stream->capture && !stream->joined)
        atomic_fetch_sub(&captures, 1);
    stream->context->streams--;
    for (size_t i = 0; i < stream_count; i++)
        if (streams[i] == stream) {
            streams[i] = streams[--stream_count];
            break;
        }
    sim_unlock();
    stream->magic = 0;
    free(stream);
    return CUDA_SUCCESS;
}

API(StreamSynchronize, CUstream stream) {
    struct context *context;
    CUresult rc = check(stream) ? check(stream) : sim_enter_context(&context);
    if (rc)
        return rc;
    if (stream_is_capturing(stream))
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    PROHIBITED_IN_CAPTURES();
    pools_synchronise(stream_device(stream, context->device));
    return CUDA_SUCCESS;
}

API(StreamQuery, CUstream stream) {
    CUresult rc = check(stream);
    if (!rc && !stream_is_capturing(stream))
        PROHIBITED_IN_CAPTURES();
    return rc ? rc : stream_is_capturing(stream) ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

API(StreamGetCtx, CUstream stream, struct context **out) {
    struct context *context;
    CUresult rc = check(stream) ? check(stream) : sim_enter_context(&context);
    if (!rc && out)
        *out = stream_real(stream) ? stream_real(stream)->context : context;
    return rc;
}

API(StreamGetCtx_v2, CUstream stream, struct context **out, struct context **green) {
    CUresult rc = api_StreamGetCtx(stream, out);
    if (!rc && green)
        *green = out && *out && (*out)->green ? *out : NULL;
    return rc;
}

API(StreamGetGreenCtx, CUstream stream, struct context **out) {
    struct context *context = NULL;
    CUresult rc = api_StreamGetCtx(stream, &context);
    if (!rc && out)
        *out = context->green ? context : NULL;
    return rc;
}

API(StreamGetFlags, CUstream stream, unsigned *flags) {
    CUresult rc = check(stream);
    if (!rc && flags)
        *flags = stream_real(stream) ? stream_real(stream)->flags : 0;
    return rc;
}

API(StreamGetPriority, CUstream stream, int *priority) {
    CUresult rc = check(stream);
    if (!rc && priority)
        *priority = stream_real(stream) ? stream_real(stream)->priority : 0;
    return rc;
}

API(StreamGetId, CUstream stream, unsigned long long *id) {
    CUresult rc = check(stream);
    if (!rc && id)
        *id = stream_real(stream) ? stream_real(stream)->id : (uintptr_t)stream;
    return rc;
}

API(StreamGetDevice, CUstream stream, CUdevice *device) {
    struct context *context;
    CUresult rc = check(stream) ? check(stream) : sim_enter_context(&context);
    if (!rc && device)
        *device = stream_device(stream, context->device);
    return rc;
}

API(StreamWaitEvent, CUstream stream, struct event *event, unsigned flags) {
    (void)flags;
    CUresult rc = check(stream);
    struct stream *real = stream_real(stream);
    if (!rc && (!event || event->magic != EVENT_MAGIC))
        rc = CUDA_ERROR_INVALID_HANDLE;
    if (rc || !real || !event->captured || real->capture)
        return rc;
    sim_lock();
    real->capture = event->captured->capture; /* joins the capture that recorded the event */
    real->capture_id = event->captured->capture_id;
    real->joined = real->capture != NULL;
    sim_unlock();
    return CUDA_SUCCESS;
}

API(StreamAddCallback, CUstream stream, void (*callback)(CUstream, CUresult, void *), void *data, unsigned flags) {
    CUresult rc = check(stream);
    if (rc || !callback || flags)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    if (stream_is_capturing(stream))
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    callback(stream, CUDA_SUCCESS, data);
    return CUDA_SUCCESS;
}

API(LaunchHostFunc, CUstream stream, void (*function)(void *), void *data) {
    CUresult rc = check(stream);
    if (rc || !function)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    if (stream_is_capturing(stream)) {
        sim_lock();
        rc = graph_record_host(stream->capture, function, data) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
        sim_unlock();
        return rc;
    }
    function(data);
    return CUDA_SUCCESS;
}

API(StreamAttachMemAsync, CUstream stream, CUdeviceptr address, size_t length, unsigned flags) {
    (void)address, (void)length, (void)flags;
    return check(stream);
}

/* Capture. */

API(StreamBeginCapture, CUstream stream, int mode) {
    struct context *context;
    CUresult rc = check(stream) ? check(stream) : sim_enter_context(&context);
    struct stream *real = stream_real(stream);
    if (rc)
        return rc;
    if (!real)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (real->capture || mode < 0 || mode > 2)
        return mode < 0 || mode > 2 ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_ILLEGAL_STATE;
    sim_lock();
    real->capture = graph_new(real->device);
    real->capture_mode = mode;
    real->capture_thread = pthread_self();
    real->capture_id = ++sim.next_id;
    real->joined = real->invalidated = false;
    if (real->capture)
        atomic_fetch_add(&captures, 1);
    sim_unlock();
    return real->capture ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

API(StreamBeginCapture_v1, CUstream stream) {
    return api_StreamBeginCapture(stream, 0);
}

API(StreamEndCapture, CUstream stream, struct graph **out) {
    CUresult rc = check(stream);
    struct stream *real = stream_real(stream);
    if (rc || !out)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    if (!real || !real->capture || real->joined)
        return CUDA_ERROR_ILLEGAL_STATE;
    sim_lock();
    *out = real->capture;
    for (size_t i = 0; i < stream_count; i++)
        if (streams[i]->capture == *out)
            streams[i]->capture = NULL;
    atomic_fetch_sub(&captures, 1);
    sim_unlock();
    if (!real->invalidated)
        return CUDA_SUCCESS;
    graph_drop(*out);
    *out = NULL;
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
}

API(StreamIsCapturing, CUstream stream, int *status) {
    CUresult rc = check(stream);
    if (!rc && status)
        *status = !stream_is_capturing(stream) ? 0 : stream->invalidated ? 2 : 1;
    return rc;
}

API(StreamGetCaptureInfo, CUstream stream, int *status, unsigned long long *id, struct graph **graph, void *nodes,
    size_t *count) {
    CUresult rc = api_StreamIsCapturing(stream, status);
    bool capturing = !rc && stream_is_capturing(stream);
    if (capturing && id)
        *id = stream->capture_id;
    if (capturing && graph)
        *graph = stream->capture;
    if (capturing && nodes)
        *(void **)nodes = NULL;
    if (capturing && count)
        *count = 0;
    return rc;
}

API(StreamGetCaptureInfo_v1, CUstream stream, int *status, unsigned long long *id) {
    return api_StreamGetCaptureInfo(stream, status, id, NULL, NULL, NULL);
}

API(StreamGetCaptureInfo_v3, CUstream stream, int *status, unsigned long long *id, struct graph **graph, void *nodes,
    void *edges, size_t *count) {
    if (edges)
        *(void **)edges = NULL;
    return api_StreamGetCaptureInfo(stream, status, id, graph, nodes, count);
}

API(ThreadExchangeStreamCaptureMode, int *mode) {
    if (!mode || *mode < 0 || *mode > 2)
        return CUDA_ERROR_INVALID_VALUE;
    int previous = exchange_mode;
    exchange_mode = *mode;
    *mode = previous;
    return sim_enter();
}

/* Events. */

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static CUresult check_event(const struct event *event) {
    CUresult rc = sim_enter();
    return rc ? rc : !event || event->magic != EVENT_MAGIC ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
}

API(EventCreate, struct event **out, unsigned flags) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc || !out)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    struct event *event = calloc(1, sizeof *event);
    if (!event)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *event = (struct event){.magic = EVENT_MAGIC, .flags = flags, .device = context->device, .context = context};
    *out = event;
    return CUDA_SUCCESS;
}

API(EventDestroy, struct event *event) {
    CUresult rc = check_event(event);
    if (rc)
        return rc;
    event->magic = 0;
    free(event);
    return CUDA_SUCCESS;
}

API(EventRecord, struct event *event, CUstream stream) {
    CUresult rc = check_event(event) ? check_event(event) : check(stream);
    if (rc)
        return rc;
    event->captured = stream_is_capturing(stream) ? stream : NULL;
    event->time = now();
    return CUDA_SUCCESS;
}

API(EventRecordWithFlags, struct event *event, CUstream stream, unsigned flags) {
    (void)flags;
    return api_EventRecord(event, stream);
}

API(EventQuery, struct event *event) {
    PROHIBITED_IN_CAPTURES();
    return check_event(event);
}

API(EventSynchronize, struct event *event) {
    CUresult rc = check_event(event);
    if (rc)
        return rc;
    PROHIBITED_IN_CAPTURES();
    pools_synchronise(event->device);
    return CUDA_SUCCESS;
}

API(EventElapsedTime, float *milliseconds, struct event *start, struct event *end) {
    CUresult rc = check_event(start) ? check_event(start) : check_event(end);
    if (rc || !milliseconds)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    if (!start->time || !end->time || (start->flags | end->flags) & 2)
        return CUDA_ERROR_INVALID_HANDLE;
    *milliseconds = (float)((double)(int64_t)(end->time - start->time) / 1e6);
    return CUDA_SUCCESS;
}
