/* The shared file, its rows and locks. Reserving is done by account.c with atomic operations on rows.

   A mapped file that is truncated by the container's root turns access into SIGBUS; so each operation asks fstat first
   (some 60 ns), space is allocated before it is used, and a file that is gone, short or overwritten is replaced and
   filled again from what each process knows of itself. Where no file can be had (full tmpfs, no directory), memory of
   our own takes its place: then this process still keeps the limit, and sees the others through NVML only. */
#define _GNU_SOURCE
#include "ledger.h"
#include "quota_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LOCK_HEADER = 1 << 20, LOCK_SLOW = LOCK_HEADER + 64, LOCK_ROWS = LOCK_HEADER + 4096, MAPS = 64 };

struct map {
    int fd; /* -1: memory of our own */
    dev_t device;
    ino_t inode;
    struct ledger_file *file;
};

/* Maps are never undone: another thread may be using one. Filled under process->slow, published by `current`. A child
   inherits mapping and descriptor, but no lock. */
static struct map maps[MAPS];
static _Atomic unsigned current; /* 1 + position in maps; 0 none */

static bool lock_byte(int fd, int command, int type, off_t at) {
    struct flock l = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    return fcntl(fd, command, &l) == 0 && (command != F_GETLK || l.l_type == F_UNLCK);
}

