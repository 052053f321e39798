/* SPDX-License-Identifier: Apache-2.0 */
/* dlopen with RTLD_DEEPBIND, and namespaces (dlmopen): the library is opened as the program wants it, then its
   references that bypass the shim are changed. All other calls continue in the real function with their return address
   untouched.

   For a library opened from here, the loader takes the shim for the caller. That matters for $ORIGIN, and for a name
   without a slash in the caller's RPATH or RUNPATH: these are resolved beforehand. The library's constructors have run
   when dlopen returns: what they looked up or called without the shim stays as it is. */
#define _GNU_SOURCE
#include "base.h"
#include "elf.h"
#include "real.h"
#include "route.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Atomic bool open_namespaces; /* never taken back */

static struct link_map *map_of(const void *address) {
    int (*addr)(const void *, Dl_info *, void **, int) = route_loader(LOADER_dladdr1);
    Dl_info info;
    void *map = NULL;
    return addr && addr(address, &info, &map, RTLD_DL_LINKMAP) ? map : NULL;
}

static int ask_about(void *handle, int request, void *answer) {
    int (*info)(void *, int, void *) = route_loader(LOADER_dlinfo);
    return info ? info(handle, request, answer) : -1;
}

static Lmid_t namespace_of(struct link_map *map) {
    Lmid_t namespace = LM_ID_BASE;
    return map && ask_about(map, RTLD_DI_LMID, &namespace) == 0 ? namespace : LM_ID_BASE;
}

static void *open_in(Lmid_t namespace, const char *path, int flags) {
    void *(*open)(const char *, int) = route_loader(LOADER_dlopen);
    void *(*open_there)(Lmid_t, const char *, int) = route_loader(LOADER_dlmopen);
    if (namespace == LM_ID_BASE)
        return open ? open(path, flags) : NULL;
    return open_there ? open_there(namespace, path, flags) : NULL;
}

void close_again(void *handle) {
    int (*close)(void *) = route_loader(LOADER_dlclose);
    if (handle && close)
        close(handle);
}

static void forget_error(void) {
    char *(*error)(void) = route_loader(LOADER_dlerror);
    if (error)
        error();
}

void *open_loaded(struct link_map *root, const char *name) {
    void *handle = open_in(namespace_of(root), name, RTLD_LAZY | RTLD_NOLOAD);
    if (!handle)
        forget_error();
    return handle;
}

