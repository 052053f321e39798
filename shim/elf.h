/* The loaded objects of this process, read from the loader's own link maps: finding a function needs neither dlsym nor
 * a lock of ours. */
#ifndef RUNAI_ELF_H
#define RUNAI_ELF_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>

struct elf_object {
    ElfW(Addr) base;
    const ElfW(Dyn) * dynamic;
    char path[512];
};

/* The first loaded object whose file name begins with one of the prefixes (a NULL-terminated list). */
bool elf_find(struct elf_object *object, const char *const *prefixes);
/* The same for an object that was loaded with the program: usable before anything else is. */
bool elf_find_from_start(struct elf_object *object, const char *const *prefixes);
/* The object that contains an address of code or data. */
bool elf_containing(struct elf_object *object, const void *address);
/* Does the object that contains `first` come before that of `second` in the order in which symbols are looked up? */
bool elf_comes_before(const void *first, const void *second);
/* A function that the object itself defines and exports; NULL if there is none. */
void *elf_function(const struct elf_object *object, const char *name);

#endif
