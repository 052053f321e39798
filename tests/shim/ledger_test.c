/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger as a file, without any GPU. */
#define _GNU_SOURCE
#include "../../shim/ledger.h"
#include "../../shim/quota_file.h"
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64]; /* stands for the private directory */

const char *quota_directory(void) {
    if (!folder[0]) {
        char usage[100];
        strcpy(folder, "/tmp/runai-ledger.XXXXXX");
        EXPECT(mkdtemp(folder));
        snprintf(usage, sizeof usage, "%s/usage", folder);
        EXPECT_EQUAL(mkdir(usage, 0777), 0);
    }
    return folder;
}

static void clean(void) {
    char path[100];
    snprintf(path, sizeof path, "%s/usage/ledger-%d", folder, LEDGER_VERSION);
    unlink(path);
    snprintf(path, sizeof path, "%s/usage", folder);
    rmdir(path);
    rmdir(folder);
}

static const unsigned char one[16] = {1}, two[16] = {2};

TEST(A_device_keeps_its_number) {
    int a = ledger_device(one), b = ledger_device(two);
    EXPECT(a >= 0 && b >= 0 && a != b);
    EXPECT_EQUAL(ledger_device(one), a);
    EXPECT_EQUAL(ledger_device(two), b);
    clean();
}

TEST(Rows_of_one_device_are_summed) {
    int a = ledger_device(one), b = ledger_device(two);
    struct ledger_row *x = ledger_claim(a, 1001), *y = ledger_claim(a, 1002), *z = ledger_claim(b, 1003);
    EXPECT(x && y && z && x != y);
    atomic_store(&x->charged, 10);
    atomic_store(&y->charged, 20);
    atomic_store(&y->pending, 5);
    atomic_store(&y->overhead, -7);
    atomic_store(&z->charged, 100);
    EXPECT_EQUAL(ledger_sum(a).settled, 23);
    EXPECT_EQUAL(ledger_sum(a).pending, 5);
    EXPECT_EQUAL(ledger_sum(b).settled, 100);
    clean();
}

TEST(Sums_of_garbage_saturate) {
    int a = ledger_device(one);
    struct ledger_row *x = ledger_claim(a, 1), *y = ledger_claim(a, 2);
    atomic_store(&x->charged, UINT64_MAX - 1);
    atomic_store(&y->charged, UINT64_MAX - 1);
    EXPECT(ledger_sum(a).settled == UINT64_MAX);
    atomic_store(&x->overhead, INT64_MIN);
    ledger_sum(a);
    clean();
}

enum { REUSED = 200000 };

static void *revoke_again_and_again(void *device) {
    for (int i = 0; i < REUSED; i++)
        ledger_revoke(*(int *)device);
    return NULL;
}

/* A row passes to the next process while its previous owner's credit is taken back: the next owner loses nothing. */
TEST(Credit_is_taken_back_in_one_step) {
    int a = ledger_device(one);
    pthread_t thread;
    struct ledger_row *row = ledger_claim(a, 1);
    EXPECT_EQUAL(pthread_create(&thread, NULL, revoke_again_and_again, &a), 0);
    for (int i = 0; i < REUSED; i++) {
        atomic_store(&row->pending, 0); /* as the ledger does when a row is claimed */
        atomic_store(&row->credit, 0);
        atomic_fetch_add(&row->pending, 5 * MIB);
        atomic_fetch_add(&row->credit, 32);
        struct ledger_sum sum = ledger_sum(a);
        EXPECT(sum.pending - sum.credit == 5 * MIB && (sum.credit == 0 || sum.credit == 32 * MIB));
    }
    pthread_join(thread, NULL);
    EXPECT_EQUAL(ledger_sum(a).pending - ledger_sum(a).credit, 5 * MIB);
    clean();
}

TEST(Used_credit_counts_and_is_not_taken_back) {
    int a = ledger_device(one);
    struct ledger_row *row = ledger_claim(a, 1);
    atomic_store(&row->credit, (uint64_t)32 << 32 | 64);
    EXPECT_EQUAL(ledger_sum(a).pending, 96 * MIB);
    EXPECT_EQUAL(ledger_sum(a).credit, 64 * MIB);
    ledger_revoke(a);
    EXPECT_EQUAL(ledger_sum(a).pending, 32 * MIB);
    EXPECT_EQUAL(ledger_sum(a).credit, 0);
    clean();
}

enum { MOVING_ROWS = 400, MOVING_ROUNDS = 3000, MOVED = 2 };

/* Each row's reservation becomes a charge, as account_settle does it. */
static void *settle_all(void *data) {
    struct ledger_row **rows = data;
    for (int i = MOVING_ROWS; i-- > 0;) { /* against the direction of the sum, so that they meet */
        atomic_fetch_add(&rows[i]->charged, MOVED);
        atomic_fetch_sub(&rows[i]->pending, MOVED);
    }
    return NULL;
}

/* A sum must include what was reserved before it began, wherever that is by now: the proof of no overshoot rests on
   it. */
