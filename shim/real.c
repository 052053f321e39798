/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the drivers' libraries among the loaded objects and fills their tables of real functions. No dlsym, no
   constructor, no lock but elf_hold, under which drivers get their numbers and tables are filled.

   Until a driver has started, the program may close it and open another in its place: then a table is good only while
   nothing was unloaded since it was filled. */
#define _GNU_SOURCE
#include "real.h"
#include "elf.h"
#include "route.h"

#include <dlfcn.h>

static CUresult missing_in_cuda(void) {
    return CUDA_ERROR_NOT_SUPPORTED;
}

static nvmlReturn_t missing_in_nvml(void) {
    return NVML_ERROR_FUNCTION_NOT_FOUND;
}

#define MISSING_cuda (void *)missing_in_cuda
#define MISSING_nvml (void *)missing_in_nvml

#define HOOK(library, name, presence, since, area, returns, parameters) .name = MISSING_##library,
#define CALL(library, name, returns, parameters) .name = MISSING_##library,
struct real_functions real_table = {
/* stored by every early thread with the same values, before real_settled is set */
#include "hooks.def"
};
static const struct real_functions no_functions = {
#include "hooks.def"
};
#undef HOOK
#undef CALL
static struct real_functions more_tables[REAL_DRIVERS - LIBRARIES]; /* as real_table */

HOT _Atomic bool real_settled[LIBRARIES]; /* release, after the table */
__thread unsigned char real_chosen[LIBRARIES] __attribute__((tls_model("initial-exec")));

/* Stored under elf_hold; read by all. */
static struct driver {
    _Atomic uintptr_t owner;         /* its dynamic section, which no other object has, and the library in bit 0 */
    _Atomic bool kept;               /* it has started, and stays */
    _Atomic(ElfW(Addr)) first, last; /* its addresses */
    _Atomic uint64_t seen;           /* 1 + elf_unloads() when the table was last right; release, after all others */
} drivers[REAL_DRIVERS];
static _Atomic uintptr_t eldest[LIBRARIES]; /* owner of the one that started first; set once */

static const struct {
    enum library library;
    const char *name;
    size_t offset;
} functions[] = {
#define HOOK(library, name, presence, since, area, returns, parameters)                                                \
    {LIBRARY_##library, #name, offsetof(struct real_functions, name)},
#define CALL(library, name, returns, parameters) {LIBRARY_##library, #name, offsetof(struct real_functions, name)},
#include "hooks.def"
#undef HOOK
#undef CALL
};

static const char *const files[LIBRARIES][2] = {{"libcuda.so", NULL}, {"libnvidia-ml.so", NULL}};
static const char *const libc_files[] = {"libc.so", "libc-2.", "ld-musl", "libc.musl", NULL};
static const char *const libdl_files[] = {"libdl.so", "libdl-2.", NULL};

bool real_has(const void *function) {
    return function != MISSING_cuda && function != MISSING_nvml;
}

void *real_loader_function(const char *name) {
    struct elf_object object;
    void *function = NULL;
    if (elf_find_from_start(&object, libc_files))
        function = elf_function(&object, name);
    if (!function && elf_find_from_start(&object, libdl_files))
        function = elf_function(&object, name);
    return function;
}

bool real_is_system(const struct elf_object *object) {
    static const char *const loader_files[] = {"ld-linux", "ld64.so", "ld-2.", NULL};
    return elf_named(object, files[LIBRARY_cuda]) || elf_named(object, files[LIBRARY_nvml]) ||
           elf_named(object, libc_files) || elf_named(object, libdl_files) || elf_named(object, loader_files);
}

static struct link_map *map_of(const void *address) {
    int (*addr)(const void *, Dl_info *, void **, int) = real_loader_function("dladdr1");
    Dl_info info;
    void *map = NULL;
    return addr && addr(address, &info, &map, RTLD_DL_LINKMAP) ? map : NULL;
}

bool real_is_libc(const void *function) {
    struct link_map *map = map_of(function);
    struct elf_object object;
    return map && elf_of_map(&object, map) && (elf_named(&object, libc_files) || elf_named(&object, libdl_files));
}

bool real_is_loaded(enum library library) {
    struct elf_object object;
    return elf_find(&object, files[library], 0);
}

static void *open_library(const char *path, int flags) {
    void *(*open)(const char *, int) = real_loader_function("dlopen");
    if (!open)
        open = real_loader_function("__libc_dlopen_mode"); /* a program without libdl, before glibc 2.34 */
    inside_driver++;
    void *opened = open ? open(path, flags) : NULL;
    inside_driver--;
    return opened;
}

static void close_library(void *opened) {
    int (*close)(void *) = real_loader_function("dlclose");
    if (!close)
        close = real_loader_function("__libc_dlclose");
    inside_driver++;
    if (close)
        close(opened);
    inside_driver--;
}

/* Numbers and tables. */

static struct real_functions *table_of(int driver) {
    return driver < LIBRARIES ? &real_table : &more_tables[driver - LIBRARIES];
}

static void fill(int number, const struct elf_object *object, enum library library) {
    struct driver *driver = &drivers[number];
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (functions[i].library != library)
            continue;
        void *function = elf_function(object, functions[i].name);
        if (!function)
            function = library == LIBRARY_cuda ? MISSING_cuda : MISSING_nvml;
        __atomic_store_n((void **)((char *)table_of(number) + functions[i].offset), function, __ATOMIC_RELAXED);
    }
    atomic_store_explicit(&driver->first, object->first, memory_order_relaxed);
    atomic_store_explicit(&driver->last, object->last, memory_order_relaxed);
    atomic_store_explicit(&driver->seen, 1 + elf_unloads(), memory_order_release);
}

