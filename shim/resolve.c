/* The routes by which programs reach the driver: dlsym and dlvsym (dlsym_*.S ask here), cuGetProcAddress, and direct
   links, which need no code. A name that is not in hooks.def, or that an object other than the driver defines, is
   answered by the real function as if we were not there. Left alone on purpose: cuGetExportTable and
   nvmlInternalGetExportTable (private tables, no allocation known by them), and dlmopen namespaces other than the
   program's. */
#define _GNU_SOURCE
#include "elf.h"
#include "hooks.h"

#include <dlfcn.h>

EXPORT void *dlsym(void *handle, const char *name);
EXPORT void *dlvsym(void *handle, const char *name, const char *version);

struct answer {
    void *value;
    uintptr_t final; /* 0: value is the real function, to go on there */
};
struct answer resolve_dlsym(void *handle, const char *name);
struct answer resolve_dlvsym(void *handle, const char *name, const char *version, const void *caller);

struct hook {
    const char *name;
    void *function;
    size_t real; /* its place in the table of real functions */
    enum library library;
};

static const struct hook hooks[] = {
#define HOOK(library, name, presence, since, area, returns, parameters)                                                \
    {#name, (void *)name, offsetof(struct real_functions, name), LIBRARY_##library},
#define CALL(library, name, returns, parameters)
#include "hooks.def"
#undef HOOK
#undef CALL
};
enum { HOOKS = sizeof hooks / sizeof *hooks, INDEX = 512 };
_Static_assert(HOOKS * 2 < INDEX, "the index by name needs room");

static _Atomic uint16_t by_name[INDEX]; /* 1 + position in hooks; every thread that comes early stores the same */
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
        unsigned at = hash(hooks[i].name) % INDEX;
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
        if (equal(hooks[found - 1].name, name))
            return &hooks[found - 1];
    }
}

static void *real_of(const struct hook *hook) {
    void *function = *(void **)((char *)real(hook->library) + hook->real);
    return real_has(function) ? function : NULL;
}

/* All that a foreign name costs. */
static bool may_be_ours(const char *name) {
    return name && ((name[0] == 'c' && name[1] == 'u') || (name[0] == 'n' && name[1] == 'v') ||
                    (name[0] == 'd' && name[1] == 'l'));
}

static _Atomic(void *) real_dlsym;  /* idempotent stores */
static _Atomic(void *) real_dlvsym; /* idempotent stores */

static void *loader(_Atomic(void *) *place, const char *name) {
    void *function = atomic_load_explicit(place, memory_order_relaxed);
    if (UNLIKELY(!function)) {
        function = real_loader_function(name);
        atomic_store_explicit(place, function, memory_order_relaxed);
    }
    return function;
}

/* Asks the real function from here: with RTLD_NEXT it searches the objects after us. */
static void *ask(void *handle, const char *name, const char *version) {
    if (version)
        return ((void *(*)(void *, const char *, const char *))loader(&real_dlvsym, "dlvsym"))(handle, name, version);
    return ((void *(*)(void *, const char *))loader(&real_dlsym, "dlsym"))(handle, name);
}

/* The loader's own functions, asked for by name. An interposer in front of us that asks for the next one in a version
   of glibc's would pass us by, since ours have none. */
static struct answer loaders(void *handle, const char *name, const char *version, const void *caller,
                             struct answer go_on) {
    void *ours = equal(name, "dlsym") ? (void *)dlsym : equal(name, "dlvsym") ? (void *)dlvsym : NULL;
    if (ours && version && handle == RTLD_NEXT && elf_comes_before(caller, ours) && ask(handle, name, version))
        return (struct answer){ours, 1};
    if (!ours || handle == RTLD_NEXT || handle == RTLD_DEFAULT)
        return go_on;
    void *found = ask(handle, name, version);
    return (struct answer){found && found == loader(name[2] == 's' ? &real_dlsym : &real_dlvsym, name) ? ours : found,
                           1};
}

static struct answer lookup(void *handle, const char *name, const char *version, const void *caller,
                            struct answer go_on) {
    if (inside_driver)
        return go_on;
    if (name[0] == 'd')
        return loaders(handle, name, version, caller, go_on);
    const struct hook *hook = hook_named(name);
    if (!hook)
        return go_on;
    if (handle == RTLD_NEXT)
        return real_of(hook) ? (struct answer){hook->function, 1} : go_on;
    void *found = ask(handle == RTLD_DEFAULT ? RTLD_NEXT : handle, name, version);
    if (found == hook->function)
        found = ask(RTLD_NEXT, name, version); /* the scope holds us: what would it find without us? */
    if (found && found == real_of(hook))
        found = hook->function;
    return (struct answer){found, 1};
}

struct answer resolve_dlsym(void *handle, const char *name) {
    struct answer go_on = {loader(&real_dlsym, "dlsym"), 0};
    if (UNLIKELY(!go_on.value))
        return (struct answer){NULL, 1};
    return may_be_ours(name) ? lookup(handle, name, NULL, NULL, go_on) : go_on;
}

struct answer resolve_dlvsym(void *handle, const char *name, const char *version, const void *caller) {
    struct answer go_on = {loader(&real_dlvsym, "dlvsym"), 0};
    if (UNLIKELY(!go_on.value))
        return (struct answer){NULL, 1};
    return may_be_ours(name) && version ? lookup(handle, name, version, caller, go_on) : go_on;
}

/* Is `hooked` the wanted name, or that with a version or stream suffix? */
static bool same_function(const char *hooked, const char *wanted) {
    while (*wanted && *hooked == *wanted)
        hooked++, wanted++;
    return *wanted == '\0' && (*hooked == '\0' || *hooked == '_');
}

/* The driver chose the version: its pointer says which. Where it gives two names one address, the wanted name decides.
 */
static void *hook_of_real(void *function, const char *wanted) {
    void *other = NULL;
    for (unsigned i = 0; i < HOOKS; i++) {
        if (hooks[i].library != LIBRARY_cuda || *(void **)((char *)&real_table + hooks[i].real) != function)
            continue;
        if (same_function(hooks[i].name, wanted))
            return hooks[i].function;
        other = hooks[i].function;
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
