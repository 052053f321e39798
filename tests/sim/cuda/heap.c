/*
 * Chunks of device memory cut into allocations: first fit from where the last search ended, free neighbours joined.
 * Allocation and free take the same time with 60,000 live allocations as with one.
 */
#include "driver.h"

#include <stdlib.h>
#include <string.h>

/* Live allocations by address; guarded by sim.lock. */
static struct extent **buckets;
static size_t bucket_count, live;

static size_t bucket_of(uint64_t address, size_t count) {
    return (size_t)((address >> 9) * 0x9e3779b97f4a7c15ull >> 20) & (count - 1);
}

static void grow(void) {
    size_t count = bucket_count ? bucket_count * 4 : 1024;
    struct extent **larger = calloc(count, sizeof(struct extent *));
    if (!larger)
        return;
    for (size_t i = 0; i < bucket_count; i++)
        for (struct extent *e = buckets[i], *next; e; e = next) {
            next = e->hash_next;
            size_t b = bucket_of(e->base, count);
            e->hash_next = larger[b];
            larger[b] = e;
        }
    free(buckets);
    buckets = larger;
    bucket_count = count;
}

static bool remember(struct extent *extent) {
    if (live >= bucket_count)
        grow();
    if (!buckets)
        return false;
    size_t b = bucket_of(extent->base, bucket_count);
    extent->hash_next = buckets[b];
    buckets[b] = extent;
    live++;
    return true;
}

static void forget(struct extent *extent) {
    struct extent **link = &buckets[bucket_of(extent->base, bucket_count)];
    while (*link != extent)
        link = &(*link)->hash_next;
    *link = extent->hash_next;
    live--;
}

struct extent *extent_at(uint64_t address) {
    if (!buckets)
        return NULL;
    struct extent *e = buckets[bucket_of(address, bucket_count)];
    while (e && e->base != address)
        e = e->hash_next;
    return e;
}

struct extent *extent_containing(uint64_t address) {
    struct extent *e = extent_at(address);
    if (e)
        return e;
    struct chunk *chunk = space_chunk(address);
    if (!chunk)
        return NULL;
    for (e = chunk->first; e; e = e->next)
        if (address >= e->base && address < e->base + e->size)
            return e->used ? e : NULL;
    return NULL;
}

void heap_init(struct heap *heap, int device, uint64_t chunk_size, uint64_t unit) {
    memset(heap, 0, sizeof *heap);
    heap->device = device;
    heap->chunk_size = chunk_size;
    heap->unit = unit;
    heap->release_empty = true;
}

static void note_reserved(struct heap *heap, uint64_t more) {
    heap->reserved += more;
    if (heap->reserved > heap->reserved_high)
        heap->reserved_high = heap->reserved;
}

static void link_chunk(struct chunk **list, struct chunk *chunk) {
    chunk->list = list;
    chunk->previous = NULL;
    chunk->next = *list;
    if (chunk->next)
        chunk->next->previous = chunk;
    *list = chunk;
}

static void unlink_chunk(struct chunk *chunk) {
    *(chunk->previous ? &chunk->previous->next : chunk->list) = chunk->next;
    if (chunk->next)
        chunk->next->previous = chunk->previous;
}

/* Full chunks lie on a list of their own, where no search passes. */
static void sort_chunk(struct chunk *chunk) {
    struct chunk **list = chunk->free_bytes ? &chunk->heap->chunks : &chunk->heap->full;
    if (chunk->list != list) {
        unlink_chunk(chunk);
        link_chunk(list, chunk);
    }
}

static void drop_chunk(struct chunk *chunk) {
    struct heap *heap = chunk->heap;
    unlink_chunk(chunk);
    for (struct extent *e = chunk->first, *next; e; e = next) {
        next = e->next;
        if (e->used)
            forget(e);
        free(e);
    }
    space_release(chunk->base, chunk->size, chunk->touched);
    sim_give(heap->device, chunk->charged);
    heap->reserved -= chunk->size;
    free(chunk);
}

