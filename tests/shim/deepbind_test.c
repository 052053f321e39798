/* SPDX-License-Identifier: Apache-2.0 */
/* Libraries whose symbols are looked up elsewhere than the program's: opened with RTLD_DEEPBIND, as Julia does for all,
   or in a namespace of their own. */
#define _GNU_SOURCE
#include "gpu.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* AddressSanitizer allows no RTLD_DEEPBIND, and is not loaded in other namespaces. */
#ifndef __SANITIZE_ADDRESS__

__attribute__((visibility("default"))) int runai_test_name(void);
int runai_test_name(void) {
    return 1;
}

static const char *path_of(const char *name) {
    static __thread char path[4300];
    snprintf(path, sizeof path, "%s/shim-tests/%s", build_folder(), name);
    return path;
}

static int call(void *library, const char *name, unsigned long bytes) {
    int (*function)(unsigned long) = dlsym(library, name);
    if (!function)
        fail(__FILE__, __LINE__, "no %s", name);
    return function(bytes);
}

static void expect_hooked(void *library, const char *name) {
    if (!library)
        fail(__FILE__, __LINE__, "%s", dlerror());
    int small = call(library, name, 10 * MIB), large = call(library, name, 2 * GIB);
    if (small != CUDA_SUCCESS || large != CUDA_ERROR_OUT_OF_MEMORY)
        fail(__FILE__, __LINE__, "%s answers %d and %d", name, small, large);
}

static void expect_all_hooked(void *library, int name) {
    expect_hooked(library, "deep_direct");
    expect_hooked(library, "deep_by_pointer");
    expect_hooked(library, "deep_lookup");
    expect_hooked(library, "deep_needed");
    expect_hooked(library, "deep_default");
    EXPECT_EQUAL(call(library, "deep_name", 0), name);
    EXPECT(device_peak(0) <= GIB);
}

SCENARIO(A_library_with_DEEPBIND_that_binds_late_is_hooked, .limit = "1g") {
    expect_all_hooked(dlopen(path_of("deep/lazy.so"), RTLD_LAZY | RTLD_DEEPBIND), 2);
}

SCENARIO(A_library_with_DEEPBIND_that_binds_at_once_is_hooked, .limit = "1g") {
    expect_all_hooked(dlopen(path_of("deep/now.so"), RTLD_LAZY | RTLD_DEEPBIND), 2);
}

SCENARIO(A_library_with_DEEPBIND_and_no_PLT_is_hooked, .limit = "1g") {
    expect_all_hooked(dlopen(path_of("deep/no-plt.so"), RTLD_NOW | RTLD_DEEPBIND | RTLD_GLOBAL), 2);
}

SCENARIO(A_library_with_DEEPBIND_that_only_looks_up_is_hooked, .limit = "1g") {
    void *library = dlopen(path_of("deep/unlinked.so"), RTLD_NOW | RTLD_DEEPBIND);
    expect_hooked(library, "deep_lookup");
    expect_hooked(library, "deep_needed");
    EXPECT_EQUAL(call(library, "deep_name", 0), 2);
}

SCENARIO(A_library_with_DEEPBIND_is_bound_to_the_shim, .limit = "1g") {
    static const char *const names[] = {"deep/lazy.so", "deep/now.so", "deep/no-plt.so"};
    for (unsigned i = 0; i < 9; i++) {
        void *library = dlopen(path_of(names[i / 3]), RTLD_LAZY | RTLD_DEEPBIND);
        Dl_info info;
        EXPECT(library);
        EXPECT(dladdr(((void *(*)(unsigned long))dlsym(library, "deep_bound"))(i % 3), &info));
        if (!strstr(info.dli_fname, "librunai.so"))
            fail(__FILE__, __LINE__, "%s %u is bound to %s", names[i / 3], i % 3, info.dli_fname);
    }
}

SCENARIO(A_library_without_DEEPBIND_finds_the_programs_names, .limit = "1g") {
    expect_all_hooked(dlopen(path_of("deep/lazy.so"), RTLD_LAZY), 1);
}

SCENARIO(The_driver_itself_may_be_opened_with_DEEPBIND, .limit = "1g") {
    gpu_look_up(dlopen("libcuda.so.1", RTLD_LAZY | RTLD_DEEPBIND), dlopen("libnvidia-ml.so.1", RTLD_DEEPBIND | 1));
    gpu_begin(0);
    EXPECT_EQUAL(gpu_total(), GIB);
}

/* Two drivers: a library is bound to the one that it depends on. */
SCENARIO(A_library_with_DEEPBIND_gets_the_driver_that_it_needs, .limit = "1g") {
    char copy[4200], command[9000];
    snprintf(copy, sizeof copy, "%s/first.so", private_directory());
    snprintf(command, sizeof command, "LD_PRELOAD= cp %s %s", path_of("stub/libcuda.so.1"), copy);
    EXPECT(system(command) == 0);
    snprintf(command, sizeof command, "LD_PRELOAD= sed -i s/libcuda.so.1/libcuda.so.x/ %s", copy); /* the SONAME */
    EXPECT(system(command) == 0);
    void *stub = dlopen(copy, RTLD_NOW);
    EXPECT(stub && ((int (*)(unsigned))dlsym(stub, "cuInit"))(0) == 34);
    expect_all_hooked(dlopen(path_of("deep/now.so"), RTLD_NOW | RTLD_DEEPBIND), 2);
    EXPECT(((int (*)(unsigned))dlsym(stub, "cuInit"))(0) == 34);
}

