/* SPDX-License-Identifier: Apache-2.0 */
/* libcuda.so.1 without a GPU: the driver API of a simulated device (state/device.h).

   Modelled: everything that takes, frees or reports device memory (linear, pitched, managed, stream-ordered pools,
   virtual memory, arrays, graph memory nodes, imports from other processes and APIs), contexts of all kinds and what
   they hold, modules and libraries with a cost, streams, events, capture, graphs, host memory, copies and sets (device
   memory is backed by lazily mapped host pages, so a huge allocation costs nothing until it is written),
   cuGetProcAddress with versions and per-thread default stream variants, CUDA_VISIBLE_DEVICES.

   Not modelled: kernels (launches succeed and do nothing), concurrency (streams complete at once), the contents of
   arrays, of memory shared between processes, and of one handle mapped at two addresses; textures, surfaces, graphics
   interop, multicast, checkpoints, the private tables of cuGetExportTable. Names that are exported but not modelled are
   listed in cuda-unsupported.def and answer CUDA_ERROR_NOT_SUPPORTED.

   cuda.def is the list of exported names; each row names the function here that serves it.

   Locks: `sim.lock` guards every object below; only sim_charge (the device's own lock) is called under it. Latency is
   spent outside of it. Contexts are never freed, so that a destroyed one can be distinguished from a living one; other
   stale handles are as undefined as they are with the real driver. */
#pragma once

#include "../state/device.h"
#include "types.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_DRIVER_VERSION 13000
#define MIB (1024ull * 1024)

struct chunk;
struct context;

/* Device memory, or addresses, of one purpose: chunks cut into extents, which are allocations or free. */
struct heap {
    int device;
    uint64_t chunk_size; /* chunks are multiples of it */
    uint64_t unit;
    bool uncharged; /* the chunks take no device memory */
    bool fixed;     /* one chunk, which stays */
    struct chunk *chunks;
    struct extent *bins[64]; /* free extents by the logarithm of their size */
    uint64_t used, used_high;
};

/* KIND_DEFERRED: freed in the order of a stream that was not synchronised since. */
enum kind { KIND_LINEAR, KIND_MANAGED, KIND_POOL, KIND_GRAPH, KIND_RESERVATION, KIND_IMPORT, KIND_DEFERRED };

struct extent {
    uint64_t base, size;
    bool used;
    enum kind kind;
    struct chunk *chunk;
    struct extent *previous, *next;             /* within the chunk, by address */
    struct extent *hash_next;                   /* live allocations by address */
    struct extent *context_prev, *context_next; /* live allocations of a context */
    struct context *context;
    struct pool *pool;     /* KIND_POOL */
    struct memory *memory; /* KIND_GRAPH */
    uint64_t requested;
    uint64_t id;
    uint64_t resident;   /* KIND_MANAGED: bytes on the device, counted from the beginning */
    uint32_t references; /* KIND_IMPORT: opens */
};

struct chunk {
    uint64_t base, size;
    uint64_t charged;
    uint64_t free_bytes;
    bool touched; /* made accessible */
    struct heap *heap;
    struct chunk *previous, *next;
    struct extent *first;
};

struct context {
    uint32_t magic;
    int device;
    bool primary, destroyed, green;
    unsigned references; /* of the primary context */
    unsigned flags, api;
    uint64_t id;
    uint64_t charged; /* overhead and limits */
    uint64_t limits[7];
    uint64_t local;                      /* bytes of local memory behind each thread */
    uint64_t streams, nodes;             /* that live */
    uint64_t stream_memory, node_memory; /* held for the most of them that ever lived */
    struct heap small;
    struct heap large;
    struct heap managed; /* addresses only */
    bool deferred;       /* some of its allocations are KIND_DEFERRED */
    struct extent *allocations;
    struct module *modules;
    struct array *arrays;
    struct context *next;
};

struct pool {
    uint32_t magic;
    int device; /* -1 for host pools, which take no device memory */
    bool is_default, imported, destroyed;
    bool managed, is_current; /* managed memory; set as its location's */
    CUmemLocation location;   /* of pools that were created, and of managed memory */
    int handle_types;
    uint64_t threshold, maximum;
    uint64_t live;
    int reuse[3];
    struct heap heap;   /* one chunk of addresses */
    struct slot *slots; /* the device memory behind each 32 MiB of it */
    uint64_t slot_count;
    uint64_t idle; /* slots that are charged and hold nothing */
    bool pending;  /* some slot has frees that were not synchronised */
    uint64_t reserved, reserved_high;
    struct pool *next;
};

