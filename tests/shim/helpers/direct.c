/* SPDX-License-Identifier: Apache-2.0 */
/* Linked to libcuda.so.1: the loader itself binds it. */
#include <stdio.h>

int cuInit(unsigned flags);
int cuDevicePrimaryCtxRetain(void **context, int device);
int cuCtxSetCurrent(void *context);
int cuMemAlloc_v2(unsigned long long *pointer, unsigned long size);
int cuMemGetInfo_v2(unsigned long *free_bytes, unsigned long *total);

int main(void) {
    void *context;
    unsigned long long pointer;
    unsigned long free_bytes, total;
    if (cuInit(0) || cuDevicePrimaryCtxRetain(&context, 0) || cuCtxSetCurrent(context) ||
        cuMemGetInfo_v2(&free_bytes, &total))
        return 1;
    if (total != 1ul << 30 || cuMemAlloc_v2(&pointer, 100ul << 20) != 0 || cuMemAlloc_v2(&pointer, 1ul << 30) != 2) {
        fprintf(stderr, "total %lu\n", total);
        return 2;
    }
    return 0;
}
