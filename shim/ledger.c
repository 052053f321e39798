/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's rows and their sums. Reserving is done by account.c with atomic operations on rows; the shared memory
   itself is ledger_map.c's. */
#define _GNU_SOURCE
#include "ledger_map.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXITING = 4 /* PF_EXITING of the kernel: it has closed its files, or is about to */ };

int ledger_device(const unsigned char uuid[16]) {
    struct ledger_file *file = ledger_file();
    const struct map *map = map_now();
    bool locked = false;
    int found = -1;
    for (int pass = 0; pass < 2 && found < 0; pass++) {
        int i = 0;
        while (i < LEDGER_DEVICES && atomic_load(&file->devices[i].known) == 1) {
            if (memcmp(file->devices[i].uuid, uuid, 16) == 0)
                break;
            i++;
        }
        if (i == LEDGER_DEVICES)
            break;
        if (atomic_load(&file->devices[i].known) == 1) {
            found = i;
        } else if (pass == 0) {
            locked = map && map->fd >= 0 && map_lock_within(map->fd, LOCK_HEADER, 1000);
        } else {
            memcpy(file->devices[i].uuid, uuid, 16);
            atomic_store(&file->devices[i].known, 1);
            found = i;
        }
    }
    if (locked)
        map_unlock(map->fd, LOCK_HEADER);
    return found;
}

/* When a process began, in ticks since boot, of /proc/PID/stat; 0 when it is not there, or about to end. */
static uint64_t birth(const char *pid) {
    char path[32], text[1024];
    unsigned long flags;
    unsigned long long born;
    char state;
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *behind_name = strrchr(text, ')');
    if (!behind_name ||
        sscanf(behind_name, ") %c %*d %*d %*d %*d %*d %lu %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state,
               &flags, &born) != 3)
        return 0;
    return state == 'Z' || state == 'X' || (flags & EXITING) ? 0 : born;
}

static _Atomic bool unmeasured; /* set once */

void ledger_unmeasured(void) {
    atomic_store(&unmeasured, true);
}

/* A process that has closed our descriptor has lost its locks, not its memory. */
static bool lives_on(const struct ledger_row *row) {
    char pid[16];
    uint64_t born = atomic_load(&row->born);
    snprintf(pid, sizeof pid, "%u", (unsigned)atomic_load(&row->owner));
    return born != 0 && birth(pid) == born && atomic_load(&row->namespace) == namespace_number("/proc/self/ns/pid");
}

static void take(struct ledger_row *row, uint64_t token) {
    atomic_store(&row->charged, 0);
    atomic_store(&row->pending, 0);
    atomic_store(&row->credit, 0);
    atomic_store(&row->overhead, 0);
    atomic_store(&row->namespace, token ? namespace_number("/proc/self/ns/pid") : 0);
    atomic_store(&row->born, token ? birth("self") : 0);
    atomic_store(&row->owner, token);
}

/* Before the row gets an owner: from now on every scan reads it. */
static void show(struct ledger_file *file, const struct ledger_row *row) {
    int chunk = (int)((row - file->rows) / LEDGER_CHUNK_ROWS);
    uint8_t rows = (uint8_t)((row - file->rows) % LEDGER_CHUNK_ROWS + 1), now = rows_claimed(file, chunk);
    while (now < rows && !atomic_compare_exchange_weak(&file->chunk_rows[chunk], &now, rows))
        continue;
}

enum { TAKE_OWN, TAKE_FREE, TAKE_DEAD };

/* Takes a row that no living process holds. Memory of our own has no locks and no dead owners. */
static bool take_if(const struct map *map, struct ledger_row *row, uint64_t token, int what) {
    uint64_t owner = atomic_load(&row->owner);
    bool wanted = what == TAKE_OWN ? owner == token : what == TAKE_FREE ? owner == 0 : map->fd >= 0;
    if (!wanted || (what == TAKE_DEAD && (map_lock_holder(map->fd, row_lock(map, row)) >= 0 || lives_on(row))) ||
        (map->fd >= 0 && !map_lock(map->fd, row_lock(map, row))))
        return false;
    if (atomic_load(&row->owner) != owner) { /* it changed hands before we had the lock */
        if (map->fd >= 0)
            map_unlock(map->fd, row_lock(map, row));
        return false;
    }
    show(map->file, row);
    take(row, token);
    return true;
}

