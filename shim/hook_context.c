/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts. cuInit is where a program waits for its quota. A context takes memory that only the driver can count, so it
   is measured after each change. What was allocated in a context is freed with it. Left alone on purpose: making a
   context current, stacks, flags. */
#include "account.h"
#include "device.h"
#include "graph.h"
#include "hooks.h"
#include "linear.h"
#include "local.h"
#include "measure.h"
#include "quota_file.h"
#include "refusals.h"

#define GUESS_MAX (1024 * MIB)

CUresult cuInit(unsigned flags) {
    if (inside_driver)
        return CUDA->cuInit(flags);
    if (!quota_wait())
        return CUDA_ERROR_NOT_PERMITTED;
    CUresult result = INSIDE(CUDA->cuInit(flags));
    if (result == CUDA_SUCCESS && real_started(LIBRARY_cuda) > 1) {
        atomic_store(&process()->other_made, true); /* each driver has a primary context of its own, */
        pools_forget_streams();                     /* and pools */
    }
    return result;
}

/* Creation. The size of a context is learned from the first one in the container and reserved for each later one;
   otherwise processes that start together would exceed the limit with their contexts alone. While the size is unknown,
   processes create their contexts one after another. Once it is known, creation needs no measurement: the reserved size
   counts until the next one.

   A process that is alone in its container and on the GPU is not measured either: CUDA's own figures say how much its
   context takes at most. Meanwhile a thread starts NVML, which takes some 10 ms, for the time when figures are shown,
   room gets scarce or another process starts. No size is learned from such a context, because it may be smaller than
   that figure, which the next process reserves (size_at_most). */

struct creation {
    struct device *device;          /* NULL: nothing to account for */
    struct reservation reservation; /* 0 bytes while the size is unknown */
    uint64_t before, after;         /* what the driver counted for this process */
    uint64_t activity;              /* the device's when creation began; 0: it did not begin */
    bool measurable, measured, alone, learning, later;
};

#define FAR_FROM_THE_LIMIT (4 * MEASURE_CLOSE)

/* Under the context lock, so that no other process decides the same meanwhile. */
static bool can_wait(struct device *device) {
    return device_limit(device) >= FAR_FROM_THE_LIMIT && atomic_load(&device->charged) == 0 &&
           atomic_load(&device->overhead) == 0 && !measure_started() &&
           ledger_alone(atomic_load(&device->number), atomic_load(&device->row));
}

static bool nothing_else(struct device *device) {
    struct account_view view = account_view(device);
    return view.used == 0;
}

/* The most that a context may take while no size is known: the largest overhead of a process in the container, of its
   context and modules. 0 if no process has a context. */
static uint64_t size_at_most(struct device *device) {
    measure_now(device);
    return ledger_largest_overhead(atomic_load(&device->number));
}

/* Until creation_end, any change of the device's activity comes from another thread. */
static void creation_begun(struct creation *c, bool measurable) {
    account_release_begin(c->device);
    c->activity = atomic_load(&c->device->activity);
    c->measurable = measurable && measure_own_now(c->device, &c->before);
}

/* Returns false if the context does not fit. A context larger than the whole limit is admitted if nothing else uses the
   device: then nothing is free, and allocations fail with the ordinary out-of-memory error. */
static bool creation_begin(struct creation *c, CUdevice ordinal) {
    *c = (struct creation){.device = inside_driver ? NULL : device_by_ordinal(ordinal)};
    if (!c->device)
        return true;
    account_claim_row(c->device);
    uint64_t size = ledger_context_size(atomic_load(&c->device->number));
    if (size == 0) {
        c->learning = ledger_context_lock(atomic_load(&c->device->number));
        size = ledger_context_size(atomic_load(&c->device->number));
        c->later = size == 0 && c->learning && can_wait(c->device);
        if (c->later)
            measure_start_aside();
    }
    bool measurable = !c->later && (size == 0 || measure_started());
    if (size == 0 && !c->later)
        size = size_at_most(c->device);
    bool fits = size == 0 || account_reserve(c->device, size, &c->reservation);
    if (!fits) {
        c->reservation.bytes = 0;
        fits = size > device_limit(c->device) && nothing_else(c->device);
    }
    if (fits)
        creation_begun(c, measurable);
    else
        refused(c->device, size);
    return fits;
}

