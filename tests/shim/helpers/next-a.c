/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded after the shim: an interposer that looks for the function it stands in for. */
#define _GNU_SOURCE
#include <dlfcn.h>

#define PUBLIC __attribute__((visibility("default")))
int runai_test_marker(void);
int runai_test_ask_next(void);
int runai_test_ask_next_version(void);

PUBLIC int runai_test_marker(void) {
    return 1;
}

/* The volatile keeps a call with its own frame: no tail jump that would hide the caller. */
PUBLIC int runai_test_ask_next(void) {
    int (*volatile next)(void) = (int (*)(void))dlsym(RTLD_NEXT, "runai_test_marker");
    return next ? next() : 2; /* nothing after this library in its scope */
}

PUBLIC int runai_test_ask_next_version(void) {
    void *volatile next = dlvsym(RTLD_NEXT, "memcpy", "GLIBC_2.14");
    if (!next)
        next = dlvsym(RTLD_NEXT, "memcpy", "GLIBC_2.17");
    return next != 0;
}
