/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs: their nodes and edges, executables, capture's nodes. Launching one runs its memory and host nodes in the
   order in which they were added; kernels and copies do nothing.

   Memory nodes get their address when they are created and device memory when they are launched. A device keeps the
   most that its graphs needed at a time until cuDeviceGraphMemTrim, and all its graphs share it. */
#include "stream.h"

#include <stdlib.h>
#include <string.h>

#define GRAPH_MAGIC 0x47525048u
#define EXEC_MAGIC 0x45584543u

/* Addresses of a node, alive as long as a graph or an executable has the node; guarded by sim.lock. */
struct memory {
    struct extent *extent;
    unsigned references;
    bool freed; /* by the last node that was captured: its addresses serve the next of that size */
};

struct node {
    int type;
    struct graph *graph;
    struct node *next;
    struct memory *memory; /* of alloc nodes, and of free nodes for graph memory */
    CUdeviceptr address;   /* of free nodes */
    bool managed;          /* alloc nodes: asked for managed memory, which is simulated as the device's */
    void (*function)(void *);
    void *data;
    struct graph *child;
    struct function *kernel;
};

struct edge {
    struct node *from, *to;
};

struct graph {
    uint32_t magic;
    int device;
    struct node *first, **end;
    unsigned instantiated; /* living executables of it */
    size_t nodes, edges, edge_room;
    struct edge *edge;
};

struct executable {
    uint32_t magic;
    unsigned long long flags;
    struct graph *copy;
    struct graph *source; /* NULL once destroyed */
    struct context *context;
    struct executable *next;
};
static struct executable *executables; /* guarded by sim.lock */

/* What live nodes use, and what is held for graphs in steps of 32 MiB, per device; guarded by sim.lock. */
#define STEP (32 * MIB)
static struct { uint64_t used, reserved, reserved_high; } held[SIM_GPUS];

struct alloc_parameters {
    char pool_properties[88];
    const void *access;
    size_t access_count;
    size_t size;
    CUdeviceptr address;
};
_Static_assert(offsetof(struct alloc_parameters, address) == 112, "CUDA_MEM_ALLOC_NODE_PARAMS");
enum { POOL_LOCATION_TYPE = 8, POOL_LOCATION_ID = 12, NODE_UNION = 16 };