struct visible_device {
    struct sim_gpu gpu;
    struct context primary;
    unsigned primary_flags;
    struct pool default_pool;
    struct pool *current_pool;
    struct heap graph_heap;
};

struct driver {
    pthread_mutex_t lock;
    bool initialised;
    int count;
    struct visible_device devices[SIM_GPUS];
    struct context *contexts;
    struct pool *pools;
    uint64_t next_id;
};
extern struct driver sim; /* guarded by its lock; devices[].gpu set once in cuInit */

/* init.c */
CUresult sim_enter(void);                           /* not initialised (also: after fork) or CUDA_SUCCESS */
CUresult sim_enter_context(struct context **out);   /* the current one */
CUresult sim_enter_context_or(struct context **it); /* the one given, or the current one for NULL */
CUresult sim_enter_device(CUdevice device);
void sim_lock(void);
void sim_unlock(void);
void sim_latency(int device);
bool sim_device_ok(CUdevice device);
bool sim_take(int device, uint64_t bytes); /* charges the device; under sim.lock */
void sim_give(int device, uint64_t bytes);
bool sim_take_unlisted(int device, uint64_t bytes); /* the same, in no list of NVML's */
unsigned visible_devices(const struct sim_gpu *all, unsigned count, unsigned order[SIM_GPUS]);

/* context.c */
struct context *context_current(void);
CUresult context_alive(struct context *context);
CUresult context_primary_retain(int device, struct context **out);
CUresult context_local(struct context *context, uint64_t bytes); /* of each thread; under sim.lock */
/* Under sim.lock: `change` more objects of that size live, whose memory stays when they are destroyed. */
CUresult context_hold(struct context *context, uint64_t *live, uint64_t *held, uint64_t change, uint64_t each);

/* space.c */
uint64_t space_reserve(uint64_t size, uint64_t alignment, struct chunk *owner);
void space_release(uint64_t base, uint64_t size, bool touched);
bool space_touch(struct chunk *chunk);
struct chunk *space_chunk(uint64_t address);

/* heap.c */
void heap_init(struct heap *heap, int device, uint64_t chunk_size, uint64_t unit);
CUresult heap_allocate_chunk(struct heap *heap, uint64_t size, uint64_t alignment, struct extent **out);
CUresult heap_allocate(struct heap *heap, uint64_t size, struct extent **out);
void heap_free(struct extent *extent);
void heap_destroy(struct heap *heap);
struct extent *extent_at(uint64_t address);         /* the live allocation that begins there */
struct extent *extent_containing(uint64_t address); /* the live allocation that covers it */

/* memory.c */
CUresult memory_allocate(struct context *context, uint64_t size, struct extent **out);
void memory_own(struct extent *extent, struct context *context, enum kind kind, uint64_t requested);
void memory_free(struct extent *extent);
void memory_defer(struct extent *extent);
void memory_synchronise(int device);
bool memory_known(uint64_t address); /* an address of the device, or page-locked */
CUresult memory_touch(uint64_t address, uint64_t size, bool by_device);

/* pool.c, graph.c, vmm.c: memory that memory.c does not keep */
void pool_free(struct extent *extent);
void pool_touch(struct extent *extent, uint64_t address, uint64_t size); /* by the device */
int pool_handle_types(const struct pool *pool);                          /* 0 also for what is no pool */
CUresult pool_import(struct pool **out);
CUresult graph_memory_free(struct extent *extent);
CUresult reservation_touch(struct extent *reservation, uint64_t address, uint64_t size);

/* array.c, module.c, pool.c: what ends with a context */
void arrays_free(struct context *context);
void modules_free(struct context *context);
void pools_init(struct visible_device *device, int number);
void pools_synchronise(int device); /* takes sim.lock itself */
bool pools_release(int device);     /* gives back what pools do not need; whether there was any */
void pools_reset(int device);
void graphs_reset(int device);
