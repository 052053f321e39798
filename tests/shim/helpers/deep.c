/* SPDX-License-Identifier: Apache-2.0 */
/* A library to be opened with RTLD_DEEPBIND, or in a namespace of its own: linked to the driver (if DIRECT), and with
   lookups of its own. Each way of allocating returns what the driver, or the shim, returns. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

#define PUBLIC __attribute__((visibility("default")))
int runai_test_name(void);
int runai_test_needed_lookup(unsigned long bytes);
int deep_name(void);
int deep_lookup(unsigned long bytes);
int deep_needed(unsigned long bytes);
int deep_direct(unsigned long bytes);
int deep_by_pointer(unsigned long bytes);
int deep_default(unsigned long bytes);

PUBLIC int deep_name(void) {
    return runai_test_name();
}

typedef int allocate(unsigned long long *pointer, unsigned long bytes);

PUBLIC int deep_needed(unsigned long bytes) {
    return runai_test_needed_lookup(bytes);
}

PUBLIC int deep_lookup(unsigned long bytes) {
    unsigned long long pointer;
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW), *context;
    if (!cuda || ((int (*)(unsigned))dlsym(cuda, "cuInit"))(0) != 0 ||
        ((int (*)(void **, int))dlsym(cuda, "cuDevicePrimaryCtxRetain"))(&context, 0) != 0 ||
        ((int (*)(void *))dlsym(cuda, "cuCtxSetCurrent"))(context) != 0)
        return -1;
    return ((allocate *)dlsym(cuda, "cuMemAlloc_v2"))(&pointer, bytes);
}

#ifdef DIRECT
void *deep_bound(unsigned long what);
int cuInit(unsigned flags);
int cuDevicePrimaryCtxRetain(void **context, int device);
int cuCtxSetCurrent(void *context);
allocate cuMemAlloc_v2;

static allocate *volatile pointer_in_data = cuMemAlloc_v2;

static int begin(void) {
    void *context;
    return cuInit(0) || cuDevicePrimaryCtxRetain(&context, 0) || cuCtxSetCurrent(context);
}

PUBLIC int deep_direct(unsigned long bytes) {
    unsigned long long pointer;
    return begin() ? -1 : cuMemAlloc_v2(&pointer, bytes);
}

PUBLIC int deep_by_pointer(unsigned long bytes) {
    unsigned long long pointer;
    return begin() ? -1 : pointer_in_data(&pointer, bytes);
}

/* What the loader, or the shim after it, wrote into this library: into its data, and into its GOT. */
PUBLIC void *deep_bound(unsigned long what) {
    return what == 0 ? (void *)pointer_in_data : what == 1 ? (void *)cuMemAlloc_v2 : (void *)dlsym;
}

/* From here RTLD_DEFAULT finds the driver, which this library needs. */
PUBLIC int deep_default(unsigned long bytes) {
    unsigned long long pointer;
    allocate *found = (allocate *)dlsym(RTLD_DEFAULT, "cuMemAlloc_v2");
    return begin() || !found ? -1 : found(&pointer, bytes);
}
#endif
