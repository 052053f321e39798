/*
 * Device addresses: one reserved range for all devices (unified addressing), given out in pages of 2 MiB. The table
 * says which chunk a page belongs to. Pages are inaccessible until a copy or a set writes to them.
 */
#include "driver.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE (2 * MIB)

/* Guarded by sim.lock. */
static uint64_t base, pages, rover;
static struct chunk **table;

static bool reserve_all(void) {
    if (table)
        return true;
    uint64_t size = 8ull << 40;
    void *range = MAP_FAILED;
    for (; range == MAP_FAILED && size >= 64ull << 30; size /= 2)
        range = mmap(NULL, size + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED)
        return false;
    madvise(range, size + PAGE, MADV_DONTDUMP);
    base = ((uint64_t)range + PAGE - 1) / PAGE * PAGE;
    pages = size / PAGE;
    void *memory =
        mmap(NULL, pages * sizeof *table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    table = memory == MAP_FAILED ? NULL : memory;
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
    if (!reserve_all() || size > pages * PAGE)
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
    if (touched) {
        madvise((void *)address, size, MADV_DONTNEED);
        mprotect((void *)address, size, PROT_NONE);
    }
}

void space_touch(struct chunk *chunk) {
    if (chunk->touched)
        return;
    mprotect((void *)chunk->base, chunk->size, PROT_READ | PROT_WRITE);
    chunk->touched = true;
}

struct chunk *space_chunk(uint64_t address) {
    if (!table || address < base || address >= base + pages * PAGE)
        return NULL;
    return table[(address - base) / PAGE];
}