static CUresult add_chunk(struct heap *heap, uint64_t size, uint64_t alignment, struct chunk **out) {
    uint64_t rounded = (size + heap->chunk_size - 1) / heap->chunk_size * heap->chunk_size;
    if (rounded < size)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct chunk *chunk = calloc(1, sizeof *chunk);
    struct extent *all = calloc(1, sizeof *all);
    uint64_t charge = heap->uncharged ? 0 : rounded;
    if (!chunk || !all || !sim_take(heap->device, charge))
        goto out_of_memory;
    if (!space_reserve(rounded, alignment, chunk)) {
        sim_give(heap->device, charge);
        goto out_of_memory;
    }
    chunk->heap = heap;
    chunk->charged = charge;
    chunk->free_bytes = chunk->largest = chunk->size;
    *all = (struct extent){.base = chunk->base, .size = chunk->size, .chunk = chunk};
    chunk->first = chunk->rover = all;
    link_chunk(&heap->chunks, chunk);
    note_reserved(heap, chunk->size);
    *out = chunk;
    return CUDA_SUCCESS;

out_of_memory:
    free(chunk);
    free(all);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

/* Cuts what is not needed off a free extent's end. */
static bool split(struct extent *extent, uint64_t size) {
    if (extent->size == size)
        return true;
    struct extent *rest = calloc(1, sizeof *rest);
    if (!rest)
        return false;
    *rest = (struct extent){.base = extent->base + size,
                            .size = extent->size - size,
                            .chunk = extent->chunk,
                            .previous = extent,
                            .next = extent->next};
    if (rest->next)
        rest->next->previous = rest;
    extent->next = rest;
    extent->size = size;
    return true;
}

static struct extent *search(struct chunk *chunk, uint64_t size) {
    struct extent *start = chunk->rover, *e = start;
    uint64_t largest = 0;
    do {
        if (!e->used) {
            if (e->size >= size)
                return e;
            if (e->size > largest)
                largest = e->size;
        }
        e = e->next ? e->next : chunk->first;
    } while (e != start);
    chunk->largest = largest;
    return NULL;
}

static CUresult take(struct extent *free_extent, uint64_t size, struct extent **out) {
    struct chunk *chunk = free_extent->chunk;
    struct heap *heap = chunk->heap;
    if (!split(free_extent, size) || !remember(free_extent)) {
        if (chunk->free_bytes == chunk->size)
            drop_chunk(chunk);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    free_extent->used = true;
    chunk->rover = free_extent->next ? free_extent->next : chunk->first;
    chunk->free_bytes -= size;
    sort_chunk(chunk);
    heap->used += size;
    if (heap->used > heap->used_high)
        heap->used_high = heap->used;
    *out = free_extent;
    return CUDA_SUCCESS;
}

CUresult heap_allocate_chunk(struct heap *heap, uint64_t size, uint64_t alignment, struct extent **out) {
    struct chunk *chunk;
    CUresult rc = add_chunk(heap, size, alignment, &chunk);
    return rc ? rc : take(chunk->first, chunk->size, out);
}

CUresult heap_allocate(struct heap *heap, uint64_t size, uint64_t alignment, struct extent **out) {
    uint64_t rounded = (size + heap->unit - 1) / heap->unit * heap->unit;
    if (rounded < size)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct extent *found = NULL;
    for (struct chunk *chunk = heap->chunks; chunk && !found; chunk = chunk->next)
        if (chunk->largest >= rounded)
            found = search(chunk, rounded);
    if (!found) {
        struct chunk *fresh;
        CUresult rc = add_chunk(heap, rounded, alignment, &fresh);
        if (rc)
            return rc;
        found = fresh->first;
    }
    return take(found, rounded, out);
}

/* Joins `right`, the free extent behind it, to `left`. */
static void join(struct extent *left, struct extent *right) {
    left->size += right->size;
    left->next = right->next;
    if (left->next)
        left->next->previous = left;
    if (left->chunk->rover == right)
        left->chunk->rover = left;
    free(right);
}

void heap_free(struct extent *extent) {
    struct chunk *chunk = extent->chunk;
    forget(extent);
    extent->used = false;
    chunk->free_bytes += extent->size;
    chunk->heap->used -= extent->size;
    if (extent->next && !extent->next->used)
        join(extent, extent->next);
    if (extent->previous && !extent->previous->used) {
        extent = extent->previous;
        join(extent, extent->next);
    }
    if (extent->size > chunk->largest)
        chunk->largest = extent->size;
    chunk->rover = extent;
    sort_chunk(chunk);
    if (chunk->heap->release_empty && chunk->free_bytes == chunk->size)
        drop_chunk(chunk);
}

uint64_t heap_trim(struct heap *heap, uint64_t keep) {
    for (struct chunk *chunk = heap->chunks, *next; chunk && heap->reserved > keep; chunk = next) {
        next = chunk->next;
        if (chunk->free_bytes == chunk->size)
            drop_chunk(chunk);
    }
    return heap->reserved;
}

void heap_destroy(struct heap *heap) {
    while (heap->chunks)
        drop_chunk(heap->chunks);
    while (heap->full)
        drop_chunk(heap->full);
    heap->used = 0;
}
