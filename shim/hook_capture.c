/* SPDX-License-Identifier: Apache-2.0 */
/* Captures are counted from begin to end, so that an allocation asks whether its stream is captured only while at least
   one stream is. Left alone on purpose: what is captured, and streams that join a capture by an event. */
#include "capture.h"
#include "hooks.h"

bool capture_asks(CUstream stream) {
    int status = CU_STREAM_CAPTURE_STATUS_NONE;
    return INSIDE(CUDA->cuStreamIsCapturing(stream, &status)) == CUDA_SUCCESS &&
           status != CU_STREAM_CAPTURE_STATUS_NONE;
}

static _Atomic unsigned *captures(void) {
    return &process()->pools.captures;
}

/* Counted before the capture begins: another thread's allocation in the same stream must not pass for an ordinary
   one. */
#define BEGIN_CAPTURE_AND_RETURN(real_call)                                                                            \
    if (inside_driver)                                                                                                 \
        return real_call;                                                                                              \
    atomic_fetch_add(captures(), 1);                                                                                   \
    CUresult result = real_call;                                                                                       \
    if (result != CUDA_SUCCESS)                                                                                        \
        atomic_fetch_sub(captures(), 1);                                                                               \
    return result

CUresult cuStreamBeginCapture(CUstream stream) {
    BEGIN_CAPTURE_AND_RETURN(CUDA->cuStreamBeginCapture(stream));
}

CUresult cuStreamBeginCapture_ptsz(CUstream stream) {
    BEGIN_CAPTURE_AND_RETURN(CUDA->cuStreamBeginCapture_ptsz(stream));
}

CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
    BEGIN_CAPTURE_AND_RETURN(CUDA->cuStreamBeginCapture_v2(stream, mode));
}

CUresult cuStreamBeginCapture_v2_ptsz(CUstream stream, int mode) {
    BEGIN_CAPTURE_AND_RETURN(CUDA->cuStreamBeginCapture_v2_ptsz(stream, mode));
}

CUresult cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph, void *const *depends, const void *edges,
                                     size_t count, int mode) {
    BEGIN_CAPTURE_AND_RETURN(CUDA->cuStreamBeginCaptureToGraph(stream, graph, depends, edges, count, mode));
}

CUresult cuStreamBeginCaptureToGraph_ptsz(CUstream stream, CUgraph graph, void *const *depends, const void *edges,
                                          size_t count, int mode) {
    BEGIN_CAPTURE_AND_RETURN(CUDA->cuStreamBeginCaptureToGraph_ptsz(stream, graph, depends, edges, count, mode));
}

/* A failed capture ends as well, unless this stream or thread may not end it: then nothing changes. A capture whose
   stream is destroyed stays counted, which costs each allocation one query. */
#define END_CAPTURE_AND_RETURN(is_capturing, real_call)                                                                \
    int before = CU_STREAM_CAPTURE_STATUS_NONE, after = CU_STREAM_CAPTURE_STATUS_NONE;                                 \
    if (inside_driver || INSIDE(CUDA->is_capturing(stream, &before)) != CUDA_SUCCESS)                                  \
        return real_call;                                                                                              \
    CUresult result = real_call;                                                                                       \
    if (before != CU_STREAM_CAPTURE_STATUS_NONE && INSIDE(CUDA->is_capturing(stream, &after)) == CUDA_SUCCESS &&       \
        after == CU_STREAM_CAPTURE_STATUS_NONE)                                                                        \
        atomic_fetch_sub(captures(), 1);                                                                               \
    return result

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    END_CAPTURE_AND_RETURN(cuStreamIsCapturing, CUDA->cuStreamEndCapture(stream, graph));
}

CUresult cuStreamEndCapture_ptsz(CUstream stream, CUgraph *graph) {
    END_CAPTURE_AND_RETURN(cuStreamIsCapturing_ptsz, CUDA->cuStreamEndCapture_ptsz(stream, graph));
}
