/* SPDX-License-Identifier: Apache-2.0 */
/* A driver of which every call fails, as the CUDA toolkit ships one to link with. */
#ifndef ANSWER
#define ANSWER 34 /* CUDA_ERROR_STUB_LIBRARY */
#endif

#define HOOK(library, name, ...) STUB_##library(name)
#define CALL(library, name, ...) STUB_##library(name)
#define STUB_cuda(name)                                                                                                \
    int name(void);                                                                                                    \
    __attribute__((visibility("default"))) int name(void) {                                                            \
        return ANSWER;                                                                                                 \
    }
#define STUB_nvml(name)
#include "../../../shim/hooks.def"
