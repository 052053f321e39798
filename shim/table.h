/* SPDX-License-Identifier: Apache-2.0 */
/* What this process has allocated: a sharded hash table, O(1) in the number of live allocations. A shard's lock is held
   for a probe, never across a driver call. */
#ifndef RUNAI_TABLE_H
#define RUNAI_TABLE_H

#include "base.h"

enum table_class {
    CLASS_POINTER = 1, /* device pointers of every kind */
    CLASS_BLOCK,       /* 2 MiB of a device's address space in which linear allocations live; refs counts them */
    CLASS_HANDLE,      /* cuMemCreate; refs counts creations, retains and mappings; extra distinguishes memory that had
                          the same handle in turn */
    CLASS_MAPPING,     /* cuMemMap, by address; extra is the handle, refs the handle's extra */
    CLASS_ARRAY,       /* arrays and mipmapped arrays, by handle */
    CLASS_EXECUTABLE,  /* instantiated graphs; size is what their memory nodes need, extra the local memory of a thread
                        */
    CLASS_NODES,       /* instantiated graphs, all of them; size is the number of their nodes */
    CLASS_CONTEXT,     /* size is the local memory that a thread has in it */
    CLASS_LIBRARY, /* libraries that are not loaded yet; size is what their globals need, extra and refs a copy of the
                      cubin and its size */
};

enum table_kind { KIND_LINEAR = 1, KIND_MANAGED, KIND_POOL, KIND_VMM, KIND_ARRAY };

struct entry {
    uint64_t key;
    uint64_t size;
    uint64_t extra; /* pointers, arrays: the context that owns them (0: see device_current_in); pool memory: its pool's
                       place, from bit 8 on the generation; mappings: the handle */
    uint32_t refs;
    uint8_t class;
    uint8_t kind;
    uint8_t device;  /* position in process->devices */
    uint8_t ordered; /* blocks: something in it was freed in stream order, so that the driver may hold it on. Such a
                        block stays in the table for good: the driver does not say when it releases it, and others may
                        come and go */
};
_Static_assert(sizeof(struct entry) == 32, "two entries a cache line");

enum { SHARDS = 64 };

struct shard {
    struct brief lock; /* guards the rest */
    uint32_t capacity, count;
    struct entry *slots; /* a mapping of its own; class 0 is an empty slot */
};

struct table {
    struct shard shards[SHARDS];
};

/* Adds or replaces. False only when memory has run out. */
bool table_put(struct table *table, const struct entry *entry);
/* The same, and what it replaced; of class 0 where there was none. */
bool table_exchange(struct table *table, const struct entry *entry, struct entry *before);
bool table_find(struct table *table, enum table_class class, uint64_t key, struct entry *found);
/* Finds and removes. */
bool table_take(struct table *table, enum table_class class, uint64_t key, struct entry *taken);
enum { BLOCK_BITS = 21 };
/* The key of the block in which an address is. When a driver has an address back it may give it to another device while
   the block is still counted as the first one's. */
static inline uint64_t block_key(uint8_t device, uint64_t address) {
    return (uint64_t)device << (64 - BLOCK_BITS) | address >> BLOCK_BITS;
}
/* A pointer and the block it begins in share a shard, so both change under one lock. Returns how many pointers begin or
   end in the block now, -1 without memory. */
int64_t table_put_in_block(struct table *table, const struct entry *entry, const struct entry *block);
/* Change refs of an entry and return the new count. An entry is added at its first reference and removed at 0, unless a
   reference was ever dropped with `ordered`; at 0 *gone is the entry. -1 if there is no entry of that class, key and
   extra to unreference, or no memory. */
int64_t table_reference(struct table *table, const struct entry *entry);
int64_t table_unreference(struct table *table, const struct entry *entry, bool ordered, struct entry *gone);
/* Removes all entries for which `wanted` says yes, handing each to it. It must not call the table. */
void table_sweep(struct table *table, bool (*wanted)(const struct entry *entry, void *data), void *data);

#endif
