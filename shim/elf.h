/* SPDX-License-Identifier: Apache-2.0 */
/* The loaded objects of this process, read from the loader's own link maps: finding a function needs neither dlsym nor
   a lock of ours. */
#ifndef RUNAI_ELF_H
#define RUNAI_ELF_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_object {
    ElfW(Addr) base;
    const ElfW(Dyn) * dynamic;
    const char *path;           /* the loader's own text: good while the object is loaded */
    ElfW(Addr) first, last;     /* all its addresses lie in [first, last) */
    const ElfW(Phdr) * segment; /* with first and last, 0 from elf_find_from_start */
    unsigned segments;
};

/* The first loaded object whose file name or SONAME begins with one of the prefixes (a NULL-terminated list), or the
   one after so many of them. */
bool elf_find(struct elf_object *object, const char *const *prefixes, unsigned skip);
/* The same for an object that was loaded with the program: usable before anything else is. */
bool elf_find_from_start(struct elf_object *object, const char *const *prefixes);
/* The object that contains an address of code or data. */
bool elf_containing(struct elf_object *object, const void *address);
/* Has its file name or SONAME one of the prefixes? */
bool elf_named(const struct elf_object *object, const char *const *prefixes);
/* The object of a link map, of any namespace. False where its headers cannot be found. */
bool elf_of_map(struct elf_object *object, const struct link_map *map);
/* An address in a dynamic section. */
const void *elf_address(const struct elf_object *object, ElfW(Addr) value);
/* Runs something while no object is loaded or unloaded, and no other thread is in here. It must not call the loader. */
void elf_hold(void (*run)(void *data), void *data);
/* Changes whenever an object is unloaded. */
uint64_t elf_unloads(void);
/* Does the object that contains `first` come before that of `second` in the order in which symbols are looked up? */
bool elf_comes_before(const void *first, const void *second);
/* A function that the object itself defines and exports; NULL if there is none. */
void *elf_function(const struct elf_object *object, const char *name);

#endif
