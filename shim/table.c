/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear probing and backward-shift deletion; memory straight from mmap, so that no program's
   malloc is entered. */
#define _GNU_SOURCE
#include "table.h"

#include <string.h>
#include <sys/mman.h>

enum { PIECE = 512 };                     /* in multiples of this the driver divides a block */
#define BLOCKS (UINT64_MAX >> BLOCK_BITS) /* of a block's key, what is not its device */

static uint64_t mix(enum table_class class, uint64_t key) {
    uint64_t h = (key ^ (uint64_t) class << 56) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

static struct shard *shard_of(struct table *table, enum table_class class, uint64_t key) {
    uint64_t place = class == CLASS_POINTER ? key >> BLOCK_BITS : class == CLASS_BLOCK ? key & BLOCKS : key;
    return &table->shards[mix(0, place) >> 58];
}

/* Where the entry is, or the empty slot where it would be. The shard has at least one empty slot. */
static uint32_t probe(const struct shard *shard, enum table_class class, uint64_t key, uint64_t hash) {
    uint32_t at = (uint32_t)hash & (shard->capacity - 1);
    while (shard->slots[at].class && !(shard->slots[at].key == key && shard->slots[at].class == class))
        at = (at + 1) & (shard->capacity - 1);
    return at;
}

/* The driver hands out small pieces of a block one behind the other, and they often go in that order too: so the next
   call will want the place of the next piece. It is fetched while the driver works; in a large table it is in no cache.
   Always inline: gcc takes a function that only prefetches for one without effect, and leaves out its calls. */
static inline __attribute__((always_inline)) void expect_neighbour(const struct shard *shard,
                                                                   const struct entry *entry) {
    uint64_t next = entry->key + (entry->size + (PIECE - 1)) / PIECE * PIECE;
    __builtin_prefetch(&shard->slots[(uint32_t)mix(CLASS_POINTER, next) & (shard->capacity - 1)], 1);
}

static bool grow(struct shard *shard) {
    uint32_t capacity = shard->capacity ? shard->capacity * 2 : 128;
    struct entry *slots =
        mmap(NULL, capacity * sizeof *slots, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED)
        return false;
    struct shard old = *shard;
    shard->capacity = capacity;
    shard->slots = slots;
    for (uint32_t i = 0; i < old.capacity; i++) {
        const struct entry *e = &old.slots[i];
        if (e->class)
            slots[probe(shard, e->class, e->key, mix(e->class, e->key))] = *e;
    }
    if (old.slots)
        munmap(old.slots, old.capacity * sizeof *slots);
    return true;
}

static bool has_room(struct shard *shard) {
    return (shard->count + 1) * 4 <= shard->capacity * 3 || grow(shard);
}

static void remove_at(struct shard *shard, uint32_t hole) {
    uint32_t mask = shard->capacity - 1;
    for (uint32_t at = (hole + 1) & mask; shard->slots[at].class; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)mix(shard->slots[at].class, shard->slots[at].key) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            shard->slots[hole] = shard->slots[at];
            hole = at;
        }
    }
    memset(&shard->slots[hole], 0, sizeof(struct entry));
    shard->count--;
}

/* Under the shard's lock, with room. */
static void put(struct shard *shard, const struct entry *entry) {
    uint32_t at = probe(shard, entry->class, entry->key, mix(entry->class, entry->key));
    shard->count += shard->slots[at].class == 0;
    shard->slots[at] = *entry;
}

static int64_t reference(struct shard *shard, const struct entry *entry) {
    uint32_t at = probe(shard, entry->class, entry->key, mix(entry->class, entry->key));
    if (shard->slots[at].class == 0) {
        shard->slots[at] = *entry;
        shard->slots[at].refs = 0;
        shard->count++;
    }
    return ++shard->slots[at].refs;
}

static int64_t unreference(struct shard *shard, const struct entry *entry, bool ordered, struct entry *gone) {
    if (!shard->capacity)
        return -1;
    uint32_t at = probe(shard, entry->class, entry->key, mix(entry->class, entry->key));
    if (shard->slots[at].class == 0 || shard->slots[at].extra != entry->extra)
        return -1;
    int64_t refs = --shard->slots[at].refs;
    shard->slots[at].ordered |= ordered;
    *gone = shard->slots[at];
    if (refs == 0 && !gone->ordered)
        remove_at(shard, at);
    return refs;
}

bool table_exchange(struct table *table, const struct entry *entry, struct entry *before) {
    struct shard *shard = shard_of(table, entry->class, entry->key);
    brief_take(&shard->lock);
    bool room = has_room(shard);
    *before = (struct entry){0};
    if (room) {
        *before = shard->slots[probe(shard, entry->class, entry->key, mix(entry->class, entry->key))];
        put(shard, entry);
    }
    brief_drop(&shard->lock);
    return room;
}

bool table_put(struct table *table, const struct entry *entry) {
    struct shard *shard = shard_of(table, entry->class, entry->key);
    brief_take(&shard->lock);
    bool room = has_room(shard);
    if (room)
        put(shard, entry);
    brief_drop(&shard->lock);
    return room;
}

int64_t table_put_in_block(struct table *table, const struct entry *entry, const struct entry *block) {
    struct shard *shard = shard_of(table, CLASS_POINTER, entry->key);
    brief_take(&shard->lock);
    int64_t refs = -1;
    if (has_room(shard)) {
        put(shard, entry);
        refs = has_room(shard) ? reference(shard, block) : -1;
        expect_neighbour(shard, entry);
    }
    brief_drop(&shard->lock);
    return refs;
}

static bool look_up(struct table *table, enum table_class class, uint64_t key, struct entry *found, bool take) {
    struct shard *shard = shard_of(table, class, key);
    brief_take(&shard->lock);
    bool known = false;
    if (shard->capacity) {
        uint32_t at = probe(shard, class, key, mix(class, key));
        known = shard->slots[at].class != 0;
        if (known) {
            *found = shard->slots[at];
            if (take) {
                remove_at(shard, at);
                expect_neighbour(shard, found);
            }
        }
    }
    brief_drop(&shard->lock);
    return known;
}

bool table_find(struct table *table, enum table_class class, uint64_t key, struct entry *found) {
    return look_up(table, class, key, found, false);
}

bool table_take(struct table *table, enum table_class class, uint64_t key, struct entry *taken) {
    return look_up(table, class, key, taken, true);
}

int64_t table_reference(struct table *table, const struct entry *entry) {
    struct shard *shard = shard_of(table, entry->class, entry->key);
    brief_take(&shard->lock);
    int64_t refs = has_room(shard) ? reference(shard, entry) : -1;
    brief_drop(&shard->lock);
    return refs;
}

int64_t table_unreference(struct table *table, const struct entry *entry, bool ordered, struct entry *gone) {
    struct shard *shard = shard_of(table, entry->class, entry->key);
    brief_take(&shard->lock);
    int64_t refs = unreference(shard, entry, ordered, gone);
    brief_drop(&shard->lock);
    return refs;
}

void table_sweep(struct table *table, bool (*wanted)(const struct entry *entry, void *data), void *data) {
    for (int s = 0; s < SHARDS; s++) {
        struct shard *shard = &table->shards[s];
        brief_take(&shard->lock);
        /* A removal may shift a later entry into the hole: look at the same place again. What wraps round is met twice
           at most. */
        for (uint32_t at = 0; at < shard->capacity;) {
            if (shard->slots[at].class && wanted(&shard->slots[at], data))
                remove_at(shard, at);
            else
                at++;
        }
        brief_drop(&shard->lock);
    }
}
