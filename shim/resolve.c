/* SPDX-License-Identifier: Apache-2.0 */
/* The routes by which programs reach the driver: dlsym and dlvsym (dlsym_*.S ask here), cuGetProcAddress, and direct
   links, which need no code. A name that is not in hooks.def, or that an object other than a driver defines, is
   answered by the real function as without the shim. A process may have several drivers: the functions of the first are
   the hooks themselves, those of the others are entries that say which driver is meant. open.c handles libraries that
   bypass the shim. Left alone on purpose: cuGetExportTable and nvmlInternalGetExportTable (private tables, no
   allocation known by them). */
#define _GNU_SOURCE
#include "elf.h"
#include "hooks.h"
#include "route.h"

#include <dlfcn.h>

EXPORT void *dlsym(void *handle, const char *name);
EXPORT void *dlvsym(void *handle, const char *name, const char *version);
EXPORT void *dlopen(const char *path, int flags);
EXPORT void *dlmopen(Lmid_t namespace, const char *path, int flags);

struct hook {
    const char *name;
    void *function;
    size_t real; /* its place in the table of real functions */
    enum library library;
};

#define HOOK(library, name, presence, since, area, returns, parameters)                                                \
    {#name, (void *)name, offsetof(struct real_functions, name), LIBRARY_##library},
#define CALL(library, name, returns, parameters)
extern const struct hook resolve_hooks[] __attribute__((visibility("hidden")));
const struct hook resolve_hooks[] = {
#include "hooks.def"
};
#undef HOOK
enum { HOOKS = sizeof resolve_hooks / sizeof *resolve_hooks, INDEX = 512 };
_Static_assert(HOOKS * 2 < INDEX, "the index by name needs room");

/* By the driver's number, then by the hook's; what entry_*.S assumes. */
enum { ENTRY_SIZE = 16 };
extern char entries[] __attribute__((visibility("hidden")));
_Static_assert(REAL_DRIVERS - LIBRARIES == 14 && LIBRARIES == 2, "entries: .rept 14, from number 2 on");
_Static_assert(sizeof(struct hook) == 32 && offsetof(struct hook, function) == 8, "entries: shl $5, 8(...)");
#define NTH(one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, more, n, ...) n
#define COPIED(...) NTH(__VA_ARGS__, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, )
#define HOOK(library, name, presence, since, area, returns, parameters)                                                \
    _Static_assert(COPIED parameters, "entries: " #name " has more arguments than are copied");
#include "hooks.def"
#undef HOOK
#undef CALL

static _Atomic uint16_t by_name[INDEX]; /* 1 + position in hooks; early threads all store the same */
static _Atomic bool by_name_complete;   /* release after the last store */

/* Not strcmp: see elf.c. */
static bool equal(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static unsigned hash(const char *name) {
    unsigned h = 2166136261u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return h ^ h >> 15;
}

static void index_names(void) {
    for (unsigned i = 0; i < HOOKS; i++) {
        unsigned at = hash(resolve_hooks[i].name) % INDEX;
        while (atomic_load(&by_name[at]) != 0 && atomic_load(&by_name[at]) != i + 1)
            at = (at + 1) % INDEX;
        atomic_store(&by_name[at], (uint16_t)(i + 1));
    }
    atomic_store_explicit(&by_name_complete, true, memory_order_release);
}

static const struct hook *hook_named(const char *name) {
    if (!atomic_load_explicit(&by_name_complete, memory_order_acquire))
        index_names();
    for (unsigned at = hash(name) % INDEX;; at = (at + 1) % INDEX) {
        unsigned found = atomic_load_explicit(&by_name[at], memory_order_relaxed);
        if (found == 0)
            return NULL;
        if (equal(resolve_hooks[found - 1].name, name))
            return &resolve_hooks[found - 1];
    }
}

static CUresult refused(void) {
    report_refusal("too many drivers are loaded at once", "load fewer copies of libcuda.so and libnvidia-ml.so");
    return CUDA_ERROR_NOT_PERMITTED;
}

static nvmlReturn_t refused_by_nvml(void) {
    refused();
    return NVML_ERROR_NO_PERMISSION;
}

static void *entry(const struct hook *hook, int driver) {
    if (LIKELY(driver < LIBRARIES))
        return hook->function;
    if (driver == REAL_TOO_MANY)
        return hook->library == LIBRARY_cuda ? (void *)refused : (void *)refused_by_nvml;
    return entries + ((driver - LIBRARIES) * HOOKS + (hook - resolve_hooks)) * ENTRY_SIZE;
}

static void *real_of(const struct hook *hook) {
    void *function = *(void **)((char *)real(hook->library) + hook->real);
    return real_has(function) ? function : NULL;
}

/* What the program gets for a function that the loader found. */
static void *hooked(const struct hook *hook, void *found) {
    int driver = found ? real_driver_of(found, hook->library) : REAL_NONE;
    return driver == REAL_NONE ? found : entry(hook, driver);
}

/* The only cost for names that are not hooked. */
static bool may_be_ours(const char *name) {
    return name && ((name[0] == 'c' && name[1] == 'u') || (name[0] == 'n' && name[1] == 'v') ||
                    (name[0] == 'd' && name[1] == 'l'));
}

static struct {
    const char *name;
    _Atomic(void *) real; /* idempotent stores */
} loader[LOADERS] = {
#define X(name) {#name, NULL},
    ROUTE_LOADER(X)
#undef X
};
static void *const loader_hooks[LOADERS_HOOKED] = {dlsym, dlvsym, dlopen, dlmopen};

void *route_loader(enum loader function) {
    void *real = atomic_load_explicit(&loader[function].real, memory_order_relaxed);
    if (UNLIKELY(!real)) {
        real = real_loader_function(loader[function].name);
        atomic_store_explicit(&loader[function].real, real, memory_order_relaxed);
    }
    return real;
}

/* Asks the real function from here: with RTLD_NEXT it searches the objects after us. */
static void *ask(void *handle, const char *name, const char *version) {
    if (version)
        return ((void *(*)(void *, const char *, const char *))route_loader(LOADER_dlvsym))(handle, name, version);
    return ((void *(*)(void *, const char *))route_loader(LOADER_dlsym))(handle, name);
}

/* Asks in the dependencies of the object that contains the address. */
static void *ask_around(const void *caller, const char *name, const char *version) {
    void *handle = open_object_of(caller), *found = handle ? ask(handle, name, version) : NULL;
    if (handle)
        ((int (*)(void *))route_loader(LOADER_dlclose))(handle);
    return found;
}

/* The loader's own functions, looked up by name. An interposer loaded before the shim that looks up the next one with a
   glibc version would bypass the shim, whose functions have no version. */
static struct answer lookup_loader_function(void *handle, const char *name, const char *version, const void *caller,
                                            struct answer passthrough) {
    unsigned i = 0;
    while (i < LOADERS_HOOKED && !equal(loader[i].name, name))
        i++;
    if (i == LOADERS_HOOKED)
        return passthrough;
    void *ours = loader_hooks[i];
    if (version && handle == RTLD_NEXT && elf_comes_before(caller, ours) && ask(handle, name, version))
        return (struct answer){ours, 1};
    if (handle == RTLD_NEXT || handle == RTLD_DEFAULT)
        return passthrough;
    void *found = ask(handle, name, version);
    bool foreign = found && atomic_load(&open_namespaces) && real_is_libc(found);
    return (struct answer){found && (found == route_loader(i) || foreign) ? ours : found, 1};
}

static struct answer lookup(void *handle, const char *name, const char *version, const void *caller,
                            struct answer passthrough) {
    if (inside_driver)
        return passthrough;
    if (name[0] == 'd')
        return lookup_loader_function(handle, name, version, caller, passthrough);
    const struct hook *hook = hook_named(name);
    if (!hook)
        return passthrough;
    bool next = handle == RTLD_NEXT; /* to the caller, whose scope may differ from the shim's */
    void *found = ask(handle == RTLD_DEFAULT ? RTLD_NEXT : handle, name, version);
    if (found == hook->function)
        found = ask(RTLD_NEXT, name, version); /* the scope contains the shim: what would it find without it? */
    if (!found && (handle == RTLD_DEFAULT || next))
        found = ask_around(caller, name, version);
    void *ours = hooked(hook, found);
    if (next && ours == found)
        return real_of(hook) ? (struct answer){hook->function, 1} : passthrough;
    return (struct answer){ours, 1};
}

struct answer route_dlsym(void *handle, const char *name, const void *unused, const void *caller) {
    (void)unused;
    struct answer passthrough = {route_loader(LOADER_dlsym), 0};
    if (UNLIKELY(!passthrough.value))
        return (struct answer){NULL, 1};
    return may_be_ours(name) ? lookup(handle, name, NULL, caller, passthrough) : passthrough;
}

struct answer route_dlvsym(void *handle, const char *name, const char *version, const void *caller) {
    struct answer passthrough = {route_loader(LOADER_dlvsym), 0};
    if (UNLIKELY(!passthrough.value))
        return (struct answer){NULL, 1};
    return may_be_ours(name) && version ? lookup(handle, name, version, caller, passthrough) : passthrough;
}

/* References: bindings of hooks, then of the loader's functions. */
_Static_assert(HOOKS + LOADERS_OF_ERRORS <= sizeof(struct bindings) / sizeof(struct binding), "bindings need room");

void route_bindings(struct bindings *bindings, void *handle, bool foreign) {
    bool wanted[] = {foreign || real_is_loaded(LIBRARY_cuda), foreign || real_is_loaded(LIBRARY_nvml)};
    *bindings = (struct bindings){0};
    for (unsigned i = 0; i < HOOKS; i++) {
        const struct hook *hook = &resolve_hooks[i];
        if (!wanted[hook->library])
            continue;
        void *found = ask(handle, hook->name, NULL);
        bindings->of[i] = (struct binding){found, hooked(hook, found)};
    }
    /* With dlerror and dlclose, for one error state: a C library of its own would keep another. */
    for (unsigned i = 0; i < (foreign ? LOADERS_OF_ERRORS : LOADERS_HOOKED); i++) {
        void *found = ask(handle, loader[i].name, NULL), *real = route_loader(i);
        bool genuine = found && (foreign ? real_is_libc(found) : found == real);
        bindings->of[HOOKS + i] = (struct binding){found, !genuine             ? found
                                                          : i < LOADERS_HOOKED ? loader_hooks[i]
                                                                               : real};
    }
}

const struct binding *route_binding(const struct bindings *bindings, const char *name) {
    if (!may_be_ours(name))
        return NULL;
    for (unsigned i = 0; name[0] == 'd' && i < LOADERS_OF_ERRORS; i++)
        if (equal(loader[i].name, name))
            return &bindings->of[HOOKS + i];
    const struct hook *hook = hook_named(name);
    return hook ? &bindings->of[hook - resolve_hooks] : NULL;
}

/* Is `hooked` the wanted name, or that with a version or stream suffix? */
static bool same_function(const char *hooked, const char *wanted) {
    while (*wanted && *hooked == *wanted)
        hooked++, wanted++;
    return *wanted == '\0' && (*hooked == '\0' || *hooked == '_');
}

/* The driver chose the version: its pointer says which. If two names have one address, the wanted name decides. */
static void *hook_of_real(void *function, const char *wanted) {
    int driver = real_driver(LIBRARY_cuda);
    const char *table = (const char *)real_functions_of(driver);
    void *other = NULL;
    for (unsigned i = 0; i < HOOKS; i++) {
        const struct hook *hook = &resolve_hooks[i];
        if (hook->library != LIBRARY_cuda || *(void *const *)(table + hook->real) != function)
            continue;
        if (same_function(hook->name, wanted))
            return entry(hook, driver);
        other = entry(hook, driver);
    }
    return other ? other : function;
}

CUresult cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags) {
    CUresult result = CUDA->cuGetProcAddress(symbol, function, version, flags);
    if (result == CUDA_SUCCESS && symbol && function && *function && !inside_driver)
        *function = hook_of_real(*function, symbol);
    return result;
}

CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status) {
    CUresult result = CUDA->cuGetProcAddress_v2(symbol, function, version, flags, status);
    if (result == CUDA_SUCCESS && symbol && function && *function && !inside_driver)
        *function = hook_of_real(*function, symbol);
    return result;
}
