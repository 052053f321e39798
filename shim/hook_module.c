/* SPDX-License-Identifier: Apache-2.0 */
/* Modules, libraries and lazily loaded kernels: code, constants and globals on the device. Only large globals can
   exceed a limit. A module takes them when it is loaded, a library at its first use, or when it is loaded with
   CUDA_MODULE_LOADING=EAGER; if they do not fit, the driver answers out of memory there (seen on an H200, 580.159). So
   the globals that an image declares are reserved beforehand. Compressed images declare nothing: what they took shows
   in the GPU's free memory afterwards, and a module that does not fit is unloaded. Until then it exceeds the limit by
   its size. The rest is measured before figures are shown, and before the next allocation if that is close to the
   limit. Left alone on purpose: the linker, which works on the host, and queries about what is loaded. */
#include "account.h"
#include "device.h"
#include "hooks.h"
#include "image.h"
#include "local.h"
#include "measure.h"
#include "refusals.h"

#include "module.h"
#include <sys/mman.h>

#define UNEXPECTED (32 * MIB) /* more than code and constants take */

static size_t physically_free(void) {
    size_t free_bytes = 0, total = 0;
    return INSIDE(CUDA->cuMemGetInfo_v2(&free_bytes, &total)) == CUDA_SUCCESS ? free_bytes : 0;
}

static bool begin(struct loading *l, uint64_t globals) {
    *l = (struct loading){.device = inside_driver ? NULL : device_current()};
    if (!l->device)
        return true;
    l->bytes = globals >= BLOCK ? round_up(globals, BLOCK) : 0;
    l->free_before = physically_free();
    return !l->bytes || account_reserve(l->device, l->bytes, &l->reservation);
}

/* Returns true if it took more than was reserved, and more than the limit allows: then `bytes` is what it took. */
static bool exceeds(struct loading *l) {
    size_t now = physically_free();
    if (!now || l->free_before < now || l->free_before - now <= l->bytes + UNEXPECTED)
        return false; /* also if others freed memory meanwhile: then the next measurement sees it */
    measure_now(l->device);
    l->bytes = l->free_before - now;
    struct account_view view = account_view(l->device);
    return view.used > view.limit;
}

static void settle(struct loading *l, CUresult result) {
    bool done = result == CUDA_SUCCESS;
    if (l->bytes)
        account_settle(l->device, &l->reservation, done ? l->bytes : 0);
    if (l->bytes && done)
        account_defer_to_measurement(l->device, l->bytes);
    if (done)
        measure_soon(l->device);
}

/* `undo` unloads what was loaded. */
#define LOAD_AND_RETURN(globals, real_call, undo)                                                                      \
    struct loading loading;                                                                                            \
    if (!begin(&loading, inside_driver ? 0 : globals))                                                                 \
        return refused(loading.device, loading.bytes);                                                                 \
    CUresult result = INSIDE(real_call);                                                                               \
    if (!loading.device)                                                                                               \
        return result;                                                                                                 \
    settle(&loading, result);                                                                                          \
    if (result != CUDA_SUCCESS || LIKELY(!exceeds(&loading)))                                                          \
        return result;                                                                                                 \
    undo;                                                                                                              \
    measure_now(loading.device);                                                                                       \
    return refused(loading.device, loading.bytes)

static void unload(CUmodule *module) {
    BESIDE_CAPTURES(CUDA->cuModuleUnload(*module));
    *module = NULL;
}

CUresult cuModuleLoad(CUmodule *module, const char *file) {
    LOAD_AND_RETURN(image_globals_of_file(file), CUDA->cuModuleLoad(module, file), unload(module));
}

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    LOAD_AND_RETURN(image_globals(image), CUDA->cuModuleLoadData(module, image), unload(module));
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned count, int *options, void **values) {
    LOAD_AND_RETURN(image_globals(image), CUDA->cuModuleLoadDataEx(module, image, count, options, values),
                    unload(module));
}

