/* SPDX-License-Identifier: Apache-2.0 */
/* Device addresses: one range for all devices (unified addressing), given out in pages of 2 MiB. The table says which
   chunk a page belongs to. Nothing is mapped there until a copy or a set touches a chunk, so that addresses cost
   nothing; the range is one where no kernel and no sanitizer puts anything by itself. */
#include "driver.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PAGE (2 * MIB)
#define GIB (1024 * MIB)

/* Guarded by sim.lock. */
static uint64_t base, pages, rover;
static struct chunk **table;

/* By system call: sanitizers prepare for all of a mapping that they see, which may be hundreds of gigabytes. */
static void unmap(uint64_t address, uint64_t size) {
    syscall(SYS_munmap, address, size);
}

static bool map(uint64_t address, uint64_t size) {
    long got = syscall(SYS_mmap, address, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != -1 && (uint64_t)got != address) /* a kernel before 4.17 took the address for a hint */
        unmap((uint64_t)got, size);
    return (uint64_t)got == address;
}

static bool usable(uint64_t from, uint64_t size) {
    if (!map(from, PAGE))
        return false;
    unmap(from, PAGE);
    return map(from + size - PAGE, PAGE);
}

static bool prepare_in(uint64_t from, uint64_t size) {
    if (!usable(from, size))
        return false;
    base = from;
    pages = size / PAGE - 1;
    void *memory =
        mmap(NULL, pages * sizeof *table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    table = memory == MAP_FAILED ? NULL : memory;
    return table != NULL;
}

static bool prepare(void) {
    /* The first is free in every ordinary process; the others serve the thread sanitizer, and small address spaces. The
       last page of one that is used stays mapped: another driver in the process takes the next part. */
    static const struct {
        uint64_t from, size, parts;
    } ranges[] = {{0x200000000000, 1024 * GIB, 32}, {0x7e9000000000, 448 * GIB, 1}, {0x4000000000, 128 * GIB, 1}};
    for (size_t i = 0; !table && i < sizeof ranges / sizeof *ranges; i++)
        for (uint64_t part = 0; !table && part < ranges[i].parts; part++)
            prepare_in(ranges[i].from + part * ranges[i].size, ranges[i].size);
    return table != NULL;
}

/* The first run of free pages at or behind `from`. */
static uint64_t find(uint64_t from, uint64_t to, uint64_t count, uint64_t alignment) {
    uint64_t at = from;
    while (at + count <= to) {
        uint64_t address = base + at * PAGE;
        if (address % alignment) {
            at += (alignment - address % alignment) / PAGE;
            continue;
        }
        uint64_t i = 0;
        while (i < count && !table[at + i])
            i++;
        if (i == count)
            return at;
        at += i;
        at += (table[at]->base + table[at]->size - (base + at * PAGE)) / PAGE;
    }
    return UINT64_MAX;
}

uint64_t space_reserve(uint64_t size, uint64_t alignment, struct chunk *owner) {
    if (!prepare() || size > pages * PAGE)
        return 0;
    uint64_t count = (size + PAGE - 1) / PAGE;
    if (alignment < PAGE)
        alignment = PAGE;
    uint64_t at = find(rover, pages, count, alignment);
    if (at == UINT64_MAX)
        at = find(0, pages, count, alignment);
    if (at == UINT64_MAX)
        return 0;
    for (uint64_t i = 0; i < count; i++)
        table[at + i] = owner;
    rover = at + count;
    owner->base = base + at * PAGE;
    owner->size = count * PAGE;
    return owner->base;
}

void space_release(uint64_t address, uint64_t size, bool touched) {
    uint64_t at = (address - base) / PAGE;
    memset(&table[at], 0, size / PAGE * sizeof *table);
    if (at < rover)
        rover = at;
    if (touched)
        unmap(address, size);
}

bool space_touch(struct chunk *chunk) {
    if (!chunk->touched)
        chunk->touched = map(chunk->base, chunk->size);
    return chunk->touched;
}

struct chunk *space_chunk(uint64_t address) {
    if (!table || address < base || address >= base + pages * PAGE)
        return NULL;
    return table[(address - base) / PAGE];
}