/* Without NVML: the memory in use on the device that this container does not account for, including that of other
   containers. The smallest value ever seen is the best guess. */
static uint64_t guess(struct device *device, CUcontext context) {
    CUcontext popped;
    size_t free_bytes = 0, total = 0;
    if (INSIDE(CUDA->cuCtxPushCurrent_v2(context)) != CUDA_SUCCESS)
        return 0;
    CUresult result = INSIDE(CUDA->cuMemGetInfo_v2(&free_bytes, &total));
    INSIDE(CUDA->cuCtxPopCurrent_v2(&popped));
    uint64_t used = account_view(device).used, taken = total - free_bytes;
    if (result != CUDA_SUCCESS || free_bytes > total || taken < used)
        return 0;
    uint64_t known = ledger_context_size(atomic_load(&device->number));
    return known && known < taken - used ? known : taken - used < GUESS_MAX ? taken - used : GUESS_MAX;
}

static void charge_as_measured(struct device *device, uint64_t size) {
    account_add(device, size);
    account_defer_to_measurement(device, size);
}

static void charge_guess(struct device *device, uint64_t size) {
    charge_as_measured(device, size);
    atomic_fetch_add(&device->guessed, size);
}

/* Returns false if more is in use than a context takes: the driver may still hold memory of processes that have
   ended. */
static bool guessed_for_now(struct device *device, CUcontext context) {
    uint64_t size = guess(device, context);
    if (size == 0 || size >= GUESS_MAX)
        return false;
    charge_guess(device, size);
    measure_soon(device);
    return true;
}

/* Returns true if nothing needs to be measured now. */
static bool measure_creation(struct creation *c, const CUcontext *context) {
    if (c->later && context && guessed_for_now(c->device, *context))
        return true;
    c->measured = (c->measurable || c->later) && measure_own_now(c->device, &c->after);
    c->alone = atomic_load(&c->device->activity) == c->activity && atomic_load(&c->device->charged) == 0;
    return false;
}

/* The size is learned only if no other thread allocated or freed anything meanwhile. */
static void charge_creation(struct creation *c, const CUcontext *context) {
    struct device *device = c->device;
    uint64_t reserved = c->reservation.bytes, size = c->after > c->before ? c->after - c->before : 0;
    if (c->measured) {
        /* A measurement cannot tell it from managed memory. */
        if (c->measurable && !reserved && atomic_load(&device->managed) && size)
            charge_as_measured(device, size);
        measure_now(device);
        if (c->alone && size)
            ledger_learn_context_size(atomic_load(&device->number), size);
    } else if (context) {
        size = reserved ? reserved : guess(device, *context);
        if (reserved)
            atomic_fetch_add(&device->guessed, size);
        else if (size)
            charge_guess(device, size);
        ledger_learn_context_size(atomic_load(&device->number), size);
    }
}

/* A context that is measured only after its creation may exceed the limit together with the rest of the container. It
   is admitted if it is the only user, or if it need not be measured yet. */
static bool fits(struct device *device) {
    if (atomic_load(&device->stale))
        return true;
    struct account_view view = account_view(device);
    int64_t own = (int64_t)atomic_load(&device->charged) + atomic_load(&device->overhead);
    return view.used <= view.limit || (int64_t)view.used <= own;
}

/* `undo` destroys the context. */
static CUresult creation_end(struct creation *c, CUresult result, const CUcontext *context, void (*undo)(CUcontext)) {
    struct device *device = c->device;
    if (!device)
        return result;
    if (c->later)
        measure_wait_aside();
    uint64_t reserved = c->reservation.bytes;
    bool known = result != CUDA_SUCCESS || measure_creation(c, context);
    if (reserved) {
        account_settle(device, &c->reservation, result == CUDA_SUCCESS ? reserved : 0);
        if (result == CUDA_SUCCESS)
            account_defer_to_measurement(device, reserved);
    }
    if (c->activity)
        account_release_end(device, 0);
    if (!known)
        charge_creation(c, context);
    if (result == CUDA_SUCCESS && context && !reserved && !fits(device)) {
        undo(*context);
        measure_now(device);
        result = refused(device, c->after > c->before ? c->after - c->before : 0);
    }
    if (c->learning)
        ledger_context_unlock(atomic_load(&device->number));
    return result;
}

