/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts: what a thread has current, the primary context of each device, created and green ones, their limits. A
   context's memory is freed with it. */
#include "driver.h"
#include "stream.h"

#include <stdlib.h>
#include <string.h>

#define CONTEXT_MAGIC 0x43545831u
#define DEPTH 64
#define GREEN (6 * MIB) /* what a green context adds to the primary one */

/* The calling thread's stack of contexts. */
static __thread struct context *stack[DEPTH];
static __thread int depth;

struct context *context_current(void) {
    return depth ? stack[depth - 1] : NULL;
}

static void make_current(struct context *context) {
    if (depth == 0)
        depth = 1;
    stack[depth - 1] = context;
    if (!context)
        depth--;
}

CUresult context_alive(struct context *context) {
    if (!context || context->magic != CONTEXT_MAGIC)
        return CUDA_ERROR_INVALID_CONTEXT;
    return context->destroyed ? CUDA_ERROR_CONTEXT_IS_DESTROYED : CUDA_SUCCESS;
}

/* Under sim.lock. */
static CUresult begin(struct context *context, int device, unsigned flags, uint64_t overhead) {
    struct sim_gpu *gpu = &sim.devices[device].gpu;
    if (!sim_attach(gpu) || !sim_take(device, overhead))
        return CUDA_ERROR_OUT_OF_MEMORY;
    sim_count_context(gpu, 1);
    context->magic = CONTEXT_MAGIC;
    context->device = device;
    context->flags = flags;
    context->destroyed = false;
    context->charged = overhead;
    context->id = ++sim.next_id;
    static const uint64_t limits[7] = {1024, 1 << 20, 8 << 20, 2, 2048, 64, 0};
    memcpy(context->limits, limits, sizeof limits);
    context->local = limits[0];
    context->streams = context->nodes = context->stream_memory = context->node_memory = 0;
    heap_init(&context->small, device, 2 * MIB, 512);
    heap_init(&context->large, device, 2 * MIB, 2 * MIB);
    heap_init(&context->managed, device, 2 * MIB, 2 * MIB);
    context->managed.uncharged = true;
    context->next = sim.contexts;
    sim.contexts = context;
    return CUDA_SUCCESS;
}

/* Under sim.lock. The structure stays, so that threads that have it current get the right error. */
static void end(struct context *context) {
    arrays_free(context);
    modules_free(context);
    while (context->allocations)
        memory_free(context->allocations);
    heap_destroy(&context->small);
    heap_destroy(&context->large);
    heap_destroy(&context->managed);
    if (context->primary) {
        pools_reset(context->device);
        graphs_reset(context->device);
    }
    sim_give(context->device, context->charged);
    sim_count_context(&sim.devices[context->device].gpu, -1);
    context->charged = 0;
    context->destroyed = true;
    for (struct context **link = &sim.contexts; *link; link = &(*link)->next)
        if (*link == context) {
            *link = context->next;
            break;
        }
}

CUresult context_primary_retain(int device, struct context **out) {
    struct context *primary = &sim.devices[device].primary;
    if (primary->references == 0) {
        CUresult rc = begin(primary, device, sim.devices[device].primary_flags,
                            sim.devices[device].gpu.state->config.context_bytes);
        if (rc)
            return rc;
        primary->primary = true;
    }
    primary->references++;
    *out = primary;
    return CUDA_SUCCESS;
}

API(DevicePrimaryCtxRetain, struct context **out, CUdevice device) {
    CUresult rc = sim_enter_device(device);
    if (rc || !out)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    sim_lock();
    rc = context_primary_retain(device, out);
    sim_unlock();
    return rc;
}

API(DevicePrimaryCtxRelease, CUdevice device) {
    CUresult rc = sim_enter_device(device);
    if (rc)
        return rc;
    sim_lock();
    struct context *primary = &sim.devices[device].primary;
    if (primary->references == 0)
        rc = CUDA_ERROR_INVALID_CONTEXT;
    else if (--primary->references == 0)
        end(primary);
    sim_unlock();
    return rc;
}

API(DevicePrimaryCtxReset, CUdevice device) {
    CUresult rc = sim_enter_device(device);
    if (rc)
        return rc;
    sim_lock();
    struct context *primary = &sim.devices[device].primary;
    if (primary->references) {
        primary->references = 0;
        end(primary);
    }
    sim_unlock();
    return CUDA_SUCCESS;
}

