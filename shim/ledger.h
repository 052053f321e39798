/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger that the container's processes share.

   <directory>/usage/ledger-<version> says where it is and carries the locks: a header of 64 bytes and, on byte
   LOCK_ROWS + n, the lock of row n. The rows themselves are in a System V shared memory segment that the header names,
   because nothing that is done to a file can take its memory away: a mapped file that the container's root truncates
   turns every access into SIGBUS. The segment is marked for removal when it is made, so it ends with the last process
   that uses it. Where a segment cannot be created or reached (another IPC namespace, a security profile), the file
   itself is mapped, and each operation first asks fstat whether it is still whole.

     0      header: magic, version, layout; the devices by UUID; which device each chunk of rows belongs to, and
            how many of its rows were ever claimed
     4096   56 chunks of 16 rows of 64 bytes. A row is one process on one device. Those that were never claimed are not
            looked at: a scan costs a cache line a process.

   A row belongs to the process that holds its POSIX lock. The kernel drops that lock when the process dies, however it
   dies, and does not hand it to a forked child. It also drops it when the process closes any descriptor of the file:
   NVML then counts what such a process holds; without NVML its row stays while a process with its PID and start time
   lives in its namespace. Only rows count: there is no total that a kill -9 between two writes could leave wrong.
   Everything is untrusted: positions are bounded, sums saturate, and what is damaged is recreated. */
#ifndef RUNAI_LEDGER_H
#define RUNAI_LEDGER_H

#include "base.h"

enum {
    LEDGER_VERSION = 5, /* in the file's name too: another layout is another ledger, and neither disturbs the other */
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
    _Atomic uint64_t credit;  /* pending as well, but any process may take back what no call uses; see below */
    /* Identify the owner for a process that finds the row unlocked; stored before owner. */
    _Atomic uint64_t namespace; /* of its owner's PIDs, by inode */
    _Atomic uint64_t born;      /* when the owner started, in ticks since boot */
    uint64_t unused;
};
/* What a call may take, in a row's `pending` or in its credit. */
struct reservation {
    struct ledger_row *row; /* where it stands, whatever becomes of our row meanwhile */
    uint64_t bytes;
    uint64_t room; /* that it left */
    bool of_credit;
};

/* Credit, in MiB: in the low half what no call uses, in the high one what calls use that will put it back. All in one
   word, so that it is taken back in one step: between two the row might become another process's. */
static inline uint64_t credit_free(uint64_t credit) {
    return (credit & UINT32_MAX) * MIB;
}
static inline uint64_t credit_used(uint64_t credit) {
    return (credit >> 32) * MIB;
}

struct ledger_device {
    unsigned char uuid[16];
    _Atomic uint32_t known;     /* 1 when the UUID is valid; stored last, under the header's lock */
    _Atomic uint32_t context;   /* MiB that a process's first context takes; learned */
    _Atomic uint64_t others;    /* bytes of the container's processes that have no row; the last measurement stands */
    _Atomic uint64_t measured;  /* when that was, in us */
    _Atomic uint64_t reclaimed; /* when a dead process's row was freed last, in us */
    uint64_t unused[2];
};

struct ledger_file {
    _Atomic uint64_t magic; /* stored last when the file is initialised */
    uint32_t version, layout;
    int32_t segment;
    uint32_t unused;
    uint64_t ipc_namespace;
    uint64_t nonce;
    uint64_t unused2[3];
    struct ledger_device devices[LEDGER_DEVICES];
    _Atomic uint8_t chunk_device[LEDGER_CHUNKS]; /* 1 + device; 0 free; compare-and-swap, in order, for good */
    _Atomic uint8_t
        chunk_rows[LEDGER_CHUNKS]; /* how many of its rows were ever claimed, which is in order; only grows */
    unsigned char padding[4096 - 64 - LEDGER_DEVICES * 64 - 2 * LEDGER_CHUNKS];
    struct ledger_row rows[LEDGER_ROWS];
};

