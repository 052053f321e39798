/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the dynamic symbol tables of loaded objects. dlsym itself comes through here, and sanitizers call it before the
   functions that they stand in for work: so what finds the loader's functions calls nothing that can be interposed, not
   even strcmp. glibc relocates the addresses in a dynamic section in place, musl does not: both are handled. */
#define _GNU_SOURCE
#include "elf.h"

#include <stdint.h>
#include <sys/auxv.h>

struct search {
    const char *const *prefixes; /* or an address */
    const void *address;
    struct elf_object *found;
    unsigned skip;
};

static bool equal(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static const char *file_name(const char *path) {
    const char *name = path;
    for (; *path; path++)
        if (*path == '/')
            name = path + 1;
    return name;
}

static bool begins(const char *name, const char *prefix) {
    while (*prefix && *name == *prefix)
        name++, prefix++;
    return *prefix == '\0';
}

static bool has_prefix(const char *name, const char *const *prefixes) {
    for (; *prefixes; prefixes++)
        if (begins(name, *prefixes))
            return true;
    return false;
}

static bool contains(const struct dl_phdr_info *info, const void *address) {
    ElfW(Addr) at = (ElfW(Addr))address;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && at >= info->dlpi_addr + p->p_vaddr &&
            at < info->dlpi_addr + p->p_vaddr + p->p_memsz)
            return true;
    }
    return false;
}

static bool note(struct elf_object *object, const struct dl_phdr_info *info) {
    *object = (struct elf_object){.base = info->dlpi_addr,
                                  .path = info->dlpi_name ? info->dlpi_name : "",
                                  .segment = info->dlpi_phdr,
                                  .segments = info->dlpi_phnum};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        ElfW(Addr) from = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_DYNAMIC)
            object->dynamic = (const ElfW(Dyn) *)from;
        if (p->p_type != PT_LOAD)
            continue;
        if (object->last == 0)
            object->first = from; /* segments come in order */
        object->last = from + p->p_memsz;
    }
    return object->dynamic != NULL;
}

static int visit(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size;
    struct search *search = data;
    if (search->address && !contains(info, search->address))
        return 0;
    return note(search->found, info) &&
           (search->address || (elf_named(search->found, search->prefixes) && search->skip-- == 0));
}

bool elf_find(struct elf_object *object, const char *const *prefixes, unsigned skip) {
    struct search search = {prefixes, NULL, object, skip};
    return dl_iterate_phdr(visit, &search) == 1;
}

/* The loader's list of objects, which a debugger would follow: from the program's own headers. */
static const struct link_map *link_maps(void) {
    const ElfW(Phdr) *headers = (const void *)getauxval(AT_PHDR);
    size_t count = getauxval(AT_PHNUM);
    const ElfW(Dyn) *dynamic = NULL;
    ElfW(Addr) base = 0;
    for (size_t i = 0; headers && i < count; i++)
        if (headers[i].p_type == PT_PHDR)
            base = (ElfW(Addr))headers - headers[i].p_vaddr;
    for (size_t i = 0; headers && i < count; i++)
        if (headers[i].p_type == PT_DYNAMIC)
            dynamic = (const void *)(base + headers[i].p_vaddr);
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++)
        if (dynamic->d_tag == DT_DEBUG && dynamic->d_un.d_ptr)
            return ((const struct r_debug *)dynamic->d_un.d_ptr)->r_map;
    return NULL;
}

/* No lock: objects loaded at the start are first in the list and are never unloaded. */
bool elf_find_from_start(struct elf_object *object, const char *const *prefixes) {
    for (const struct link_map *map = link_maps(); map; map = map->l_next)
        if (map->l_name && has_prefix(file_name(map->l_name), prefixes)) {
            *object = (struct elf_object){.base = map->l_addr, .dynamic = map->l_ld, .path = map->l_name};
            return true;
        }
    return elf_find(object, prefixes, 0);
}

bool elf_containing(struct elf_object *object, const void *address) {
    struct search search = {NULL, address, object, 0};
    return dl_iterate_phdr(visit, &search) == 1;
}

struct held {
    void (*run)(void *data);
    void *data;
};

/* The loader's lock on its list, which it takes for moments only, and which may be taken again. */
static int hold(struct dl_phdr_info *info, size_t size, void *data) {
    (void)info, (void)size;
    const struct held *held = data;
    held->run(held->data);
    return 1;
}

void elf_hold(void (*run)(void *data), void *data) {
    struct held held = {run, data};
    dl_iterate_phdr(hold, &held);
}

static int count_unloads(struct dl_phdr_info *info, size_t size, void *data) {
    if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs)
        *(uint64_t *)data = info->dlpi_subs;
    return 1;
}

uint64_t elf_unloads(void) {
    uint64_t unloads = 0;
    dl_iterate_phdr(count_unloads, &unloads);
    return unloads;
}

struct order {
    const void *first, *second;
};