struct ledger_row *ledger_claim(int device, uint64_t token) {
    struct ledger_file *file = ledger_file();
    const struct map *map = map_now();
    if (device < 0 || !map)
        return NULL;
    /* First a row with our own token, which was ours before we lost its lock or the ledger; last the rows of dead
       processes. */
    for (int what = TAKE_OWN; what <= TAKE_DEAD; what++) {
        for (int c = 0; c < LEDGER_CHUNKS; c++) {
            uint8_t unused = 0;
            if (atomic_load(&file->chunk_device[c]) != device + 1 &&
                (what != TAKE_FREE ||
                 !atomic_compare_exchange_strong(&file->chunk_device[c], &unused, (uint8_t)(device + 1))))
                continue;
            for (int r = 0; r < LEDGER_CHUNK_ROWS; r++)
                if (take_if(map, &file->rows[c * LEDGER_CHUNK_ROWS + r], token, what))
                    return &file->rows[c * LEDGER_CHUNK_ROWS + r];
        }
    }
    diagnose("the ledger has no row left");
    return NULL;
}

void ledger_reclaim(int device, const struct ledger_row *own) {
    struct ledger_file *file = ledger_file();
    const struct map *map = map_now();
    if (!map || map->fd < 0 || device < 0)
        return;
    for (int c = 0; c < LEDGER_CHUNKS; c++) {
        if (atomic_load(&file->chunk_device[c]) != device + 1)
            continue;
        for (int r = 0; r < LEDGER_CHUNK_ROWS; r++) {
            struct ledger_row *row = &file->rows[c * LEDGER_CHUNK_ROWS + r];
            uint64_t owner = atomic_load(&row->owner);
            if (owner == 0 || row == own || map_lock_holder(map->fd, row_lock(map, row)) >= 0 ||
                (atomic_load(&unmeasured) && lives_on(row)) || !map_lock(map->fd, row_lock(map, row)))
                continue;
            if (atomic_load(&row->owner) == owner) {
                take(row, 0);
                atomic_store(&file->devices[device].reclaimed, now_us());
            }
            map_unlock(map->fd, row_lock(map, row));
        }
    }
}

struct search {
    const struct ledger_row *own;
    bool found;
};

static void find_unlocked(const struct ledger_row *row, void *data) {
    struct search *search = data;
    const struct map *map = map_now();
    search->found = search->found || (row != search->own && map_lock_holder(map->fd, row_lock(map, row)) < 0);
}

bool ledger_unlocked(int device, const struct ledger_row *own) {
    const struct map *map = map_now();
    struct search search = {own, false};
    if (map && map->fd >= 0 && device >= 0)
        ledger_each(device, find_unlocked, &search);
    return search.found;
}

uint64_t ledger_dying(int device) {
    if (device < 0)
        return 0;
    const struct ledger_device *d = &ledger_file()->devices[device];
    return now_us() - atomic_load(&d->reclaimed) < 1000000 ? atomic_load(&d->others) : 0;
}

uint32_t ledger_pid(const struct ledger_row *row) {
    const struct map *map = map_now();
    int pid = map && map->fd >= 0 ? map_lock_holder(map->fd, row_lock(map, row)) : -1;
    return pid >= 0 ? (uint32_t)pid : (uint32_t)atomic_load(&row->owner);
}

/* Chunks are claimed in order and never returned: behind the first free one none is in use. */
inline __attribute__((always_inline)) void
ledger_each(int device, void (*visit)(const struct ledger_row *row, void *data), void *data) {
    struct ledger_file *file = ledger_file();
    for (int c = 0, of; c < LEDGER_CHUNKS && (of = atomic_load(&file->chunk_device[c])) != 0; c++) {
        if (of != device + 1)
            continue;
        struct ledger_row *row = &file->rows[c * LEDGER_CHUNK_ROWS];
        for (int r = 0, rows = rows_claimed(file, c); r < rows; r++)
            if (atomic_load(&row[r].owner) != 0)
                visit(&row[r], data);
    }
}

