/* The driver's own functions, found in its libraries' symbol tables. A function that a driver lacks stands for "not
   supported", so a hook can always call through. */
#ifndef RUNAI_REAL_H
#define RUNAI_REAL_H

#include "base.h"
#include "cuda_api.h"
#include "nvml_api.h"

enum library { LIBRARY_cuda, LIBRARY_nvml };

struct real_functions {
#define HOOK(library, name, presence, since, area, returns, parameters) returns(*name) parameters;
#define CALL(library, name, returns, parameters) returns(*name) parameters;
#include "hooks.def"
#undef HOOK
#undef CALL
};

extern struct real_functions real_table __attribute__((visibility("hidden")));
extern _Atomic bool real_loaded[2] __attribute__((visibility("hidden")));

/* True once the library is in the process and its functions are in the table. */
bool real_load(enum library library);
/* For the dynamic loader's own functions: dlsym, dlvsym, dlopen. NULL where there is none. */
void *real_loader_function(const char *name);
/* Opens libnvidia-ml where the program has not. */
bool real_open_nvml(void);

static inline const struct real_functions *real(enum library library) {
    if (UNLIKELY(!atomic_load_explicit(&real_loaded[library], memory_order_acquire)))
        real_load(library);
    return &real_table;
}

bool real_has(const void *function);
#define CUDA (real(LIBRARY_cuda))
#define NVML (real(LIBRARY_nvml))

/* An own call that a capture under way may prohibit: in this thread's view, or beside another thread's in mode global.
   Such a call would fail and invalidate the capture, though the program did nothing that is prohibited. */
#define BESIDE_CAPTURES(call)                                                                                          \
    ({                                                                                                                 \
        int capture_mode = CU_STREAM_CAPTURE_MODE_RELAXED;                                                             \
        bool exchanged = INSIDE(CUDA->cuThreadExchangeStreamCaptureMode(&capture_mode)) == CUDA_SUCCESS;               \
        __auto_type beside_result = INSIDE(call);                                                                      \
        if (exchanged)                                                                                                 \
            INSIDE(CUDA->cuThreadExchangeStreamCaptureMode(&capture_mode));                                            \
        beside_result;                                                                                                 \
    })

#endif
