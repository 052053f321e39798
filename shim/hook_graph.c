/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs. A launch or an upload takes the memory of memory nodes, not capture or instantiation, and the device keeps it
   until cuDeviceGraphMemTrim. So an executable's need is read from its nodes when it is instantiated, reserved before a
   launch, and settled by the driver's own attribute, as with pools. A launch beyond the limit fails as out of memory,
   has no effect, and can be retried. The need is what the addresses of the nodes cover, because the driver reuses freed
   addresses within a graph. Nodes of managed memory are refused at instantiation: the driver does not say which
   device's attribute counts them, or when they end.

   An executable itself takes some 2.5 KiB per node, more for each branch of the graph, and the local memory of its
   kernels (local.h): this is reserved before instantiation. Left alone on purpose: building graphs, and launches of
   graphs without memory nodes, which cost one lookup in an empty table. */
#include "account.h"
#include "capture.h"
#include "device.h"
#include "graph.h"
#include "hooks.h"
#include "local.h"
#include "measure.h"
#include "refusals.h"

#include <string.h>
#include <sys/mman.h>

enum { CHUNK = 32 << 20, DEPTH_MAX = 64, EACH_NODE = 2560, EACH_ROOT = 112 << 10 };

static uint64_t attribute(const struct device *device, int which) {
    uint64_t bytes = 0;
    int ordinal = atomic_load(&device->ordinal);
    return BESIDE_CAPTURES(CUDA->cuDeviceGetGraphMemAttribute(ordinal, which, &bytes)) == CUDA_SUCCESS ? bytes : 0;
}

/* Memory for lists of any length. As everywhere in the shim these are mappings, not malloc. */
struct list {
    void *at;
    size_t bytes;
};

static void *list_of(struct list *list, size_t count, size_t each) {
    list->bytes = count * each;
    list->at = count ? mmap(NULL, list->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    return list->at == MAP_FAILED ? NULL : list->at;
}

static void list_drop(struct list *list) {
    if (list->at != MAP_FAILED)
        munmap(list->at, list->bytes);
}

struct range {
    uint64_t from, to;
};

/* What the nodes of a graph and of its child graphs need. */
struct needs {
    struct range *range; /* of addresses, in whole blocks; NULL: just counted */
    size_t ranges;
    size_t nodes, roots;
    uint64_t nowhere; /* bytes of nodes without an address */
    uint64_t local;   /* the most of a kernel's thread */
    int ordinal;      /* of the memory nodes' device; -1: none */
    bool managed, within, unknown;
};

static void need_memory(struct needs *needs, void *node, bool within) {
    struct graph_allocation a;
    memset(&a, 0, sizeof a);
    if (INSIDE(CUDA->cuGraphMemAllocNodeGetParams(node, &a)) != CUDA_SUCCESS) {
        needs->unknown = true;
        return;
    }
    if (needs->range && a.pointer)
        needs->range[needs->ranges] = (struct range){a.pointer / BLOCK * BLOCK, round_up(a.pointer + a.size, BLOCK)};
    else if (needs->range)
        needs->nowhere += round_up(a.size, BLOCK);
    needs->ranges += !needs->range || a.pointer;
    needs->managed |= a.pool.allocType == CU_MEM_ALLOCATION_TYPE_MANAGED;
    needs->within |= within;
    needs->ordinal = a.pool.location.id;
}

static void need_local(struct needs *needs, void *node) {
    struct kernel_node k;
    memset(&k, 0, sizeof k);
    if (INSIDE(CUDA->cuGraphKernelNodeGetParams_v2(node, &k)) != CUDA_SUCCESS &&
        INSIDE(CUDA->cuGraphKernelNodeGetParams(node, &k)) != CUDA_SUCCESS)
        return;
    const void *function = k.function ? k.function : k.kernel;
    struct device *device = function && !local_takes_nothing(function) ? device_current() : NULL;
    bool everywhere;
    uint64_t size = device ? local_size(function, atomic_load(&device->ordinal), &everywhere) : 0;
    if (size > needs->local)
        needs->local = size;
}

static void look(struct needs *needs, CUgraph graph, int depth) {
    struct list list;
    size_t count = 0, roots = 0;
    if (INSIDE(CUDA->cuGraphGetNodes(graph, NULL, &count)) != CUDA_SUCCESS || count == 0)
        return;
    void **nodes = depth < DEPTH_MAX ? list_of(&list, count, sizeof *nodes) : NULL;
    if (!nodes) {
        needs->unknown = true;
        return;
    }
    if (INSIDE(CUDA->cuGraphGetRootNodes(graph, NULL, &roots)) == CUDA_SUCCESS)
        needs->roots += roots;
    needs->nodes += count;
    if (INSIDE(CUDA->cuGraphGetNodes(graph, nodes, &count)) != CUDA_SUCCESS)
        needs->unknown = true, count = 0;
    for (size_t i = 0; i < count; i++) {
        int type = -1;
        CUgraph child;
        if (INSIDE(CUDA->cuGraphNodeGetType(nodes[i], &type)) != CUDA_SUCCESS)
            needs->unknown = true;
        else if (type == CU_GRAPH_NODE_TYPE_MEM_ALLOC)
            need_memory(needs, nodes[i], depth > 0);
        else if (type == CU_GRAPH_NODE_TYPE_KERNEL && !needs->range)
            need_local(needs, nodes[i]);
        else if (type == CU_GRAPH_NODE_TYPE_GRAPH &&
                 INSIDE(CUDA->cuGraphChildGraphNodeGetGraph(nodes[i], &child)) == CUDA_SUCCESS)
            look(needs, child, depth + 1);
    }
    list_drop(&list);
}

/* Sorts by address. A heap sort, since the C library's qsort may call malloc. */
static void sift(struct range *r, size_t at, size_t n) {
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && r[child + 1].from > r[child].from)
            child++;
        if (r[at].from >= r[child].from)
            return;
        struct range swap = r[at];
        r[at] = r[child];
        r[child] = swap;
    }
}

