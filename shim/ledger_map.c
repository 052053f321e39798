/* SPDX-License-Identifier: Apache-2.0 */
/* Finds, makes, attaches and repairs the memory that the ledger's rows lie in, and takes the locks on its file. Where
   nothing can be shared (full tmpfs, no directory), memory of our own takes its place: then this process still keeps
   the limit, and sees the others through NVML only. */
#define _GNU_SOURCE
#include "ledger_map.h"
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

enum { MAPS = 64 };

/* Maps are never undone: another thread may be using one. Filled under process->slow, published by `current`. A child
   inherits mapping and descriptor, but no lock. */
static struct {
    _Atomic unsigned current; /* 1 + position in map; 0 none */
    struct map map[MAPS];
} maps __attribute__((aligned(64))); /* what every call reads lies in its first cache line */

int map_lock_holder(int fd, off_t at) {
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    return fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK ? l.l_pid : -1;
}

static bool set_lock(int fd, short type, off_t at) {
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    return fcntl(fd, F_SETLK, &l) == 0;
}

bool map_lock(int fd, off_t at) {
    return set_lock(fd, F_WRLCK, at);
}

void map_unlock(int fd, off_t at) {
    set_lock(fd, F_UNLCK, at);
}

bool map_lock_within(int fd, off_t at, unsigned ms) {
    uint64_t until = now_ms() + ms;
    for (unsigned tries = 0; !map_lock(fd, at); tries++) {
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

/* Moves the descriptor out of the way of programs that close or reuse low numbers, but below 64, which every process's
   descriptor table has: to enlarge it, the kernel makes a process with threads wait for an RCU grace period, some 10
   ms. */
static int move_up(int fd) {
    int up = fcntl(fd, F_DUPFD_CLOEXEC, 48);
    if (up < 0)
        return fd;
    close(fd);
    return up;
}

bool map_write(int fd, const void *bytes, size_t size, off_t at) {
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
        if (s.st_size <= at && !map_write(fd, zeros, sizeof zeros, at))
            return false;
    return true;
}

uint64_t namespace_number(const char *path) {
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

/* Marked for removal at once: it lives as long as a process is attached, and others can still attach by its number. */
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

/* Joins the segment that the file names. This is the normal case and needs no lock: the nonce shows whether the file
   was read whole. */
static bool find(struct map *map) {
    struct ledger_place *place = &map->place;
    if (pread(map->fd, place, sizeof *place, 0) == sizeof *place && place_is_good(place) && place->segment >= 0)
        map->file = join_segment(place);
    return map->file != NULL;
}

/* The same, or makes the file name a segment: that of before, if the file has lost it. Under the header's lock. */
static bool find_or_make(struct map *map, const struct map *before) {
    struct ledger_place *place = &map->place;
    bool good = pread(map->fd, place, sizeof *place, 0) == sizeof *place && place_is_good(place), were_rows = good;
    if (good && place->segment >= 0) {
        map->file = join_segment(place);
        if (map->file)
            return true;
        /* Its last process has ended, or it is in another namespace, whose processes will follow us into the file. */
        good = place->ipc_namespace != ipc_namespace();
    }
    if (!good) {
        bool as_before = still_good(before);
        if (as_before)
            *place = before->place;
        map->file = as_before ? before->file : make_segment(place);
        if (map->file && !as_before && were_rows)
            restore_learned(map);
        if (map->file && map_write(map->fd, place, sizeof *place, 0))
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
        *locked = map_lock(map->fd, LOCK_HEADER);
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
        map_unlock(fd, LOCK_HEADER);
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

struct map *map_now(void) {
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

/* Does the file still lead to this mapping? */
static bool joined(const struct map *map) {
    struct ledger_place place;
    if (!in_place(map) || !usable(map->file) || map->file->nonce != map->place.nonce)
        return false;
    return pread(map->fd, &place, sizeof place, 0) == sizeof place && place_is_good(&place) &&
           place.nonce == map->place.nonce && (place.segment < 0) == map->in_file;
}

/* Does every scan read it? */
static bool shown(struct ledger_file *file, const struct ledger_row *row) {
    int chunk = (int)((row - file->rows) / LEDGER_CHUNK_ROWS);
    for (int c = 0; c <= chunk; c++)
        if (atomic_load(&file->chunk_device[c]) == 0)
            return false;
    return rows_claimed(file, chunk) > (row - file->rows) % LEDGER_CHUNK_ROWS;
}

bool ledger_intact_with(struct ledger_row *row, uint64_t token) {
    const struct map *map = map_now();
    if (!map || map->fd < 0)
        return true;
    return joined(map) && (!row || (atomic_load(&row->owner) == token && shown(map->file, row) &&
                                    map_lock(map->fd, row_lock(map, row))));
}

void ledger_repair(void) {
    struct map *old = map_now(), new = {0};
    if (old && old->fd < 0)
        return;
    struct stat s;
    bool ours = old && stat_fd(old->fd, &s) && s.st_ino == old->inode && s.st_dev == old->device;
    diagnose("ledger damaged or lost: recreating it");
    if (ours && old->in_file && s.st_nlink == 0)
        /* Deleted, but its pages take space while a process maps them: make room for the next file. */
        fallocate_at_start(old->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    if (!attach(&new, old) && !attach_own_memory(&new))
        return;
    publish(&new);
    if (ours)
        /* Otherwise the descriptor's number belongs to the program now. Closing drops our locks on the old file, and on
           this one if it is the same: rows are claimed again after this. */
        close(old->fd);
}