SCENARIO(Who_opens_with_DEEPBIND_finds_libraries_in_its_own_folders, .limit = "1g") {
    void *(*open)(const char *, int) = dlsym(dlopen(path_of("asker.so"), RTLD_NOW), "runai_test_open");
    EXPECT(open);
    EXPECT(!open("lazy.so", RTLD_NOW | RTLD_NOLOAD | RTLD_DEEPBIND));
    void *found = open("lazy.so", RTLD_NOW | RTLD_DEEPBIND);
    expect_all_hooked(found, 2);
    EXPECT(open("$ORIGIN/deep/lazy.so", RTLD_NOW | RTLD_DEEPBIND) == found);
    EXPECT(open("lazy.so", RTLD_NOW | RTLD_DEEPBIND) == found);
    EXPECT(open(path_of("deep/lazy.so"), RTLD_NOW | RTLD_DEEPBIND) == found);
    expect_hooked(open("${ORIGIN}/deep/now.so", RTLD_NOW | RTLD_DEEPBIND), "deep_direct");
}

SCENARIO(Errors_of_DEEPBIND_are_the_loaders, .silent = true) {
    EXPECT(!dlopen("/no/such/library.so", RTLD_NOW | RTLD_DEEPBIND));
    EXPECT(strstr(dlerror(), "/no/such/library.so") && !dlerror());
    EXPECT(!dlopen("no-such-library.so", RTLD_NOW | RTLD_DEEPBIND));
    EXPECT(strstr(dlerror(), "no-such-library.so") && !dlerror());
    EXPECT(dlopen(path_of("namesake.so"), RTLD_NOW | RTLD_DEEPBIND));
    EXPECT(!dlerror());
    EXPECT(!dlopen(NULL, RTLD_DEEPBIND)); /* no mode */
    EXPECT(dlerror());
}

static int find_sealed(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size;
    if (!strstr(info->dlpi_name, "deep/now.so"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_GNU_RELRO)
            *(unsigned long *)data = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    return 1;
}

SCENARIO(What_the_loader_made_read_only_is_so_again, .limit = "1g") {
    unsigned long sealed = 0, from, to;
    char line[5000], rights[5] = "", found[5] = "";
    expect_hooked(dlopen(path_of("deep/now.so"), RTLD_NOW | RTLD_DEEPBIND), "deep_direct");
    dl_iterate_phdr(find_sealed, &sealed);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) == 3 && sealed >= from && sealed < to)
            strcpy(found, rights);
    EXPECT(strcmp(found, "r--p") == 0);
}

/* As a seccomp filter may do. */
static void forbid_writable_again(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROT_READ | PROT_WRITE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    EXPECT_EQUAL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    EXPECT_EQUAL(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

SCENARIO(Where_references_stay_fixed_DEEPBIND_is_dropped, .limit = "1g") {
    forbid_writable_again();
    expect_all_hooked(dlopen(path_of("deep/now.so"), RTLD_NOW | RTLD_DEEPBIND), 1);
}

SCENARIO(Where_references_cannot_be_changed_a_namespace_is_refused, .limit = "1g") {
    forbid_writable_again();
    EXPECT(!dlmopen(LM_ID_NEWLM, path_of("deep/now.so"), RTLD_NOW));
    EXPECT(dlerror());
}

static void *open_often(void *data) {
    for (int i = 0; i < 100; i++) {
        void *library = dlopen(path_of(data), RTLD_NOW | RTLD_DEEPBIND);
        EXPECT(library);
        EXPECT_EQUAL(call(library, "deep_lookup", 2 * GIB), CUDA_ERROR_OUT_OF_MEMORY);
        EXPECT_EQUAL(dlclose(library), 0);
    }
    return NULL;
}

SCENARIO(Threads_that_reopen_with_DEEPBIND_are_hooked, .limit = "1g") {
    static char *const names[] = {"deep/lazy.so", "deep/now.so", "deep/no-plt.so", "deep/unlinked.so"};
    pthread_t threads[4];
    gpu_begin(0);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, open_often, names[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

SCENARIO(A_library_in_a_namespace_of_its_own_is_hooked, .limit = "1g") {
    void *library = dlmopen(LM_ID_NEWLM, path_of("deep/lazy.so"), RTLD_NOW);
    EXPECT(library);
    expect_all_hooked(library, 2);
}

SCENARIO(A_driver_in_a_namespace_of_its_own_is_hooked, .limit = "1g") {
    void *cuda = dlmopen(LM_ID_NEWLM, "libcuda.so.1", RTLD_NOW);
    EXPECT(cuda);
    gpu_look_up(cuda, dlopen("libnvidia-ml.so.1", RTLD_NOW));
    gpu_begin(0);
    EXPECT_EQUAL(gpu_total(), GIB);
    gpu_allocate(500 * MIB);
    CUdeviceptr pointer;
    EXPECT_EQUAL(gpu.cuMemAlloc_v2(&pointer, 600 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
}

/* Opened by a library that is in that namespace already. */
SCENARIO(A_library_opened_from_another_namespace_is_hooked, .limit = "1g") {
    void *asker = dlmopen(LM_ID_NEWLM, path_of("asker.so"), RTLD_NOW);
    EXPECT(asker);
    void *(*open)(const char *, int) = dlsym(asker, "runai_test_open"), *library = open("now.so", RTLD_NOW);
    expect_all_hooked(library, 2);
    Lmid_t here = -1, there = -1;
    EXPECT_EQUAL(dlinfo(asker, RTLD_DI_LMID, &here) | dlinfo(library, RTLD_DI_LMID, &there), 0);
    EXPECT(here == there && here != LM_ID_BASE);
}
#endif
