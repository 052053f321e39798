/* SPDX-License-Identifier: Apache-2.0 */
/* Streams. Each takes some 0.55 MiB of the GPU, which the driver allocates in steps of 2 to 4 MiB and keeps for the
   next stream when one is destroyed (seen on an H200, 580.159). So memory is reserved only when more streams live than
   ever before. Left alone on purpose: events, textures and surfaces, which take nothing (10,000 of each, seen
   there). */
#include "account.h"
#include "device.h"
#include "hooks.h"
#include "refusals.h"

#define EACH (560 * KIB)
#define STEP (4 * MIB)

#define STREAM_CREATE_AND_RETURN(real_call)                                                                            \
    struct device *device = inside_driver ? NULL : device_current();                                                   \
    struct keeping keeping;                                                                                            \
    if (!device)                                                                                                       \
        return real_call;                                                                                              \
    if (!account_keep_begin(device, &device->streams, 1, EACH, STEP, &keeping))                                        \
        return refused(device, keeping.reservation.bytes);                                                             \
    CUresult result = INSIDE(real_call);                                                                               \
    account_keep_end(device, &keeping, result == CUDA_SUCCESS);                                                        \
    return result

CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
    STREAM_CREATE_AND_RETURN(CUDA->cuStreamCreate(stream, flags));
}

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority) {
    STREAM_CREATE_AND_RETURN(CUDA->cuStreamCreateWithPriority(stream, flags, priority));
}

CUresult cuGreenCtxStreamCreate(CUstream *stream, void *green, unsigned flags, int priority) {
    STREAM_CREATE_AND_RETURN(CUDA->cuGreenCtxStreamCreate(stream, green, flags, priority));
}
