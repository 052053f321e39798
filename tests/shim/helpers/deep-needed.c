/* SPDX-License-Identifier: Apache-2.0 */
/* A dependency of deep.c: it has a function of a name that the program has too, and looks the driver up by itself. */
#include <dlfcn.h>

#define PUBLIC __attribute__((visibility("default")))
int runai_test_name(void);
int runai_test_needed_lookup(unsigned long bytes);

PUBLIC int runai_test_name(void) {
    return 2;
}

PUBLIC int runai_test_needed_lookup(unsigned long bytes) {
    unsigned long long pointer;
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW), *context;
    if (!cuda || ((int (*)(unsigned))dlsym(cuda, "cuInit"))(0) != 0 ||
        ((int (*)(void **, int))dlsym(cuda, "cuDevicePrimaryCtxRetain"))(&context, 0) != 0 ||
        ((int (*)(void *))dlsym(cuda, "cuCtxSetCurrent"))(context) != 0)
        return -1;
    return ((int (*)(unsigned long long *, unsigned long))dlsym(cuda, "cuMemAlloc_v2"))(&pointer, bytes);
}