static void end_created(CUcontext context) {
    INSIDE(CUDA->cuCtxDestroy_v2(context));
}

static void end_primary(CUcontext context) {
    CUdevice ordinal;
    CUcontext popped;
    if (INSIDE(CUDA->cuCtxPushCurrent_v2(context)) != CUDA_SUCCESS)
        return;
    CUresult known = INSIDE(CUDA->cuCtxGetDevice(&ordinal));
    INSIDE(CUDA->cuCtxPopCurrent_v2(&popped));
    if (known == CUDA_SUCCESS)
        INSIDE(CUDA->cuDevicePrimaryCtxRelease(ordinal));
}

#define CREATE_CONTEXT_AND_RETURN(ordinal, real_call, made, undo)                                                      \
    struct creation creation;                                                                                          \
    if (!creation_begin(&creation, ordinal)) {                                                                         \
        creation_end(&creation, CUDA_ERROR_OUT_OF_MEMORY, NULL, undo);                                                 \
        return CUDA_ERROR_OUT_OF_MEMORY;                                                                               \
    }                                                                                                                  \
    return creation_end(&creation, INSIDE(real_call), made, undo)

static bool is_active(CUdevice ordinal) {
    unsigned flags;
    int active = 0;
    return INSIDE(CUDA->cuDevicePrimaryCtxGetState(ordinal, &flags, &active)) == CUDA_SUCCESS && active;
}

static CUresult retain(CUcontext *context, CUdevice device) {
    if (is_active(device))
        return INSIDE(CUDA->cuDevicePrimaryCtxRetain(context, device));
    CREATE_CONTEXT_AND_RETURN(device, CUDA->cuDevicePrimaryCtxRetain(context, device), context, end_primary);
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    if (inside_driver)
        return CUDA->cuDevicePrimaryCtxRetain(context, device);
    CUresult result = retain(context, device);
    if (result == CUDA_SUCCESS)
        atomic_store(&process()->primary_made, true);
    return result;
}

#define CREATE_OTHER_CONTEXT_AND_RETURN(ordinal, real_call, made)                                                      \
    if (!inside_driver)                                                                                                \
        atomic_store(&process()->other_made, true);                                                                    \
    CREATE_CONTEXT_AND_RETURN(ordinal, real_call, made, end_created)

CUresult cuCtxCreate(CUcontext *context, unsigned flags, CUdevice device) {
    CREATE_OTHER_CONTEXT_AND_RETURN(device, CUDA->cuCtxCreate(context, flags, device), context);
}

CUresult cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device) {
    CREATE_OTHER_CONTEXT_AND_RETURN(device, CUDA->cuCtxCreate_v2(context, flags, device), context);
}

CUresult cuCtxCreate_v3(CUcontext *context, void *affinity, int count, unsigned flags, CUdevice device) {
    CREATE_OTHER_CONTEXT_AND_RETURN(device, CUDA->cuCtxCreate_v3(context, affinity, count, flags, device), context);
}

CUresult cuCtxCreate_v4(CUcontext *context, void *parameters, unsigned flags, CUdevice device) {
    CREATE_OTHER_CONTEXT_AND_RETURN(device, CUDA->cuCtxCreate_v4(context, parameters, flags, device), context);
}

CUresult cuGLCtxCreate(CUcontext *context, unsigned flags, CUdevice device) {
    CREATE_OTHER_CONTEXT_AND_RETURN(device, CUDA->cuGLCtxCreate(context, flags, device), context);
}

CUresult cuGLCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device) {
    CREATE_OTHER_CONTEXT_AND_RETURN(device, CUDA->cuGLCtxCreate_v2(context, flags, device), context);
}

CUresult cuVDPAUCtxCreate(CUcontext *context, unsigned flags, CUdevice device, uint32_t display, void *lookup) {
    CREATE_OTHER_CONTEXT_AND_RETURN(device, CUDA->cuVDPAUCtxCreate(context, flags, device, display, lookup), context);
}

CUresult cuVDPAUCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device, uint32_t display, void *lookup) {
    CREATE_OTHER_CONTEXT_AND_RETURN(device, CUDA->cuVDPAUCtxCreate_v2(context, flags, device, display, lookup),
                                    context);
}