API(DevicePrimaryCtxGetState, CUdevice device, unsigned *flags, int *active) {
    CUresult rc = sim_enter_device(device);
    if (rc)
        return rc;
    if (flags)
        *flags = sim.devices[device].primary_flags;
    if (active)
        *active = sim.devices[device].primary.references > 0;
    return CUDA_SUCCESS;
}

API(DevicePrimaryCtxSetFlags, CUdevice device, unsigned flags) {
    CUresult rc = sim_enter_device(device);
    if (rc)
        return rc;
    sim.devices[device].primary_flags = flags;
    return CUDA_SUCCESS;
}

static CUresult create(struct context **out, unsigned flags, CUdevice device, unsigned version, bool green) {
    CUresult rc = sim_enter_device(device);
    if (rc || !out)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    struct context *context = calloc(1, sizeof *context);
    if (!context)
        return CUDA_ERROR_OUT_OF_MEMORY;
    uint64_t whole = sim.devices[device].gpu.state->config.context_bytes;
    sim_lock();
    rc = begin(context, device, flags, green && whole > GREEN ? GREEN : whole);
    sim_unlock();
    if (rc) {
        free(context);
        return rc;
    }
    context->api = version;
    context->green = green;
    if (!green && depth < DEPTH)
        stack[depth++] = context;
    *out = context;
    return CUDA_SUCCESS;
}

API(CtxCreate, struct context **out, unsigned flags, CUdevice device) {
    return create(out, flags, device, 3020, false);
}

API(CtxCreate_v3, struct context **out, void *affinity, int count, unsigned flags, CUdevice device) {
    (void)affinity, (void)count;
    return create(out, flags, device, 11040, false);
}

API(CtxCreate_v4, struct context **out, void *parameters, unsigned flags, CUdevice device) {
    (void)parameters;
    return create(out, flags, device, 12050, false);
}

static CUresult destroy(struct context *context) {
    CUresult rc = sim_enter();
    if (rc)
        return rc;
    sim_lock();
    rc = context_alive(context);
    if (!rc && context->primary)
        rc = CUDA_ERROR_INVALID_CONTEXT;
    if (!rc)
        end(context);
    sim_unlock();
    if (!rc && context_current() == context)
        depth--;
    return rc;
}

API(CtxDestroy, struct context *context) {
    return destroy(context);
}

API(CtxAttach, struct context **out, unsigned flags) {
    struct context *context;
    CUresult rc = flags || !out ? CUDA_ERROR_INVALID_VALUE : sim_enter_context(&context);
    if (!rc)
        *out = context;
    return rc;
}

API(CtxPushCurrent, struct context *context) {
    CUresult rc = sim_enter();
    if (!rc)
        rc = context_alive(context);
    if (rc)
        return rc;
    if (depth == DEPTH)
        return CUDA_ERROR_INVALID_VALUE;
    stack[depth++] = context;
    return CUDA_SUCCESS;
}

API(CtxPopCurrent, struct context **out) {
    CUresult rc = sim_enter();
    if (rc)
        return rc;
    if (depth == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    if (out)
        *out = stack[depth];
    return CUDA_SUCCESS;
}

API(CtxSetCurrent, struct context *context) {
    CUresult rc = sim_enter();
    if (!rc && context)
        rc = context_alive(context);
    if (!rc && (context || depth))
        make_current(context);
    return rc;
}

API(CtxGetCurrent, struct context **out) {
    CUresult rc = sim_enter();
    if (rc)
        return rc;
    if (!out)
        return CUDA_ERROR_INVALID_VALUE;
    *out = context_current();
    return CUDA_SUCCESS;
}

API(CtxGetDevice_v2, CUdevice *device, struct context *context) {
    CUresult rc = sim_enter_context_or(&context);
    if (rc || !device)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *device = context->device;
    return CUDA_SUCCESS;
}

API(CtxGetDevice, CUdevice *device) {
    return api_CtxGetDevice_v2(device, NULL);
}

API(CtxGetFlags, unsigned *flags) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (!rc && flags)
        *flags = context->flags;
    return rc;
}

API(CtxSetFlags, unsigned flags) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (!rc)
        context->flags = flags;
    return rc;
}

API(CtxGetId, struct context *context, unsigned long long *id) {
    CUresult rc = sim_enter_context_or(&context);
    if (!rc && id)
        *id = context->id;
    return rc;
}

API(CtxGetApiVersion, struct context *context, unsigned *version) {
    CUresult rc = sim_enter();
    if (!rc && context)
        rc = context_alive(context);
    if (!rc && !version)
        rc = CUDA_ERROR_INVALID_VALUE;
    if (!rc)
        *version = context && context->api ? context->api : 3020;
    return rc;
}

