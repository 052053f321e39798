/* SPDX-License-Identifier: Apache-2.0 */
/* A library whose constructor uses the GPU, as some frameworks' do. */
#include <dlfcn.h>

__attribute__((visibility("default"))) int runai_test_early_refused = -1;
__attribute__((visibility("default"))) int runai_test_early_allocated = -1;

__attribute__((constructor)) static void early(void) {
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW), *context;
    unsigned long long pointer;
    if (!cuda)
        return;
    ((int (*)(unsigned))dlsym(cuda, "cuInit"))(0);
    ((int (*)(void **, int))dlsym(cuda, "cuDevicePrimaryCtxRetain"))(&context, 0);
    ((int (*)(void *))dlsym(cuda, "cuCtxSetCurrent"))(context);
    int (*allocate)(unsigned long long *, unsigned long) =
        (int (*)(unsigned long long *, unsigned long))dlsym(cuda, "cuMemAlloc_v2");
    runai_test_early_allocated = allocate(&pointer, 100ul << 20);
    runai_test_early_refused = allocate(&pointer, 2000ul << 20);
}
