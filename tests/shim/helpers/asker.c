/* SPDX-License-Identifier: Apache-2.0 */
/* Opens libraries as it is asked to, by names that mean something to this library only: it has a RUNPATH. */
#include <dlfcn.h>

void *runai_test_open(const char *name, int flags);
__attribute__((visibility("default"))) void *runai_test_open(const char *name, int flags) {
    void *volatile opened = dlopen(name, flags);
    return opened;
}