API(CtxSynchronize_v2, struct context *context) {
    if (stream_prohibits(true))
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    CUresult rc = sim_enter_context_or(&context);
    if (rc)
        return rc;
    pools_synchronise(context->device);
    return CUDA_SUCCESS;
}

API(CtxSynchronize, void) {
    return api_CtxSynchronize_v2(NULL);
}

static uint64_t whole(const struct context *context, uint64_t bytes) {
    uint64_t unit = sim.devices[context->device].gpu.state->config.granularity;
    return (bytes + unit - 1) / unit * unit;
}

/* What local memory holds on the device beyond the context's overhead: that of every thread that can be resident. */
static uint64_t local_bytes(const struct context *context, uint64_t value) {
    const struct sim_config *config = &sim.devices[context->device].gpu.state->config;
    uint64_t threads = (uint64_t)config->multiprocessors * (config->cc_major == 7 ? 1024 : 2048);
    return value > 1024 ? whole(context, (value - 1024) * threads) : 0;
}

CUresult context_local(struct context *context, uint64_t bytes) {
    uint64_t before = local_bytes(context, context->local), after = local_bytes(context, bytes);
    if (after > before && !sim_take(context->device, after - before))
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (after < before)
        sim_give(context->device, before - after);
    context->charged += after - before;
    context->local = bytes;
    return CUDA_SUCCESS;
}

CUresult context_hold(struct context *context, uint64_t *live, uint64_t *held, uint64_t change, uint64_t each) {
    uint64_t needed = whole(context, (*live + change) * each);
    if (needed > *held && needed < (uint64_t)1 << 60) {
        if (!sim_take(context->device, needed - *held))
            return CUDA_ERROR_OUT_OF_MEMORY;
        context->charged += needed - *held;
        *held = needed;
    }
    *live += change;
    return CUDA_SUCCESS;
}

API(CtxSetLimit, int limit, size_t value) {
    PROHIBITED_IN_CAPTURES();
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc)
        return rc;
    if (limit < 0 || limit > 6)
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    sim_lock();
    /* The stack is set to that size, whatever a launch has made it. The heap and the printf buffer are allocated when a
       kernel uses them, so never. */
    if (limit == 0)
        rc = context_local(context, value);
    if (!rc)
        context->limits[limit] = value;
    sim_unlock();
    return rc;
}

API(CtxGetLimit, size_t *value, int limit) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (rc)
        return rc;
    if (limit < 0 || limit > 6)
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    *value = context->limits[limit];
    return CUDA_SUCCESS;
}

/* The same in every context; `out` may be NULL. */
static CUresult constant(int *out, int value) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (!rc && out)
        *out = value;
    return rc;
}

API(CtxGetStreamPriorityRange, int *least, int *greatest) {
    CUresult rc = constant(least, 0);
    return rc ? rc : constant(greatest, -5);
}

API(CtxGetCacheConfig, int *config) {
    return constant(config, 0);
}

API(CtxSetCacheConfig, int config) {
    return constant(NULL, config);
}

API(CtxResetPersistingL2Cache, void) {
    return constant(NULL, 0);
}

/* Resource descriptions are opaque here: a green context is a context of its device. */
API(GreenCtxCreate, struct context **out, void *description, CUdevice device, unsigned flags) {
    (void)description;
    return create(out, flags, device, 12040, true);
}

API(GreenCtxDestroy, struct context *context) {
    return context && context->green ? destroy(context) : CUDA_ERROR_INVALID_VALUE;
}

API(CtxFromGreenCtx, struct context **out, struct context *green) {
    CUresult rc = sim_enter();
    if (!rc)
        rc = context_alive(green);
    if (!rc)
        *out = green;
    return rc;
}

API(DevResourceGenerateDesc, void **description, void *resources, unsigned count) {
    static char only;
    if (!description || !resources || !count)
        return CUDA_ERROR_INVALID_VALUE;
    *description = &only;
    return sim_enter();
}

API(CtxEnablePeerAccess, struct context *peer, unsigned flags) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    if (!rc)
        rc = context_alive(peer);
    if (!rc && (flags || peer == context))
        rc = CUDA_ERROR_INVALID_VALUE;
    return rc;
}

API(CtxDisablePeerAccess, struct context *peer) {
    struct context *context;
    CUresult rc = sim_enter_context(&context);
    return rc ? rc : context_alive(peer);
}