/* A green context lives in its device's primary context: what it takes besides is little, and measured. */
static CUresult changed(CUresult result, struct device *device) {
    if (device && result == CUDA_SUCCESS)
        measure_now(device);
    return result;
}

CUresult cuGreenCtxCreate(void **green, void *description, CUdevice ordinal, unsigned flags) {
    struct device *device = inside_driver ? NULL : device_by_ordinal(ordinal);
    return changed(INSIDE(CUDA->cuGreenCtxCreate(green, description, ordinal, flags)), device);
}

CUresult cuGreenCtxDestroy(void *green) {
    struct device *device = inside_driver ? NULL : device_current();
    return changed(INSIDE(CUDA->cuGreenCtxDestroy(green)), device);
}

/* Limits. That of the stack counts for every thread that the device can hold (local.h), those of the heap and the
   printf buffer count once. */
static uint64_t growth_by_limit(struct device *device, int limit, size_t value) {
    size_t now = 0;
    if (limit == CU_LIMIT_STACK_SIZE)
        return local_growth_by_limit(device, value);
    if (limit < CU_LIMIT_STACK_SIZE || limit > CU_LIMIT_MALLOC_HEAP_SIZE ||
        INSIDE(CUDA->cuCtxGetLimit(&now, limit)) != CUDA_SUCCESS || value <= now)
        return 0;
    return round_up(value - now, BLOCK);
}

CUresult cuCtxSetLimit(int limit, size_t value) {
    struct device *device = inside_driver ? NULL : device_current();
    uint64_t growth = device ? growth_by_limit(device, limit, value) : 0;
    struct reservation reservation;
    if (growth && !account_reserve(device, growth, &reservation))
        return refused(device, growth);
    CUresult result = INSIDE(CUDA->cuCtxSetLimit(limit, value));
    if (growth) {
        account_settle(device, &reservation, result == CUDA_SUCCESS ? growth : 0);
        if (result == CUDA_SUCCESS)
            account_defer_to_measurement(device, growth);
    }
    bool stack = device && result == CUDA_SUCCESS && limit == CU_LIMIT_STACK_SIZE;
    if (stack)
        local_limit_changed(value);
    return changed(result, growth || stack ? device : NULL);
}

/* Destruction. */

struct ending {
    uint64_t context;
    bool primary;
    struct device *device;
    struct { /* filled while the table is locked, processed between sweeps */
        struct entry entry[256];
        unsigned count;
    } batch;
};

static bool belongs(const struct entry *entry, void *data) {
    struct ending *ending = data;
    if ((entry->class != CLASS_POINTER && entry->class != CLASS_ARRAY) || entry->kind == KIND_POOL ||
        (entry->extra != ending->context && !(ending->primary && entry->extra == 0)) ||
        device_at(entry->device) != ending->device || ending->batch.count == 256)
        return false;
    ending->batch.entry[ending->batch.count++] = *entry;
    return true;
}

static void end_guess(struct device *device) {
    uint64_t size = ledger_context_size(atomic_load(&device->number)), guessed = atomic_load(&device->guessed);
    if (guessed == 0)
        return;
    size = size && size < guessed ? size : guessed;
    atomic_fetch_sub(&device->guessed, size);
    account_release_begin(device);
    account_defer_to_measurement(device, -size); /* back into what is charged, */
    account_release_end(device, size);           /* and out of it */
}

static uint64_t swept(const struct entry *entry) {
    if (entry->class == CLASS_ARRAY)
        return entry->size;
    return linear_freed(entry, false);
}

static void forget_kept(struct kept *kept) {
    atomic_store(&kept->live, 0);
    atomic_store(&kept->made, 0);
    atomic_store(&kept->most, 0);
}

static void release_allocations(struct device *device, uint64_t context, bool primary) {
    /* Entries without a context belong to the driver that started first, when it was the only one. */
    struct ending ending = {.context = context, .primary = primary && real_is_eldest(LIBRARY_cuda), .device = device};
    do {
        ending.batch.count = 0;
        table_sweep(&process()->table, belongs, &ending);
        uint64_t released = 0;
        for (unsigned i = 0; i < ending.batch.count; i++)
            released += swept(&ending.batch.entry[i]);
        account_release_begin(device);
        account_release_end(device, released);
    } while (ending.batch.count > 0);
}

