/* SPDX-License-Identifier: Apache-2.0 */
/* The shared memory, its rows and locks. Reserving is done by account.c with atomic operations on rows. Where nothing
   can be shared (full tmpfs, no directory), memory of our own takes its place: then this process still keeps the limit,
   and sees the others through NVML only. */
#define _GNU_SOURCE
#include "ledger.h"
#include "quota_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    LOCK_HEADER = 1 << 20,
    LOCK_SLOW = LOCK_HEADER + 64,
    LOCK_CONTEXT = LOCK_HEADER + 128,
    LOCK_ROWS = LOCK_HEADER + 4096,
    MAPS = 64,
    CONTEXT_MIB_MAX = 64 * 1024,
    EXITING = 4 /* PF_EXITING of the kernel: it has closed its files, or is about to */
};

struct map {
    struct ledger_file *file;
    int fd; /* -1: memory of our own */
    bool in_file;
    dev_t device;
    ino_t inode;
    struct ledger_place place;
};

/* Maps are never undone: another thread may be using one. Filled under process->slow, published by `current`. A child
   inherits mapping and descriptor, but no lock. */
static struct {
    _Atomic unsigned current; /* 1 + position in map; 0 none */
    struct map map[MAPS];
} maps __attribute__((aligned(64))); /* what every call reads lies in its first cache line */

/* The PID that holds the lock on a byte, in our namespace: 0 when it has none there, -1 when nobody else holds it. */
static int lock_holder(int fd, off_t at) {
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    return fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK ? l.l_pid : -1;
}

static bool lock_byte(int fd, int command, int type, off_t at) {
    struct flock l = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    return fcntl(fd, command, &l) == 0;
}

static bool lock_byte_within(int fd, off_t at, unsigned ms) {
    uint64_t until = now_ms() + ms;
    for (unsigned tries = 0; !lock_byte(fd, F_SETLK, F_WRLCK, at); tries++) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return false;
        if (now_ms() >= until)
            return false;
        backoff(tries);
    }
    return true;
}

static bool stat_fd(int fd, struct stat *s) {
    return syscall(SYS_fstat, fd, s) == 0;
}

static bool usable(const struct ledger_file *file) {
    return atomic_load(&file->magic) == LEDGER_MAGIC && file->version == LEDGER_VERSION && file->layout == sizeof *file;
}

static void format(struct ledger_file *file) {
    atomic_store(&file->magic, 0);
    memset((char *)file + sizeof file->magic, 0, sizeof *file - sizeof file->magic);
    file->version = LEDGER_VERSION;
    file->layout = sizeof *file;
    atomic_store(&file->magic, LEDGER_MAGIC);
}

/* Not O_CREAT on a file that exists: fs.protected_regular would refuse another user's file in a sticky directory. */
static int open_or_create(const char *path) {
    for (int tries = 0; tries < 10; tries++) {
        int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0 || errno != ENOENT)
            return fd;
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd >= 0) {
            fchmod(fd, 0666); /* whatever the umask */
            return fd;
        }
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

/* Out of the way of programs that close or reuse low numbers, but below 64, which every process's table of descriptors
   has: to make the table larger, the kernel lets a process with threads wait for an RCU grace period, some 10 ms. */
static int move_up(int fd) {
    int up = fcntl(fd, F_DUPFD_CLOEXEC, 48);
    if (up < 0)
        return fd;
    close(fd);
    return up;
}

static bool write_at(int fd, const void *bytes, size_t size, off_t at) {
    struct muted before = signals_mute();
    bool written = pwrite(fd, bytes, size, at) == (ssize_t)size;
    signals_unmute(&before);
    return written;
}

static bool fallocate_at_start(int fd, int mode) {
    struct muted before = signals_mute();
    bool done = syscall(SYS_fallocate, fd, mode, (off_t)0, (off_t)sizeof(struct ledger_file)) == 0;
    signals_unmute(&before);
    return done;
}

