/* SPDX-License-Identifier: Apache-2.0 */
/* Formats: PTX ISA (module-scoped state space declarations), ELF of 64 bits for the machine EM_CUDA, and the container
   that nvcc writes around them (a wrapper that points to a header, and entries of kind PTX or ELF one behind the other;
   seen in the output of CUDA 11 to 13). An image is the program's own, and the driver reads it next; so its numbers are
   trusted if they are of a plausible size. */
#define _GNU_SOURCE
#include "image.h"
#include "base.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PLAUSIBLE ((uint64_t)1 << 42)

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static uint64_t number(const char **at, const char *end) {
    uint64_t n = 0;
    while (*at < end && **at >= '0' && **at <= '9' && n < PLAUSIBLE)
        n = n * 10 + (uint64_t)(*(*at)++ - '0');
    return n;
}

/* ".global" up to the end of the declaration: [.align N] [.v2 | .v4] .TYPE name [A][B]... */
static uint64_t ptx_variable(const char *at, const char *end) {
    uint64_t bytes = 0, count = 1;
    while (at < end && *at != ';' && *at != '=' && *at != '{') {
        if (*at == '.' && at + 2 < end && (at[1] == 'b' || at[1] == 'u' || at[1] == 's' || at[1] == 'f') &&
            at[2] >= '0' && at[2] <= '9') {
            const char *digits = at + 2;
            bytes = number(&digits, end) / 8;
        } else if (*at == '.' && at + 2 < end && at[1] == 'v' && (at[2] == '2' || at[2] == '4')) {
            count *= (uint64_t)(at[2] - '0');
        } else if (*at == '[') {
            const char *digits = at + 1;
            while (digits < end && is_space(*digits))
                digits++;
            uint64_t n = number(&digits, end);
            if (n && __builtin_mul_overflow(count, n, &count))
                return 0;
        }
        at++;
    }
    return __builtin_mul_overflow(bytes, count, &bytes) || bytes > PLAUSIBLE ? 0 : bytes;
}

/* Looks at the text before it, back to the end of the last declaration: `.extern` only declares, and `.ptr .global`
   describes a pointer. */
static bool ptx_defines(const char *text, const char *at) {
    const char *from = at;
    while (from > text && from[-1] != ';' && from[-1] != '}' && from[-1] != '{' && from[-1] != ',' && from[-1] != '(' &&
           from[-1] != '\n')
        from--;
    for (; from + 4 <= at; from++)
        if (memcmp(from, ".ptr", 4) == 0 || (from + 7 <= at && memcmp(from, ".extern", 7) == 0))
            return false;
    return true;
}

static uint64_t ptx_globals(const char *text, size_t size) {
    const char *end = text + size;
    uint64_t sum = 0;
    for (const char *at = text; (at = memmem(at, (size_t)(end - at), ".global", 7)); at += 7)
        if ((at == text || is_space(at[-1])) && at + 7 < end && is_space(at[7]) && ptx_defines(text, at))
            sum += ptx_variable(at + 7, end);
    return sum;
}

struct elf64 {
    unsigned char ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, programs, sections;
    uint32_t flags;
    uint16_t size, program_size, program_count, section_size, section_count, names;
};
struct section {
    uint32_t name, type;
    uint64_t flags, address, offset, size;
    uint32_t link, info;
    uint64_t align, entry_size;
};
_Static_assert(sizeof(struct elf64) == 64 && sizeof(struct section) == 64, "ELF-64");
enum { EM_CUDA = 190 };

struct symbol {
    uint32_t name;
    unsigned char info, other;
    uint16_t section;
    uint64_t value, size;
};
struct segment {
    uint32_t type, flags;
    uint64_t offset, address, physical, file_size, memory_size, align;
};
_Static_assert(sizeof(struct symbol) == 24 && sizeof(struct segment) == 56, "ELF-64");
enum { SYMTAB = 2, NOBITS = 8, PT_LOAD = 1 };

static bool is_global(const char *image, const struct section *names, const struct section *section) {
    return section->name + 10 < names->size && strncmp(image + names->offset + section->name, ".nv.global", 10) == 0;
}

/* How far the variables in that section reach. */
static uint64_t symbols_reach(const char *image, const struct section *table, unsigned of) {
    struct symbol symbol;
    uint64_t reach = 0;
    if (table->type != SYMTAB || table->offset > PLAUSIBLE >> 8 || table->size > PLAUSIBLE >> 8)
        return 0;
    for (uint64_t at = 0; at + sizeof symbol <= table->size; at += sizeof symbol) {
        memcpy(&symbol, image + table->offset + at, sizeof symbol);
        if (symbol.section == of && symbol.value < PLAUSIBLE && symbol.size < PLAUSIBLE &&
            symbol.value + symbol.size > reach)
            reach = symbol.value + symbol.size;
    }
    return reach;
}

/* What segments have in memory beyond their part of the file. */
static uint64_t segments_add(const char *image, const struct elf64 *elf) {
    struct segment segment;
    uint64_t sum = 0;
    for (unsigned i = 0;
         elf->program_size == sizeof segment && elf->programs < PLAUSIBLE >> 8 && i < elf->program_count; i++) {
        memcpy(&segment, image + elf->programs + i * sizeof segment, sizeof segment);
        if (segment.type == PT_LOAD && segment.memory_size > segment.file_size && segment.memory_size < PLAUSIBLE)
            sum += segment.memory_size - segment.file_size;
    }
    return sum;
}

/* The largest of what sections, their symbols and segments declare: the section size alone was seen to be less than
   what the driver takes (6 GiB, in a cubin that the linker had made). */