static uintptr_t owner_of(const struct elf_object *object, enum library library) {
    return (uintptr_t)object->dynamic | library;
}

/* The object that a driver's place is for, if it is still there. */
static bool find_again(uintptr_t owner, struct elf_object *object) {
    enum library library = owner & 1;
    return elf_containing(object, (const void *)(owner - library)) && owner_of(object, library) == owner &&
           elf_named(object, files[library]);
}

static bool is_known(int number) {
    struct driver *driver = &drivers[number];
    if (atomic_load_explicit(&driver->kept, memory_order_acquire))
        return true;
    uint64_t seen = atomic_load_explicit(&driver->seen, memory_order_acquire);
    return seen && seen == 1 + elf_unloads();
}

/* Functions of this form are called under elf_hold. */
static void held_look_again(void *data) {
    int *number = data; /* or REAL_NONE when it is gone */
    uintptr_t owner = atomic_load(&drivers[*number].owner);
    struct elf_object object;
    if (is_known(*number))
        return;
    if (owner && find_again(owner, &object))
        fill(*number, &object, owner & 1); /* another may have come to lie where it was */
    else
        *number = REAL_NONE;
}

/* Is it there, with its table as it should be? */
static bool is_there(int number) {
    if (!atomic_load(&drivers[number].owner))
        return false;
    if (!is_known(number))
        elf_hold(held_look_again, &number);
    return number != REAL_NONE;
}

static bool is_kept(uintptr_t owner) {
    for (int i = 0; i < REAL_DRIVERS; i++)
        if (atomic_load(&drivers[i].owner) == owner && atomic_load(&drivers[i].kept))
            return true;
    return false;
}

static void take(int number, const struct elf_object *object, enum library library) {
    struct driver *driver = &drivers[number];
    uintptr_t owner = owner_of(object, library);
    bool kept = is_kept(owner); /* under another number */
    atomic_store(&driver->seen, 0);
    atomic_store(&driver->owner, owner);
    fill(number, object, library);
    atomic_store_explicit(&driver->kept, kept, memory_order_release);
}

struct wanted {
    enum library library;
    const void *function;     /* NULL: the first driver */
    struct link_map *foreign; /* its object, where that is in another namespace */
    int number;
};

/* The first in the order of loading: what direct links are bound to without us, too. */
static void held_first(void *data) {
    struct wanted *wanted = data;
    struct elf_object object;
    wanted->number = (int)wanted->library;
    if (is_there((int)wanted->library))
        return;
    if (elf_find(&object, files[wanted->library], 0))
        take((int)wanted->library, &object, wanted->library);
    else
        wanted->number = REAL_NONE;
}

static int first_driver(enum library library) {
    struct wanted wanted = {library, NULL, NULL, (int)library};
    if (!is_known((int)library))
        elf_hold(held_first, &wanted);
    return wanted.number;
}

static int number_with(uintptr_t owner) {
    for (int i = 0; i < REAL_DRIVERS; i++)
        if (atomic_load(&drivers[i].owner) == owner && is_there(i))
            return i;
    return REAL_NONE;
}

