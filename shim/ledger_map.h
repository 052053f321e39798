/* SPDX-License-Identifier: Apache-2.0 */
/* What ledger.c and ledger_map.c share, and no other file uses: the mapping, and the locks on bytes of its file. */
#ifndef RUNAI_LEDGER_MAP_H
#define RUNAI_LEDGER_MAP_H

#include "ledger.h"

#include <sys/types.h>

/* The bytes of the file that are locked. */
enum {
    LOCK_HEADER = 1 << 20,
    LOCK_SLOW = LOCK_HEADER + 64,
    LOCK_CONTEXT = LOCK_HEADER + 128,
    LOCK_ROWS = LOCK_HEADER + 4096,
};

enum { CONTEXT_MIB_MAX = 64 * 1024 };

struct map {
    struct ledger_file *file;
    int fd; /* -1: memory of our own */
    bool in_file;
    dev_t device;
    ino_t inode;
    struct ledger_place place;
};

/* The one in use; NULL before the first call of ledger_file. */
struct map *map_now(void);

/* Locks a byte of the file, at once; false when another process holds it. */
bool map_lock(int fd, off_t at);
/* The same, but waits for it, at most so long. */
bool map_lock_within(int fd, off_t at, unsigned ms);
void map_unlock(int fd, off_t at);
/* The PID that holds the lock on a byte, in our namespace: 0 when it has none there, -1 when no other process holds
   it. */
int map_lock_holder(int fd, off_t at);
bool map_write(int fd, const void *bytes, size_t size, off_t at);
/* The inode of a file of /proc/self/ns; 0 when it cannot be read. */
uint64_t namespace_number(const char *path);

static inline off_t row_lock(const struct map *map, const struct ledger_row *row) {
    return LOCK_ROWS + (row - map->file->rows);
}

/* How many rows of a chunk were ever claimed, whatever the file says. */
static inline uint8_t rows_claimed(struct ledger_file *file, int chunk) {
    uint8_t rows = atomic_load(&file->chunk_rows[chunk]);
    return rows < LEDGER_CHUNK_ROWS ? rows : LEDGER_CHUNK_ROWS;
}

#endif