static bool allocate(int fd) {
    struct stat s;
    if (!stat_fd(fd, &s) || !S_ISREG(s.st_mode))
        return false;
    if (fallocate_at_start(fd, 0))
        return true;
    if (errno != EOPNOTSUPP)
        return false;
    static const char zeros[4096]; /* constant */
    for (off_t at = 0; at < (off_t)sizeof(struct ledger_file); at += sizeof zeros)
        if (s.st_size <= at && !write_at(fd, zeros, sizeof zeros, at))
            return false;
    return true;
}

static uint64_t namespace_number(const char *path) {
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t number = fd >= 0 && stat_fd(fd, &s) ? s.st_ino : 0;
    if (fd >= 0)
        close(fd);
    return number;
}

static uint64_t ipc_namespace(void) {
    return namespace_number("/proc/self/ns/ipc");
}

static uint64_t new_nonce(void) {
    static _Atomic uint64_t count; /* atomic add */
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t n = (uint64_t)t.tv_sec * 1000000007u ^ (uint64_t)t.tv_nsec << 20 ^ (uint64_t)syscall(SYS_getpid) << 44;
    return n ^ (uint64_t)(uintptr_t)&t ^ ((atomic_fetch_add(&count, 1) << 60) | 1);
}

static struct ledger_file *join_segment(const struct ledger_place *place) {
    struct shmid_ds about;
    if (place->ipc_namespace != ipc_namespace() || shmctl(place->segment, IPC_STAT, &about) != 0 ||
        about.shm_segsz != sizeof(struct ledger_file))
        return NULL;
    struct ledger_file *file = shmat(place->segment, NULL, 0);
    if (file == (void *)-1)
        return NULL;
    if (usable(file) && file->nonce == place->nonce)
        return file;
    shmdt(file);
    return NULL;
}

/* Marked for removal at once: it lives as long as someone is attached, and others can still attach by its number. */
static struct ledger_file *make_segment(struct ledger_place *place) {
    int segment = shmget(IPC_PRIVATE, sizeof(struct ledger_file), IPC_CREAT | 0666);
    struct ledger_file *file = segment < 0 ? (void *)-1 : shmat(segment, NULL, 0);
    if (segment >= 0)
        shmctl(segment, IPC_RMID, NULL);
    if (file == (void *)-1)
        return NULL;
    *place = (struct ledger_place){.magic = LEDGER_MAGIC,
                                   .version = LEDGER_VERSION,
                                   .layout = sizeof *file,
                                   .segment = segment,
                                   .ipc_namespace = ipc_namespace(),
                                   .nonce = new_nonce()};
    format(file);
    file->nonce = place->nonce;
    return file;
}

