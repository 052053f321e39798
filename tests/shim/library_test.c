/* SPDX-License-Identifier: Apache-2.0 */
/* The built library, read as a file: its dependencies and its exports. */
#include "harness.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *file;
static const Elf64_Shdr *sections;
static unsigned section_count;

static void open_library(void) {
    char path[4200];
    snprintf(path, sizeof path, "%s/shim/librunai.so", build_folder());
    int fd = open(path, O_RDONLY);
    struct stat s;
    EXPECT(fd >= 0 && fstat(fd, &s) == 0);
    file = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    EXPECT(file != MAP_FAILED);
    const Elf64_Ehdr *header = (const void *)file;
    sections = (const void *)(file + header->e_shoff);
    section_count = header->e_shnum;
}

static const Elf64_Shdr *section(unsigned type) {
    for (unsigned i = 0; i < section_count; i++)
        if (sections[i].sh_type == type)
            return &sections[i];
    fail(__FILE__, __LINE__, "no section of type %u", type);
}

static const char *strings_of(const Elf64_Shdr *s) {
    return file + sections[s->sh_link].sh_offset;
}

static int version_number(const char *version) {
    int major = 0, minor = 0;
    return sscanf(version, "GLIBC_%d.%d", &major, &minor) == 2 ? major * 1000 + minor : 1000000;
}

TEST(No_symbol_of_glibc_is_newer_than_2_17) {
    open_library();
    const Elf64_Shdr *needs = section(SHT_GNU_verneed);
    const char *names = strings_of(needs), *at = file + needs->sh_offset;
    for (unsigned i = 0; i < needs->sh_info; i++) {
        const Elf64_Verneed *need = (const void *)at;
        const char *library = names + need->vn_file, *aux = at + need->vn_aux;
        if (strcmp(library, "libc.so.6") != 0 && strncmp(library, "ld-linux", 8) != 0)
            fail(__FILE__, __LINE__, "it needs %s", library);
        for (unsigned k = 0; k < need->vn_cnt; k++) {
            const Elf64_Vernaux *version = (const void *)aux;
            if (version_number(names + version->vna_name) > 2017)
                fail(__FILE__, __LINE__, "it needs %s of %s", names + version->vna_name, library);
            aux += version->vna_next;
        }
        at += need->vn_next;
    }
}

static const char *const expected[] = {"dlsym", "dlvsym", "dlopen", "dlmopen",
#define HOOK(library, name, presence, since, area, returns, parameters) #name,
#define CALL(...)
#include "../../shim/hooks.def"
#undef HOOK
#undef CALL
                                       NULL};

TEST(The_library_exports_the_hooks_and_nothing_else) {
    open_library();
    const Elf64_Shdr *table = section(SHT_DYNSYM);
    const Elf64_Sym *symbols = (const void *)(file + table->sh_offset);
    const char *names = strings_of(table);
    unsigned found = 0, wanted = 0;
    while (expected[wanted])
        wanted++;
    for (unsigned i = 1; i < table->sh_size / sizeof *symbols; i++) {
        if (symbols[i].st_shndx == SHN_UNDEF || symbols[i].st_name == 0)
            continue;
        unsigned k = 0;
        while (expected[k] && strcmp(expected[k], names + symbols[i].st_name) != 0)
            k++;
        if (!expected[k])
            fail(__FILE__, __LINE__, "it exports %s", names + symbols[i].st_name);
        found++;
    }
    EXPECT_EQUAL(found, wanted);
}

#ifndef __SANITIZE_ADDRESS__ /* which runs its own */
TEST(The_library_runs_nothing_when_it_is_loaded) {
    open_library();
    const Elf64_Shdr *dynamic = section(SHT_DYNAMIC);
    const Elf64_Dyn *d = (const void *)(file + dynamic->sh_offset);
    for (; d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_INIT_ARRAYSZ || d->d_tag == DT_FINI_ARRAYSZ)
            EXPECT(d->d_un.d_val <= 8); /* the compiler's own frame_dummy */
}
#endif