TEST(A_sum_misses_nothing_that_is_charged_meanwhile) {
    static struct ledger_row *rows[MOVING_ROWS];
    int a = ledger_device(one);
    for (int i = 0; i < MOVING_ROWS; i++)
        EXPECT(rows[i] = ledger_claim(a, 1 + (uint64_t)i));
    for (int round = 0; round < MOVING_ROUNDS; round++) {
        pthread_t mover;
        for (int i = 0; i < MOVING_ROWS; i++) {
            atomic_store(&rows[i]->charged, 0);
            atomic_store(&rows[i]->pending, MOVED);
        }
        EXPECT_EQUAL(pthread_create(&mover, NULL, settle_all, rows), 0);
        while (atomic_load(&rows[0]->pending)) {
            struct ledger_sum sum = ledger_sum(a);
            EXPECT(sum.settled + sum.pending >= MOVING_ROWS * MOVED);
        }
        pthread_join(mover, NULL);
    }
    clean();
}

static void claim_and_die(void *data) {
    struct ledger_row *row = ledger_claim(*(int *)data, 77);
    EXPECT(row);
    atomic_store(&row->charged, 1000);
    kill(getpid(), SIGKILL);
}

TEST(The_row_of_a_killed_process_is_reclaimed) {
    int a = ledger_device(one);
    struct ledger_row *own = ledger_claim(a, 5);
    EXPECT_EQUAL(in_child(claim_and_die, &a), 1000 + SIGKILL);
    EXPECT_EQUAL(ledger_sum(a).settled, 1000);
    ledger_reclaim(a, own);
    EXPECT_EQUAL(ledger_sum(a).settled, 0);
    clean();
}

static void claim_many(void *data) {
    int *go = data;
    for (int i = 0; i < 150; i++)
        EXPECT(ledger_claim(0, 1000 + (uint64_t)getpid() * 1000 + (uint64_t)i));
    __atomic_fetch_add(go, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(go + 1, __ATOMIC_SEQ_CST) == 0)
        pause_ms(1);
}

TEST(Hundreds_of_processes_find_a_row) {
    int *go = shared_memory(4096), pids[4];
    EXPECT_EQUAL(ledger_device(one), 0);
    for (int i = 0; i < 4; i++)
        if ((pids[i] = fork()) == 0) {
            claim_many(go);
            _exit(0);
        }
    while (__atomic_load_n(go, __ATOMIC_SEQ_CST) < 4)
        pause_ms(1);
    unsigned used = 0;
    for (int i = 0; i < LEDGER_ROWS; i++)
        used += atomic_load(&ledger_file()->rows[i].owner) != 0;
    EXPECT_EQUAL(used, 600);
    __atomic_store_n(go + 1, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 4; i++)
        EXPECT_EQUAL(wait_for(pids[i]), 0);
    clean();
}

static void claim_all(void *data) {
    int *go = data;
    for (int i = 0; i < LEDGER_ROWS; i++)
        EXPECT(ledger_claim(0, (uint64_t)i + 1));
    __atomic_store_n(go, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(go + 1, __ATOMIC_SEQ_CST) == 0)
        pause_ms(1);
}

TEST(A_full_ledger_says_so_until_its_processes_are_gone) {
    int *go = shared_memory(4096), pid;
    EXPECT_EQUAL(ledger_device(one), 0);
    if ((pid = fork()) == 0) {
        claim_all(go);
        _exit(0);
    }
    while (__atomic_load_n(go, __ATOMIC_SEQ_CST) == 0)
        pause_ms(1);
    EXPECT(!ledger_claim(0, 5000));
    __atomic_store_n(go + 1, 1, __ATOMIC_SEQ_CST);
    EXPECT_EQUAL(wait_for(pid), 0);
    EXPECT(ledger_claim(0, 5000));
    clean();
}

/* Scans stop after the rows that were ever claimed. */
TEST(A_row_that_no_scan_reads_any_more_is_noticed) {
    int a = ledger_device(one);
    ledger_claim(a, 1);
    struct ledger_row *row = ledger_claim(a, 2);
    atomic_store(&row->charged, 10);
    EXPECT(row && ledger_intact_with(row, 2));
    atomic_store(&ledger_file()->chunk_rows[0], 1);
    EXPECT_EQUAL(ledger_sum(a).settled, 0);
    EXPECT(!ledger_intact_with(row, 2));
    EXPECT(ledger_claim(a, 2) == row);
    EXPECT(ledger_intact_with(row, 2));
    atomic_store(&ledger_file()->chunk_device[0], 0);
    EXPECT(!ledger_intact_with(row, 2));
    clean();
}

/* As the fuzzer does, so that the target keeps working. */
TEST(The_ledger_survives_whatever_is_in_it) {
    ledger_file();
    srand(3);
    for (int i = 0; i < 200; i++) {
        unsigned char *bytes = (unsigned char *)ledger_file();
        for (int k = 0; k < 3000; k++)
            bytes[64 + (size_t)rand() % (sizeof(struct ledger_file) - 64)] = (unsigned char)(rand() % 3 ? rand() : 255);
        int device = ledger_device(one);
        struct ledger_row *row = ledger_claim(device, 9);
        ledger_sum(device);
        ledger_reclaim(device, row);
        EXPECT(device < LEDGER_DEVICES);
    }
    clean();
}
