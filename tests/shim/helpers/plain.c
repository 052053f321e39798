/* SPDX-License-Identifier: Apache-2.0 */
/* A program that uses the GPU if there is a driver, built in several ways. */
#include <dlfcn.h>
#include <stdio.h>

int main(void) {
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW), *context;
    unsigned long long pointer;
    if (dlsym(RTLD_DEFAULT, "printf") == NULL || dlsym(RTLD_DEFAULT, "cuInit") != NULL)
        return 1;
    if (!cuda)
        return 0;
    if (((int (*)(unsigned))dlsym(cuda, "cuInit"))(0) != 0 ||
        ((int (*)(void **, int))dlsym(cuda, "cuDevicePrimaryCtxRetain"))(&context, 0) != 0 ||
        ((int (*)(void *))dlsym(cuda, "cuCtxSetCurrent"))(context) != 0)
        return 2;
    int (*allocate)(unsigned long long *, unsigned long) =
        (int (*)(unsigned long long *, unsigned long))dlsym(cuda, "cuMemAlloc_v2");
    return allocate(&pointer, 100ul << 20) == 0 && allocate(&pointer, 2000ul << 20) == 2 ? 0 : 3;
}
