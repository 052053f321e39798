/* SPDX-License-Identifier: Apache-2.0 */
/* The same of NVML. Each call takes as long as RUNAI_STUB_WAIT_MS says. */
#include <stdlib.h>
#include <unistd.h>

static int answer(void) {
    const char *ms = getenv("RUNAI_STUB_WAIT_MS");
    if (ms)
        usleep((unsigned)atoi(ms) * 1000);
    return 9; /* NVML_ERROR_DRIVER_NOT_LOADED */
}

#define HOOK(library, name, ...) STUB_##library(name)
#define CALL(library, name, ...) STUB_##library(name)
#define STUB_nvml(name)                                                                                                \
    int name(void);                                                                                                    \
    __attribute__((visibility("default"))) int name(void) {                                                            \
        return answer();                                                                                               \
    }
#define STUB_cuda(name)
#include "../../../shim/hooks.def"