static struct ledger_file *map_file(int fd, struct ledger_place *place) {
    if (!allocate(fd))
        return NULL;
    struct ledger_file *file = mmap(NULL, sizeof *file, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (file == MAP_FAILED)
        return NULL;
    if (!usable(file) || file->segment != -1) {
        format(file);
        file->segment = -1;
        file->nonce = new_nonce();
    }
    place->nonce = file->nonce;
    return file;
}

static bool place_is_good(const struct ledger_place *place) {
    return place->magic == LEDGER_MAGIC && place->version == LEDGER_VERSION &&
           place->layout == sizeof(struct ledger_file);
}

static bool still_good(const struct map *map) {
    return map && map->fd >= 0 && !map->in_file && usable(map->file) && map->file->nonce == map->place.nonce;
}

/* A segment ends with its last process, but what was learned stays in the file. */
static void restore_learned(const struct map *map) {
    struct ledger_device saved[LEDGER_DEVICES];
    ssize_t size = pread(map->fd, saved, sizeof saved, offsetof(struct ledger_file, devices));
    for (int i = 0; i < LEDGER_DEVICES && size >= (ssize_t)((size_t)(i + 1) * sizeof *saved); i++) {
        struct ledger_device *device = &map->file->devices[i];
        uint32_t context = atomic_load(&saved[i].context);
        if (atomic_load(&saved[i].known) != 1)
            break;
        memcpy(device->uuid, saved[i].uuid, sizeof device->uuid);
        atomic_store(&device->context, context < CONTEXT_MIB_MAX ? context : 0);
        atomic_store(&device->known, 1);
    }
}

/* What the file says, which is the normal case and needs no lock: the nonce shows whether it was read whole. */
static bool find(struct map *map) {
    struct ledger_place *place = &map->place;
    if (pread(map->fd, place, sizeof *place, 0) == sizeof *place && place_is_good(place) && place->segment >= 0)
        map->file = join_segment(place);
    return map->file != NULL;
}

/* The same, or what it is made to say: where the rows were before, if it has lost that. Under the header's
   lock. */
static bool find_or_make(struct map *map, const struct map *before) {
    struct ledger_place *place = &map->place;
    bool good = pread(map->fd, place, sizeof *place, 0) == sizeof *place && place_is_good(place), were_rows = good;
    if (good && place->segment >= 0) {
        map->file = join_segment(place);
        if (map->file)
            return true;
        /* Its last process has gone, or it is in another namespace: that one's processes will follow us into the
           file. */
        good = place->ipc_namespace != ipc_namespace();
    }
    if (!good) {
        bool as_before = still_good(before);
        if (as_before)
            *place = before->place;
        map->file = as_before ? before->file : make_segment(place);
        if (map->file && !as_before && were_rows)
            restore_learned(map);
        if (map->file && write_at(map->fd, place, sizeof *place, 0))
            return true;
        if (map->file && !as_before)
            shmdt(map->file);
    }
    map->in_file = true;
    map->file = map_file(map->fd, place);
    return map->file != NULL;
}

/* Of processes that start together, one makes the segment while the others wait for the file to name it. */
static bool find_in_turn(struct map *map, const struct map *before, bool *locked) {
    uint64_t until = now_ms() + 2000;
    for (unsigned tries = 0; !find(map); tries++) {
        *locked = lock_byte(map->fd, F_SETLK, F_WRLCK, LOCK_HEADER);
        if (*locked || (errno != EAGAIN && errno != EACCES && errno != EINTR) || now_ms() >= until)
            return find_or_make(map, before);
        backoff(tries);
    }
    return true;
}

static bool attach(struct map *map, const struct map *before) {
    char path[600];
    snprintf(path, sizeof path, "%s/usage/ledger-%d", quota_directory(), LEDGER_VERSION);
    int fd = open_or_create(path);
    struct stat s;
    if (fd < 0)
        return false;
    fd = move_up(fd);
    *map = (struct map){.fd = fd};
    bool locked = false, found = stat_fd(fd, &s) && S_ISREG(s.st_mode) && find_in_turn(map, before, &locked);
    if (!found) {
        close(fd);
        return false;
    }
    if (locked)
        lock_byte(fd, F_SETLK, F_UNLCK, LOCK_HEADER);
    map->device = s.st_dev;
    map->inode = s.st_ino;
    diagnose("ledger %s joined, rows in %s", path, map->in_file ? "the file" : "a segment");
    return true;
}

static bool attach_own_memory(struct map *map) {
    void *at = mmap(NULL, sizeof(struct ledger_file), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return false;
    format(at);
    *map = (struct map){.fd = -1, .file = at};
    diagnose("no ledger in %s/usage: the limit is kept for this process alone", quota_directory());
    return true;
}

static struct map *map_now(void) {
    unsigned c = atomic_load_explicit(&maps.current, memory_order_acquire);
    return c ? &maps.map[c - 1] : NULL;
}

static void publish(const struct map *map) {
    unsigned c = atomic_load(&maps.current);
    if (c == MAPS)
        c = MAPS - 1; /* replaced 64 times: reuse the last place */
    maps.map[c] = *map;
    atomic_store_explicit(&maps.current, c + 1, memory_order_release);
}

struct ledger_file *ledger_file(void) {
    static struct ledger_file nowhere; /* only if even mmap fails: atomic rows, shared by threads */
    struct map *now = map_now(), new = {0};
    if (now)
        return now->file;
    if (!attach(&new, NULL) && !attach_own_memory(&new))
        return &nowhere;
    publish(&new);
    return new.file;
}

static bool in_place(const struct map *map) {
    struct stat s;
    return stat_fd(map->fd, &s) && s.st_ino == map->inode && s.st_dev == map->device && s.st_nlink > 0 &&
           (!map->in_file || s.st_size >= (off_t)sizeof(struct ledger_file));
}

bool ledger_intact(void) {
    const struct map *map = map_now();
    return !map || !map->in_file || in_place(map);
}

/* Still what the file leads to? */
static bool joined(const struct map *map) {
    struct ledger_place place;
    if (!in_place(map) || !usable(map->file) || map->file->nonce != map->place.nonce)
        return false;
    return pread(map->fd, &place, sizeof place, 0) == sizeof place && place_is_good(&place) &&
           place.nonce == map->place.nonce && (place.segment < 0) == map->in_file;
}

static off_t row_lock(const struct map *map, const struct ledger_row *row) {
    return LOCK_ROWS + (row - map->file->rows);
}

static uint8_t claimed(struct ledger_file *file, int chunk) {
    uint8_t rows = atomic_load(&file->chunk_rows[chunk]);
    return rows < LEDGER_CHUNK_ROWS ? rows : LEDGER_CHUNK_ROWS;
}

/* Before the row gets an owner: from now on every scan reads it. */
static void show(struct ledger_file *file, const struct ledger_row *row) {
    int chunk = (int)((row - file->rows) / LEDGER_CHUNK_ROWS);
    uint8_t rows = (uint8_t)((row - file->rows) % LEDGER_CHUNK_ROWS + 1), now = claimed(file, chunk);
    while (now < rows && !atomic_compare_exchange_weak(&file->chunk_rows[chunk], &now, rows))
        continue;
}

/* Does every scan read it? */
static bool shown(struct ledger_file *file, const struct ledger_row *row) {
    int chunk = (int)((row - file->rows) / LEDGER_CHUNK_ROWS);
    for (int c = 0; c <= chunk; c++)
        if (atomic_load(&file->chunk_device[c]) == 0)
            return false;
    return claimed(file, chunk) > (row - file->rows) % LEDGER_CHUNK_ROWS;
}

bool ledger_intact_with(struct ledger_row *row, uint64_t token) {
    const struct map *map = map_now();
    if (!map || map->fd < 0)
        return true;
    return joined(map) && (!row || (atomic_load(&row->owner) == token && shown(map->file, row) &&
                                    lock_byte(map->fd, F_SETLK, F_WRLCK, row_lock(map, row))));
}

void ledger_repair(void) {
    struct map *old = map_now(), new = {0};
    if (old && old->fd < 0)
        return;
    struct stat s;
    bool ours = old && stat_fd(old->fd, &s) && s.st_ino == old->inode && s.st_dev == old->device;
    diagnose("ledger damaged or lost: writing it anew");
    if (ours && old->in_file &&
        s.st_nlink == 0) /* deleted, but its pages count as long as anyone maps them: make room for the next */
        fallocate_at_start(old->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    if (!attach(&new, old) && !attach_own_memory(&new))
        return;
    publish(&new);
    if (ours) /* otherwise the number belongs to the program now. Closing drops our locks on the old file, and on this
                 one if it is the same: rows are claimed again after this. */
        close(old->fd);
}

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
            locked = map && map->fd >= 0 && lock_byte_within(map->fd, LOCK_HEADER, 1000);
        } else {
            memcpy(file->devices[i].uuid, uuid, 16);
            atomic_store(&file->devices[i].known, 1);
            found = i;
        }
    }
    if (locked)
        lock_byte(map->fd, F_SETLK, F_UNLCK, LOCK_HEADER);
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

enum { TAKE_OWN, TAKE_FREE, TAKE_DEAD };

/* A row that no living process holds. With memory of our own there are no locks, and nobody dies. */
static bool take_if(const struct map *map, struct ledger_row *row, uint64_t token, int what) {
    uint64_t owner = atomic_load(&row->owner);
    bool wanted = what == TAKE_OWN ? owner == token : what == TAKE_FREE ? owner == 0 : map->fd >= 0;
    if (!wanted || (what == TAKE_DEAD && (lock_holder(map->fd, row_lock(map, row)) >= 0 || lives_on(row))) ||
        (map->fd >= 0 && !lock_byte(map->fd, F_SETLK, F_WRLCK, row_lock(map, row))))
        return false;
    if (atomic_load(&row->owner) != owner) { /* it changed hands before we had the lock */
        if (map->fd >= 0)
            lock_byte(map->fd, F_SETLK, F_UNLCK, row_lock(map, row));
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
    /* First a row with our own token: it was ours before we lost our lock, or sight of it. Last those of the dead. */
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
            if (owner == 0 || row == own || lock_holder(map->fd, row_lock(map, row)) >= 0 ||
                (atomic_load(&unmeasured) && lives_on(row)) ||
                !lock_byte(map->fd, F_SETLK, F_WRLCK, row_lock(map, row)))
                continue;
            if (atomic_load(&row->owner) == owner) {
                take(row, 0);
                atomic_store(&file->devices[device].reclaimed, now_us());
            }
            lock_byte(map->fd, F_SETLK, F_UNLCK, row_lock(map, row));
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
    search->found = search->found || (row != search->own && lock_holder(map->fd, row_lock(map, row)) < 0);
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
    int pid = map && map->fd >= 0 ? lock_holder(map->fd, row_lock(map, row)) : -1;
    return pid >= 0 ? (uint32_t)pid : (uint32_t)atomic_load(&row->owner);
}

/* Chunks are claimed in order, and never given back: behind the first free one there is none. */
inline __attribute__((always_inline)) void
ledger_each(int device, void (*visit)(const struct ledger_row *row, void *data), void *data) {
    struct ledger_file *file = ledger_file();
    for (int c = 0, of; c < LEDGER_CHUNKS && (of = atomic_load(&file->chunk_device[c])) != 0; c++) {
        if (of != device + 1)
            continue;
        struct ledger_row *row = &file->rows[c * LEDGER_CHUNK_ROWS];
        for (int r = 0, rows = claimed(file, c); r < rows; r++)
            if (atomic_load(&row[r].owner) != 0)
                visit(&row[r], data);
    }
}

static uint64_t saturating(uint64_t a, uint64_t b) {
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* In the order in which amounts move: what is added to the next field before it leaves this one is then seen in one of
   them at least. */
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
    return map && map->fd >= 0 && lock_byte_within(map->fd, LOCK_SLOW + device, 1000);
}

void ledger_slow_unlock(int device) {
    const struct map *map = map_now();
    if (map && map->fd >= 0)
        lock_byte(map->fd, F_SETLK, F_UNLCK, LOCK_SLOW + device);
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
    write_at(map->fd, map->file->devices, (size_t)(device + 1) * sizeof *map->file->devices,
             offsetof(struct ledger_file, devices));
}

bool ledger_context_lock(int device) {
    const struct map *map = map_now();
    return device >= 0 && map && map->fd >= 0 && lock_byte_within(map->fd, LOCK_CONTEXT + device, 5000);
}

void ledger_context_unlock(int device) {
    const struct map *map = map_now();
    if (map && map->fd >= 0)
        lock_byte(map->fd, F_SETLK, F_UNLCK, LOCK_CONTEXT + device);
}