static void sort(struct range *r, size_t n) {
    for (size_t i = n / 2; i-- > 0;)
        sift(r, i, n);
    for (size_t i = n; i-- > 1;) {
        struct range swap = r[0];
        r[0] = r[i];
        r[i] = swap;
        sift(r, 0, i);
    }
}

static uint64_t covered(struct range *r, size_t n) {
    uint64_t bytes = 0, to = 0;
    sort(r, n);
    for (size_t i = 0; i < n; i++) {
        uint64_t from = r[i].from > to ? r[i].from : to;
        if (r[i].to > from) {
            bytes += r[i].to - from;
            to = r[i].to;
        }
    }
    return bytes;
}

/* Bytes that the graph's memory nodes need. Child graphs may take a chunk of their own (seen on an H200). */
static uint64_t need_of(struct needs *needs, CUgraph graph) {
    struct list list;
    struct needs again = {.ordinal = -1};
    if (needs->ranges == 0 || !(again.range = list_of(&list, needs->ranges, sizeof *again.range)))
        return needs->ranges ? CHUNK : 0;
    look(&again, graph, 0);
    uint64_t bytes = covered(again.range, again.ranges) + again.nowhere + (needs->within ? CHUNK : 0);
    list_drop(&list);
    return bytes;
}

struct instantiation {
    struct device *device; /* the current one; NULL: nothing to account for */
    struct needs needs;
    struct local_growth growth;
    struct keeping keeping;
    size_t free_before;
};

static size_t physically_free(void) {
    size_t free_bytes = 0, total = 0;
    return INSIDE(CUDA->cuMemGetInfo_v2(&free_bytes, &total)) == CUDA_SUCCESS ? free_bytes : 0;
}

static bool instantiate_begin(struct instantiation *i, CUgraph graph) {
    *i = (struct instantiation){.device = inside_driver ? NULL : device_current(), .needs = {.ordinal = -1}};
    if (!i->device)
        return true;
    look(&i->needs, graph, 0);
    i->free_before = physically_free();
    if (!local_begin(&i->growth, i->needs.local))
        return false;
    uint64_t branches = i->needs.roots > 1 ? i->needs.roots * (uint64_t)EACH_ROOT : 0;
    if (account_keep_begin(i->device, &i->device->nodes, (int64_t)i->needs.nodes, EACH_NODE, branches + 2 * BLOCK,
                           &i->keeping))
        return true;
    local_end(&i->growth, false);
    refused(i->device, i->keeping.reservation.bytes);
    return false;
}

static void enter_nodes(const struct instantiation *i, CUgraphExec executable) {
    struct entry entry = {.key = (uint64_t)(uintptr_t)executable,
                          .size = i->needs.nodes,
                          .class = CLASS_NODES,
                          .device = device_position(i->device)};
    table_put(&process()->table, &entry);
}

