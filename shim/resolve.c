/* The routes by which programs reach the driver: dlsym and dlvsym (dlsym_*.S ask here), cuGetProcAddress, and direct
   links, which need no code. A name that is not in hooks.def, or that an object other than a driver defines, is
   answered by the real function as if we were not there. A process may have several drivers: the functions of the first
   are the hooks themselves, those of the others are entries that say which driver is meant. Left alone on purpose:
   cuGetExportTable and nvmlInternalGetExportTable (private tables, no allocation known by them), and dlmopen namespaces
   other than the program's. */
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
    say_refused("too many drivers are loaded at once", "load fewer copies of libcuda.so and libnvidia-ml.so");
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
    bool next = handle == RTLD_NEXT; /* to the caller, who may not see what we see */
    void *found = ask(handle == RTLD_DEFAULT ? RTLD_NEXT : handle, name, version);
    if (found == hook->function)
        found = ask(RTLD_NEXT, name, version); /* the scope holds us: what would it find without us? */
    void *ours = hooked(hook, found);
    if (next && ours == found)
        return real_of(hook) ? (struct answer){hook->function, 1} : go_on;
    return (struct answer){ours, 1};
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
