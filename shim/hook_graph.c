/* Graphs with memory nodes, made by hand or captured. Neither capture nor instantiation takes device memory; a launch
   (or an upload) does, and what graphs once needed stays with the device until cuDeviceGraphMemTrim. So an executable's
   need is read from its nodes when it is instantiated, reserved before a launch, and settled by the driver's own
   attribute, as with pools. A launch beyond the limit is refused as out of memory: nothing has happened, and it can be
   tried again. Nodes of managed memory are refused at instantiation: which device's attribute would count them, and
   when they end, the driver does not say. Left alone on purpose: building graphs, and graphs without memory nodes,
   whose launches cost one look into an empty table. */
#include "account.h"
#include "device.h"
#include "graph.h"
#include "hooks.h"

#include <string.h>

enum { CHUNK = 32 << 20, NODES_MAX = 512, DEPTH_MAX = 4 };

static uint64_t attribute(const struct device *device, int which) {
    uint64_t bytes = 0;
    int ordinal = atomic_load(&device->ordinal);
    return BESIDE_CAPTURES(CUDA->cuDeviceGetGraphMemAttribute(ordinal, which, &bytes)) == CUDA_SUCCESS ? bytes : 0;
}

/* Bytes of a graph's allocation nodes, and the device they are on, MANAGED if one is of managed memory. */
enum { MANAGED = -2 };

static uint64_t need_of(CUgraph graph, int *ordinal, int depth) {
    void *nodes[NODES_MAX];
    size_t count = 0;
    uint64_t need = 0;
    if (depth == DEPTH_MAX || INSIDE(CUDA->cuGraphGetNodes(graph, NULL, &count)) != CUDA_SUCCESS || count == 0)
        return 0;
    void **all = nodes;
    if (count > NODES_MAX)
        count = NODES_MAX; /* larger graphs: what is beyond is settled after the launch */
    if (INSIDE(CUDA->cuGraphGetNodes(graph, all, &count)) != CUDA_SUCCESS)
        return 0;
    for (size_t i = 0; i < count; i++) {
        int type = -1;
        CUgraph child;
        struct graph_allocation allocation;
        if (INSIDE(CUDA->cuGraphNodeGetType(nodes[i], &type)) != CUDA_SUCCESS)
            continue;
        if (type == CU_GRAPH_NODE_TYPE_GRAPH &&
            INSIDE(CUDA->cuGraphChildGraphNodeGetGraph(nodes[i], &child)) == CUDA_SUCCESS)
            need += need_of(child, ordinal, depth + 1);
        memset(&allocation, 0, sizeof allocation);
        if (type == CU_GRAPH_NODE_TYPE_MEM_ALLOC &&
            INSIDE(CUDA->cuGraphMemAllocNodeGetParams(nodes[i], &allocation)) == CUDA_SUCCESS) {
            need += round_up(allocation.size, BLOCK);
            if (allocation.pool.allocType == CU_MEM_ALLOCATION_TYPE_MANAGED)
                *ordinal = MANAGED;
            else if (*ordinal != MANAGED)
                *ordinal = allocation.pool.location.id;
        }
    }
    return need;
}

