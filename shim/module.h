/* SPDX-License-Identifier: Apache-2.0 */
/* The loading of modules and libraries, for those by whose calls it happens too. */
#ifndef RUNAI_MODULE_H
#define RUNAI_MODULE_H

#include "account.h"

struct loading {
    struct device *device; /* NULL: nothing to account for */
    uint64_t bytes;        /* of globals, reserved */
    uint64_t library;      /* whose they are; 0: a module's */
    size_t free_before;    /* of the GPU; 0: no matter */
    struct reservation reservation;
};

/* Before a call that makes a library's kernel run; false when its globals do not fit. The end passes the result on. */
bool loading_begin_kernel(struct loading *loading, const void *kernel);
CUresult loading_end(struct loading *loading, CUresult result);

#endif
