/* SPDX-License-Identifier: Apache-2.0 */
/* Modules, libraries, functions and launches. Images are not read, except PTX text and the sizes in a cubin: any
   function name is found, except that PTX must contain it. A module takes its globals (of PTX ".global .align N .b8
   name[BYTES]", of a cubin the section .nv.global) when it is loaded, a library when it is first used. Its other cost
   (module_bytes of the device) is charged when its first function or global is asked for, or with
   CUDA_MODULE_LOADING=EAGER at once, when a library is loaded too. A launch grows the context's local memory to what
   the kernel has (of PTX ".local .align N .b8 name[BYTES]"), and does nothing else; of what is captured that is done
   when the graph is instantiated. */
#include "stream.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULE_MAGIC 0x4d4f4431u
#define FUNCTION_MAGIC 0x46554e31u

struct function {
    uint32_t magic;
    struct module *module;
    struct function *next;
    char *name;
    uint64_t local; /* bytes of each thread */
};

/* A library is a module that belongs to no context until one of its kernels is used. */
struct module {
    uint32_t magic;
    bool is_library;
    struct context *context;
    uint64_t charged, globals; /* taken: for code and the like, for globals, */
    uint64_t global_bytes;     /* which are so large */
    char *text;                /* PTX, or NULL */
    struct function *functions;
    struct extent *global;
    struct module *next;
};

static bool eager(void) {
    const char *mode = getenv("CUDA_MODULE_LOADING");
    return mode && strcmp(mode, "EAGER") == 0;
}

/* PTX text begins with a comment or a directive. */
static char *copy_text(const void *image) {
    const char *text = image;
    while (isspace((unsigned char)*text))
        text++;
    return strncmp(text, "//", 2) == 0 || strncmp(text, ".version", 8) == 0 ? strdup(text) : NULL;
}

/* The bytes of the variables that PTX declares in a space, up to `end`. */
static uint64_t declared(const char *text, const char *end, const char *space) {
    uint64_t sum = 0;
    for (const char *at = strstr(text, space); at && at < end; at = strstr(at + 1, space)) {
        const char *bracket = at + strcspn(at, "[;\n");
        if ((at == text || isspace((unsigned char)at[-1])) && *bracket == '[')
            sum += strtoull(bracket + 1, NULL, 10);
    }
    return sum;
}

/* The sizes of the sections of that name, in ELF of 64 bits, and how far the first table of symbols behind them
   reaches: the larger. A real cubin's section can say less. */
static uint64_t sections(const char *image, const char *name) {
    uint64_t sum = 0, table, names, size;
    uint16_t count, of_names;
    uint32_t at;
    if (memcmp(image, "\177ELF\2", 5) != 0)
        return 0;
    memcpy(&table, image + 40, sizeof table);
    memcpy(&count, image + 60, sizeof count);
    memcpy(&of_names, image + 62, sizeof of_names);
    memcpy(&names, image + table + of_names * 64u + 24, sizeof names);
    for (const char *section = image + table; count-- > 0; section += 64) {
        memcpy(&at, section, sizeof at);
        memcpy(&size, section + 32, sizeof size);
        sum += strcmp(image + names + at, name) == 0 ? size : 0;
        uint64_t reach = 0, symbols;
        memcpy(&symbols, section + 24, sizeof symbols);
        if (((const uint32_t *)section)[1] == 2 && size >= 24) /* SYMTAB: the first symbol's size */
            memcpy(&reach, image + symbols + 16, sizeof reach);
        sum = reach > sum ? reach : sum;
    }
    return sum;
}

static void belongs_to(struct module *module, struct context *context) {
    if (module->context)
        return;
    module->context = context;
    module->next = context->modules;
    context->modules = module;
}