/* Everything that was allocated in the context is freed with it. */
static void end_allocations(struct device *device, uint64_t context, bool primary) {
    release_allocations(device, context, primary);
    device_forget_contexts();
    pools_forget_streams();
    local_forget_context(context);
    forget_kept(&device->streams);
    forget_kept(&device->nodes);
    end_guess(device);
    graph_settle(device, NULL);
    pools_settle_all();
}

/* `begun`: the device for which account_release_begin was called before the driver; NULL: none. */
static void ended(struct device *begun, bool done, uint64_t context, bool primary) {
    if (!begun)
        return;
    if (done)
        end_allocations(begun, context, primary);
    account_release_end(begun, 0);
    if (done && (measure_started() || atomic_load(&begun->overhead) != 0))
        measure_now(begun);
}

static struct device *device_of_context(CUcontext context) {
    CUcontext popped;
    if (!context || INSIDE(CUDA->cuCtxPushCurrent_v2(context)) != CUDA_SUCCESS)
        return NULL;
    struct device *device = device_current();
    INSIDE(CUDA->cuCtxPopCurrent_v2(&popped));
    return device;
}

#define DESTROY_CONTEXT_AND_RETURN(real_call, is_gone)                                                                 \
    struct device *device = inside_driver ? NULL : device_of_context(context);                                         \
    if (device)                                                                                                        \
        account_release_begin(device);                                                                                 \
    CUresult result = INSIDE(real_call);                                                                               \
    ended(device, result == CUDA_SUCCESS && is_gone, (uint64_t)(uintptr_t)context, false);                             \
    return result

CUresult cuCtxDestroy(CUcontext context) {
    DESTROY_CONTEXT_AND_RETURN(CUDA->cuCtxDestroy(context), true);
}

CUresult cuCtxDestroy_v2(CUcontext context) {
    DESTROY_CONTEXT_AND_RETURN(CUDA->cuCtxDestroy_v2(context), true);
}

/* Only the last detach ends the context. */
CUresult cuCtxDetach(CUcontext context) {
    DESTROY_CONTEXT_AND_RETURN(CUDA->cuCtxDetach(context), !device_of_context(context));
}

/* The handle of a device's primary context; 0 while there is none. To retain it would create one, so its state is
   checked first. */
static uint64_t primary_context(CUdevice ordinal) {
    unsigned flags;
    int active = 0;
    CUcontext context = NULL;
    if (INSIDE(CUDA->cuDevicePrimaryCtxGetState(ordinal, &flags, &active)) != CUDA_SUCCESS || !active ||
        BESIDE_CAPTURES(CUDA->cuDevicePrimaryCtxRetain(&context, ordinal)) != CUDA_SUCCESS)
        return 0;
    BESIDE_CAPTURES(CUDA->cuDevicePrimaryCtxRelease(ordinal));
    return (uint64_t)(uintptr_t)context;
}

#define END_PRIMARY_AND_RETURN(real_call)                                                                              \
    if (inside_driver)                                                                                                 \
        return real_call;                                                                                              \
    uint64_t context = primary_context(ordinal);                                                                       \
    struct device *device = context ? device_by_ordinal(ordinal) : NULL;                                               \
    if (device)                                                                                                        \
        account_release_begin(device);                                                                                 \
    CUresult result = INSIDE(real_call);                                                                               \
    ended(device, result == CUDA_SUCCESS && !is_active(ordinal), context, true);                                       \
    return result

CUresult cuDevicePrimaryCtxRelease(CUdevice ordinal) {
    END_PRIMARY_AND_RETURN(CUDA->cuDevicePrimaryCtxRelease(ordinal));
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice ordinal) {
    END_PRIMARY_AND_RETURN(CUDA->cuDevicePrimaryCtxRelease_v2(ordinal));
}

CUresult cuDevicePrimaryCtxReset(CUdevice ordinal) {
    END_PRIMARY_AND_RETURN(CUDA->cuDevicePrimaryCtxReset(ordinal));
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice ordinal) {
    END_PRIMARY_AND_RETURN(CUDA->cuDevicePrimaryCtxReset_v2(ordinal));
}