static CUresult instantiated(CUresult result, const CUgraphExec *executable, CUgraph graph) {
    int ordinal = -1;
    uint64_t need = result == CUDA_SUCCESS && !inside_driver && executable ? need_of(graph, &ordinal, 0) : 0;
    struct device *device = need ? device_by_ordinal(ordinal) : NULL;
    if (ordinal == MANAGED) {
        BESIDE_CAPTURES(CUDA->cuGraphExecDestroy(*executable));
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    if (device) {
        struct entry entry = {.key = (uint64_t)(uintptr_t)*executable,
                              .size = need,
                              .class = CLASS_EXECUTABLE,
                              .device = device_position(device)};
        table_put(&process()->table, &entry);
        atomic_fetch_add(&process()->executables, 1);
    }
    return result;
}

CUresult cuGraphInstantiate(CUgraphExec *executable, CUgraph graph, void **error_node, char *log, size_t size) {
    return instantiated(INSIDE(CUDA->cuGraphInstantiate(executable, graph, error_node, log, size)), executable, graph);
}

CUresult cuGraphInstantiate_v2(CUgraphExec *executable, CUgraph graph, void **error_node, char *log, size_t size) {
    return instantiated(INSIDE(CUDA->cuGraphInstantiate_v2(executable, graph, error_node, log, size)), executable,
                        graph);
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags) {
    return instantiated(INSIDE(CUDA->cuGraphInstantiateWithFlags(executable, graph, flags)), executable, graph);
}

CUresult cuGraphInstantiateWithParams(CUgraphExec *executable, CUgraph graph, void *parameters) {
    return instantiated(INSIDE(CUDA->cuGraphInstantiateWithParams(executable, graph, parameters)), executable, graph);
}

CUresult cuGraphInstantiateWithParams_ptsz(CUgraphExec *executable, CUgraph graph, void *parameters) {
    return instantiated(INSIDE(CUDA->cuGraphInstantiateWithParams_ptsz(executable, graph, parameters)), executable,
                        graph);
}

CUresult cuGraphExecDestroy(CUgraphExec executable) {
    struct entry entry;
    if (!inside_driver && atomic_load_explicit(&process()->executables, memory_order_relaxed) &&
        table_take(&process()->table, CLASS_EXECUTABLE, (uint64_t)(uintptr_t)executable, &entry))
        atomic_fetch_sub(&process()->executables, 1);
    return INSIDE(CUDA->cuGraphExecDestroy(executable));
}

/* Brings the charge to what the device holds for graphs. */
void graph_settle(struct device *device, struct reservation *reservation) {
    uint64_t held = attribute(device, CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT);
    lock_take(&device->graph_lock);
    uint64_t before = atomic_load(&device->graph_charged);
    atomic_store(&device->graph_charged, held);
    lock_drop(&device->graph_lock);
    uint64_t grown = held > before ? held - before : 0;
    if (reservation)
        account_settle(device, reservation, grown);
    else if (grown)
        account_add(device, grown);
    if (before > held) {
        account_release_begin(device);
        account_release_end(device, before - held);
    }
}

static bool has_memory_nodes(CUgraphExec executable, struct entry *entry) {
    return !inside_driver && atomic_load_explicit(&process()->executables, memory_order_relaxed) &&
           table_find(&process()->table, CLASS_EXECUTABLE, (uint64_t)(uintptr_t)executable, entry);
}

/* A graph that was launched before may use its memory again; for a first launch, what is in use by others is not to be
 * had. */
static uint64_t growth_for(struct device *device, const struct entry *executable) {
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

#define LAUNCH(real_call)                                                                                              \
    struct entry entry;                                                                                                \
    if (LIKELY(!has_memory_nodes(executable, &entry)))                                                                 \
        return real_call;                                                                                              \
    struct device *device = device_at(entry.device);                                                                   \
    uint64_t growth = growth_for(device, &entry);                                                                      \
    struct reservation reservation;                                                                                    \
    if (growth && !account_reserve(device, growth, &reservation))                                                      \
        return CUDA_ERROR_OUT_OF_MEMORY;                                                                               \
    CUresult result = INSIDE(real_call);                                                                               \
    graph_settle(device, growth ? &reservation : NULL);                                                                \
    if (result == CUDA_SUCCESS)                                                                                        \
        launched(&entry);                                                                                              \
    return result

CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    LAUNCH(CUDA->cuGraphLaunch(executable, stream));
}

CUresult cuGraphLaunch_ptsz(CUgraphExec executable, CUstream stream) {
    LAUNCH(CUDA->cuGraphLaunch_ptsz(executable, stream));
}

CUresult cuGraphUpload(CUgraphExec executable, CUstream stream) {
    LAUNCH(CUDA->cuGraphUpload(executable, stream));
}

CUresult cuGraphUpload_ptsz(CUgraphExec executable, CUstream stream) {
    LAUNCH(CUDA->cuGraphUpload_ptsz(executable, stream));
}

CUresult cuDeviceGraphMemTrim(CUdevice ordinal) {
    CUresult result = INSIDE(CUDA->cuDeviceGraphMemTrim(ordinal));
    struct device *device = result == CUDA_SUCCESS && !inside_driver ? device_by_ordinal(ordinal) : NULL;
    if (device)
        graph_settle(device, NULL);
    return result;
}