/* Under sim.lock: takes the globals' memory. */
static CUresult load_globals(struct module *module, struct context *context) {
    uint64_t bytes = (module->global_bytes + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
    if (module->globals || bytes == 0)
        return CUDA_SUCCESS;
    if (!sim_take(context->device, bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    module->globals = bytes;
    belongs_to(module, context);
    return CUDA_SUCCESS;
}

/* Under sim.lock: takes all of the module's cost from the device. */
static CUresult load(struct module *module, struct context *context) {
    uint64_t bytes = sim.devices[context->device].gpu.state->config.module_bytes;
    CUresult rc = load_globals(module, context);
    if (rc || module->charged || bytes == 0)
        return rc;
    if (!sim_take(context->device, bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    module->charged = bytes;
    belongs_to(module, context);
    return CUDA_SUCCESS;
}

/* Under sim.lock. Frees what the module holds of the device; a library can be loaded again. */
static void unload(struct module *module) {
    struct context *context = module->context;
    if (!context)
        return;
    for (struct module **link = &context->modules; *link; link = &(*link)->next)
        if (*link == module) {
            *link = module->next;
            break;
        }
    if (module->global)
        memory_free(module->global);
    module->global = NULL;
    sim_give(context->device, module->charged + module->globals);
    module->charged = module->globals = 0;
    module->context = NULL;
}

/* `library`: of no context until it is used. */
static CUresult open_module(struct module **out, const void *image, struct context *context, bool library) {
    if (!out || !image)
        return CUDA_ERROR_INVALID_VALUE;
    struct module *module = calloc(1, sizeof *module);
    if (!module)
        return CUDA_ERROR_OUT_OF_MEMORY;
    module->magic = MODULE_MAGIC;
    module->is_library = library;
    module->text = copy_text(image);
    module->global_bytes = module->text ? declared(module->text, module->text + strlen(module->text), ".global ")
                                        : sections(image, ".nv.global");
    CUresult rc = CUDA_SUCCESS;
    sim_lock();
    if (context && eager())
        rc = load(module, context);
    else if (context && !library)
        rc = load_globals(module, context);
    if (!rc && context && !library)
        belongs_to(module, context);
    if (rc)
        unload(module);
    sim_unlock();
    if (rc) {
        free(module->text);
        free(module);
        return rc;
    }
    *out = module;
    return CUDA_SUCCESS;
}

void modules_free(struct context *context) {
    while (context->modules)
        unload(context->modules);
}

static CUresult close_module(struct module *module) {
    CUresult rc = sim_enter();
    if (rc || !module || module->magic != MODULE_MAGIC)
        return rc ? rc : CUDA_ERROR_INVALID_HANDLE;
    sim_lock();
    unload(module);
    sim_unlock();
    for (struct function *f = module->functions, *next; f; f = next) {
        next = f->next;
        f->magic = 0;
        free(f->name);
        free(f);
    }
    module->magic = 0;
    free(module->text);
    free(module);
    return CUDA_SUCCESS;
}

API(ModuleLoadDataEx, struct module **out, const void *image, unsigned count, int *options, void **values) {
    (void)count, (void)options, (void)values;
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    return rc ? rc : open_module(out, image, context, false);
}

API(ModuleLoadData, struct module **out, const void *image) {
    return api_ModuleLoadDataEx(out, image, 0, NULL, NULL);
}

API(ModuleLoad, struct module **out, const char *path) {
    if (!path || access(path, R_OK) != 0)
        return sim_enter() ? sim_enter() : CUDA_ERROR_FILE_NOT_FOUND;
    return api_ModuleLoadDataEx(out, "", 0, NULL, NULL);
}

API(ModuleUnload, struct module *module) {
    PROHIBITED_IN_CAPTURES();
    return close_module(module);
}

API(ModuleGetLoadingMode, int *mode) {
    CUresult rc = sim_enter();
    if (!rc && mode)
        *mode = eager() ? 1 : 2;
    return rc;
}

static CUresult find(struct function **out, struct module *module, const char *name) {
    if (!out || !name || !*name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!module || module->magic != MODULE_MAGIC)
        return CUDA_ERROR_INVALID_HANDLE;
    for (struct function *f = module->functions; f; f = f->next)
        if (strcmp(f->name, name) == 0) {
            *out = f;
            return CUDA_SUCCESS;
        }
    if (module->text && !strstr(module->text, name))
        return CUDA_ERROR_NOT_FOUND;
    struct function *f = calloc(1, sizeof *f);
    if (!f || !(f->name = strdup(name))) {
        free(f);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    f->magic = FUNCTION_MAGIC;
    f->module = module;
    const char *body = module->text ? strstr(module->text, name) : NULL, *next = body ? strstr(body, ".entry") : NULL;
    f->local = body ? declared(body, next ? next : body + strlen(body), ".local ") : 0;
    f->next = module->functions;
    module->functions = f;
    *out = f;
    return CUDA_SUCCESS;
}

API(ModuleGetFunction, struct function **out, struct module *module, const char *name) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc)
        return rc;
    sim_lock();
    rc = find(out, module, name);
    if (!rc)
        rc = load(module, context);
    sim_unlock();
    return rc;
}

API(ModuleGetGlobal, CUdeviceptr *address, size_t *size, struct module *module, const char *name) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc || !name || !module || module->magic != MODULE_MAGIC)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    if (module->text && !strstr(module->text, name))
        return CUDA_ERROR_NOT_FOUND;
    sim_lock();
    rc = load(module, context);
    if (!rc && !module->global)
        rc = memory_allocate(module->context ? module->context : context, 512, &module->global);
    if (!rc && address)
        *address = module->global->base;
    if (!rc && size)
        *size = 512;
    sim_unlock();
    return rc;
}

API(LibraryLoadData, struct module **out, const void *code, void *o1, void *v1, unsigned n1, void *o2, void *v2,
    unsigned n2) {
    (void)o1, (void)v1, (void)n1, (void)o2, (void)v2, (void)n2;
    CUresult rc = sim_enter();
    return rc ? rc : open_module(out, code, context_current(), true);
}

API(LibraryLoadFromFile, struct module **out, const char *path, void *o1, void *v1, unsigned n1, void *o2, void *v2,
    unsigned n2) {
    if (!path || access(path, R_OK) != 0)
        return sim_enter() ? sim_enter() : CUDA_ERROR_FILE_NOT_FOUND;
    return api_LibraryLoadData(out, "", o1, v1, n1, o2, v2, n2);
}

API(LibraryUnload, struct module *library) {
    return close_module(library);
}

API(LibraryGetKernel, struct function **out, struct module *library, const char *name) {
    CUresult rc = sim_enter();
    if (rc)
        return rc;
    sim_lock();
    rc = find(out, library, name);
    sim_unlock();
    return rc;
}

API(LibraryGetModule, struct module **out, struct module *library) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc || !out || !library || library->magic != MODULE_MAGIC)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    rc = load(library, context);
    sim_unlock();
    *out = library;
    return rc;
}

