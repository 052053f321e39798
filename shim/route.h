/* SPDX-License-Identifier: Apache-2.0 */
/* What the routes to the driver share: the loader's own functions, and what a library's references should lead to. */
#ifndef RUNAI_ROUTE_H
#define RUNAI_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

/* For dlsym_*.S. */
struct answer {
    void *value;
    uintptr_t final; /* 0: value is the real function, to continue in */
};
struct answer route_dlsym(void *handle, const char *name, const void *unused, const void *caller);
struct answer route_dlvsym(void *handle, const char *name, const char *version, const void *caller);
struct answer route_dlopen(const char *path, int flags, const void *unused, const void *caller);
struct answer route_dlmopen(long namespace, const char *path, int flags, const void *caller);

/* The loader's functions: the hooked ones, those with the error state, and others. */
#define ROUTE_LOADER(X) X(dlsym) X(dlvsym) X(dlopen) X(dlmopen) X(dlerror) X(dlclose) X(dladdr1) X(dlinfo)
#define X(name) LOADER_##name,
enum loader { ROUTE_LOADER(X) LOADERS, LOADERS_HOOKED = LOADER_dlmopen + 1, LOADERS_OF_ERRORS = LOADER_dlclose + 1 };
#undef X
/* The real one; NULL where there is none. */
void *route_loader(enum loader function);

/* What a name resolves to in the scope of a library, and what it should resolve to. */
struct binding {
    void *found, *ours;
};
struct bindings {
    struct binding of[256];
};
/* `foreign`: the library lies in another namespace, with a C library of its own. */
void route_bindings(struct bindings *bindings, void *handle, bool foreign);
/* NULL for names that are not hooked. */
const struct binding *route_binding(const struct bindings *bindings, const char *name);

/* What is loaded under this name in the namespace of the root, held open; NULL: nothing is. */
void *open_loaded(struct link_map *root, const char *name);
void close_again(void *handle);
/* Makes the references of a library and of its dependencies lead where they should. False if one could not be
   changed. */
bool mend(void *handle, const struct bindings *bindings);

/* The object that contains an address, in whichever namespace: as a handle that must be closed, whose scope is its
   dependencies. NULL for the program. */
void *open_object_of(const void *address);
/* Are there namespaces other than the program's? */
extern _Atomic bool open_namespaces __attribute__((visibility("hidden")));

#endif
