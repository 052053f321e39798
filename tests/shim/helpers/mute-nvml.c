/* SPDX-License-Identifier: Apache-2.0 */
/* An NVML whose start fails after MUTE_NVML_MS, and which counts the attempts and their ends. */
#include <stdlib.h>
#include <unistd.h>

int nvmlInit_v2(void);
int mute_nvml_asked(void);
int mute_nvml_answered(void);

static int asked, answered;

__attribute__((visibility("default"))) int nvmlInit_v2(void) {
    const char *ms = getenv("MUTE_NVML_MS");
    __atomic_add_fetch(&asked, 1, __ATOMIC_SEQ_CST);
    if (ms)
        usleep((unsigned)atoi(ms) * 1000);
    __atomic_add_fetch(&answered, 1, __ATOMIC_SEQ_CST);
    return 999; /* NVML_ERROR_UNKNOWN */
}

__attribute__((visibility("default"))) int mute_nvml_asked(void) {
    return __atomic_load_n(&asked, __ATOMIC_SEQ_CST);
}

__attribute__((visibility("default"))) int mute_nvml_answered(void) {
    return __atomic_load_n(&answered, __ATOMIC_SEQ_CST);
}