API(LibraryGetGlobal, CUdeviceptr *address, size_t *size, struct module *library, const char *name) {
    return api_ModuleGetGlobal(address, size, library, name);
}

static CUresult check(const struct function *function) {
    CUresult rc = sim_enter();
    return rc ? rc : function && function->magic == FUNCTION_MAGIC ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult use(struct function *function) {
    struct context *context;
    CUresult rc = check(function) ? check(function) : sim_enter_context(&context);
    if (rc || function->module->charged)
        return rc;
    sim_lock();
    rc = load(function->module, context);
    sim_unlock();
    return rc;
}

API(KernelGetFunction, struct function **out, struct function *kernel) {
    CUresult rc = use(kernel);
    if (!rc && out)
        *out = kernel;
    return rc;
}

API(KernelGetLibrary, struct module **out, struct function *kernel) {
    CUresult rc = check(kernel);
    if (!rc && out)
        *out = kernel->module;
    return rc;
}

API(FuncGetName, const char **name, struct function *function) {
    CUresult rc = check(function);
    if (!rc && name)
        *name = function->name;
    return rc;
}

API(FuncGetModule, struct module **out, struct function *function) {
    return api_KernelGetLibrary(out, function);
}

API(FuncIsLoaded, int *state, struct function *function) {
    CUresult rc = check(function);
    if (!rc && state)
        *state = function->module->charged != 0;
    return rc;
}

API(FuncLoad, struct function *function) {
    return use(function);
}

API(FuncGetAttribute, int *value, int attribute, struct function *function) {
    CUresult rc = check(function);
    const int values[] = {1024, 0, 0, rc ? 0 : (int)function->local, 32, 75, 75};
    if (!rc && value)
        *value = attribute >= 0 && attribute < 7 ? values[attribute] : 0;
    return rc;
}

API(FuncSetAttribute, struct function *function, int attribute, int value) {
    (void)attribute, (void)value;
    return check(function);
}

API(FuncSetConfig, struct function *function, int config) {
    (void)config;
    return check(function);
}

API(KernelGetAttribute, int *value, int attribute, struct function *kernel, CUdevice device) {
    (void)device;
    return api_FuncGetAttribute(value, attribute, kernel);
}

API(KernelSetAttribute, int attribute, int value, struct function *kernel, CUdevice device) {
    (void)device;
    return api_FuncSetAttribute(kernel, attribute, value);
}

API(KernelSetCacheConfig, struct function *kernel, int config, CUdevice device) {
    (void)device;
    return api_FuncSetConfig(kernel, config);
}

API(OccupancyMaxActiveBlocksPerMultiprocessor, int *blocks, struct function *function, int block_size, size_t shared) {
    (void)shared;
    CUresult rc = check(function);
    if (rc || !blocks || block_size <= 0)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *blocks = block_size > 1024 ? 0 : 1024 / block_size > 16 ? 16 : 1024 / block_size;
    return CUDA_SUCCESS;
}

API(OccupancyMaxActiveBlocksPerMultiprocessorWithFlags, int *blocks, struct function *function, int block_size,
    size_t shared, unsigned flags) {
    (void)flags;
    return api_OccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, block_size, shared);
}