static uint64_t saturating(uint64_t a, uint64_t b) {
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* Reads the fields in the order in which amounts move. An amount is added to the next field before it leaves this one,
   so it is seen in at least one of them. */
static void add_row(const struct ledger_row *row, void *data) {
    struct ledger_sum *sum = data;
    uint64_t pending = atomic_load(&row->pending);
    uint64_t credit = atomic_load(&row->credit);
    uint64_t charged = atomic_load(&row->charged);
    int64_t overhead = atomic_load(&row->overhead);
    if (overhead >= 0)
        charged = saturating(charged, (uint64_t)overhead);
    else
        charged = charged > -(uint64_t)overhead ? charged + (uint64_t)overhead : 0;
    sum->settled = saturating(sum->settled, charged);
    sum->pending = saturating(sum->pending, saturating(pending, credit_free(credit) + credit_used(credit)));
    sum->credit = saturating(sum->credit, credit_free(credit));
}

struct ledger_sum ledger_sum(int device) {
    struct ledger_sum sum = {0, 0, 0};
    if (device < 0)
        return sum;
    ledger_each(device, add_row, &sum);
    sum.settled = saturating(sum.settled, atomic_load(&ledger_file()->devices[device].others));
    return sum;
}

static void take_credit(const struct ledger_row *row, void *data) {
    (void)data;
    atomic_fetch_and(&((struct ledger_row *)row)->credit, ~(uint64_t)UINT32_MAX);
}

void ledger_revoke(int device) {
    if (device >= 0)
        ledger_each(device, take_credit, NULL);
}

static void count_row(const struct ledger_row *row, void *data) {
    (void)row;
    ++*(unsigned *)data;
}

bool ledger_alone(int device, const struct ledger_row *own) {
    unsigned rows = 0;
    if (device >= 0)
        ledger_each(device, count_row, &rows);
    return own && rows == 1 && atomic_load(&own->owner) != 0;
}

static void note_overhead(const struct ledger_row *row, void *data) {
    int64_t *largest = data, overhead = atomic_load(&row->overhead);
    if (overhead > *largest)
        *largest = overhead;
}

uint64_t ledger_largest_overhead(int device) {
    int64_t largest = 0;
    if (device >= 0)
        ledger_each(device, note_overhead, &largest);
    return (uint64_t)largest;
}

uint64_t ledger_others(int device) {
    return device < 0 ? 0 : atomic_load(&ledger_file()->devices[device].others);
}

void ledger_set_others(int device, uint64_t bytes) {
    if (device >= 0)
        atomic_store(&ledger_file()->devices[device].others, bytes);
}

uint64_t ledger_measured(int device) {
    return device < 0 ? 0 : atomic_load_explicit(&ledger_file()->devices[device].measured, memory_order_relaxed);
}

void ledger_note_measured(int device, uint64_t now) {
    if (device >= 0)
        atomic_store(&ledger_file()->devices[device].measured, now);
}

bool ledger_slow_lock(int device) {
    const struct map *map = map_now();
    return map && map->fd >= 0 && map_lock_within(map->fd, LOCK_SLOW + device, 1000);
}

void ledger_slow_unlock(int device) {
    const struct map *map = map_now();
    if (map && map->fd >= 0)
        map_unlock(map->fd, LOCK_SLOW + device);
}

uint64_t ledger_context_size(int device) {
    return device < 0 ? 0 : (uint64_t)atomic_load(&ledger_file()->devices[device].context) * MIB;
}

void ledger_learn_context_size(int device, uint64_t bytes) {
    const struct map *map = map_now();
    uint32_t size = (uint32_t)((bytes + MIB - 1) / MIB);
    if (device < 0 || bytes == 0 || size >= CONTEXT_MIB_MAX ||
        atomic_exchange(&ledger_file()->devices[device].context, size) == size || !map || map->fd < 0 || map->in_file)
        return;
    map_write(map->fd, map->file->devices, (size_t)(device + 1) * sizeof *map->file->devices,
              offsetof(struct ledger_file, devices));
}

bool ledger_context_lock(int device) {
    const struct map *map = map_now();
    return device >= 0 && map && map->fd >= 0 && map_lock_within(map->fd, LOCK_CONTEXT + device, 5000);
}

void ledger_context_unlock(int device) {
    const struct map *map = map_now();
    if (map && map->fd >= 0)
        map_unlock(map->fd, LOCK_CONTEXT + device);
}