CUresult cuModuleLoadFatBinary(CUmodule *module, const void *image) {
    LOAD_AND_RETURN(image_globals(image), CUDA->cuModuleLoadFatBinary(module, image), unload(module));
}

static CUresult changed(CUresult result) {
    struct device *device = result == CUDA_SUCCESS && !inside_driver ? device_current() : NULL;
    if (device)
        measure_soon(device);
    return result;
}

CUresult cuModuleUnload(CUmodule module) {
    CUresult result = changed(INSIDE(CUDA->cuModuleUnload(module)));
    local_forget();
    return result;
}

CUresult cuModuleGetFunction(void **function, CUmodule module, const char *name) {
    return changed(INSIDE(CUDA->cuModuleGetFunction(function, module, name)));
}

CUresult cuModuleGetGlobal(CUdeviceptr_v1 *pointer, unsigned *size, CUmodule module, const char *name) {
    return changed(INSIDE(CUDA->cuModuleGetGlobal(pointer, size, module, name)));
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *pointer, size_t *size, CUmodule module, const char *name) {
    return changed(INSIDE(CUDA->cuModuleGetGlobal_v2(pointer, size, module, name)));
}

/* Libraries. Those with large globals that are not loaded yet have an entry in the table. */

static bool is_eager(void) {
    int mode = 0;
    return INSIDE(CUDA->cuModuleGetLoadingMode(&mode)) == CUDA_SUCCESS && mode == CU_MODULE_EAGER_LOADING;
}

static CUresult enter_library(CUresult result, void *const *library, uint64_t globals, const void *code) {
    struct entry entry = {.size = globals, .class = CLASS_LIBRARY};
    size_t size = 0;
    if (result != CUDA_SUCCESS || globals < BLOCK)
        return result;
    void *copy = code ? image_copy(code, &size) : NULL;
    if (copy && size > UINT32_MAX) {
        munmap(copy, size);
        copy = NULL;
    }
    entry.key = (uint64_t)(uintptr_t)*library;
    entry.extra = (uint64_t)(uintptr_t)copy;
    entry.refs = copy ? (uint32_t)size : 0;
    table_put(&process()->table, &entry);
    atomic_fetch_add(&process()->libraries, 1);
    return result;
}

static void forget_library(uint64_t library) {
    struct entry entry;
    if (!table_take(&process()->table, CLASS_LIBRARY, library, &entry))
        return;
    atomic_fetch_sub(&process()->libraries, 1);
    if (entry.extra)
        munmap((void *)(uintptr_t)entry.extra, entry.refs);
}

static void unload_library(void **library) {
    BESIDE_CAPTURES(CUDA->cuLibraryUnload(*library));
    *library = NULL;
}

#define LOAD_LIBRARY_AND_RETURN(globals_of_it, code, real_call)                                                        \
    if (inside_driver)                                                                                                 \
        return real_call;                                                                                              \
    uint64_t globals = globals_of_it;                                                                                  \
    if (!is_eager())                                                                                                   \
        return enter_library(INSIDE(real_call), library, globals, code);                                               \
    LOAD_AND_RETURN(globals, real_call, unload_library(library))

CUresult cuLibraryLoadData(void **library, const void *code, int *options, void **values, unsigned count,
                           int *library_options, void **library_values, unsigned library_count) {
    LOAD_LIBRARY_AND_RETURN(
        image_globals(code), code,
        CUDA->cuLibraryLoadData(library, code, options, values, count, library_options, library_values, library_count));
}

CUresult cuLibraryLoadFromFile(void **library, const char *file, int *options, void **values, unsigned count,
                               int *library_options, void **library_values, unsigned library_count) {
    LOAD_LIBRARY_AND_RETURN(image_globals_of_file(file), NULL,
                            CUDA->cuLibraryLoadFromFile(library, file, options, values, count, library_options,
                                                        library_values, library_count));
}

