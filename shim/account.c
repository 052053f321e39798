/* SPDX-License-Identifier: Apache-2.0 */
/* The container's account.

   No overshoot. A process first adds `most` to `pending` of its own row, then sums all rows, and goes on only if the
   sum is within the limit. Suppose reservations that together exceed the limit were all live at one moment. Take the
   one that was added last: all the others were in their rows before its scan began, and stay there until the moment in
   question, which is after its scan; so its scan saw them all (an amount moves from `pending` to `credit` or `charged`,
   and from there to `overhead`, by adding first, and a scan reads a row in that order), found the sum above the limit,
   and refused. Freed memory leaves its row only after the driver has taken it back. No lock, no global total; a process
   killed at any point leaves just its own row, which counts until its kernel lock is seen to be gone. Credit is a
   reservation that stays: it moves from `pending` to `credit`, by adding first, and never back. A call marks what it
   uses of it, by one atomic operation, so that no other process takes that meanwhile; the rest is taken in one as well.

   Nothing that fits is refused. A sum above the limit may be due to rows of dead processes, to measurements out of
   date, to a changed quota, or to others that reserve at this moment and will be refused themselves. The slow path
   excludes these one by one before it says no. The kernel drops a dying process's lock before the driver has its memory
   back (files are closed first, and released at the very end), so after rows are reclaimed a measurement decides, and
   what the dead still hold is waited for.

   Linear memory. The driver hands out address space in blocks of 2 MiB, backed as a whole; small allocations share a
   block, and a block goes back with its last allocation (measured on an H200 with 580.159, for 512 B to 16 MiB). So a
   process's linear memory is 2 MiB times the blocks that its allocations touch: exact, and O(1), since only the first
   and last block of an allocation can be shared. An allocation counts in its blocks until the driver has freed it. So
   whatever the driver holds in a block is counted there, or covered by the reservation of the call that is about to
   enter it; who enters the first has 2 MiB reserved until it is charged, and who takes out the last gives them back
   after that. While one thread is about to free, in the driver, what another one takes for gone already, the block
   counts. */
#include "account.h"
#include "device.h"
#include "measure.h"
#include "quota_file.h"

#include <string.h>

/* A row with all that we hold. */
static struct ledger_row *claim(struct device *device) {
    struct ledger_row *row = ledger_claim(atomic_load(&device->number), process()->token);
    if (row) {
        atomic_store(&row->charged, atomic_load(&device->charged));
        atomic_store(&row->overhead, atomic_load(&device->overhead));
    }
    atomic_store(&device->row, row);
    return row;
}

void account_attach(struct device *device) {
    struct process *p = process();
    bool lost = !ledger_intact_with(atomic_load(&device->row), p->token);
    if (lost)
        ledger_repair();
    unsigned n = atomic_load(&p->devices_known);
    for (unsigned i = 0; i < n; i++) {
        struct device *d = &p->devices[i];
        struct ledger_row *row = atomic_load(&d->row);
        if (lost || atomic_load(&d->number) < 0)
            atomic_store(&d->number, ledger_device(d->uuid));
        if (row && (lost || !ledger_intact_with(row, p->token)))
            claim(d);
    }
}

/* Our row, claimed when we have none. Under process->slow. */
static struct ledger_row *account_row(struct device *device) {
    account_attach(device);
    struct ledger_row *row = atomic_load(&device->row);
    return row ? row : claim(device);
}

/* Used when the ledger has no row left for us: not shared, but with the same layout. */
static struct ledger_row unshared[DEVICES_MAX]; /* atomic fields */

static struct ledger_row *row_now(struct device *device) {
    struct ledger_row *row = atomic_load_explicit(&device->row, memory_order_acquire);
    struct process *p = process();
    if (LIKELY(row && ledger_intact() && atomic_load_explicit(&row->owner, memory_order_relaxed) == p->token))
        return row;
    if (lock_take_within(&p->slow, 2000)) {
        row = account_row(device);
        lock_drop(&p->slow);
    }
    return row ? row : &unshared[device_position(device)];
}

void account_claim_row(struct device *device) {
    row_now(device);
}

static bool within(struct device *device, const struct ledger_row *row, uint64_t limit, struct ledger_sum *sum) {
    *sum = ledger_sum(atomic_load_explicit(&device->number, memory_order_relaxed));
    if (row == &unshared[device_position(device)]) {
        sum->settled += atomic_load(&row->charged);
        sum->pending += atomic_load(&row->pending);
    }
    return sum->settled <= limit && sum->pending <= limit - sum->settled;
}

