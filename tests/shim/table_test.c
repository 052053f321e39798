/* SPDX-License-Identifier: Apache-2.0 */
/* The table of allocations against a plain array. */
#include "../../shim/table.h"
#include "harness.h"

#include <stdlib.h>

static struct table table;

static struct entry pointer(uint64_t key, uint64_t size) {
    return (struct entry){.key = key, .size = size, .class = CLASS_POINTER, .kind = KIND_LINEAR};
}

TEST(The_table_keeps_its_entries_when_it_changes) {
    enum { KEYS = 5000 };
    static uint64_t model[KEYS];
    struct entry e;
    srand(2);
    for (int i = 0; i < 400000; i++) {
        uint64_t k = (uint64_t)rand() % KEYS, key = 0x7f0000000000 + k * 512;
        if (rand() % 2) {
            e = pointer(key, (uint64_t)i + 1);
            EXPECT(table_put(&table, &e));
            model[k] = (uint64_t)i + 1;
        } else {
            bool known = table_take(&table, CLASS_POINTER, key, &e);
            EXPECT_EQUAL(known, model[k] != 0);
            if (known)
                EXPECT_EQUAL(e.size, model[k]);
            model[k] = 0;
        }
    }
    for (uint64_t k = 0; k < KEYS; k++) {
        bool known = table_find(&table, CLASS_POINTER, 0x7f0000000000 + k * 512, &e);
        EXPECT_EQUAL(known, model[k] != 0);
    }
}

TEST(Classes_do_not_share_keys) {
    struct entry a = pointer(77, 1), b = {.key = 77, .size = 2, .class = CLASS_HANDLE}, found;
    EXPECT(table_put(&table, &a) && table_put(&table, &b));
    EXPECT(table_take(&table, CLASS_POINTER, 77, &found) && found.size == 1);
    EXPECT(table_take(&table, CLASS_HANDLE, 77, &found) && found.size == 2);
}

TEST(References_end_with_the_last) {
    struct entry e = {.key = 5, .size = 9, .class = CLASS_BLOCK}, gone;
    EXPECT_EQUAL(table_reference(&table, &e), 1);
    EXPECT_EQUAL(table_reference(&table, &e), 2);
    EXPECT_EQUAL(table_unreference(&table, &e, false, &gone), 1);
    EXPECT_EQUAL(table_unreference(&table, &e, false, &gone), 0);
    EXPECT_EQUAL(gone.size, 9);
    EXPECT_EQUAL(table_unreference(&table, &e, false, &gone), -1);
}

TEST(What_was_once_unreferenced_in_stream_order_stays_so) {
    struct entry e = {.key = 6, .class = CLASS_BLOCK}, gone;
    EXPECT(table_reference(&table, &e) == 1 && table_reference(&table, &e) == 2);
    EXPECT_EQUAL(table_unreference(&table, &e, true, &gone), 1);
    EXPECT_EQUAL(table_unreference(&table, &e, false, &gone), 0);
    EXPECT(gone.ordered);
    EXPECT_EQUAL(table_reference(&table, &e), 1);
    EXPECT_EQUAL(table_unreference(&table, &e, false, &gone), 0);
    EXPECT(gone.ordered);
}

TEST(A_replaced_entry_is_not_unreferenced) {
    struct entry first = {.key = 8, .extra = 1, .refs = 1, .size = 4, .class = CLASS_HANDLE},
                 second = {.key = 8, .extra = 2, .refs = 1, .size = 6, .class = CLASS_HANDLE}, before, gone;
    EXPECT(table_exchange(&table, &first, &before) && before.class == 0);
    EXPECT(table_exchange(&table, &second, &before) && before.size == 4);
    EXPECT_EQUAL(table_unreference(&table, &first, false, &gone), -1);
    EXPECT_EQUAL(table_unreference(&table, &second, false, &gone), 0);
    EXPECT_EQUAL(gone.size, 6);
}

TEST(An_address_counts_on_each_device_by_itself) {
    uint64_t address = 0x7f1234567890;
    struct entry there = pointer(address, 512), here = {.key = block_key(0, address), .class = CLASS_BLOCK},
                 other = {.key = block_key(31, address), .class = CLASS_BLOCK}, gone;
    EXPECT_EQUAL(table_put_in_block(&table, &there, &here), 1);
    EXPECT_EQUAL(table_put_in_block(&table, &there, &other), 1);
    EXPECT_EQUAL(table_reference(&table, &other), 2);
    EXPECT_EQUAL(table_unreference(&table, &here, false, &gone), 0);
    EXPECT_EQUAL(table_unreference(&table, &other, false, &gone), 1);
    EXPECT_EQUAL(table_unreference(&table, &other, false, &gone), 0);
    EXPECT(table_take(&table, CLASS_POINTER, address, &gone));
}

static bool even(const struct entry *e, void *data) {
    *(unsigned *)data += e->size % 2 == 0;
    return e->size % 2 == 0;
}

TEST(A_sweep_removes_all_that_is_wanted_and_nothing_else) {
    unsigned removed = 0;
    struct entry e;
    for (uint64_t i = 0; i < 3000; i++) {
        e = pointer(i << 9, i);
        table_put(&table, &e);
    }
    table_sweep(&table, even, &removed);
    EXPECT_EQUAL(removed, 1500);
    for (uint64_t i = 0; i < 3000; i++)
        EXPECT_EQUAL(table_find(&table, CLASS_POINTER, i << 9, &e), i % 2);
}
