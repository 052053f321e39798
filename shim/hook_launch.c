/* SPDX-License-Identifier: Apache-2.0 */
/* Launches. A kernel that needs more local memory than its context has makes the context grow, by gigabytes if a thread
   needs many kilobytes. The first launch of a library's kernel loads the library's globals. A launch that is known to
   take nothing costs one comparison. Left alone on purpose: the launch functions of the first CUDA versions (cuLaunch,
   cuLaunchGrid) and launches on several devices at once; what they take is measured. */
#include "capture.h"
#include "hooks.h"
#include "local.h"
#include "module.h"
#include "refusals.h"

/* Asks the driver what the launch takes. */
#define LAUNCH_SLOWLY_AND_RETURN(stream, real_call)                                                                    \
    struct local_growth growth;                                                                                        \
    struct loading loading;                                                                                            \
    if (!loading_begin_kernel(&loading, function))                                                                     \
        return refused(loading.device, loading.bytes);                                                                 \
    if (!local_launch_begin(&growth, function, stream))                                                                \
        return loading_end(&loading, CUDA_ERROR_OUT_OF_MEMORY);                                                        \
    CUresult result = INSIDE(real_call);                                                                               \
    local_launch_end(&growth, function, result == CUDA_SUCCESS);                                                       \
    return loading_end(&loading, result)

/* A tail call that leaves the arguments in place. Known functions are the first driver's (local.c). */
#define GO(name) (local_takes_nothing(function) ? real_table.name : slow_##name)

static CUresult slow_cuLaunchKernel(const void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                    unsigned by, unsigned bz, unsigned shared, CUstream stream, void **parameters,
                                    void **extra) {
    LAUNCH_SLOWLY_AND_RETURN(stream,
                             CUDA->cuLaunchKernel(function, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra));
}

CUresult cuLaunchKernel(const void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                        unsigned bz, unsigned shared, CUstream stream, void **parameters, void **extra) {
    return GO(cuLaunchKernel)(function, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra);
}

static CUresult slow_cuLaunchKernel_ptsz(const void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                         unsigned by, unsigned bz, unsigned shared, CUstream stream, void **parameters,
                                         void **extra) {
    LAUNCH_SLOWLY_AND_RETURN(per_thread(stream), CUDA->cuLaunchKernel_ptsz(function, gx, gy, gz, bx, by, bz, shared,
                                                                           stream, parameters, extra));
}

CUresult cuLaunchKernel_ptsz(const void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                             unsigned bz, unsigned shared, CUstream stream, void **parameters, void **extra) {
    return GO(cuLaunchKernel_ptsz)(function, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra);
}

static CUresult slow_cuLaunchKernelEx(const struct launch_config *config, const void *function, void **parameters,
                                      void **extra) {
    LAUNCH_SLOWLY_AND_RETURN(config ? config->stream : NULL,
                             CUDA->cuLaunchKernelEx(config, function, parameters, extra));
}

CUresult cuLaunchKernelEx(const struct launch_config *config, const void *function, void **parameters, void **extra) {
    return GO(cuLaunchKernelEx)(config, function, parameters, extra);
}

static CUresult slow_cuLaunchKernelEx_ptsz(const struct launch_config *config, const void *function, void **parameters,
                                           void **extra) {
    LAUNCH_SLOWLY_AND_RETURN(per_thread(config ? config->stream : NULL),
                             CUDA->cuLaunchKernelEx_ptsz(config, function, parameters, extra));
}

CUresult cuLaunchKernelEx_ptsz(const struct launch_config *config, const void *function, void **parameters,
                               void **extra) {
    return GO(cuLaunchKernelEx_ptsz)(config, function, parameters, extra);
}

static CUresult slow_cuLaunchCooperativeKernel(const void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                               unsigned by, unsigned bz, unsigned shared, CUstream stream,
                                               void **parameters) {
    LAUNCH_SLOWLY_AND_RETURN(
        stream, CUDA->cuLaunchCooperativeKernel(function, gx, gy, gz, bx, by, bz, shared, stream, parameters));
}

CUresult cuLaunchCooperativeKernel(const void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                   unsigned by, unsigned bz, unsigned shared, CUstream stream, void **parameters) {
    return GO(cuLaunchCooperativeKernel)(function, gx, gy, gz, bx, by, bz, shared, stream, parameters);
}

static CUresult slow_cuLaunchCooperativeKernel_ptsz(const void *function, unsigned gx, unsigned gy, unsigned gz,
                                                    unsigned bx, unsigned by, unsigned bz, unsigned shared,
                                                    CUstream stream, void **parameters) {
    LAUNCH_SLOWLY_AND_RETURN(per_thread(stream), CUDA->cuLaunchCooperativeKernel_ptsz(function, gx, gy, gz, bx, by, bz,
                                                                                      shared, stream, parameters));
}

CUresult cuLaunchCooperativeKernel_ptsz(const void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                        unsigned by, unsigned bz, unsigned shared, CUstream stream, void **parameters) {
    return GO(cuLaunchCooperativeKernel_ptsz)(function, gx, gy, gz, bx, by, bz, shared, stream, parameters);
}