/* Marks a driver call that changes what we hold, so that a measurement at the same time is not taken for exact. */
static void begin(struct device *device) {
    atomic_fetch_add(&device->activity, ((uint64_t)1 << 32) + 1);
}

static void end(struct device *device) {
    atomic_fetch_sub(&device->activity, 1);
}

/* A row that was lost and claimed again while calls were under way can be wrong. With none under way, what the process
   knows of itself is right. The difference is added instead of storing the value, since calls may begin meanwhile. */
static void resync_row(struct device *device, struct ledger_row *row) {
    uint64_t activity = atomic_load(&device->activity), charged = atomic_load(&device->charged);
    int64_t overhead = atomic_load(&device->overhead);
    if (!row)
        return;
    uint64_t more = charged - atomic_load(&row->charged), less = atomic_load(&row->pending);
    int64_t beyond = overhead - atomic_load(&row->overhead);
    if ((uint32_t)activity != 0 || atomic_load(&device->activity) != activity)
        return;
    atomic_fetch_add(&row->charged, more);
    atomic_fetch_add(&row->overhead, beyond);
    atomic_fetch_sub(&row->pending, less);
}

/* Once a second, during an allocation. */
static void housekeeping(struct device *device) {
    struct process *p = process();
    if (!lock_take_within(&p->slow, 0))
        return;
    resync_row(device, account_row(device));
    measure(device);
    lock_drop(&p->slow);
}

/* The row holds our reservation and the sum is above the limit. Under process->slow and, if possible, the ledger's slow
   lock. */
static bool recheck(struct device *device, struct ledger_row *row, uint64_t most) {
    struct ledger_sum sum;
    int number = atomic_load(&device->number);
    quota_reread();
    ledger_reclaim(number, row);
    uint64_t until = now_ms() + 100;
    for (;;) {
        ledger_revoke(number);
        measure(device);
        uint64_t limit = device_limit(device), dying = ledger_dying(number);
        if (within(device, row, limit, &sum))
            return true;
        /* It would not fit even without the reservations of others and what the driver still holds for dead processes,
           or these have taken too long. */
        uint64_t lasting = sum.settled > dying ? sum.settled - dying : 0;
        if (most > limit || lasting > limit - most || (dying == 0 && now_ms() >= until))
            return false;
        sleep_ms(1);
    }
}

static bool reserve_fast(struct device *device, struct reservation *r) {
    struct ledger_sum sum;
    uint64_t limit = device_limit(device);
    begin(device);
    atomic_fetch_add(&r->row->pending, r->bytes);
    bool fits = within(device, r->row, limit, &sum);
    r->room = fits ? limit - sum.settled - sum.pending : 0;
    return fits;
}

static void cancel_reservation(struct device *device, struct reservation *r) {
    atomic_fetch_sub(&r->row->pending, r->bytes);
    end(device);
}

/* The fast path has failed: tries again after everything that may be out of date is checked. */
static bool reserve_slowly(struct device *device, struct reservation *r) {
    struct process *p = process();
    pools_trim(device);
    if (!lock_take_within(&p->slow, 5000))
        return false;
    struct ledger_row *row = account_row(device);
    r->row = row ? row : &unshared[device_position(device)];
    int number = atomic_load(&device->number);
    bool locked = ledger_slow_lock(number);
    ledger_revoke(number);
    measure(device); /* before the reservation: during one, a measurement finds only what has grown */
    bool fits = reserve_fast(device, r) || recheck(device, r->row, r->bytes);
    if (!fits)
        cancel_reservation(device, r);
    if (locked)
        ledger_slow_unlock(number);
    lock_drop(&p->slow);
    return fits;
}

/* Close to the limit the ledger must be current. Measured with no call of this thread under way, so it is exact in a
   program with one thread. */
static bool reserve_closely(struct device *device, struct reservation *r) {
    ledger_revoke(atomic_load(&device->number));
    measure_if_due(device, r->room);
    r->row = row_now(device);
    if (reserve_fast(device, r))
        return true;
    cancel_reservation(device, r);
    return false;
}

bool account_reserve(struct device *device, uint64_t most, struct reservation *r) {
    if (UNLIKELY(quota_tick()))
        housekeeping(device);
    *r = (struct reservation){row_now(device), most, 0, false};
    bool fits = reserve_fast(device, r);
    if (LIKELY(fits && !measure_is_due(device, r->room)))
        return true;
    cancel_reservation(device, r);
    return (fits && reserve_closely(device, r)) || reserve_slowly(device, r);
}

