/* SPDX-License-Identifier: Apache-2.0 */
/* Every way in which programs reach the driver leads to the hooks, and nothing else changes. */
#define _GNU_SOURCE
#include "gpu.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *name;
    const char *library;
    int since;
} hooks[] = {
#define HOOK(library, name, presence, since, area, returns, parameters) {#name, #library, since},
#define CALL(...)
#include "../../shim/hooks.def"
#undef HOOK
#undef CALL
};
enum { HOOKS = sizeof hooks / sizeof *hooks };

static void *open_library(const char *which) {
    void *library = dlopen(strcmp(which, "cuda") == 0 ? "libcuda.so.1" : "libnvidia-ml.so.1", RTLD_NOW);
    EXPECT(library);
    return library;
}

static bool ours(const void *function) {
    Dl_info info;
    return function && dladdr(function, &info) && strstr(info.dli_fname, "librunai.so");
}

/* Does the driver itself have it? Looked up without the hooks, in the symbol table of the driver's file. */
static bool driver_has(void *library, const char *name) {
    char *(*real)(void *, const char *) = NULL;
    (void)real;
    return dlsym(library, name) != NULL;
}

SCENARIO(Every_row_of_the_list_answers_dlsym, .limit = "1g") {
    for (int i = 0; i < HOOKS; i++) {
        void *library = open_library(hooks[i].library);
        if (!ours(dlsym(library, hooks[i].name)) && driver_has(library, hooks[i].name))
            fail(__FILE__, __LINE__, "%s is not hooked", hooks[i].name);
    }
}

SCENARIO(Every_row_of_the_list_answers_dlvsym, .limit = "1g") {
    for (int i = 0; i < HOOKS; i++) {
        void *library = open_library(hooks[i].library);
        void *found = dlvsym(library, hooks[i].name, "NONE_1.0");
        if (found && !ours(found))
            fail(__FILE__, __LINE__, "%s is not hooked", hooks[i].name);
    }
    EXPECT(dlvsym(RTLD_DEFAULT, "memcpy", "GLIBC_2.14") || dlvsym(RTLD_DEFAULT, "memcpy", "GLIBC_2.17"));
}

SCENARIO(A_driver_loaded_globally_is_hooked_in_all_lookups, .limit = "1g") {
    EXPECT(dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL));
    EXPECT(ours(dlsym(RTLD_DEFAULT, "cuMemAlloc_v2")));
    EXPECT(ours(dlsym(RTLD_NEXT, "cuMemAlloc_v2")));
    EXPECT(ours(dlsym(dlopen(NULL, RTLD_NOW), "cuMemAlloc_v2")));
}

SCENARIO(Without_a_driver_its_names_are_not_there, .limit = "1g") {
    EXPECT(!dlsym(RTLD_DEFAULT, "cuMemAlloc_v2"));
    EXPECT(dlerror() && !dlerror());
    EXPECT(!dlsym(dlopen(NULL, RTLD_NOW), "cuInit"));
    EXPECT(!dlsym(RTLD_DEFAULT, "nvmlInit_v2"));
}

SCENARIO(A_driver_loaded_locally_stays_out_of_the_default_scope, .limit = "1g") {
    EXPECT(dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL));
    EXPECT(!dlsym(RTLD_DEFAULT, "cuMemAlloc_v2"));
}

SCENARIO(Names_that_are_not_hooked_come_from_the_driver, .limit = "1g") {
    void *cuda = open_library("cuda");
    EXPECT(dlsym(cuda, "cuLaunchHostFunc") && !ours(dlsym(cuda, "cuLaunchHostFunc")));
    EXPECT(dlsym(cuda, "cuDriverGetVersion") && !ours(dlsym(cuda, "cuDriverGetVersion")));
    EXPECT(!dlsym(cuda, "cuNoSuchFunction"));
    EXPECT(strstr(dlerror(), "cuNoSuchFunction"));
    EXPECT(dlsym(RTLD_DEFAULT, "printf") == (void *)printf);
}

SCENARIO(A_program_may_have_functions_with_the_drivers_names, .limit = "1g") {
    char path[4200];
    snprintf(path, sizeof path, "%s/shim-tests/namesake.so", build_folder());
    void *namesake = dlopen(path, RTLD_NOW), *cuda = open_library("cuda");
    EXPECT(namesake && cuda);
    int (*init)(unsigned) = dlsym(namesake, "cuInit");
    EXPECT(init && !ours((void *)init));
    EXPECT_EQUAL(init(0), 4711);
}

SCENARIO(Next_stays_relative_to_the_caller, .limit = "1g", .preload = "next-a.so") {
    char path[4200];
    snprintf(path, sizeof path, "%s/shim-tests/next-b.so", build_folder());
    EXPECT(dlopen(path, RTLD_NOW | RTLD_GLOBAL));
    /* next-a.so looks up the next runai_test_marker after its own; relative to any object before it, that would be its
       own. */
    int (*ask)(void) = dlsym(RTLD_DEFAULT, "runai_test_ask_next");
    EXPECT(ask);
    EXPECT_EQUAL(ask(), 3);
    int (*versioned)(void) = dlsym(RTLD_DEFAULT, "runai_test_ask_next_version");
    EXPECT(versioned);
    EXPECT_EQUAL(versioned(), 1);
}

