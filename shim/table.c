/* Open addressing with linear probing and backward-shift deletion; memory straight from mmap, so that no program's
 * malloc is entered. */
#define _GNU_SOURCE
#include "table.h"

#include <string.h>
#include <sys/mman.h>

static uint64_t mix(enum table_class class, uint64_t key) {
    uint64_t h = (key ^ (uint64_t) class << 56) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

static struct shard *shard_of(struct table *table, uint64_t hash) {
    return &table->shards[hash >> 58];
}

/* Where the entry is, or the empty slot where it would be. The shard has at least one empty slot. */
static uint32_t probe(const struct shard *shard, enum table_class class, uint64_t key, uint64_t hash) {
    uint32_t at = (uint32_t)hash & (shard->capacity - 1);
    while (shard->slots[at].class && !(shard->slots[at].key == key && shard->slots[at].class == class))
        at = (at + 1) & (shard->capacity - 1);
    return at;
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

bool table_put(struct table *table, const struct entry *entry) {
    uint64_t hash = mix(entry->class, entry->key);
    struct shard *shard = shard_of(table, hash);
    lock_take(&shard->lock);
    bool room = has_room(shard);
    if (room) {
        uint32_t at = probe(shard, entry->class, entry->key, hash);
        shard->count += shard->slots[at].class == 0;
        shard->slots[at] = *entry;
    }
    lock_drop(&shard->lock);
    return room;
}

static bool look_up(struct table *table, enum table_class class, uint64_t key, struct entry *found, bool take) {
    uint64_t hash = mix(class, key);
    struct shard *shard = shard_of(table, hash);
    lock_take(&shard->lock);
    bool known = false;
    if (shard->capacity) {
        uint32_t at = probe(shard, class, key, hash);
        known = shard->slots[at].class != 0;
        if (known) {
            *found = shard->slots[at];
            if (take)
                remove_at(shard, at);
        }
    }
    lock_drop(&shard->lock);
    return known;
}

bool table_find(struct table *table, enum table_class class, uint64_t key, struct entry *found) {
    return look_up(table, class, key, found, false);
}

bool table_take(struct table *table, enum table_class class, uint64_t key, struct entry *taken) {
    return look_up(table, class, key, taken, true);
}

int64_t table_reference(struct table *table, const struct entry *entry) {
    uint64_t hash = mix(entry->class, entry->key);
    struct shard *shard = shard_of(table, hash);
    int64_t refs = -1;
    lock_take(&shard->lock);
    if (has_room(shard)) {
        uint32_t at = probe(shard, entry->class, entry->key, hash);
        if (shard->slots[at].class == 0) {
            shard->slots[at] = *entry;
            shard->slots[at].refs = 0;
            shard->count++;
        }
        refs = ++shard->slots[at].refs;
    }
    lock_drop(&shard->lock);
    return refs;
}

int64_t table_unreference(struct table *table, enum table_class class, uint64_t key, struct entry *gone) {
    uint64_t hash = mix(class, key);
    struct shard *shard = shard_of(table, hash);
    int64_t refs = -1;
    lock_take(&shard->lock);
    if (shard->capacity) {
        uint32_t at = probe(shard, class, key, hash);
        if (shard->slots[at].class != 0) {
            refs = --shard->slots[at].refs;
            *gone = shard->slots[at];
            if (refs == 0)
                remove_at(shard, at);
        }
    }
    lock_drop(&shard->lock);
    return refs;
}

void table_sweep(struct table *table, bool (*wanted)(const struct entry *entry, void *data), void *data) {
    for (int s = 0; s < SHARDS; s++) {
        struct shard *shard = &table->shards[s];
        lock_take(&shard->lock);
        /* A removal may shift a later entry into the hole: look at the same place again. What wraps round is met twice
         * at most. */
        for (uint32_t at = 0; at < shard->capacity;) {
            if (shard->slots[at].class && wanted(&shard->slots[at], data))
                remove_at(shard, at);
            else
                at++;
        }
        lock_drop(&shard->lock);
    }
}