static int visit_in_order(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size;
    const struct order *order = data;
    return contains(info, order->first) ? 1 : contains(info, order->second) ? 2 : 0;
}

bool elf_comes_before(const void *first, const void *second) {
    struct order order = {first, second};
    return dl_iterate_phdr(visit_in_order, &order) == 1;
}

struct tables {
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *gnu_hash;
    const uint32_t *sysv_hash;
};

const void *elf_address(const struct elf_object *object, ElfW(Addr) value) {
    return (const void *)(value < object->base ? object->base + value : value);
}

static const char *soname_of(const struct elf_object *object) {
    const char *strings = NULL;
    ElfW(Addr) soname = 0;
    for (const ElfW(Dyn) *d = object->dynamic; d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_STRTAB)
            strings = elf_address(object, d->d_un.d_ptr);
        if (d->d_tag == DT_SONAME)
            soname = d->d_un.d_val;
    }
    return strings && soname ? strings + soname : "";
}

bool elf_named(const struct elf_object *object, const char *const *prefixes) {
    return has_prefix(file_name(object->path), prefixes) || has_prefix(file_name(soname_of(object)), prefixes);
}

/* Outside the program's namespace the first segment begins with the headers. */
bool elf_of_map(struct elf_object *object, const struct link_map *map) {
    const ElfW(Ehdr) *header = (const void *)map->l_addr;
    if (elf_containing(object, map->l_ld))
        return true;
    if (!header || *(const uint32_t *)header->e_ident != *(const uint32_t *)ELFMAG)
        return false;
    struct dl_phdr_info info = {.dlpi_addr = map->l_addr,
                                .dlpi_name = map->l_name,
                                .dlpi_phdr = (const void *)(map->l_addr + header->e_phoff),
                                .dlpi_phnum = header->e_phnum};
    return note(object, &info);
}

static struct tables tables_of(const struct elf_object *object) {
    struct tables t = {0};
    for (const ElfW(Dyn) *d = object->dynamic; d->d_tag != DT_NULL; d++) {
        const void *at = elf_address(object, d->d_un.d_ptr);
        switch (d->d_tag) {
        case DT_SYMTAB:
            t.symbols = at;
            break;
        case DT_STRTAB:
            t.strings = at;
            break;
        case DT_GNU_HASH:
            t.gnu_hash = at;
            break;
        case DT_HASH:
            t.sysv_hash = at;
            break;
        }
    }
    return t;
}

static void *defined(const struct elf_object *object, const struct tables *t, uint32_t index, const char *name) {
    const ElfW(Sym) *symbol = &t->symbols[index];
    unsigned type = symbol->st_info & 15, binding = symbol->st_info >> 4;
    if (symbol->st_shndx == SHN_UNDEF || symbol->st_value == 0 || type != STT_FUNC ||
        (binding != STB_GLOBAL && binding != STB_WEAK) || !equal(t->strings + symbol->st_name, name))
        return NULL;
    return (void *)(object->base + symbol->st_value);
}

static void *by_gnu_hash(const struct elf_object *object, const struct tables *t, const char *name) {
    uint32_t hash = 5381;
    for (const char *c = name; *c; c++)
        hash = hash * 33 + (unsigned char)*c;
    uint32_t buckets = t->gnu_hash[0], first = t->gnu_hash[1], blooms = t->gnu_hash[2];
    const uint32_t *bucket = t->gnu_hash + 4 + blooms * (sizeof(ElfW(Addr)) / 4);
    const uint32_t *chain = bucket + buckets;
    if (buckets == 0)
        return NULL;
    uint32_t i = bucket[hash % buckets];
    if (i < first)
        return NULL;
    for (;; i++) {
        uint32_t link = chain[i - first];
        if ((link | 1) == (hash | 1)) {
            void *function = defined(object, t, i, name);
            if (function)
                return function;
        }
        if (link & 1)
            return NULL;
    }
}

static void *by_sysv_hash(const struct elf_object *object, const struct tables *t, const char *name) {
    uint32_t hash = 0;
    for (const char *c = name; *c; c++) {
        hash = (hash << 4) + (unsigned char)*c;
        hash ^= (hash >> 24) & 0xf0;
        hash &= 0x0fffffff;
    }
    uint32_t buckets = t->sysv_hash[0];
    if (buckets == 0)
        return NULL;
    for (uint32_t i = t->sysv_hash[2 + hash % buckets]; i != 0; i = t->sysv_hash[2 + buckets + i]) {
        void *function = defined(object, t, i, name);
        if (function)
            return function;
    }
    return NULL;
}

void *elf_function(const struct elf_object *object, const char *name) {
    struct tables t = tables_of(object);
    if (!t.symbols || !t.strings)
        return NULL;
    if (t.gnu_hash)
        return by_gnu_hash(object, &t, name);
    return t.sysv_hash ? by_sysv_hash(object, &t, name) : NULL;
}