void *open_object_of(const void *address) {
    struct link_map *map = map_of(address);
    return map && map->l_name && *map->l_name ? open_in(namespace_of(map), map->l_name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
}

/* The caller matters: its own folder, and the folders that it names for libraries. */

static bool put_origin(char *full, size_t size, const char *path, struct link_map *asker) {
    size_t n = strncmp(path, "${ORIGIN}", 9) == 0 ? 9 : strncmp(path, "$ORIGIN", 7) == 0 ? 7 : 0;
    char *slash = asker && asker->l_name ? strrchr(asker->l_name, '/') : NULL;
    if (n == 0 || !slash)
        return false;
    return (size_t)snprintf(full, size, "%.*s%s", (int)(slash - asker->l_name), asker->l_name, path + n) < size;
}

static Dl_serinfo *folders_of(struct link_map *map) {
    Dl_serinfo size, *folders;
    if (!map || ask_about(map, RTLD_DI_SERINFOSIZE, &size) != 0)
        return NULL;
    folders = mmap(NULL, size.dls_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (folders == MAP_FAILED)
        return NULL;
    folders->dls_size = size.dls_size;
    folders->dls_cnt = size.dls_cnt;
    if (ask_about(map, RTLD_DI_SERINFO, folders) == 0)
        return folders;
    munmap(folders, size.dls_size);
    return NULL;
}

static bool is_among(const Dl_serinfo *folders, const char *folder) {
    for (unsigned i = 0; i < folders->dls_cnt; i++)
        if (strcmp(folders->dls_serpath[i].dls_name, folder) == 0)
            return true;
    return false;
}

/* Searches the caller's folders that are not the shim's as well: glibc does not say which setting a folder comes
   from. */
static void *open_in_folders(Lmid_t namespace, const Dl_serinfo *theirs, const Dl_serinfo *ours, const char *name,
                             int flags) {
    char full[PATH_MAX];
    for (unsigned i = 0; i < theirs->dls_cnt; i++) {
        const char *folder = theirs->dls_serpath[i].dls_name;
        if ((size_t)snprintf(full, sizeof full, "%s/%s", folder, name) >= sizeof full || access(full, F_OK) != 0)
            continue;
        if (is_among(ours, folder))
            return NULL; /* the loader finds it from here, too */
        void *handle = open_in(namespace, full, flags);
        if (handle)
            return handle;
    }
    return NULL;
}

static void *open_by_runpath(Lmid_t namespace, const char *name, int flags, struct link_map *asker) {
    Dl_serinfo *theirs = folders_of(asker), *ours = folders_of(map_of(&open_namespaces));
    void *handle = theirs && ours ? open_in_folders(namespace, theirs, ours, name, flags) : NULL;
    if (theirs)
        munmap(theirs, theirs->dls_size);
    if (ours)
        munmap(ours, ours->dls_size);
    return handle;
}

static void *open_for(Lmid_t namespace, const char *path, int flags, struct link_map *asker) {
    char full[PATH_MAX];
    if (put_origin(full, sizeof full, path, asker))
        return open_in(namespace, full, flags);
    void *handle = NULL;
    if (!strchr(path, '/')) {
        if (namespace != LM_ID_NEWLM)
            handle = open_in(namespace, path, flags | RTLD_NOLOAD);
        if (!handle)
            handle = open_by_runpath(namespace, path, flags, asker);
    }
    return handle ? handle : open_in(namespace, path, flags);
}

static bool mend_loaded(void *handle, bool foreign) {
    struct bindings bindings;
    route_bindings(&bindings, handle, foreign);
    forget_error();
    return mend(handle, &bindings);
}

/* Changes all its dependencies, not only those loaded with it: another thread may have loaded one and not changed it
   yet. */
static void *open_mended(Lmid_t namespace, const char *path, int flags, struct link_map *asker) {
    bool foreign = namespace != LM_ID_BASE, good = true;
    void *handle = open_for(namespace, path, flags, asker);
    if (foreign && handle)
        atomic_store(&open_namespaces, true);
    if (handle)
        good = mend_loaded(handle, foreign);
    if (good)
        return handle;
    close_again(handle);
    if (!foreign) {
        diagnose("%s is opened without RTLD_DEEPBIND: its references cannot be changed", path);
        return open_for(namespace, path, flags & ~RTLD_DEEPBIND, asker);
    }
    report_refusal("a library in a namespace of its own cannot be limited", "open it with dlopen");
    return open_in(LM_ID_BASE, "/not-in-a-namespace-of-its-own", RTLD_LAZY); /* NULL, for dlerror to say something */
}

struct answer route_dlopen(const char *path, int flags, const void *unused, const void *caller) {
    (void)unused;
    struct answer passthrough = {route_loader(LOADER_dlopen), 0};
    Lmid_t namespace = LM_ID_BASE;
    if (UNLIKELY(!passthrough.value))
        return (struct answer){NULL, 1};
    if (LIKELY(!(flags & RTLD_DEEPBIND) && !atomic_load_explicit(&open_namespaces, memory_order_relaxed)) ||
        inside_driver || !path || !*path)
        return passthrough;
    if (atomic_load(&open_namespaces))
    namespace = namespace_of(map_of(caller));
    if (namespace == LM_ID_BASE && !(flags & RTLD_DEEPBIND))
        return passthrough;
    return (struct answer){open_mended(namespace, path, flags, map_of(caller)), 1};
}

struct answer route_dlmopen(long namespace, const char *path, int flags, const void *caller) {
    struct answer passthrough = {route_loader(LOADER_dlmopen), 0};
    if (UNLIKELY(!passthrough.value))
        return (struct answer){NULL, 1};
    if (inside_driver || !path || !*path || (namespace == LM_ID_BASE && !(flags & RTLD_DEEPBIND)))
        return passthrough;
    return (struct answer){open_mended(namespace, path, flags, map_of(caller)), 1};
}