static uint64_t cubin_globals(const char *image) {
    struct elf64 elf;
    struct section names, section, table;
    memcpy(&elf, image, sizeof elf);
    if (elf.machine != EM_CUDA || elf.section_size != sizeof section || elf.names >= elf.section_count ||
        elf.sections > PLAUSIBLE >> 8)
        return 0;
    const char *sections = image + elf.sections;
    memcpy(&names, sections + elf.names * sizeof names, sizeof names);
    if (names.offset > PLAUSIBLE >> 8)
        return 0;
    uint64_t sum = 0;
    for (unsigned i = 0; i < elf.section_count; i++) {
        memcpy(&section, sections + i * sizeof section, sizeof section);
        if (!is_global(image, &names, &section))
            continue;
        uint64_t bytes = section.size < PLAUSIBLE ? section.size : 0;
        for (unsigned k = 0; k < elf.section_count; k++) {
            memcpy(&table, sections + k * sizeof table, sizeof table);
            uint64_t reach = symbols_reach(image, &table, i);
            bytes = reach > bytes ? reach : bytes;
        }
        sum += bytes;
    }
    uint64_t segments = sum ? segments_add(image, &elf) : 0;
    return segments > sum ? segments : sum;
}

static bool is_cubin(const char *image) {
    return strncmp(image, "\177ELF\2", 5) == 0;
}

struct fat_wrapper {
    uint32_t magic, version;
    const char *data;
};
struct fat_header {
    uint32_t magic;
    uint16_t version, size;
    uint64_t entries; /* bytes of them */
};
struct fat_entry {
    uint16_t kind, unknown;
    uint32_t header;
    uint64_t size;
    uint32_t compressed, unknown2;
    uint16_t minor, major;
    uint32_t architecture, name, name_size;
    uint64_t flags;
};
_Static_assert(sizeof(struct fat_header) == 16 && sizeof(struct fat_entry) == 48, "as nvcc writes them");
enum { FAT_WRAPPER = 0x466243b1, FAT = 0xba55ed50u, FAT_PTX = 1, FAT_ELF = 2 };

static uint64_t fat_globals(const char *image) {
    struct fat_header header;
    struct fat_entry entry;
    uint64_t most = 0;
    memcpy(&header, image, sizeof header);
    if (header.size < sizeof header || header.entries > PLAUSIBLE >> 8)
        return 0;
    const char *at = image + header.size, *end = at + header.entries;
    for (; at + sizeof entry <= end; at += entry.header + entry.size) {
        memcpy(&entry, at, sizeof entry);
        if (entry.header < sizeof entry || entry.header > 4096 || entry.size > (uint64_t)(end - at))
            break;
        const char *body = at + entry.header;
        uint64_t bytes = 0;
        if (entry.kind == FAT_ELF && entry.size > sizeof(struct elf64) && is_cubin(body))
            bytes = cubin_globals(body);
        else if (entry.kind == FAT_PTX && entry.size > 8 && entry.compressed == 0)
            bytes = ptx_globals(body, strnlen(body, entry.size));
        if (bytes > most)
            most = bytes;
    }
    return most;
}

static bool is_ptx(const char *text) {
    while (is_space(*text))
        text++;
    return strncmp(text, "//", 2) == 0 || strncmp(text, ".version", 8) == 0;
}

uint64_t image_globals(const void *image) {
    uint32_t magic;
    struct fat_wrapper wrapper;
    if (!image || ((const char *)image)[0] == 0)
        return 0;
    if (is_ptx(image))
        return ptx_globals(image, strlen(image));
    if (is_cubin(image))
        return cubin_globals(image);
    if (strnlen(image, sizeof magic) < sizeof magic)
        return 0; /* a text that ends here: neither magic number contains a zero byte */
    memcpy(&magic, image, sizeof magic);
    if (magic == FAT)
        return fat_globals(image);
    if (magic != FAT_WRAPPER)
        return 0;
    memcpy(&wrapper, image, sizeof wrapper);
    if (!wrapper.data)
        return 0;
    memcpy(&magic, wrapper.data, sizeof magic);
    return magic == FAT ? fat_globals(wrapper.data) : 0;
}

void *image_copy(const void *image, size_t *size) {
    struct elf64 elf;
    struct section section;
    if (!image || !is_cubin(image))
        return NULL;
    memcpy(&elf, image, sizeof elf);
    if (elf.machine != EM_CUDA || elf.section_size != sizeof section || elf.sections > PLAUSIBLE >> 8)
        return NULL;
    uint64_t end = elf.sections + elf.section_count * sizeof section,
             programs = elf.programs + (uint64_t)elf.program_count * elf.program_size;
    for (unsigned i = 0; i < elf.section_count; i++) {
        memcpy(&section, (const char *)image + elf.sections + i * sizeof section, sizeof section);
        if (section.type != NOBITS && section.offset + section.size > end)
            end = section.offset + section.size;
    }
    *size = programs < PLAUSIBLE >> 8 && programs > end ? programs : end;
    void *copy = *size > PLAUSIBLE >> 8 ? MAP_FAILED
                                        : mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return copy == MAP_FAILED ? NULL : memcpy(copy, image, *size);
}

uint64_t image_globals_of_file(const char *path) {
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    uint64_t bytes = 0;
    off_t end = lseek(fd, 0, SEEK_END);
    size_t size = end > 0 && lseek(fd, 0, SEEK_SET) == 0 ? (size_t)end : 0;
    /* One more page, of zeros, terminates a text. */
    char *image =
        size ? mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    if (image != MAP_FAILED) {
        size_t got = 0;
        ssize_t n = 1;
        while (got < size && (n = read(fd, image + got, size - got)) > 0)
            got += (size_t)n;
        bytes = image_globals(image);
        munmap(image, size + 4096);
    }
    close(fd);
    return bytes;
}