static CUresult check(const struct graph *graph) {
    CUresult rc = sim_enter();
    return rc ? rc : !graph || graph->magic != GRAPH_MAGIC ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

struct graph *graph_new(int device) {
    struct graph *graph = calloc(1, sizeof *graph);
    if (graph) {
        graph->magic = GRAPH_MAGIC;
        graph->device = device;
        graph->end = &graph->first;
    }
    return graph;
}

static struct node *add(struct graph *graph, int type) {
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->type = type;
    node->graph = graph;
    *graph->end = node;
    graph->end = &node->next;
    graph->nodes++;
    return node;
}

bool graph_record(struct graph *graph, int type) {
    return add(graph, type) != NULL;
}

bool graph_record_kernel(struct graph *graph, struct function *kernel) {
    struct node *node = add(graph, NODE_KERNEL);
    if (node)
        node->kernel = kernel;
    return node != NULL;
}

bool graph_record_host(struct graph *graph, void (*function)(void *), void *data) {
    struct node *node = add(graph, NODE_HOST);
    if (node) {
        node->function = function;
        node->data = data;
    }
    return node != NULL;
}

static uint64_t rounded(const struct extent *extent) {
    return (extent->requested + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
}

/* Like the real driver, reuses what a capture has freed: the same addresses, the same memory. */
static struct node *reuse(struct graph *graph, int device, size_t size) {
    for (struct node *old = graph->first; old; old = old->next) {
        struct memory *memory = old->memory;
        if (old->type != NODE_MEM_ALLOC || !memory->freed || memory->extent->chunk->heap->device != device ||
            memory->extent->requested != size)
            continue;
        struct node *node = add(graph, NODE_MEM_ALLOC);
        if (!node)
            return NULL;
        node->memory = memory;
        memory->freed = false;
        memory->references++;
        return node;
    }
    return NULL;
}

static struct node *add_alloc(struct graph *graph, int device, size_t size) {
    struct memory *memory = calloc(1, sizeof *memory);
    struct heap *heap = &sim.devices[device].graph_heap;
    if (!memory || size > sim_capacity(&sim.devices[device].gpu) ||
        heap_allocate_chunk(heap, size, 0, &memory->extent)) {
        free(memory);
        return NULL;
    }
    struct extent *extent = memory->extent;
    extent->kind = KIND_GRAPH;
    extent->requested = size;
    extent->memory = memory;
    extent->id = ++sim.next_id;
    memory->references = 1;
    struct node *node = add(graph, NODE_MEM_ALLOC);
    if (node)
        node->memory = memory;
    return node;
}

static struct node *add_free(struct graph *graph, CUdeviceptr address) {
    struct extent *extent = extent_at(address);
    if (!extent || extent->kind != KIND_GRAPH)
        return NULL;
    struct node *node = add(graph, NODE_MEM_FREE);
    if (node) {
        node->address = address;
        node->memory = extent->memory;
        node->memory->references++;
    }
    return node;
}

CUresult stream_capture_alloc(CUstream stream, int device, size_t size, CUdeviceptr *out) {
    struct node *node = reuse(stream->capture, device, size);
    if (!node)
        node = add_alloc(stream->capture, device, size);
    if (!node)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *out = node->memory->extent->base;
    return CUDA_SUCCESS;
}

CUresult stream_capture_free(CUstream stream, struct extent *extent) {
    struct node *node = add_free(stream->capture, extent->base);
    if (node)
        node->memory->freed = true;
    return node ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static int device_of(const struct extent *extent) {
    return extent->chunk->heap->device;
}

CUresult graph_memory_free(struct extent *extent) {
    if (!extent->resident)
        return CUDA_ERROR_INVALID_VALUE;
    held[device_of(extent)].used -= extent->resident;
    extent->resident = 0;
    if (extent->memory->references == 0) {
        free(extent->memory);
        heap_free(extent);
    }
    return CUDA_SUCCESS;
}

static CUresult make_resident(struct extent *extent) {
    int device = device_of(extent);
    uint64_t bytes = rounded(extent), used = held[device].used + bytes;
    while (used > held[device].reserved) {
        if (!sim_take(device, STEP))
            return CUDA_ERROR_OUT_OF_MEMORY; /* what was allocated stays until it is trimmed, as in the real driver */
        held[device].reserved += STEP;
        if (held[device].reserved > held[device].reserved_high)
            held[device].reserved_high = held[device].reserved;
    }
    held[device].used = used;
    extent->resident = bytes;
    return CUDA_SUCCESS;
}

void graphs_reset(int device) {
    sim_give(device, held[device].reserved);
    for (struct chunk *chunk = sim.devices[device].graph_heap.chunks; chunk; chunk = chunk->next)
        chunk->first->resident = 0;
    memset(&held[device], 0, sizeof held[device]);
}

/* Memory that is still allocated stays, until its pointer is freed. */
static void drop_memory(struct memory *memory) {
    if (!memory || --memory->references || memory->extent->resident)
        return;
    heap_free(memory->extent);
    free(memory);
}

static void destroy(struct graph *graph) {
    for (struct node *node = graph->first, *next; node; node = next) {
        next = node->next;
        drop_memory(node->memory);
        free(node);
    }
    graph->magic = 0;
    free(graph->edge);
    free(graph);
}

void graph_drop(struct graph *graph) {
    sim_lock();
    destroy(graph);
    sim_unlock();
}

static struct graph *copy(const struct graph *from) {
    struct graph *to = graph_new(from->device);
    for (const struct node *node = from->first; to && node; node = node->next) {
        struct node *twin = add(to, node->type);
        if (!twin)
            break;
        twin->memory = node->memory;
        if (twin->memory)
            twin->memory->references++;
        twin->address = node->address;
        twin->function = node->function;
        twin->data = node->data;
        twin->child = node->child;
        twin->kernel = node->kernel;
    }
    return to;
}

static bool connect(struct graph *graph, struct node *from, struct node *to) {
    if (graph->edges == graph->edge_room) {
        size_t room = graph->edge_room ? graph->edge_room * 2 : 16;
        struct edge *larger = realloc(graph->edge, room * sizeof *larger);
        if (!larger)
            return false;
        graph->edge = larger;
        graph->edge_room = room;
    }
    graph->edge[graph->edges++] = (struct edge){from, to};
    return true;
}

static CUresult finish(struct graph *graph, struct node *node, struct node *const *depends, size_t count,
                       struct node **out, CUresult otherwise) {
    if (!node)
        return otherwise;
    for (size_t i = 0; i < count; i++)
        if (!connect(graph, depends[i], node))
            return CUDA_ERROR_OUT_OF_MEMORY;
    if (out)
        *out = node;
    return CUDA_SUCCESS;
}

API(GraphCreate, struct graph **out, unsigned flags) {
    struct context *context = context_current();
    CUresult rc = sim_enter();
    if (rc || !out || flags)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *out = graph_new(context ? context->device : 0);
    return *out ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

API(GraphDestroy, struct graph *graph) {
    CUresult rc = check(graph);
    if (rc)
        return rc;
    sim_lock();
    for (struct executable *e = executables; e; e = e->next)
        if (e->source == graph)
            e->source = NULL;
    destroy(graph);
    sim_unlock();
    return CUDA_SUCCESS;
}

API(GraphClone, struct graph **out, struct graph *graph) {
    CUresult rc = check(graph);
    if (rc || !out)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    for (struct node *node = graph->first; node; node = node->next)
        if (node->memory)
            return CUDA_ERROR_NOT_SUPPORTED;
    sim_lock();
    *out = copy(graph);
    sim_unlock();
    return *out ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* Nodes. */

API(GraphAddMemAllocNode, struct node **out, struct graph *graph, struct node *const *depends, size_t count,
    struct alloc_parameters *parameters) {
    CUresult rc = check(graph);
    if (rc || !parameters || !parameters->size)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    int allocation, type, device;
    memcpy(&allocation, parameters->pool_properties, sizeof allocation);
    memcpy(&type, parameters->pool_properties + POOL_LOCATION_TYPE, sizeof type);
    memcpy(&device, parameters->pool_properties + POOL_LOCATION_ID, sizeof device);
    bool managed = allocation == ALLOCATION_MANAGED;
    if (managed && type != LOCATION_DEVICE)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (type != LOCATION_DEVICE || !sim_device_ok(device))
        return CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    struct node *node = add_alloc(graph, device, parameters->size);
    rc = finish(graph, node, depends, count, out, CUDA_ERROR_OUT_OF_MEMORY);
    if (!rc) {
        node->managed = managed;
        parameters->address = node->memory->extent->base;
    }
    sim_unlock();
    return rc;
}

API(GraphAddMemFreeNode, struct node **out, struct graph *graph, struct node *const *depends, size_t count,
    CUdeviceptr address) {
    CUresult rc = check(graph);
    if (rc)
        return rc;
    sim_lock();
    rc = finish(graph, add_free(graph, address), depends, count, out, CUDA_ERROR_INVALID_VALUE);
    sim_unlock();
    return rc;
}

static CUresult add_plain(struct node **out, struct graph *graph, struct node *const *depends, size_t count, int type) {
    CUresult rc = check(graph);
    if (rc)
        return rc;
    sim_lock();
    rc = finish(graph, add(graph, type), depends, count, out, CUDA_ERROR_OUT_OF_MEMORY);
    sim_unlock();
    return rc;
}

API(GraphAddEmptyNode, struct node **out, struct graph *graph, struct node *const *depends, size_t count) {
    return add_plain(out, graph, depends, count, NODE_EMPTY);
}

API(GraphAddKernelNode, struct node **out, struct graph *graph, struct node *const *depends, size_t count,
    struct function *const *parameters) {
    struct node *node = NULL;
    CUresult rc = parameters ? add_plain(&node, graph, depends, count, NODE_KERNEL) : CUDA_ERROR_INVALID_VALUE;
    if (!rc) {
        node->kernel = *parameters;
        if (out)
            *out = node;
    }
    return rc;
}

/* Function, grid, block, shared memory, arguments, extra; since version 2 kernel and context: 72 bytes. */
API(GraphKernelNodeGetParams, struct node *node, struct function **out) {
    CUresult rc = sim_enter();
    if (rc || !node || !out || node->type != NODE_KERNEL)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    memset(out, 0, 56);
    *out = node->kernel;
    return CUDA_SUCCESS;
}

API(GraphKernelNodeGetParams_v2, struct node *node, struct function **out) {
    CUresult rc = api_GraphKernelNodeGetParams(node, out);
    if (!rc)
        memset(out + 7, 0, 16);
    return rc;
}

API(GraphAddMemcpyNode, struct node **out, struct graph *graph, struct node *const *depends, size_t count,
    const void *parameters, struct context *context) {
    (void)context;
    return parameters ? add_plain(out, graph, depends, count, NODE_MEMCPY) : CUDA_ERROR_INVALID_VALUE;
}

API(GraphAddMemsetNode, struct node **out, struct graph *graph, struct node *const *depends, size_t count,
    const void *parameters, struct context *context) {
    (void)context;
    return parameters ? add_plain(out, graph, depends, count, NODE_MEMSET) : CUDA_ERROR_INVALID_VALUE;
}

API(GraphAddHostNode, struct node **out, struct graph *graph, struct node *const *depends, size_t count,
    void *const *parameters) {
    struct node *node = NULL;
    if (!parameters || !parameters[0])
        return CUDA_ERROR_INVALID_VALUE;
    CUresult rc = add_plain(&node, graph, depends, count, NODE_HOST);
    if (!rc) {
        memcpy(&node->function, &parameters[0], sizeof node->function);
        node->data = parameters[1];
        if (out)
            *out = node;
    }
    return rc;
}

static bool has_memory(const struct graph *graph) {
    for (const struct node *node = graph->first; node; node = node->next)
        if (node->type == NODE_MEM_ALLOC || (node->type == NODE_GRAPH && node->child && has_memory(node->child)))
            return true;
    return false;
}

/* Memory has one owner: a graph that allocates can be moved into another, not copied. */
static CUresult add_child(struct node **out, struct graph *graph, struct node *const *depends, size_t count,
                          struct graph *child, bool move) {
    struct node *node = NULL;
    CUresult rc = check(child);
    if (!rc && !move && has_memory(child))
        rc = CUDA_ERROR_NOT_SUPPORTED;
    if (!rc)
        rc = add_plain(&node, graph, depends, count, NODE_GRAPH);
    if (!rc) {
        sim_lock();
        node->child = move ? child : copy(child);
        sim_unlock();
        if (out)
            *out = node;
    }
    return rc;
}

API(GraphAddChildGraphNode, struct node **out, struct graph *graph, struct node *const *depends, size_t count,
    struct graph *child) {
    return add_child(out, graph, depends, count, child, false);
}

API(GraphChildGraphNodeGetGraph, struct node *node, struct graph **out) {
    CUresult rc = sim_enter();
    if (rc || !node || !out || node->type != NODE_GRAPH)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *out = node->child;
    return CUDA_SUCCESS;
}

API(GraphAddNode_v2, struct node **out, struct graph *graph, struct node *const *depends, const void *edges,
    size_t count, char *parameters) {
    (void)edges;
    if (!parameters)
        return CUDA_ERROR_INVALID_VALUE;
    int type;
    memcpy(&type, parameters, sizeof type);
    void *specific = parameters + NODE_UNION;
    CUdeviceptr address;
    memcpy(&address, specific, sizeof address);
    switch (type) {
    case NODE_MEM_ALLOC:
        return api_GraphAddMemAllocNode(out, graph, depends, count, specific);
    case NODE_MEM_FREE:
        return api_GraphAddMemFreeNode(out, graph, depends, count, address);
    case NODE_HOST:
        return api_GraphAddHostNode(out, graph, depends, count, specific);
    case NODE_GRAPH:
        return add_child(out, graph, depends, count, *(struct graph **)specific, ((int *)specific)[2] == 1);
    default:
        return type < 0 || type > 13 ? CUDA_ERROR_INVALID_VALUE : add_plain(out, graph, depends, count, type);
    }
}

API(GraphAddNode, struct node **out, struct graph *graph, struct node *const *depends, size_t count, char *parameters) {
    return api_GraphAddNode_v2(out, graph, depends, NULL, count, parameters);
}

API(GraphAddDependencies, struct graph *graph, struct node *const *from, struct node *const *to, size_t count) {
    CUresult rc = check(graph);
    sim_lock();
    for (size_t i = 0; !rc && i < count; i++)
        rc = connect(graph, from[i], to[i]) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    sim_unlock();
    return rc;
}

API(GraphAddDependencies_v2, struct graph *graph, struct node *const *from, struct node *const *to, const void *edges,
    size_t count) {
    (void)edges;
    return api_GraphAddDependencies(graph, from, to, count);
}

API(GraphNodeGetType, struct node *node, int *type) {
    CUresult rc = sim_enter();
    if (rc || !node || !type)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *type = node->type;
    return CUDA_SUCCESS;
}

API(GraphMemAllocNodeGetParams, struct node *node, struct alloc_parameters *out) {
    CUresult rc = sim_enter();
    if (rc || !node || !out || node->type != NODE_MEM_ALLOC)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    const struct extent *extent = node->memory->extent;
    int type = LOCATION_DEVICE, allocation = node->managed ? ALLOCATION_MANAGED : ALLOCATION_PINNED,
        device = device_of(extent);
    *out = (struct alloc_parameters){.size = extent->requested, .address = extent->base};
    memcpy(out->pool_properties, &allocation, sizeof allocation);
    memcpy(out->pool_properties + POOL_LOCATION_TYPE, &type, sizeof type);
    memcpy(out->pool_properties + POOL_LOCATION_ID, &device, sizeof device);
    return CUDA_SUCCESS;
}

API(GraphMemFreeNodeGetParams, struct node *node, CUdeviceptr *out) {
    CUresult rc = sim_enter();
    if (rc || !node || !out || node->type != NODE_MEM_FREE)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *out = node->address;
    return CUDA_SUCCESS;
}

static bool is_root(const struct graph *graph, const struct node *node) {
    for (size_t i = 0; i < graph->edges; i++)
        if (graph->edge[i].to == node)
            return false;
    return true;
}

static CUresult list(struct graph *graph, struct node **nodes, size_t *count, bool roots) {
    CUresult rc = check(graph);
    if (rc || !count)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    size_t found = 0;
    for (struct node *node = graph->first; node; node = node->next) {
        if (roots && !is_root(graph, node))
            continue;
        if (nodes && found < *count)
            nodes[found] = node;
        found++;
    }
    if (!nodes || found < *count)
        *count = found;
    return CUDA_SUCCESS;
}

API(GraphGetNodes, struct graph *graph, struct node **nodes, size_t *count) {
    return list(graph, nodes, count, false);
}

API(GraphGetRootNodes, struct graph *graph, struct node **nodes, size_t *count) {
    return list(graph, nodes, count, true);
}

API(GraphGetEdges, struct graph *graph, struct node **from, struct node **to, size_t *count) {
    CUresult rc = check(graph);
    if (rc || !count)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; from && to && i < graph->edges && i < *count; i++) {
        from[i] = graph->edge[i].from;
        to[i] = graph->edge[i].to;
    }
    *count = graph->edges;
    return CUDA_SUCCESS;
}

API(GraphGetEdges_v2, struct graph *graph, struct node **from, struct node **to, void *data, size_t *count) {
    (void)data;
    return api_GraphGetEdges(graph, from, to, count);
}

/* Executables. */

static CUresult grow_local(const struct graph *graph) {
    CUresult rc = CUDA_SUCCESS;
    for (const struct node *node = graph->first; node && !rc; node = node->next)
        rc = node->type == NODE_GRAPH && node->child ? grow_local(node->child) : function_grow_local(node->kernel);
    return rc;
}

/* Under sim.lock: what an executable takes of the device at once, for its nodes and for the local memory of its
   kernels. */
static CUresult prepare(const struct graph *graph) {
    struct context *context = context_current();
    uint64_t each = sim.devices[graph->device].gpu.state->config.node_bytes;
    CUresult rc = grow_local(graph);
    return rc || !context ? rc : context_hold(context, &context->nodes, &context->node_memory, graph->nodes, each);
}

static CUresult instantiate(struct executable **out, struct graph *graph, unsigned long long flags) {
    CUresult rc = check(graph);
    if (rc || !out)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    if (graph->instantiated && has_memory(graph))
        return CUDA_ERROR_NOT_SUPPORTED; /* one executable at a time for what allocates */
    struct executable *executable = calloc(1, sizeof *executable);
    sim_lock();
    rc = prepare(graph);
    struct graph *twin = rc ? NULL : copy(graph);
    sim_unlock();
    if (!executable || !twin) {
        free(executable);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    graph->instantiated++;
    *executable = (struct executable){
        .magic = EXEC_MAGIC, .flags = flags, .copy = twin, .source = graph, .context = context_current()};
    sim_lock();
    executable->next = executables;
    executables = executable;
    sim_unlock();
    *out = executable;
    return CUDA_SUCCESS;
}

API(GraphInstantiateWithFlags, struct executable **out, struct graph *graph, unsigned long long flags) {
    PROHIBITED_IN_CAPTURES();
    return instantiate(out, graph, flags);
}

API(GraphInstantiate, struct executable **out, struct graph *graph, struct node **error_node, char *log, size_t size) {
    PROHIBITED_IN_CAPTURES();
    if (error_node)
        *error_node = NULL;
    if (log && size)
        *log = 0;
    return instantiate(out, graph, 0);
}

struct instantiate_parameters {
    unsigned long long flags;
    CUstream upload;
    struct node *error_node;
    int result;
};

API(GraphInstantiateWithParams, struct executable **out, struct graph *graph, struct instantiate_parameters *p) {
    PROHIBITED_IN_CAPTURES();
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    p->error_node = NULL;
    CUresult rc = instantiate(out, graph, p->flags);
    p->result = rc ? 1 : 0;
    return rc;
}

static CUresult check_executable(const struct executable *executable) {
    CUresult rc = sim_enter();
    return rc ? rc : !executable || executable->magic != EXEC_MAGIC ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

API(GraphExecDestroy, struct executable *executable) {
    PROHIBITED_IN_CAPTURES();
    CUresult rc = check_executable(executable);
    if (rc)
        return rc;
    sim_lock();
    if (executable->source)
        executable->source->instantiated--;
    if (executable->context)
        executable->context->nodes -= executable->copy->nodes;
    for (struct executable **link = &executables; *link; link = &(*link)->next)
        if (*link == executable) {
            *link = executable->next;
            break;
        }
    destroy(executable->copy);
    sim_unlock();
    executable->magic = 0;
    free(executable);
    return CUDA_SUCCESS;
}

API(GraphExecGetFlags, struct executable *executable, unsigned long long *flags) {
    CUresult rc = check_executable(executable);
    if (!rc && flags)
        *flags = executable->flags;
    return rc;
}

/* Of the graph and those within it, under sim.lock: what its allocation nodes hold. */
static bool any_resident(const struct graph *graph) {
    for (const struct node *node = graph->first; node; node = node->next)
        if ((node->type == NODE_MEM_ALLOC && node->memory->extent->resident) ||
            (node->type == NODE_GRAPH && node->child && any_resident(node->child)))
            return true;
    return false;
}

static void free_resident(const struct graph *graph) {
    for (const struct node *node = graph->first; node; node = node->next)
        if (node->type == NODE_MEM_ALLOC && node->memory->extent->resident)
            graph_memory_free(node->memory->extent);
        else if (node->type == NODE_GRAPH && node->child)
            free_resident(node->child);
}

static CUresult run_memory(const struct graph *graph) {
    CUresult rc = CUDA_SUCCESS;
    for (const struct node *node = graph->first; node && !rc; node = node->next)
        if (node->type == NODE_MEM_ALLOC)
            rc = make_resident(node->memory->extent);
        else if (node->type == NODE_MEM_FREE && node->memory->extent->resident)
            rc = graph_memory_free(node->memory->extent);
        else if (node->type == NODE_GRAPH && node->child)
            rc = run_memory(node->child);
    return rc;
}

/* Memory nodes under sim.lock; undone when one of them finds no memory, so that a refused launch changes nothing. */
static CUresult launch_memory(struct executable *executable) {
    bool auto_free = executable->flags & 1;
    if (any_resident(executable->copy) && !auto_free)
        return CUDA_ERROR_INVALID_VALUE;
    free_resident(executable->copy);
    CUresult rc = run_memory(executable->copy);
    if (rc)
        free_resident(executable->copy);
    return rc;
}

static void run_host_nodes(const struct graph *graph) {
    for (const struct node *node = graph->first; node; node = node->next) {
        if (node->type == NODE_HOST && node->function)
            node->function(node->data);
        if (node->type == NODE_GRAPH && node->child)
            run_host_nodes(node->child);
    }
}

API(GraphLaunch, struct executable *executable, CUstream stream) {
    CUresult rc = check_executable(executable);
    if (rc)
        return rc;
    if (stream_is_capturing(stream))
        return graph_record(stream->capture, NODE_GRAPH) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    sim_lock();
    rc = sim_attach(&sim.devices[executable->copy->device].gpu) ? launch_memory(executable) : CUDA_ERROR_OUT_OF_MEMORY;
    sim_unlock();
    if (!rc)
        run_host_nodes(executable->copy);
    return rc;
}

/* Takes the memory that a launch will need. */
API(GraphUpload, struct executable *executable, CUstream stream) {
    (void)stream;
    CUresult rc = check_executable(executable);
    if (rc)
        return rc;
    sim_lock();
    if (!sim_attach(&sim.devices[executable->copy->device].gpu))
        rc = CUDA_ERROR_OUT_OF_MEMORY;
    else if (!any_resident(executable->copy)) {
        rc = launch_memory(executable);
        free_resident(executable->copy);
    }
    sim_unlock();
    return rc;
}

struct update_result {
    int result;
    struct node *error_node, *error_from;
};

/* An executable is updated by a graph of the same shape; memory nodes cannot change. */
API(GraphExecUpdate_v2, struct executable *executable, struct graph *graph, struct update_result *out) {
    CUresult rc = check_executable(executable) ? check_executable(executable) : check(graph);
    if (rc)
        return rc;
    bool same = graph->nodes == executable->copy->nodes;
    for (struct node *a = graph->first, *b = executable->copy->first; same && a; a = a->next, b = b->next)
        same = a->type == b->type && a->memory == b->memory;
    if (out)
        *out = (struct update_result){.result = same ? 0 : 2};
    return same ? CUDA_SUCCESS : 910;
}

API(GraphExecUpdate, struct executable *executable, struct graph *graph, struct node **error_node, int *result) {
    struct update_result detail = {0};
    CUresult rc = api_GraphExecUpdate_v2(executable, graph, &detail);
    if (error_node)
        *error_node = NULL;
    if (result)
        *result = detail.result;
    return rc;
}

/* What graphs hold of a device. */

API(DeviceGraphMemTrim, CUdevice device) {
    CUresult rc = sim_enter();
    if (rc || !sim_device_ok(device))
        return rc ? rc : CUDA_ERROR_INVALID_DEVICE;
    sim_lock();
    uint64_t keep = (held[device].used + STEP - 1) / STEP * STEP;
    sim_give(device, held[device].reserved - keep);
    held[device].reserved = keep;
    sim_unlock();
    return CUDA_SUCCESS;
}

API(DeviceGetGraphMemAttribute, CUdevice device, int attribute, uint64_t *value) {
    CUresult rc = sim_enter();
    if (rc || !sim_device_ok(device))
        return rc ? rc : CUDA_ERROR_INVALID_DEVICE;
    if (!value || attribute < 0 || attribute > 3)
        return CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    /* The real driver counts as used what is mapped, until it is trimmed: all of it. */
    const uint64_t values[4] = {held[device].reserved, held[device].reserved_high, held[device].reserved,
                                held[device].reserved_high};
    *value = values[attribute];
    sim_unlock();
    return CUDA_SUCCESS;
}

API(DeviceSetGraphMemAttribute, CUdevice device, int attribute, const uint64_t *value) {
    CUresult rc = sim_enter();
    if (rc || !sim_device_ok(device))
        return rc ? rc : CUDA_ERROR_INVALID_DEVICE;
    if (!value || *value || (attribute != 1 && attribute != 3))
        return CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    held[device].reserved_high = held[device].reserved;
    sim_unlock();
    return CUDA_SUCCESS;
}
