/* SPDX-License-Identifier: Apache-2.0 */
/* Opens libraries by names that only this library can resolve: it has a RUNPATH. */
#include <dlfcn.h>

void *runai_test_open(const char *name, int flags);
__attribute__((visibility("default"))) void *runai_test_open(const char *name, int flags) {
    void *volatile opened = dlopen(name, flags);
    return opened;
}