_Static_assert(sizeof(struct ledger_row) == 64, "a row is a cache line");
_Static_assert(sizeof(struct ledger_device) == 64, "a device is a cache line");
_Static_assert(offsetof(struct ledger_file, devices) == 64, "layout of version 4");
_Static_assert(offsetof(struct ledger_file, chunk_device) == 64 + 64 * LEDGER_DEVICES, "layout of version 4");
_Static_assert(offsetof(struct ledger_file, rows) == 4096, "layout of version 4");
_Static_assert(sizeof(struct ledger_file) == 61440, "the ledger and the page of refusals fit a tmpfs of 64 KiB");
_Static_assert(offsetof(struct ledger_file, nonce) == 32, "as in struct ledger_place");

/* What the file begins with. While the rows are in a segment it has beside this just the devices, for the size of their
   contexts. */
struct ledger_place {
    uint64_t magic;
    uint32_t version, layout;
    int32_t segment; /* -1: the rows are in the file, behind this */
    uint32_t unused;
    uint64_t ipc_namespace; /* in which the segment's number means something */
    uint64_t nonce;         /* also in the segment: the same number may become another's */
    uint64_t unused2[3];
};
_Static_assert(sizeof(struct ledger_place) == 64, "as large as the header's beginning");

struct ledger_sum {
    uint64_t settled; /* charged and overhead of all rows, and others */
    uint64_t pending;
    uint64_t credit; /* of it, what may be taken back */
};

/* All functions below that may lock, claim or recreate run under process->slow. */

/* The file, opened or made when needed; when that is impossible, memory of our own, where only this process counts. */
struct ledger_file *ledger_file(void);
/* Is it safe to use? Costs nothing with a segment, one fstat with a mapped file. If false, call ledger_repair. */
bool ledger_intact(void);
/* The same with everything that takes longer: is the file in place, is it what we joined, and do we hold our row's
   lock? */
bool ledger_intact_with(struct ledger_row *row, uint64_t token);
/* Opens or initialises the ledger again. Rows held before are lost: claim and fill them again. */
void ledger_repair(void);

/* The number of a device; added when new. -1 when the table is full. */
int ledger_device(const unsigned char uuid[16]);
struct ledger_row *ledger_claim(int device, uint64_t token);
/* Frees the rows of dead processes. The driver may hold what they had for a while: measure before you rely on it. */
void ledger_reclaim(int device, const struct ledger_row *own);
/* What processes without a row hold, if a dead process's row was freed less than a second ago: it may be released at
   any moment. Otherwise 0. */
uint64_t ledger_dying(int device);
/* There is no NVML that would count processes without a row: from now on a row without a lock is kept while its process
   lives. */
void ledger_unmeasured(void);
struct ledger_sum ledger_sum(int device);
/* Takes back all credit. Before a refusal, and close to the limit. */
void ledger_revoke(int device);
/* Is this the only row of the device in use? */
bool ledger_alone(int device, const struct ledger_row *own);
/* The largest overhead of a process with a row: what contexts and modules take beyond its allocations. */
uint64_t ledger_largest_overhead(int device);
/* The use of processes without a row. */
uint64_t ledger_others(int device);

void ledger_set_others(int device, uint64_t bytes);
/* When any process measured last, in us; 0 never. */
uint64_t ledger_measured(int device);
void ledger_note_measured(int device, uint64_t now);
/* The PID of the row's owner in our namespace, as the kernel translates it; 0 when it has none there. */
uint32_t ledger_pid(const struct ledger_row *row);
/* Has any row but our own lost its lock, so that its process may have ended? */
bool ledger_unlocked(int device, const struct ledger_row *own);
/* Calls back for each row in use. */
void ledger_each(int device, void (*visit)(const struct ledger_row *row, void *data), void *data);

/* What a context takes on the device, learned by the first process that measures one and kept in the file while the
   container runs; 0 not known. Callable without
   process->slow, as are the next four. */
uint64_t ledger_context_size(int device);
void ledger_learn_context_size(int device, uint64_t bytes);
/* Held while the first context is created. False on timeout: continue without it. */
bool ledger_context_lock(int device);
void ledger_context_unlock(int device);

/* Serialises the slow path between processes; the kernel drops it when its holder dies. False on timeout: continue
   without it. */
bool ledger_slow_lock(int device);
void ledger_slow_unlock(int device);

#endif