static bool lock_byte_within(int fd, off_t at, unsigned ms) {
    uint64_t until = now_ms() + ms;
    for (unsigned tries = 0; !lock_byte(fd, F_SETLK, F_WRLCK, at); tries++) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return false;
        if (now_ms() >= until)
            return false;
        if (tries < 8)
            syscall(SYS_sched_yield);
        else
            sleep_ms(1);
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

/* Out of the way of programs that close or reuse low numbers. */
static int move_up(int fd) {
    int up = fcntl(fd, F_DUPFD_CLOEXEC, 800);
    if (up < 0)
        up = fcntl(fd, F_DUPFD_CLOEXEC, 200);
    if (up < 0)
        return fd;
    close(fd);
    return up;
}

static bool allocate(int fd) {
    struct stat s;
    if (!stat_fd(fd, &s) || !S_ISREG(s.st_mode))
        return false;
    if (syscall(SYS_fallocate, fd, 0, (off_t)0, (off_t)sizeof(struct ledger_file)) == 0)
        return true;
    if (errno != EOPNOTSUPP)
        return false;
    static const char zeros[4096]; /* constant */
    for (off_t at = 0; at < (off_t)sizeof(struct ledger_file); at += sizeof zeros)
        if (s.st_size <= at && pwrite(fd, zeros, sizeof zeros, at) != sizeof zeros)
            return false;
    return true;
}

static bool attach(struct map *map) {
    char path[600];
    snprintf(path, sizeof path, "%s/usage/ledger", quota_directory());
    int fd = open_or_create(path);
    struct stat s;
    if (fd < 0)
        return false;
    fd = move_up(fd);
    bool locked = lock_byte_within(fd, LOCK_HEADER, 2000);
    void *at = MAP_FAILED;
    if (allocate(fd) && stat_fd(fd, &s))
        at = mmap(NULL, sizeof(struct ledger_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        close(fd);
        return false;
    }
    if (!usable(at)) {
        diagnose("ledger %s initialised", path);
        format(at);
    }
    if (locked)
        lock_byte(fd, F_SETLK, F_UNLCK, LOCK_HEADER);
    *map = (struct map){fd, s.st_dev, s.st_ino, at};
    return true;
}

static bool attach_own_memory(struct map *map) {
    void *at = mmap(NULL, sizeof(struct ledger_file), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return false;
    format(at);
    *map = (struct map){-1, 0, 0, at};
    diagnose("no ledger in %s/usage: the limit is kept for this process alone", quota_directory());
    return true;
}

static struct map *map_now(void) {
    unsigned c = atomic_load_explicit(&current, memory_order_acquire);
    return c ? &maps[c - 1] : NULL;
}

static void publish(const struct map *map) {
    unsigned c = atomic_load(&current);
    if (c == MAPS)
        c = MAPS - 1; /* replaced 64 times: reuse the last place */
    maps[c] = *map;
    atomic_store_explicit(&current, c + 1, memory_order_release);
}

struct ledger_file *ledger_file(void) {
    static struct ledger_file nowhere; /* only if even mmap fails: atomic rows, shared by threads */
    struct map *now = map_now(), new = {0};
    if (now)
        return now->file;
    if (!attach(&new) && !attach_own_memory(&new))
        return &nowhere;
    publish(&new);
    return new.file;
}

static bool in_place(const struct map *map) {
    struct stat s;
    return stat_fd(map->fd, &s) && s.st_ino == map->inode && s.st_dev == map->device && s.st_nlink > 0 &&
           s.st_size >= (off_t)sizeof(struct ledger_file);
}

bool ledger_intact(void) {
    const struct map *map = map_now();
    return !map || map->fd < 0 || in_place(map);
}

static off_t row_lock(const struct map *map, const struct ledger_row *row) {
    return LOCK_ROWS + (row - map->file->rows);
}

bool ledger_intact_with(struct ledger_row *row, uint64_t token) {
    const struct map *map = map_now();
    if (!map || map->fd < 0)
        return true;
    return in_place(map) && usable(map->file) &&
           (!row || (atomic_load(&row->owner) == token && lock_byte(map->fd, F_SETLK, F_WRLCK, row_lock(map, row))));
}

void ledger_repair(void) {
    struct map *old = map_now(), new = {0};
    if (old && old->fd < 0)
        return;
    struct stat s;
    bool ours = old && stat_fd(old->fd, &s) && s.st_ino == old->inode && s.st_dev == old->device;
    diagnose("ledger damaged or lost: writing it anew");
    if (ours && s.st_nlink == 0) /* deleted, but its pages count as long as anyone maps them: make room for the next */
        syscall(SYS_fallocate, old->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)0,
                (off_t)sizeof(struct ledger_file));
    if (!attach(&new) && !attach_own_memory(&new))
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

static void take(struct ledger_row *row, uint64_t token) {
    atomic_store(&row->charged, 0);
    atomic_store(&row->pending, 0);
    atomic_store(&row->overhead, 0);
    atomic_store(&row->owner, token);
}

/* A row that nobody's process holds. With memory of our own there are no locks, and free means free. */
static bool take_if_free(const struct map *map, struct ledger_row *row, uint64_t token, bool dead_too) {
    uint64_t owner = atomic_load(&row->owner);
    /* Our own token on a row that we do not know of: it was ours before we lost our lock, or the page that remembered
     * it. */
    if (owner != 0 && owner != token && (!dead_too || map->fd < 0))
        return false;
    if (map->fd >= 0 && !lock_byte(map->fd, F_SETLK, F_WRLCK, row_lock(map, row)))
        return false;
    if (atomic_load(&row->owner) !=
        owner) { /* changed hands meanwhile: only ever to one who held the lock, so it is free or dead again */
        lock_byte(map->fd, F_SETLK, F_UNLCK, row_lock(map, row));
        return false;
    }
    take(row, token);
    return true;
}

struct ledger_row *ledger_claim(int device, uint64_t token) {
    struct ledger_file *file = ledger_file();
    const struct map *map = map_now();
    if (device < 0 || !map)
        return NULL;
    for (int dead_too = 0; dead_too < 2; dead_too++) {
        for (int c = 0; c < LEDGER_CHUNKS; c++) {
            uint8_t free_chunk = 0;
            if (atomic_load(&file->chunk_device[c]) != device + 1 &&
                (dead_too ||
                 !atomic_compare_exchange_strong(&file->chunk_device[c], &free_chunk, (uint8_t)(device + 1))))
                continue;
            for (int r = 0; r < LEDGER_CHUNK_ROWS; r++)
                if (take_if_free(map, &file->rows[c * LEDGER_CHUNK_ROWS + r], token, dead_too))
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
            if (owner == 0 || row == own || !lock_byte(map->fd, F_GETLK, F_WRLCK, row_lock(map, row)) ||
                !lock_byte(map->fd, F_SETLK, F_WRLCK, row_lock(map, row)))
                continue;
            if (atomic_load(&row->owner) == owner)
                take(row, 0);
            lock_byte(map->fd, F_SETLK, F_UNLCK, row_lock(map, row));
        }
    }
}

void ledger_each(int device, void (*visit)(const struct ledger_row *row, void *data), void *data) {
    struct ledger_file *file = ledger_file();
    for (int c = 0; c < LEDGER_CHUNKS; c++) {
        if (atomic_load_explicit(&file->chunk_device[c], memory_order_relaxed) != device + 1)
            continue;
        for (int r = 0; r < LEDGER_CHUNK_ROWS; r++)
            if (atomic_load(&file->rows[c * LEDGER_CHUNK_ROWS + r].owner) != 0)
                visit(&file->rows[c * LEDGER_CHUNK_ROWS + r], data);
    }
}

static uint64_t saturating(uint64_t a, uint64_t b) {
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static void add_row(const struct ledger_row *row, void *data) {
    struct ledger_sum *sum = data;
    uint64_t charged = atomic_load(&row->charged);
    int64_t overhead = atomic_load(&row->overhead);
    if (overhead >= 0)
        charged = saturating(charged, (uint64_t)overhead);
    else
        charged = charged > -(uint64_t)overhead ? charged + (uint64_t)overhead : 0;
    sum->settled = saturating(sum->settled, charged);
    sum->pending = saturating(sum->pending, atomic_load(&row->pending));
}

struct ledger_sum ledger_sum(int device) {
    struct ledger_sum sum = {0, 0};
    if (device < 0)
        return sum;
    ledger_each(device, add_row, &sum);
    sum.settled = saturating(sum.settled, atomic_load(&ledger_file()->devices[device].others));
    return sum;
}

void ledger_set_others(int device, uint64_t bytes) {
    if (device >= 0)
        atomic_store(&ledger_file()->devices[device].others, bytes);
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
