/* Finds the driver's libraries among the loaded objects and fills the table of real functions. No dlsym, no
   constructor, no lock: every thread that comes early stores the same addresses. */
#define _GNU_SOURCE
#include "real.h"
#include "elf.h"

#include <dlfcn.h>

static CUresult missing_in_cuda(void) {
    return CUDA_ERROR_NOT_SUPPORTED;
}

static nvmlReturn_t missing_in_nvml(void) {
    return NVML_ERROR_FUNCTION_NOT_FOUND;
}

#define MISSING_cuda (void *)missing_in_cuda
#define MISSING_nvml (void *)missing_in_nvml

struct real_functions real_table = {
/* stored once by every early thread with the same values, before real_loaded is set */
#define HOOK(library, name, presence, since, area, returns, parameters) .name = MISSING_##library,
#define CALL(library, name, returns, parameters) .name = MISSING_##library,
#include "hooks.def"
#undef HOOK
#undef CALL
};
BUSY _Atomic bool real_loaded[2]; /* set by release store after the table */

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

static const char *const cuda_files[] = {"libcuda.so", NULL};
static const char *const nvml_files[] = {"libnvidia-ml.so", NULL};
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

static void *open_library(const char *path, int flags) {
    void *(*open)(const char *, int) = real_loader_function("dlopen");
    if (!open)
        open = real_loader_function("__libc_dlopen_mode"); /* a program without libdl, before glibc 2.34 */
    return open ? open(path, flags) : NULL;
}

bool real_load(enum library library) {
    struct elf_object object;
    if (atomic_load_explicit(&real_loaded[library], memory_order_acquire))
        return true;
    if (!elf_find(&object, library == LIBRARY_cuda ? cuda_files : nvml_files))
        return false;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (functions[i].library != library)
            continue;
        void *function = elf_function(&object, functions[i].name);
        if (function)
            __atomic_store_n((void **)((char *)&real_table + functions[i].offset), function, __ATOMIC_RELAXED);
    }
    /* The addresses must stay good: keep the library in the process even if the program closes it. */
    inside_driver++;
    open_library(object.path, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    inside_driver--;
    atomic_store_explicit(&real_loaded[library], true, memory_order_release);
    return true;
}

bool real_open_nvml(void) {
    if (real_load(LIBRARY_nvml))
        return true;
    inside_driver++;
    void *opened = open_library("libnvidia-ml.so.1", RTLD_LAZY);
    inside_driver--;
    return opened && real_load(LIBRARY_nvml);
}
