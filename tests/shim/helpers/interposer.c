/* SPDX-License-Identifier: Apache-2.0 */
/* A library with a dlsym of its own, as profilers and other tools preload: it counts its calls, and calls the next
   one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

#define PUBLIC __attribute__((visibility("default")))
PUBLIC extern int runai_test_lookups;
int runai_test_lookups;

PUBLIC void *dlsym(void *handle, const char *name) {
    static void *(*next)(void *, const char *); /* every thread stores the same */
    if (!next)
        next = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    if (!next)
        next = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.17");
    __atomic_fetch_add(&runai_test_lookups, 1, __ATOMIC_RELAXED);
    return next ? next(handle, name) : NULL;
}
