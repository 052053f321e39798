/* SPDX-License-Identifier: Apache-2.0 */
/* The drivers' own functions, found in their libraries' symbol tables. A process can have several drivers (a stub of a
   toolkit beside the real one): each has a table of its own. A function that a driver lacks stands for "not supported",
   so a hook can always call through. */
#ifndef RUNAI_REAL_H
#define RUNAI_REAL_H

#include "base.h"
#include "cuda_api.h"
#include "nvml_api.h"

enum library { LIBRARY_cuda, LIBRARY_nvml, LIBRARIES };

struct elf_object;

struct real_functions {
#define HOOK(library, name, presence, since, area, returns, parameters) returns(*name) parameters;
#define CALL(library, name, returns, parameters) returns(*name) parameters;
#include "hooks.def"
#undef HOOK
#undef CALL
};

/* Drivers by number. The first ones, numbered as their libraries, are what direct links mean: they are called by the
   hooks themselves. The functions of the others are entries (entry_*.S), which note the number and continue in the
   hook. REAL_TOO_MANY is that of all drivers for which there is no number left. */
enum { REAL_DRIVERS = 16, REAL_TOO_MANY = REAL_DRIVERS, REAL_NONE = -1 };

/* The table of the first drivers. */
extern struct real_functions real_table __attribute__((visibility("hidden")));
/* The first driver has started, so that it stays, and there is no other. */
extern _Atomic bool real_settled[LIBRARIES] __attribute__((visibility("hidden")));
/* The number of the driver that this thread's call is for; 0: the first. Set by entries, and by real_choose. */
extern __thread unsigned char real_chosen[LIBRARIES] __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The driver in which a function lies; REAL_NONE when that is not one. */
int real_driver_of(const void *function, enum library library);
/* The driver that a call now goes to; REAL_NONE when there is none. */
int real_driver(enum library library);
const struct real_functions *real_functions_of(int driver);
/* The same, after checking that the driver is still there. */
const struct real_functions *real_unsettled(enum library library);
/* The driver of this call has started: it is kept in the process, also when the program closes it. Returns how many of
   the library's have. */
unsigned real_started(enum library library);
/* Is it the one that started first? */
bool real_is_eldest(enum library library);
/* For the dynamic loader's own functions: dlsym, dlvsym, dlopen. NULL where there is none. */
void *real_loader_function(const char *name);
/* Is it a driver, the C library or the loader: nothing whose references are changed? */
bool real_is_system(const struct elf_object *object);
/* Is there a driver of the library in the program's namespace? */
bool real_is_loaded(enum library library);
/* Does the function lie in a C library, of whichever namespace? */
bool real_is_libc(const void *function);
/* An NVML for the shim itself, started by it: its number, or REAL_NONE. */
int real_start_nvml(void);

static inline bool real_is_alone(enum library library) {
    return LIKELY(atomic_load_explicit(&real_settled[library], memory_order_acquire));
}

static inline const struct real_functions *real(enum library library) {
    return real_is_alone(library) ? &real_table : real_unsettled(library);
}

/* Directs this thread's calls to another driver; returns the one to restore. */
static inline unsigned char real_choose(enum library library, unsigned driver) {
    unsigned char before = real_chosen[library];
    real_chosen[library] = (unsigned char)driver;
    return before;
}

bool real_has(const void *function);
#define CUDA (real(LIBRARY_cuda))
#define NVML (real(LIBRARY_nvml))

/* Makes a call of the shim's own that a capture may prohibit: one of this thread, or one of another thread in global
   mode. Otherwise the call would fail and invalidate the capture, although the program did nothing prohibited. */
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
