/* SPDX-License-Identifier: Apache-2.0 */
/* Libraries that bind to the driver without the shim: opened with RTLD_DEEPBIND, which searches their dependencies
   before the global scope, or in a namespace of their own. After such a load their references are changed: GOT and PLT
   slots and pointers in data, bound or not bound yet. Pages that the loader made read-only are writable only during the
   change. Left alone on purpose: drivers, the C library and the loader themselves. */
#define _GNU_SOURCE
#include "elf.h"
#include "real.h"
#include "route.h"

#include <sys/auxv.h>
#include <sys/mman.h>

#if defined(__x86_64__)
enum { POINTER = R_X86_64_64, GOT = R_X86_64_GLOB_DAT, PLT = R_X86_64_JUMP_SLOT };
#elif defined(__aarch64__)
enum { POINTER = R_AARCH64_ABS64, GOT = R_AARCH64_GLOB_DAT, PLT = R_AARCH64_JUMP_SLOT };
#endif

enum { OBJECTS = 2048 };

/* The library and its dependencies, each held open. Other objects, which another thread may close meanwhile, are not
   touched: the loader unmaps an object before it takes it off its list. */
struct tree {
    struct link_map *map[OBJECTS];
    unsigned count;
    const struct bindings *bindings;
    bool good;
};

/* The slot's page as the loader left it: writable, or read-only after relocation; a text relocation is in neither. */
static bool put(const struct elf_object *object, void **slot, void *value) {
    ElfW(Addr) at = (ElfW(Addr))slot, page = getauxval(AT_PAGESZ);
    void *start = (void *)(at & -page);
    bool writable = false, sealed = false;
    for (unsigned i = 0; i < object->segments; i++) {
        const ElfW(Phdr) *p = &object->segment[i];
        ElfW(Addr) from = object->base + p->p_vaddr, to = from + p->p_memsz;
        if (p->p_type == PT_LOAD && (p->p_flags & PF_W) && at >= from && at < to)
            writable = true;
        if (p->p_type == PT_GNU_RELRO && at >= (from & -page) && at < (to & -page))
            sealed = true;
    }
    if (!writable || (sealed && mprotect(start, page, PROT_READ | PROT_WRITE) != 0))
        return false;
    __atomic_store_n(slot, value, __ATOMIC_RELEASE);
    return !sealed || mprotect(start, page, PROT_READ) == 0;
}

struct references {
    const ElfW(Sym) * symbols;
    const char *strings;
    const ElfW(Rela) * table[2];
    size_t size[2];
};

static struct references references_of(const struct elf_object *object) {
    struct references r = {0};
    for (const ElfW(Dyn) *d = object->dynamic; d->d_tag != DT_NULL; d++) {
        const void *at = elf_address(object, d->d_un.d_ptr);
        switch (d->d_tag) {
        case DT_SYMTAB:
            r.symbols = at;
            break;
        case DT_STRTAB:
            r.strings = at;
            break;
        case DT_RELA:
            r.table[0] = at;
            break;
        case DT_RELASZ:
            r.size[0] = d->d_un.d_val;
            break;
        case DT_JMPREL:
            r.table[1] = at;
            break;
        case DT_PLTRELSZ:
            r.size[1] = d->d_un.d_val;
            break;
        }
    }
    return r;
}

/* A slot that is still to be bound leads back into its own object. */
static bool is_unbound(const struct elf_object *object, unsigned type, const void *value) {
    return type == PLT && (ElfW(Addr))value >= object->first && (ElfW(Addr))value < object->last;
}

static bool mend_reference(const struct elf_object *object, const struct references *r, const ElfW(Rela) * rela,
                           const struct bindings *bindings) {
    unsigned type = ELF64_R_TYPE(rela->r_info);
    const ElfW(Sym) *symbol = &r->symbols[ELF64_R_SYM(rela->r_info)];
    if ((type != POINTER && type != GOT && type != PLT) || symbol->st_shndx != SHN_UNDEF ||
        (type == POINTER && rela->r_addend != 0))
        return true;
    const struct binding *binding = route_binding(bindings, r->strings + symbol->st_name);
    if (!binding || binding->ours == binding->found)
        return true;
    void **slot = (void **)(object->base + rela->r_offset), *value = *slot;
    if (value != binding->found && !is_unbound(object, type, value))
        return true;
    return put(object, slot, binding->ours);
}

static bool mend_object(const struct elf_object *object, const struct bindings *bindings) {
    struct references r = references_of(object);
    bool good = true;
    if (!r.symbols || !r.strings || real_is_system(object))
        return true;
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; r.table[t] && i < r.size[t] / sizeof(ElfW(Rela)); i++)
            good &= mend_reference(object, &r, &r.table[t][i], bindings);
    return good;
}

static void add(struct tree *tree, struct link_map *map) {
    for (unsigned i = 0; map && i < tree->count; i++)
        if (tree->map[i] == map) {
            close_again(map);
            return;
        }
    if (map && tree->count < OBJECTS)
        tree->map[tree->count++] = map;
    else if (map)
        close_again(map), tree->good = false;
}

static void add_needed(struct tree *tree, const struct elf_object *object) {
    const char *strings = references_of(object).strings;
    for (const ElfW(Dyn) *d = object->dynamic; strings && d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_NEEDED)
            add(tree, open_loaded(tree->map[0], strings + d->d_un.d_val));
}

static void held_mend(void *data) {
    struct tree *tree = data;
    struct elf_object object;
    for (unsigned i = 0; i < tree->count; i++)
        tree->good &= elf_of_map(&object, tree->map[i]) && mend_object(&object, tree->bindings);
}

bool mend(void *handle, const struct bindings *bindings) {
    struct tree *tree = mmap(NULL, sizeof *tree, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct elf_object object;
    if (tree == MAP_FAILED)
        return false;
    tree->map[tree->count++] = handle, tree->bindings = bindings, tree->good = true;
    for (unsigned i = 0; i < tree->count; i++)
        if (elf_of_map(&object, tree->map[i]))
            add_needed(tree, &object);
    elf_hold(held_mend, tree); /* one thread at a time changes an object */
    for (unsigned i = 1; i < tree->count; i++)
        close_again(tree->map[i]);
    bool good = tree->good;
    munmap(tree, sizeof *tree);
    return good;
}
