/* SPDX-License-Identifier: Apache-2.0 */
/* Loading of modules and libraries, for other calls that cause it. */
#ifndef RUNAI_MODULE_H
#define RUNAI_MODULE_H

#include "account.h"

struct loading {
    struct device *device; /* NULL: nothing to account for */
    uint64_t bytes;        /* of globals, reserved; where they do not fit, what was asked for */
    uint64_t library;      /* whose they are; 0: a module's */
    size_t free_before;    /* of the GPU; 0: not compared */
    struct reservation reservation;
};

/* Before a call that makes a library's kernel run; false if its globals do not fit. The end returns the call's
   result. */
bool loading_begin_kernel(struct loading *loading, const void *kernel);
CUresult loading_end(struct loading *loading, CUresult result);

#endif
