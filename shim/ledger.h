/* The ledger that the container's processes share: <directory>/usage/ledger, 60 KiB on a tmpfs of 64.

     0      header: magic, version, layout; the devices by UUID; which device each chunk of rows belongs to
     4096   56 chunks of 16 rows of 64 bytes. A row is one process on one device.

   A row belongs to the process that holds the POSIX lock on byte LOCK_ROWS + row of the file. The kernel drops that
   lock when the process dies, however it dies, and does not hand it to a forked child. Only rows count: there is no
   total that a kill -9 between two writes could leave wrong. Everything in the file is untrusted: positions are
   bounded, sums saturate, and what is damaged is written anew. */
#ifndef RUNAI_LEDGER_H
#define RUNAI_LEDGER_H

#include "base.h"

enum {
    LEDGER_VERSION = 1,
    LEDGER_DEVICES = 32,
    LEDGER_CHUNKS = 56,
    LEDGER_CHUNK_ROWS = 16,
    LEDGER_ROWS = LEDGER_CHUNKS * LEDGER_CHUNK_ROWS,
};
#define LEDGER_MAGIC 0x72656764656c4152ull /* "RAledger" */

struct ledger_row {
    _Atomic uint64_t owner;   /* 0 free; else a token whose low half is the PID in its owner's namespace */
    _Atomic uint64_t charged; /* bytes of live allocations */
    _Atomic uint64_t pending; /* bytes reserved for driver calls under way */
    _Atomic int64_t overhead; /* what the driver counts for this process beyond `charged` */
    uint64_t unused[4];
};

struct ledger_device {
    unsigned char uuid[16];
    _Atomic uint32_t known;   /* 1 when the UUID is valid; stored last, under the header's lock */
    _Atomic uint32_t context; /* MiB that a process's first context takes; learned */
    _Atomic uint64_t others;  /* bytes of the container's processes that have no row; the last measurement stands */
    uint64_t unused[4];
};

struct ledger_file {
    _Atomic uint64_t magic; /* stored last by whoever initialises */
    uint32_t version, layout;
    uint64_t unused[6];
    struct ledger_device devices[LEDGER_DEVICES];
    _Atomic uint8_t chunk_device[LEDGER_CHUNKS]; /* 1 + device; 0 free; compare-and-swap */
    unsigned char padding[4096 - 64 - LEDGER_DEVICES * 64 - LEDGER_CHUNKS];
    struct ledger_row rows[LEDGER_ROWS];
};

_Static_assert(sizeof(struct ledger_row) == 64, "a row is a cache line");
_Static_assert(sizeof(struct ledger_device) == 64, "a device is a cache line");
_Static_assert(offsetof(struct ledger_file, devices) == 64, "layout of version 1");
_Static_assert(offsetof(struct ledger_file, chunk_device) == 64 + 64 * LEDGER_DEVICES, "layout of version 1");
_Static_assert(offsetof(struct ledger_file, rows) == 4096, "layout of version 1");
_Static_assert(sizeof(struct ledger_file) == 61440, "the ledger and one page to spare fit a tmpfs of 64 KiB");

struct ledger_sum {
    uint64_t settled; /* charged and overhead of all rows, and others */
    uint64_t pending;
};

/* All functions below that may lock, claim or write anew run under process->slow. */

/* The file, opened or made when needed; when that is impossible, memory of our own, where only this process counts. */
struct ledger_file *ledger_file(void);
/* Is the file still whole and in place? Cheap (one fstat); on false, call ledger_repair. */
bool ledger_intact(void);
/* The same with everything that takes longer: header, fd, and our lock on a row. */
bool ledger_intact_with(struct ledger_row *row, uint64_t token);
/* Opens or initialises anew. Rows held before are lost: claim and fill them again. */
void ledger_repair(void);

/* The number of a device; added when new. -1 when the table is full. */
int ledger_device(const unsigned char uuid[16]);
struct ledger_row *ledger_claim(int device, uint64_t token);
/* Frees the rows of dead processes. */
void ledger_reclaim(int device, const struct ledger_row *own);
struct ledger_sum ledger_sum(int device);
/* Replaces the use of processes without a row. */
void ledger_set_others(int device, uint64_t bytes);
/* Calls back for each row in use. */
void ledger_each(int device, void (*visit)(const struct ledger_row *row, void *data), void *data);

/* Serialises the slow path between processes; the kernel drops it with its holder. False after waiting for too long: go
 * on without. */
bool ledger_slow_lock(int device);
void ledger_slow_unlock(int device);

#endif
