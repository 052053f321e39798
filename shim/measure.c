/* SPDX-License-Identifier: Apache-2.0 */
/* Reconciles the ledger with the driver's process list.

   In a PID namespace nested in a container's, the list is of that namespace, with its PIDs; the container's other
   processes count by their rows.

   In a container's PID namespace the list holds just the container's processes, by their PIDs there, with all that the
   driver counts for each: contexts, modules, pools. For ourselves the difference to what we charged is our `overhead`.
   For processes with a row, what goes beyond their row (modules loaded since they last measured) and for processes
   without one (a static binary, one that lost the preload) all they hold is `others`. Where the PID namespace is larger
   than the container (--pid host, --pid container:X), a process without a row counts if it is in our cgroup. */
#define _GNU_SOURCE
#include "measure.h"
#include "account.h"
#include "device.h"
#include "real.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The shim's own NVML, whichever the program uses; idempotent store before process->nvml. */
static _Atomic int own_nvml;
#undef NVML
#define NVML (real_functions_of(atomic_load_explicit(&own_nvml, memory_order_relaxed)))

bool measure_started(void) {
    return atomic_load(&process()->nvml) == 1;
}

static int nvml_start(struct process *p) {
    int driver = real_start_nvml(), state = driver != REAL_NONE ? 1 : 2, none = 0;
    if (state == 1)
        atomic_store(&own_nvml, driver);
    else
        ledger_unmeasured();
    atomic_compare_exchange_strong(&p->nvml, &none, state);
    diagnose("NVML %s", state == 1 ? "measures" : "is not available: contexts and modules are not counted");
    return state;
}

enum { ASIDE_NEVER, ASIDE_STARTING, ASIDE_DONE };

void measure_wait_aside(void) {
    struct process *p = process();
    uint64_t until = now_ms() + 50;
    for (unsigned tries = 0; atomic_load(&p->nvml_aside) == ASIDE_STARTING && now_ms() < until; tries++)
        backoff(tries);
}

static bool nvml_ready(struct process *p) {
    int state = atomic_load(&p->nvml);
    if (UNLIKELY(state == 0)) {
        measure_wait_aside();
        bool starting = atomic_load(&p->nvml_aside) == ASIDE_STARTING;
        state = atomic_load(&p->nvml);
        if (state == 0 && !starting)
            state = nvml_start(p);
    }
    return state == 1;
}

/* Before process->slow is taken: to open the library may take the loader's lock, whose holder may wait for us. */
static void open_early(struct process *p) {
    nvml_ready(p);
}

void measure_again(void) {
    int failed = 2;
    atomic_compare_exchange_strong(&process()->nvml, &failed, 0);
}

/* NVML takes some 10 ms to start. If a process does not know yet whether it will need it, a thread starts it while the
   driver creates the context, which takes ten times as long. */
static void *start_aside(void *process_of) {
    struct process *p = process_of;
    nvml_start(p);
    atomic_store(&p->nvml_aside, ASIDE_DONE);
    return NULL;
}

/* pthread_create by name: where libpthread is a separate library, it may not be loaded. */
void measure_start_aside(void) {
    struct process *p = process();
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = NULL;
    int none = ASIDE_NEVER;
    pthread_t thread;
    sigset_t all, before;
    if (atomic_load(&p->nvml) != 0 || !atomic_compare_exchange_strong(&p->nvml_aside, &none, ASIDE_STARTING))
        return;
    *(void **)&create = dlsym(RTLD_DEFAULT, "pthread_create");
    sigfillset(&all); /* the program's signals are for its own threads */
    bool started = create && syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &before, 8) == 0;
    if (started) {
        started = create(&thread, NULL, start_aside, p) == 0;
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
    }
    if (!started)
        atomic_store(&p->nvml_aside, ASIDE_NEVER);
}

