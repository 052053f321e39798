/* Libraries that bind to the driver past the shim: opened with RTLD_DEEPBIND, which has them look in what they need
   before the global scope, or in a namespace of their own. After such a load their references are changed (GOT and
   PLT slots and pointers in data, bound or still to be bound), where the loader made them read-only for the moment of
   the change. Left alone on purpose: drivers, the C library and the loader themselves. */
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

enum { OBJECTS = 256 };

struct tree {
    struct link_map *root;
    const void *last;
    const struct bindings *bindings;
    unsigned count;
    bool good;
    struct elf_object object[OBJECTS]; /* what came with the root, or at the same time */
    bool needed[OBJECTS];
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

static void collect(struct tree *tree) {
    struct link_map *map = tree->root, *first;
    while (map->l_prev)
        map = map->l_prev;
    first = map;
    while (tree->last && map && map->l_ld != tree->last)
        map = map->l_next;
    for (map = tree->last && map ? map->l_next : first; map; map = map->l_next) {
        if (tree->count == OBJECTS || !elf_of_map(&tree->object[tree->count], map)) {
            tree->good = false;
            return;
        }
        tree->needed[tree->count++] = map == tree->root;
    }
}

static bool note_needed(struct tree *tree, const char *name) {
    bool more = false;
    for (unsigned i = 0; i < tree->count; i++)
        if (!tree->needed[i] && elf_is_called(&tree->object[i], name))
            more = tree->needed[i] = true;
    return more;
}

/* Others may be loaded by other threads meanwhile, and not be ready. */
static bool note_needs(struct tree *tree) {
    bool more = false;
    for (unsigned i = 0; i < tree->count; i++) {
        const char *strings = tree->needed[i] ? references_of(&tree->object[i]).strings : NULL;
        for (const ElfW(Dyn) *d = tree->object[i].dynamic; strings && d->d_tag != DT_NULL; d++)
            if (d->d_tag == DT_NEEDED)
                more |= note_needed(tree, strings + d->d_un.d_val);
    }
    return more;
}

static void held_mend(void *data) {
    struct tree *tree = data;
    collect(tree);
    while (note_needs(tree))
        ;
    for (unsigned i = 0; i < tree->count; i++)
        if (tree->needed[i])
            tree->good &= mend_object(&tree->object[i], tree->bindings);
}

bool mend(void *handle, const void *last, const struct bindings *bindings) {
    struct tree tree;
    tree.root = handle, tree.last = last, tree.bindings = bindings, tree.good = true, tree.count = 0;
    elf_hold(held_mend, &tree);
    return tree.good;
}