static void held_number(void *data) {
    struct wanted *wanted = data;
    enum library library = wanted->library;
    struct elf_object object;
    if (wanted->foreign ? !elf_of_map(&object, wanted->foreign) : !elf_containing(&object, wanted->function))
        return;
    if (!elf_named(&object, files[library]))
        return;
    first_driver(library);
    wanted->number = number_with(owner_of(&object, library));
    for (int i = LIBRARIES; wanted->number == REAL_NONE && i < REAL_DRIVERS; i++) {
        if (is_there(i))
            continue;
        take(i, &object, library);
        if (wanted->foreign)
            atomic_store(&drivers[i].kept, true);
        atomic_store(&real_settled[library], false);
        wanted->number = i;
    }
    if (wanted->number == REAL_NONE)
        wanted->number = REAL_TOO_MANY;
}

/* A driver in another namespace is kept at once, since there is no sign when it is unloaded. */
static struct link_map *keep_foreign(const void *function) {
    struct link_map *map = map_of(function);
    struct elf_object object;
    if (!map || !elf_of_map(&object, map) ||
        (!elf_named(&object, files[LIBRARY_cuda]) && !elf_named(&object, files[LIBRARY_nvml])))
        return NULL;
    open_object_of(function);
    return map;
}

static bool lies_in(int number, enum library library, ElfW(Addr) at) {
    struct driver *driver = &drivers[number];
    return (atomic_load(&driver->owner) & 1) == library && at >= atomic_load(&driver->first) &&
           at < atomic_load(&driver->last);
}

int real_driver_of(const void *function, enum library library) {
    struct wanted wanted = {library, function, NULL, REAL_NONE};
    ElfW(Addr) at = (ElfW(Addr))function;
    for (int i = 0; i < REAL_DRIVERS; i++)
        if (lies_in(i, library, at) && is_there(i) && lies_in(i, library, at))
            return i;
    elf_hold(held_number, &wanted);
    if (wanted.number == REAL_NONE && atomic_load(&open_namespaces) && (wanted.foreign = keep_foreign(function)))
        elf_hold(held_number, &wanted);
    return wanted.number;
}

int real_driver(enum library library) {
    return real_chosen[library] ? real_chosen[library] : first_driver(library);
}

const struct real_functions *real_functions_of(int driver) {
    return driver >= 0 && driver < REAL_DRIVERS ? table_of(driver) : &no_functions;
}

const struct real_functions *real_unsettled(enum library library) {
    unsigned chosen = real_chosen[library];
    if (!chosen)
        return real_functions_of(first_driver(library));
    return is_there((int)chosen) ? table_of((int)chosen) : &no_functions;
}

/* Drivers that have started. */

static bool has_another(enum library library) {
    for (int i = LIBRARIES; i < REAL_DRIVERS; i++)
        if ((atomic_load(&drivers[i].owner) & 1) == library && is_there(i))
            return true;
    return false;
}

static unsigned count_kept(enum library library) {
    unsigned count = 0;
    for (int i = 0; i < REAL_DRIVERS; i++) {
        uintptr_t owner = atomic_load(&drivers[i].owner);
        bool again = i >= LIBRARIES && owner == atomic_load(&drivers[library].owner);
        count += owner && (owner & 1) == library && !again && atomic_load(&drivers[i].kept);
    }
    return count;
}

static void held_keep(void *data) {
    for (int i = 0; i < REAL_DRIVERS; i++)
        if (atomic_load(&drivers[i].owner) == *(uintptr_t *)data && is_there(i))
            atomic_store_explicit(&drivers[i].kept, true, memory_order_release);
}

/* A driver that is looked for, and the loader's text of its path, which is good only while nothing is unloaded. */
struct sought {
    uintptr_t owner; /* 0: the one of the library, after so many */
    enum library library;
    unsigned skip;
    char path[4096]; /* empty: there is none */
};

static void held_seek(void *data) {
    struct sought *sought = data;
    struct elf_object object;
    size_t length = 0;
    sought->path[0] = '\0';
    if (sought->owner ? !find_again(sought->owner, &object) : !elf_find(&object, files[sought->library], sought->skip))
        return;
    while (object.path[length])
        length++;
    if (length < sizeof sought->path)
        __builtin_memcpy(sought->path, object.path, length + 1);
}