static nvmlDevice_t handle_of(struct process *p, struct device *device) {
    nvmlDevice_t handle = atomic_load(&device->nvml);
    if (handle || !nvml_ready(p))
        return handle;
    const unsigned char *u = device->uuid;
    static const char *const kinds[] = {"GPU", "MIG"};
    for (int k = 0; k < 2; k++) {
        char text[64];
        snprintf(text, sizeof text, "%s-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", kinds[k],
                 u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
        if (INSIDE(NVML->nvmlDeviceGetHandleByUUID(text, &handle)) == NVML_SUCCESS) {
            atomic_store(&device->nvml, handle);
            return handle;
        }
    }
    return NULL;
}

/* Converts lists from before CUDA 11 to the newer form. */
static nvmlReturn_t widen(nvmlReturn_t (*list_v1)(nvmlDevice_t, unsigned *, nvmlProcessInfo_v1_t *),
                          nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *list) {
    nvmlProcessInfo_v1_t *narrow = (nvmlProcessInfo_v1_t *)list;
    nvmlReturn_t result = INSIDE(list_v1(device, count, narrow));
    if (result == NVML_SUCCESS)
        for (unsigned i = *count; i-- > 0;) {
            nvmlProcessInfo_v1_t one = narrow[i];
            list[i] = (nvmlProcessInfo_t){.pid = one.pid, .usedGpuMemory = one.usedGpuMemory};
        }
    return result;
}

#define LIST(name, device, count, list)                                                                                \
    (real_has(NVML->name##_v3)   ? INSIDE(NVML->name##_v3(device, count, list))                                        \
     : real_has(NVML->name##_v2) ? INSIDE(NVML->name##_v2(device, count, list))                                        \
                                 : widen(NVML->name, device, count, list))

static bool has_pid(const nvmlProcessInfo_t *list, unsigned count, unsigned pid) {
    for (unsigned i = 0; i < count; i++)
        if (list[i].pid == pid)
            return true;
    return false;
}

static bool list_processes(struct measure_scratch *s, nvmlDevice_t handle) {
    unsigned computing = MEASURE_PROCESSES;
    if (LIST(nvmlDeviceGetComputeRunningProcesses, handle, &computing, s->list) != NVML_SUCCESS)
        return false;
    /* A process that computes and draws is in both lists with the same figure. */
    unsigned drawing = MEASURE_PROCESSES - computing;
    nvmlProcessInfo_t *more = s->list + computing;
    s->listed = computing;
    if (drawing > 0 && LIST(nvmlDeviceGetGraphicsRunningProcesses, handle, &drawing, more) == NVML_SUCCESS)
        for (unsigned i = 0; i < drawing; i++)
            if (!has_pid(s->list, computing, more[i].pid))
                s->list[s->listed++] = more[i];
    for (unsigned i = 0; i < s->listed; i++)
        if (s->list[i].usedGpuMemory == NVML_VALUE_NOT_AVAILABLE)
            return false;
    return true;
}

/* The list has PIDs of our namespace, a row's owner may be in another one (bubblewrap, unshare). The kernel translates
   the PID of a lock's owner; the result holds while the owner lives. */
static uint32_t pid_here(struct measure_scratch *s, const struct ledger_row *row) {
    uint64_t owner = atomic_load(&row->owner);
    __auto_type known = &s->translated[row - ledger_file()->rows];
    if (owner == process()->token)
        return (uint32_t)process()->pid;
    if (known->owner != owner || known->pid == 0)
        *known = (__typeof__(*known)){owner, ledger_pid(row)};
    return known->pid;
}

static void note_row(const struct ledger_row *row, void *data) {
    struct measure_scratch *s = data;
    uint32_t pid = pid_here(s, row);
    uint64_t pending = atomic_load(&row->pending) + credit_used(atomic_load(&row->credit));
    int64_t bytes = (int64_t)(atomic_load(&row->charged) + pending) + atomic_load(&row->overhead);
    uint64_t known = bytes > 0 ? (uint64_t)bytes : 0;
    if (pid == 0) {
        s->partial = true;
        return;
    }
    for (unsigned i = 0; i < s->rows; i++) {
        if (s->row[i].pid != pid)
            continue;
        if (s->row[i].bytes < known)
            s->row[i].bytes = known; /* the second pass, after the list: the larger figure explains more */
        return;
    }
    if (s->rows < MEASURE_ROWS)
        s->row[s->rows++] = (struct measured_row){pid, known};
}

static bool read_file(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* The path of cgroup v2, or of the first line of v1. */
static const char *group_path(char *text) {
    char *v2 = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    char *path = strchr(v2 && strcmp(v2 + 3 + (*v2 == '\n'), "/\n") != 0 ? v2 : text, '/');
    if (!path)
        return "";
    path[strcspn(path, "\n")] = '\0';
    return path;
}

static bool in_our_group(struct measure_scratch *s, uint32_t pid) {
    char path[64], text[4096];
    if (!s->own_group_known && read_file("/proc/self/cgroup", text, sizeof text)) {
        strcpy(s->own_group, group_path(text));
        s->own_group_known = true;
    }
    snprintf(path, sizeof path, "/proc/%u/cgroup", pid);
    if (!s->own_group_known || !read_file(path, text, sizeof text))
        return false;
    const char *theirs = group_path(text);
    size_t n = strlen(s->own_group);
    if (strncmp(theirs, "/..", 3) == 0)
        return false;
    return strcmp(s->own_group, "/") == 0 ||
           (strncmp(theirs, s->own_group, n) == 0 && (theirs[n] == '\0' || theirs[n] == '/'));
}

/* /proc may be that of an outer namespace, which has other processes by these numbers. */
static bool proc_is_ours(struct measure_scratch *s) {
    char link[16] = "", pid[16];
    if (s->proc == 0) {
        snprintf(pid, sizeof pid, "%d", process()->pid);
        s->proc = readlink("/proc/self", link, sizeof link - 1) > 0 && strcmp(link, pid) == 0 ? 1 : 2;
    }
    return s->proc == 1;
}

/* In a PID namespace nested in the container's, all that is visible is the container's. */
static bool is_ours(struct measure_scratch *s, uint32_t pid) {
    if (!proc_is_ours(s))
        return true;
    uint64_t now = now_ms();
    unsigned at = pid % MEASURE_VERDICTS;
    if (s->verdict[at].pid != pid || now >= s->verdict[at].until) {
        s->verdict[at].ours = in_our_group(s, pid);
        s->verdict[at].until = now + 2000;
        s->verdict[at].pid = pid;
    }
    return s->verdict[at].ours;
}

static uint64_t unexplained(struct measure_scratch *s, uint32_t own) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < s->listed; i++) {
        const nvmlProcessInfo_t *one = &s->list[i];
        if (one->pid == own)
            continue;
        unsigned r = 0;
        while (r < s->rows && s->row[r].pid != one->pid)
            r++;
        if (r < s->rows)
            sum += one->usedGpuMemory > s->row[r].bytes ? one->usedGpuMemory - s->row[r].bytes : 0;
        else if (is_ours(s, one->pid))
            sum += one->usedGpuMemory;
    }
    return sum;
}

/* Managed memory is charged in full, but the driver counts only what is on the device now: within that margin the
   overhead is unknown, and stays as it was. */
static int64_t new_overhead(int64_t counted, int64_t charged, int64_t managed, int64_t before) {
    int64_t least = counted - charged, most = least + managed;
    return before < least ? least : before > most ? most : before;
}

/* What the process knew of itself before the driver was asked. `quiet`: no call was under way, so that all of it is
   from one moment. If an amount moves from the charge to the overhead afterwards, the overhead is left as it is. */
struct known {
    uint64_t activity, charged, unlisted, managed;
    int64_t overhead;
    bool quiet;
};

static struct known known_of(struct device *device) {
    struct known k = {.activity = atomic_load(&device->activity)};
    k.charged = atomic_load(&device->charged);
    k.unlisted = atomic_load(&device->unlisted);
    k.managed = atomic_load(&device->managed);
    k.overhead = atomic_load(&device->overhead);
    k.quiet = (uint32_t)k.activity == 0;
    return k;
}

static bool still_quiet(const struct known *k, struct device *device) {
    return k->quiet && atomic_load(&device->activity) == k->activity && atomic_load(&device->charged) == k->charged;
}

static void measure_ourselves(struct device *device, uint64_t counted, const struct known *k) {
    int64_t before = k->quiet ? k->overhead : atomic_load(&device->overhead);
    int64_t now = new_overhead((int64_t)(counted + k->unlisted), (int64_t)k->charged, (int64_t)k->managed, before);
    if (k->quiet) { /* first: a thread that finds the step charged does not charge it */
        atomic_store(&device->streams.step, 0);
        atomic_store(&device->nodes.step, 0);
    }
    /* With calls under way the figure can be too low, so it may only rise. */
    if (now != before && (k->quiet || now > before))
        account_overhead(device, before, now);
    if (k->quiet)
        atomic_store(&device->guessed, 0);
}

void measure(struct device *device) {
    struct process *p = process();
    struct measure_scratch *s = &p->scratch;
    nvmlDevice_t handle = handle_of(p, device);
    int number = atomic_load(&device->number);
    ledger_note_measured(number, now_us()); /* also if it fails, so that it is not retried at once */
    if (!handle || number < 0)
        return;
    struct known known = known_of(device);
    s->rows = 0;
    s->partial = false;
    ledger_each(number, note_row, s);
    if (!list_processes(s, handle))
        return;
    ledger_each(number, note_row, s);
    uint64_t after = atomic_load(&device->charged), unsettled = pools_unsettled(device);
    known.quiet = still_quiet(&known, device);
    if (known.quiet) /* settling subtracts that: not twice */
        known.charged = known.charged > unsettled ? known.charged - unsettled : 0;
    else if (after > known.charged)
        known.charged = after;
    for (unsigned i = 0; i < s->listed; i++)
        if (s->list[i].pid == (unsigned)p->pid)
            measure_ourselves(device, s->list[i].usedGpuMemory, &known);
    uint64_t others = unexplained(s, (uint32_t)p->pid);
    if (!s->partial || others > ledger_others(number)) /* otherwise a process that sees all of them knows better */
        ledger_set_others(number, others);
}

void measure_soon(struct device *device) {
    atomic_store(&device->stale, true);
}

/* Close to the limit: the closer, the more often. A program that allocates small pieces there pays some 3%. */
bool measure_is_due(struct device *device, uint64_t room) {
    if (room >= MEASURE_CLOSE)
        return false;
    uint64_t last = ledger_measured(atomic_load(&device->number)), now = now_us();
    return atomic_load(&device->stale) || now < last || now - last >= (room < MEASURE_CLOSE / 16 ? 300 : 1000);
}

void measure_if_due(struct device *device, uint64_t room) {
    struct process *p = process();
    open_early(p);
    pools_settle(false);
    if (!lock_take_within(&p->slow, 200))
        return;
    if (measure_is_due(device, room)) { /* no other thread has just done it */
        atomic_store(&device->stale, false);
        measure(device);
    }
    lock_drop(&p->slow);
}

void measure_now(struct device *device) {
    struct process *p = process();
    open_early(p);
    pools_settle(false);
    atomic_store(&device->stale, false);
    if (!lock_take_within(&p->slow, 200))
        return;
    account_attach(device);
    ledger_reclaim(atomic_load(&device->number), atomic_load(&device->row));
    measure(device);
    lock_drop(&p->slow);
}

bool measure_own_now(struct device *device, uint64_t *bytes) {
    struct process *p = process();
    open_early(p);
    if (!lock_take_within(&p->slow, 200))
        return false;
    account_attach(device);
    nvmlDevice_t handle = handle_of(p, device);
    bool known = handle && list_processes(&p->scratch, handle);
    *bytes = 0;
    for (unsigned i = 0; known && i < p->scratch.listed; i++)
        if (p->scratch.list[i].pid == (unsigned)p->pid)
            *bytes = p->scratch.list[i].usedGpuMemory;
    lock_drop(&p->slow);
    return known;
}