API(OccupancyMaxPotentialBlockSize, int *grid, int *block, struct function *function, void *callback, size_t shared,
    int limit) {
    (void)callback, (void)shared;
    struct context *context;
    CUresult rc = check(function) ? check(function) : sim_enter_context(&context);
    if (rc || !grid || !block)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *block = limit > 0 && limit < 1024 ? limit : 1024;
    *grid = (int)sim.devices[context->device].gpu.state->config.multiprocessors;
    return CUDA_SUCCESS;
}

CUresult function_grow_local(const struct function *function) {
    struct context *context = context_current();
    return function && context && function->local > context->local ? context_local(context, function->local)
                                                                   : CUDA_SUCCESS;
}

API(LaunchKernel, struct function *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
    unsigned bz, unsigned shared, CUstream stream, void **parameters, void **extra) {
    (void)shared, (void)parameters, (void)extra;
    CUresult rc = use(function);
    if (rc || !gx || !gy || !gz || !bx || !by || !bz || (uint64_t)bx * by * bz > 1024)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    if (stream_is_capturing(stream))
        rc = graph_record_kernel(stream->capture, function) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    else
        rc = function_grow_local(function);
    sim_unlock();
    return rc;
}

API(LaunchCooperativeKernel, struct function *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
    unsigned bz, unsigned shared, CUstream stream, void **parameters) {
    return api_LaunchKernel(function, gx, gy, gz, bx, by, bz, shared, stream, parameters, NULL);
}

struct launch {
    unsigned gx, gy, gz, bx, by, bz, shared;
    CUstream stream;
    void *attributes;
    unsigned count;
};

API(LaunchKernelEx, const struct launch *l, struct function *function, void **parameters, void **extra) {
    if (!l)
        return CUDA_ERROR_INVALID_VALUE;
    return api_LaunchKernel(function, l->gx, l->gy, l->gz, l->bx, l->by, l->bz, l->shared, l->stream, parameters,
                            extra);
}

/* The linker: returns its input as an image that loads. */

API(LinkCreate, unsigned count, int *options, void **values, void **state) {
    static char only;
    (void)count, (void)options, (void)values;
    CUresult rc = sim_enter();
    if (!rc && state)
        *state = &only;
    return rc;
}

API(LinkAddData, void *state, int type, void *data, size_t size, const char *name, unsigned count, int *options,
    void **values) {
    (void)type, (void)size, (void)name, (void)count, (void)options, (void)values;
    CUresult rc = sim_enter();
    return rc ? rc : !state || !data ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

API(LinkAddFile, void *state, int type, const char *path, unsigned count, int *options, void **values) {
    (void)type, (void)count, (void)options, (void)values;
    CUresult rc = sim_enter();
    return rc ? rc : !state || !path ? CUDA_ERROR_INVALID_VALUE : access(path, R_OK) ? CUDA_ERROR_FILE_NOT_FOUND : 0;
}

API(LinkComplete, void *state, void **image, size_t *size) {
    static char linked[] = "linked";
    CUresult rc = sim_enter();
    if (rc || !state || !image)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *image = linked;
    if (size)
        *size = sizeof linked;
    return CUDA_SUCCESS;
}

API(LinkDestroy, void *state) {
    CUresult rc = sim_enter();
    return rc ? rc : state ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
