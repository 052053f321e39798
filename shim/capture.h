/* SPDX-License-Identifier: Apache-2.0 */
/* Stream captures, for calls that must know whether they are captured. */
#ifndef RUNAI_CAPTURE_H
#define RUNAI_CAPTURE_H

#include "process.h"

bool capture_asks(CUstream stream);

/* Is the stream captured? The driver is asked only while at least one stream is. */
static inline bool capture_of(CUstream stream) {
    return UNLIKELY(atomic_load_explicit(&process()->pools.captures, memory_order_relaxed) != 0) &&
           capture_asks(stream);
}

/* The stream of a _ptsz function, where the default stream is the thread's own. */
static inline CUstream per_thread(CUstream stream) {
    return stream ? stream : CU_STREAM_PER_THREAD;
}

#endif