/* Open, so that no other thread closes it meanwhile. NULL: it has gone. */
static struct link_map *open_sought(struct sought *sought, int flags) {
    elf_hold(held_seek, sought);
    return sought->path[0] ? open_library(sought->path, RTLD_LAZY | RTLD_NOLOAD | flags) : NULL;
}

static void keep(uintptr_t owner) {
    struct sought sought = {.owner = owner};
    struct link_map *map = open_sought(&sought, RTLD_NODELETE);
    if (map)
        elf_hold(held_keep, &owner);
}

unsigned real_started(enum library library) {
    int number = real_driver(library);
    if (number == REAL_NONE)
        return 0;
    struct driver *driver = &drivers[number];
    uintptr_t owner = atomic_load(&driver->owner), none = 0;
    if (!atomic_load(&driver->kept))
        keep(owner);
    atomic_compare_exchange_strong(&eldest[library], &none, owner);
    if (!atomic_load(&real_settled[library]) && atomic_load(&drivers[library].kept) && !has_another(library)) {
        atomic_store_explicit(&real_settled[library], true, memory_order_release);
        if (has_another(library)) /* in the meantime */
            atomic_store(&real_settled[library], false);
    }
    return count_kept(library);
}

bool real_is_eldest(enum library library) {
    uintptr_t owner = atomic_load(&eldest[library]);
    int number = real_driver(library);
    return number == REAL_NONE || owner == 0 || atomic_load(&drivers[number].owner) == owner;
}

/* The shim's own NVML: one that the program has, else the loader's, else the one beside the CUDA driver that works (a
   stub bears the same SONAME, so that the loader would give that again). */

static bool starts(int number) {
    if (number == REAL_TOO_MANY || number == REAL_NONE)
        return false;
    unsigned char before = real_choose(LIBRARY_nvml, number < LIBRARIES ? 0 : (unsigned)number);
    bool good = INSIDE(NVML->nvmlInit_v2()) == NVML_SUCCESS;
    if (good)
        real_started(LIBRARY_nvml);
    real_choose(LIBRARY_nvml, before);
    return good;
}

/* All that are tried, held open until the end: the program may close any, while it is called or counted. */
struct tries {
    struct link_map *open[REAL_DRIVERS + LIBRARIES];
    unsigned count;
};

/* Tries an NVML, unless the loader returned one that was tried before. */
static int start_opened(struct tries *tries, struct link_map *map) {
    bool again = false;
    for (unsigned i = 0; i < tries->count; i++)
        again |= tries->open[i] == map;
    tries->open[tries->count++] = map;
    int number = map && !again ? real_driver_of(map->l_ld, LIBRARY_nvml) : REAL_NONE;
    return starts(number) ? number : REAL_NONE;
}

static int start_loaded(struct tries *tries) {
    int number = REAL_NONE;
    for (unsigned n = 0; number == REAL_NONE && n < REAL_DRIVERS; n++) {
        struct sought sought = {.library = LIBRARY_nvml, .skip = n};
        struct link_map *map = open_sought(&sought, 0);
        if (!sought.path[0])
            break;
        number = start_opened(tries, map);
    }
    return number;
}

#define NVML_FILE "libnvidia-ml.so.1"

static bool beside_the_driver(char *path, size_t size) {
    struct elf_object object;
    uintptr_t owner = atomic_load(&eldest[LIBRARY_cuda]);
    size_t length = 0, folder = 0;
    if (!owner || !find_again(owner, &object))
        return false;
    for (; object.path[length]; length++)
        if (object.path[length] == '/')
            folder = length + 1;
    if (folder == 0 || folder + sizeof NVML_FILE > size)
        return false;
    __builtin_memcpy(path, object.path, folder);
    __builtin_memcpy(path + folder, NVML_FILE, sizeof NVML_FILE);
    return true;
}

int real_start_nvml(void) {
    char path[4096];
    struct tries tries = {.count = 0};
    int number = start_loaded(&tries);
    if (number == REAL_NONE)
        number = start_opened(&tries, open_library(NVML_FILE, RTLD_LAZY));
    if (number == REAL_NONE && beside_the_driver(path, sizeof path))
        number = start_opened(&tries, open_library(path, RTLD_LAZY));
    for (unsigned i = 0; i + (number != REAL_NONE) < tries.count; i++) /* what has started, the last, stays */
        if (tries.open[i])
            close_library(tries.open[i]);
    return number;
}