SCENARIO(The_loaders_own_functions_lead_to_the_hooks, .limit = "1g") {
    void *libc = dlopen("libc.so.6", RTLD_NOW), *cuda = open_library("cuda");
    void *(*found)(void *, const char *) = dlsym(libc, "dlsym");
    if (!found)
        found = dlsym(dlopen("libdl.so.2", RTLD_NOW), "dlsym");
    EXPECT(found);
    EXPECT(ours(found(cuda, "cuMemAlloc_v2")));
}

/* As the program's interposers do, which come before the shim. */
SCENARIO(The_next_dlsym_in_glibcs_version_is_the_shims, .limit = "1g") {
    static const char *const versions[] = {"GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_2.34"};
    unsigned found = 0;
    for (int i = 0; i < 3; i++) {
        void *next = dlvsym(RTLD_NEXT, "dlsym", versions[i]), *other = dlvsym(RTLD_NEXT, "dlvsym", versions[i]);
        if (!next && !other)
            continue; /* another architecture's */
        EXPECT(ours(next) && ours(other));
        found++;
    }
    EXPECT(found > 0);
    EXPECT(!dlvsym(RTLD_NEXT, "dlsym", "GLIBC_1.0"));
}

static const char *base_name(const char *name, char *base) {
    static const char *const suffixes[] = {"_ptsz", "_ptds", "_v2", "_v3", "_v4"};
    strcpy(base, name);
    for (int i = 0; i < 5; i++) {
        size_t n = strlen(base), s = strlen(suffixes[i]);
        if (n > s && strcmp(base + n - s, suffixes[i]) == 0)
            base[n - s] = '\0';
    }
    return base;
}

SCENARIO(cuGetProcAddress_gives_the_hook_of_the_drivers_version, .limit = "1g") {
    gpu_begin(0);
    char base[100];
    for (int i = 0; i < HOOKS; i++) {
        if (strcmp(hooks[i].library, "cuda") != 0)
            continue;
        int flags = strstr(hooks[i].name, "_pts") || strstr(hooks[i].name, "_ptds") ? 2 : 1, status = -1;
        void *function = NULL;
        base_name(hooks[i].name, base);
        CUresult result = gpu.cuGetProcAddress_v2(base, &function, hooks[i].since, (uint64_t)flags, &status);
        if (result != CUDA_SUCCESS || !function)
            continue; /* the driver has no such version */
        if (!ours(function))
            fail(__FILE__, __LINE__, "%s for CUDA %d is not hooked", base, hooks[i].since);
        Dl_info info;
        dladdr(function, &info);
        char got[100];
        if (info.dli_sname && strcmp(base_name(info.dli_sname, got), base) != 0)
            fail(__FILE__, __LINE__, "%s gives %s", base, info.dli_sname);
        EXPECT_EQUAL(status, 0);
    }
    void *function = NULL;
    EXPECT_EQUAL(gpu.cuGetProcAddress("cuMemAlloc", &function, 12000, 0), CUDA_SUCCESS);
    EXPECT(function == (void *)gpu.cuMemAlloc_v2);
}

SCENARIO(cuGetProcAddress_leaves_unknown_names_and_their_status_alone, .limit = "1g") {
    gpu_begin(0);
    void *function = (void *)1;
    int status = -1;
    gpu.cuGetProcAddress_v2("cuLaunchHostFunc", &function, 12000, 0, &status);
    EXPECT(function && !ours(function));
    EXPECT_EQUAL(status, 0);
    gpu.cuGetProcAddress_v2("cuNoSuchFunction", &function, 12000, 0, &status);
    EXPECT(!function);
    EXPECT_EQUAL(status, 1);
}

SCENARIO(A_directly_linked_program_is_limited, .limit = "1g", .program = "direct") {
}

SCENARIO(A_librarys_constructor_may_use_the_GPU_first, .limit = "1g", .preload = "early.so") {
    int *refused = dlsym(RTLD_DEFAULT, "runai_test_early_refused"),
        *allocated = dlsym(RTLD_DEFAULT, "runai_test_early_allocated");
    EXPECT(refused && allocated);
    EXPECT_EQUAL(*allocated, CUDA_SUCCESS);
    EXPECT_EQUAL(*refused, CUDA_ERROR_OUT_OF_MEMORY);
}

SCENARIO(Closing_and_reopening_the_driver_keeps_the_hooks, .limit = "1g") {
    for (int i = 0; i < 5; i++) {
        void *cuda = open_library("cuda"), *nvml = open_library("nvml");
        CUresult (*init)(unsigned) = dlsym(cuda, "cuInit");
        nvmlReturn_t (*nvml_init)(void) = dlsym(nvml, "nvmlInit_v2");
        EXPECT(ours((void *)init) && ours((void *)nvml_init));
        EXPECT_EQUAL(init(0), CUDA_SUCCESS);
        EXPECT_EQUAL(nvml_init(), NVML_SUCCESS);
        dlclose(cuda);
        dlclose(nvml);
    }
}

SCENARIO(A_program_without_GPU_use_opens_nothing, .silent = true) {
    EXPECT(dlsym(RTLD_DEFAULT, "printf"));
    EXPECT(access(ledger_path(), F_OK) != 0);
    int fd = dup(0);
    EXPECT(fd <= 4);
}