static void charge(struct device *device, uint64_t bytes) {
    struct ledger_row *row = row_now(device);
    atomic_fetch_add(&device->charged, bytes);
    atomic_fetch_add(&row->charged, bytes);
}

void account_settle(struct device *device, struct reservation *r, uint64_t taken) {
    if (taken)
        charge(device, taken);
    cancel_reservation(device, r);
}

#define CREDIT_MAX (256 * MIB)

bool account_credit_take(struct device *device, uint64_t most, struct reservation *r) {
    struct ledger_row *row = atomic_load_explicit(&device->row, memory_order_acquire);
    if (UNLIKELY(!row || atomic_load_explicit(&row->owner, memory_order_relaxed) != process()->token ||
                 !ledger_intact() || quota_is_due() || most % MIB))
        return false;
    uint64_t credit = atomic_load_explicit(&row->credit, memory_order_relaxed);
    while (credit_free(credit) >= most)
        if (LIKELY(atomic_compare_exchange_weak(&row->credit, &credit, credit - most / MIB + (most / MIB << 32)))) {
            *r = (struct reservation){row, most, MEASURE_CLOSE, true};
            return true;
        }
    return false;
}

/* Does nothing if the row was lost and claimed again meanwhile. */
static void leave_credit(struct reservation *r, uint64_t free_again) {
    uint64_t credit = atomic_load_explicit(&r->row->credit, memory_order_relaxed);
    while (credit_used(credit) >= r->bytes &&
           !atomic_compare_exchange_weak(&r->row->credit, &credit, credit - (r->bytes / MIB << 32) + free_again / MIB))
        continue;
}

void account_credit_return(struct reservation *r) {
    leave_credit(r, r->bytes);
}

void account_credit_used(struct device *device) {
    begin(device);
}

void account_keep(struct device *device, struct reservation *r) {
    bool far = r->room >= MEASURE_CLOSE && r->row != &unshared[device_position(device)] && r->bytes % MIB == 0;
    if (far && credit_free(atomic_load(&r->row->credit)) + r->bytes <= CREDIT_MAX)
        atomic_fetch_add(&r->row->credit, r->bytes / MIB);
    cancel_reservation(device, r);
}

void account_drop(struct device *device, struct reservation *r) {
    if (!r->of_credit) {
        cancel_reservation(device, r);
        return;
    }
    leave_credit(r, 0);
    end(device);
}

void account_add(struct device *device, uint64_t bytes) {
    begin(device);
    charge(device, bytes);
    end(device);
}

void account_release_begin(struct device *device) {
    begin(device);
}

void account_release_end(struct device *device, uint64_t released) {
    if (released) {
        struct ledger_row *row = row_now(device);
        atomic_fetch_sub(&device->charged, released);
        atomic_fetch_sub(&row->charged, released);
    }
    end(device);
}

unsigned account_release_begin_anywhere(void) {
    unsigned devices = atomic_load_explicit(&process()->devices_known, memory_order_acquire);
    for (unsigned i = 0; i < devices; i++)
        begin(device_at(i));
    return devices;
}

void account_release_end_anywhere(unsigned devices) {
    for (unsigned i = 0; i < devices; i++)
        end(device_at(i));
}

void account_defer_to_measurement(struct device *device, uint64_t bytes) {
    struct ledger_row *row = row_now(device);
    begin(device);
    atomic_fetch_add(&device->overhead, (int64_t)bytes);
    atomic_fetch_add(&row->overhead, (int64_t)bytes);
    atomic_fetch_sub(&device->charged, bytes);
    atomic_fetch_sub(&row->charged, bytes);
    end(device);
}

/* Of those that the driver had at the moment when it had most, take the one that was begun last: all were in its level.
   It had that much reserved beyond what was charged for `most`, and charges as much when it is done. `most` is what the
   driver had for certain. */
bool account_keep_begin(struct device *device, struct kept *kept, int64_t count, uint64_t each, uint64_t step,
                        struct keeping *k) {
    *k = (struct keeping){.kept = kept, .count = count, .each = each, .step = step};
    k->level = atomic_fetch_add(&kept->live, count) + count;
    int64_t more = k->level - atomic_load(&kept->most);
    if (more <= 0 || account_reserve(device, (uint64_t)more * each + step, &k->reservation))
        return true;
    atomic_fetch_sub(&kept->live, count);
    return false;
}

