/* SPDX-License-Identifier: Apache-2.0 */
/* Captures, for those who must know whether what they do is captured. */
#ifndef RUNAI_CAPTURE_H
#define RUNAI_CAPTURE_H

#include "process.h"

bool capture_asks(CUstream stream);

/* Is the stream captured? Asked only while some stream is. */
static inline bool capture_of(CUstream stream) {
    return UNLIKELY(atomic_load_explicit(&process()->pools.captures, memory_order_relaxed) != 0) &&
           capture_asks(stream);
}

/* The default stream, where it is each thread's own. */
static inline CUstream per_thread(CUstream stream) {
    return stream ? stream : CU_STREAM_PER_THREAD;
}

#endif