/* Enters an executable whose launches must reserve, also if not all of its need is known. */
static void enter(const struct needs *needs, CUgraphExec executable, uint64_t bytes, const struct device *device) {
    struct entry entry = {.key = (uint64_t)(uintptr_t)executable,
                          .size = bytes,
                          .extra = needs->local,
                          .class = CLASS_EXECUTABLE,
                          .device = device_position(device)};
    table_put(&process()->table, &entry);
    atomic_fetch_add(&process()->executables, 1);
}

static CUresult instantiate_end(struct instantiation *i, CUresult result, CUgraphExec *executable, CUgraph graph) {
    struct needs *needs = &i->needs;
    if (!i->device)
        return result;
    local_end(&i->growth, result == CUDA_SUCCESS);
    account_keep_end(i->device, &i->keeping, result == CUDA_SUCCESS);
    if (result != CUDA_SUCCESS || !executable)
        return result;
    if (needs->managed) {
        account_keep_less(&i->device->nodes, (int64_t)needs->nodes);
        BESIDE_CAPTURES(CUDA->cuGraphExecDestroy(*executable));
        account_keep_gone(&i->device->nodes, (int64_t)needs->nodes, true);
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    enter_nodes(i, *executable);
    if (i->free_before > physically_free() + CHUNK / 2) /* many branches */
        measure_soon(i->device);
    struct device *device = needs->ordinal >= 0 ? device_by_ordinal(needs->ordinal) : NULL;
    uint64_t bytes = need_of(needs, graph);
    if (bytes || needs->unknown || needs->local > 1024)
        enter(needs, *executable, bytes, device ? device : i->device);
    return result;
}

#define INSTANTIATE_AND_RETURN(real_call)                                                                              \
    struct instantiation instantiation;                                                                                \
    if (!instantiate_begin(&instantiation, graph))                                                                     \
        return CUDA_ERROR_OUT_OF_MEMORY;                                                                               \
    return instantiate_end(&instantiation, INSIDE(real_call), executable, graph)

CUresult cuGraphInstantiate(CUgraphExec *executable, CUgraph graph, void **error_node, char *log, size_t size) {
    INSTANTIATE_AND_RETURN(CUDA->cuGraphInstantiate(executable, graph, error_node, log, size));
}

CUresult cuGraphInstantiate_v2(CUgraphExec *executable, CUgraph graph, void **error_node, char *log, size_t size) {
    INSTANTIATE_AND_RETURN(CUDA->cuGraphInstantiate_v2(executable, graph, error_node, log, size));
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags) {
    INSTANTIATE_AND_RETURN(CUDA->cuGraphInstantiateWithFlags(executable, graph, flags));
}

CUresult cuGraphInstantiateWithParams(CUgraphExec *executable, CUgraph graph, void *parameters) {
    INSTANTIATE_AND_RETURN(CUDA->cuGraphInstantiateWithParams(executable, graph, parameters));
}

CUresult cuGraphInstantiateWithParams_ptsz(CUgraphExec *executable, CUgraph graph, void *parameters) {
    INSTANTIATE_AND_RETURN(CUDA->cuGraphInstantiateWithParams_ptsz(executable, graph, parameters));
}

CUresult cuGraphExecDestroy(CUgraphExec executable) {
    struct entry entry;
    if (!inside_driver && atomic_load_explicit(&process()->executables, memory_order_relaxed) &&
        table_take(&process()->table, CLASS_EXECUTABLE, (uint64_t)(uintptr_t)executable, &entry))
        atomic_fetch_sub(&process()->executables, 1);
    if (inside_driver || !table_take(&process()->table, CLASS_NODES, (uint64_t)(uintptr_t)executable, &entry))
        return INSIDE(CUDA->cuGraphExecDestroy(executable));
    struct kept *nodes = &device_at(entry.device)->nodes;
    account_keep_less(nodes, (int64_t)entry.size);
    CUresult result = INSIDE(CUDA->cuGraphExecDestroy(executable));
    account_keep_gone(nodes, (int64_t)entry.size, result == CUDA_SUCCESS);
    if (result != CUDA_SUCCESS)
        table_put(&process()->table, &entry);
    return result;
}

/* What the device holds for graphs. Returns with graph_lock held, and with an answer no older than the charge. */
static uint64_t held_for_graphs(struct device *device) {
    for (;;) {
        unsigned version = atomic_load(&device->graph_version);
        uint64_t held = attribute(device, CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT);
        lock_take(&device->graph_lock);
        if (version == atomic_load(&device->graph_version))
            return held;
        lock_drop(&device->graph_lock);
    }
}

/* Brings the charge to what the device holds for graphs, and ends the reservation for its growth. */
void graph_settle(struct device *device, struct reservation *reservation) {
    uint64_t held = held_for_graphs(device), before = atomic_load(&device->graph_charged);
    if (held < before)
        account_release_begin(device);
    else if (held > before)
        account_add(device, held - before); /* first: a thread that finds it charged drops its reservation */
    atomic_store(&device->graph_charged, held);
    atomic_fetch_add(&device->graph_version, held != before);
    lock_drop(&device->graph_lock);
    if (reservation)
        account_settle(device, reservation, 0);
    if (held < before)
        account_release_end(device, before - held);
}

static bool is_entered(CUgraphExec executable, struct entry *entry) {
    return !inside_driver && atomic_load_explicit(&process()->executables, memory_order_relaxed) &&
           table_find(&process()->table, CLASS_EXECUTABLE, (uint64_t)(uintptr_t)executable, entry);
}

/* A graph that was launched before may reuse its memory. For a first launch, memory that other graphs use is not
   available. */
static uint64_t growth_for(struct device *device, const struct entry *executable) {
    if (executable->size == 0)
        return 0;
    uint64_t used = attribute(device, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT),
             held = attribute(device, CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT);
    uint64_t wanted =
        executable->refs && used ? (used > executable->size ? used : executable->size) : used + executable->size;
    return round_up(wanted, CHUNK) > held ? round_up(wanted, CHUNK) - held : 0;
}

static void launched(struct entry *executable) {
    if (executable->refs == 0)
        table_reference(&process()->table, executable);
}

#define GRAPH_LAUNCH_AND_RETURN(real_call)                                                                             \
    struct entry entry;                                                                                                \
    if (LIKELY(!is_entered(executable, &entry)))                                                                       \
        return real_call;                                                                                              \
    struct device *device = device_at(entry.device);                                                                   \
    uint64_t growth = growth_for(device, &entry);                                                                      \
    struct reservation reservation;                                                                                    \
    struct local_growth local;                                                                                         \
    if (!local_begin(&local, capture_of(stream) ? 0 : entry.extra))                                                    \
        return CUDA_ERROR_OUT_OF_MEMORY;                                                                               \
    if (growth && !account_reserve(device, growth, &reservation)) {                                                    \
        local_end(&local, false);                                                                                      \
        return refused(device, growth);                                                                                \
    }                                                                                                                  \
    CUresult result = INSIDE(real_call);                                                                               \
    local_end(&local, result == CUDA_SUCCESS);                                                                         \
    graph_settle(device, growth ? &reservation : NULL);                                                                \
    if (result == CUDA_SUCCESS)                                                                                        \
        launched(&entry);                                                                                              \
    return result

CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    GRAPH_LAUNCH_AND_RETURN(CUDA->cuGraphLaunch(executable, stream));
}

CUresult cuGraphLaunch_ptsz(CUgraphExec executable, CUstream stream) {
    GRAPH_LAUNCH_AND_RETURN(CUDA->cuGraphLaunch_ptsz(executable, stream));
}

CUresult cuGraphUpload(CUgraphExec executable, CUstream stream) {
    GRAPH_LAUNCH_AND_RETURN(CUDA->cuGraphUpload(executable, stream));
}

CUresult cuGraphUpload_ptsz(CUgraphExec executable, CUstream stream) {
    GRAPH_LAUNCH_AND_RETURN(CUDA->cuGraphUpload_ptsz(executable, stream));
}

CUresult cuDeviceGraphMemTrim(CUdevice ordinal) {
    struct device *device = inside_driver ? NULL : device_by_ordinal(ordinal);
    if (!device)
        return CUDA->cuDeviceGraphMemTrim(ordinal);
    account_release_begin(device);
    CUresult result = INSIDE(CUDA->cuDeviceGraphMemTrim(ordinal));
    if (result == CUDA_SUCCESS)
        graph_settle(device, NULL);
    account_release_end(device, 0);
    return result;
}