static void raise_most(struct kept *kept, int64_t made) {
    int64_t most = atomic_load(&kept->most);
    while (made > most && !atomic_compare_exchange_weak(&kept->most, &most, made))
        continue;
}

void account_keep_end(struct device *device, struct keeping *k, bool done) {
    int64_t more = done ? k->level - atomic_load(&k->kept->most) : 0;
    uint64_t taken = more > 0 ? (uint64_t)more * k->each : 0;
    if (taken) {
        uint64_t step = atomic_exchange(&k->kept->step, k->step); /* stays charged until it is measured */
        taken += k->step > step ? k->step - step : 0;
        measure_soon(device);
        account_add(device, taken);
        account_defer_to_measurement(device, taken);
    }
    if (k->reservation.row)
        account_settle(device, &k->reservation, 0);
    if (done)
        raise_most(k->kept, atomic_fetch_add(&k->kept->made, k->count) + k->count);
    else
        atomic_fetch_sub(&k->kept->live, k->count);
}

void account_keep_less(struct kept *kept, int64_t count) {
    atomic_fetch_sub(&kept->made, count);
}

void account_keep_gone(struct kept *kept, int64_t count, bool gone) {
    if (gone)
        atomic_fetch_sub(&kept->live, count);
    else
        atomic_fetch_add(&kept->made, count);
}

void account_overhead(struct device *device, int64_t before, int64_t now) {
    struct ledger_row *row = account_row(device);
    if (row && atomic_compare_exchange_strong(&device->overhead, &before, now))
        atomic_fetch_add(&row->overhead, now - before);
}

struct account_view account_view(struct device *device) {
    struct account_view view = {.limit = device_limit(device)};
    struct ledger_sum sum;
    if (atomic_load(&device->number) < 0 || atomic_load(&device->stale) || !ledger_intact())
        measure_now(device);
    within(device, atomic_load(&device->row), view.limit, &sum);
    view.used = sum.settled;
    uint64_t pending = sum.pending - sum.credit;
    uint64_t promised = sum.settled > UINT64_MAX - pending ? UINT64_MAX : sum.settled + pending;
    view.free = promised < view.limit ? view.limit - promised : 0;
    return view;
}

static struct entry block_entry(const struct device *device, uint64_t address) {
    uint8_t position = device_position(device);
    return (struct entry){.key = block_key(position, address), .class = CLASS_BLOCK, .device = position};
}

static uint64_t last_byte(const struct entry *entry) {
    return entry->key + (entry->size ? entry->size - 1 : 0);
}

/* The blocks between the first and the last: no other allocation can lie in them. */
static uint64_t between(const struct entry *entry) {
    return (last_byte(entry) >> BLOCK_BITS) - (entry->key >> BLOCK_BITS) - 1;
}

static bool is_in_one_block(const struct entry *entry) {
    return entry->key >> BLOCK_BITS == last_byte(entry) >> BLOCK_BITS;
}

uint64_t account_remember(struct device *device, struct entry *entry) {
    struct table *table = &process()->table;
    struct entry block = block_entry(device, entry->key);
    entry->refs = 1; /* counted in its blocks */
    uint64_t blocks = table_put_in_block(table, entry, &block) <= 1;
    if (!is_in_one_block(entry)) {
        block = block_entry(device, last_byte(entry));
        blocks += (table_reference(table, &block) <= 1) + between(entry);
    }
    return blocks * BLOCK;
}

/* 2 MiB if that was the last allocation in the block. If something in it was freed in stream order, the driver holds
   the block until a synchronisation. */
static uint64_t leave_block(const struct entry *entry, uint64_t address, bool ordered) {
    struct device *device = device_at(entry->device);
    struct entry block = block_entry(device, address), gone;
    if (table_unreference(&process()->table, &block, ordered, &gone) != 0)
        return 0;
    if (!gone.ordered)
        return BLOCK;
    account_defer_to_measurement(device, BLOCK);
    return 0;
}

uint64_t account_forget(const struct entry *entry, bool ordered) {
    if (!entry->refs)
        return 0;
    uint64_t released = leave_block(entry, entry->key, ordered);
    if (!is_in_one_block(entry))
        released += leave_block(entry, last_byte(entry), ordered) + between(entry) * BLOCK;
    return released;
}