/* A library that the program uses cannot be unloaded, so a cubin is loaded as a module first, once for each library:
   what the driver takes for it counts, whatever its sections declare. */
static bool takes_what_it_says(struct entry *library) {
    CUmodule module;
    void *copy = (void *)(uintptr_t)library->extra;
    if (!copy)
        return true;
    size_t before = physically_free();
    if (BESIDE_CAPTURES(CUDA->cuModuleLoadData(&module, copy)) != CUDA_SUCCESS)
        return true; /* the driver will report the error */
    size_t after = physically_free();
    BESIDE_CAPTURES(CUDA->cuModuleUnload(module));
    uint64_t took = before > after ? before - after : 0;
    if (took <= round_up(library->size, BLOCK) + UNEXPECTED)
        return true;
    library->size = took;
    table_put(&process()->table, library);
    return false;
}

/* Each context that uses a library loads it separately. */
static bool begin_library(struct loading *l, const void *library) {
    struct entry entry = {0};
    bool waits = !inside_driver && atomic_load_explicit(&process()->libraries, memory_order_relaxed) &&
                 table_find(&process()->table, CLASS_LIBRARY, (uint64_t)(uintptr_t)library, &entry);
    if (!begin(l, waits ? entry.size : 0))
        return false;
    if (waits && l->device && !takes_what_it_says(&entry)) {
        settle(l, CUDA_ERROR_OUT_OF_MEMORY);
        if (!begin(l, entry.size))
            return false;
    }
    l->library = waits ? entry.key : 0;
    return true;
}

bool loading_begin_kernel(struct loading *l, const void *kernel) {
    void *library = NULL;
    *l = (struct loading){0};
    if (LIKELY(atomic_load_explicit(&process()->libraries, memory_order_relaxed) == 0) || inside_driver ||
        INSIDE(CUDA->cuKernelGetLibrary(&library, kernel)) != CUDA_SUCCESS)
        return true;
    return begin_library(l, library);
}

CUresult loading_end(struct loading *l, CUresult result) {
    if (!l->device)
        return result;
    settle(l, result);
    if (result != CUDA_SUCCESS)
        return result;
    if (l->library && device_has_one_context())
        forget_library(l->library);
    return exceeds(l) ? refused(l->device, l->bytes) : result;
}

#define USE_AND_RETURN(begin_it, real_call)                                                                            \
    struct loading loading;                                                                                            \
    if (!begin_it)                                                                                                     \
        return refused(loading.device, loading.bytes);                                                                 \
    return loading_end(&loading, changed(INSIDE(real_call)))

CUresult cuLibraryGetGlobal(CUdeviceptr *pointer, size_t *size, void *library, const char *name) {
    USE_AND_RETURN(begin_library(&loading, library), CUDA->cuLibraryGetGlobal(pointer, size, library, name));
}

CUresult cuLibraryGetManaged(CUdeviceptr *pointer, size_t *size, void *library, const char *name) {
    USE_AND_RETURN(begin_library(&loading, library), CUDA->cuLibraryGetManaged(pointer, size, library, name));
}

CUresult cuLibraryGetModule(CUmodule *module, void *library) {
    USE_AND_RETURN(begin_library(&loading, library), CUDA->cuLibraryGetModule(module, library));
}

CUresult cuLibraryUnload(void *library) {
    CUresult result = changed(INSIDE(CUDA->cuLibraryUnload(library)));
    if (!inside_driver && atomic_load_explicit(&process()->libraries, memory_order_relaxed))
        forget_library((uint64_t)(uintptr_t)library);
    local_forget();
    return result;
}

CUresult cuKernelGetFunction(void **function, void *kernel) {
    USE_AND_RETURN(loading_begin_kernel(&loading, kernel), CUDA->cuKernelGetFunction(function, kernel));
}

CUresult cuFuncLoad(void *function) {
    return changed(INSIDE(CUDA->cuFuncLoad(function)));
}
