/* SPDX-License-Identifier: Apache-2.0 */
/* Pools of managed memory.

   Managed memory can come to lie on a GPU wherever its pool prefers it to: the pool is charged in full to the GPU that
   it prefers, else to the one that was current when the program got the pool. What is freed of it is given back by
   RESERVED_MEM_CURRENT alone: it stays on the GPU until the pool is destroyed (seen on an H200, 580.159), and no list
   of processes counts it. So such a pool is charged with the most that it ever held. cuMemAllocAsync never draws from
   it, but from its device's own.

   What was freed can be had again without a new charge, but two allocations side by side must not both count on it. So
   each adds the most that it may take to `asked`, then asks the driver what is reserved, and has the charge raised to
   the sum of both before it goes on. When it is done it asks the driver for the most that was ever reserved, and takes
   itself from `asked`; the charge goes back to that most only when no other is under way. Suppose that the pool holds
   more than is charged. Of the allocations that were under way together take the one that was added last: the others
   were in the sum that it read, or done and in what was reserved, for which it asked after that; so what was charged
   for it holds them all, and was not lowered since. */
#include "account.h"
#include "device.h"
#include "real.h"

/* What is charged for a pool of managed memory, the driver's list of processes never counts. */
static void managed_charge(struct device *device, uint64_t before, uint64_t now) {
    if (before == now)
        return;
    account_release_begin(device); /* no measurement believes the one without the other */
    if (now > before)
        account_add(device, now - before);
    atomic_fetch_add(&device->unlisted, now - before);
    account_release_end(device, before > now ? before - now : 0);
}

/* What an allocation may take of the GPU; of one that is far too large no more than can be added up. */
static uint64_t managed_most(uint64_t size) {
    return round_up(size < (uint64_t)1 << 48 ? size : (uint64_t)1 << 48, POOL_CHUNK_MAX);
}

/* The end of an allocation, or of a reset, which asked for nothing. */
void managed_end(struct pool *pool, struct device *device, uint64_t size) {
    uint64_t high = pool_ask(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, 0);
    lock_take(&pool->lock);
    uint64_t before = atomic_load(&pool->charged);
    if (high > pool->most)
        pool->most = high;
    pool->asked -= managed_most(size);
    pool->under_way--;
    uint64_t now = pool->under_way && before > pool->most ? before : pool->most;
    atomic_store(&pool->charged, now);
    atomic_fetch_add(&pool->version, 1);
    lock_drop(&pool->lock);
    managed_charge(device, before, now);
}

/* False when what it may take beyond what is charged is not to be had. */
bool managed_begin(struct pool *pool, struct device *device, uint64_t size) {
    lock_take(&pool->lock);
    pool->asked += managed_most(size);
    uint64_t asked = pool->asked;
    pool->under_way++;
    atomic_fetch_add(&pool->version, 1);
    lock_drop(&pool->lock);
    uint64_t reserved = pool_held(pool, atomic_load(&pool->charged)), charged = atomic_load(&pool->charged);
    uint64_t wanted = asked > UINT64_MAX - reserved ? UINT64_MAX : asked + reserved;
    struct reservation reservation;
    if (wanted <= charged)
        return true;
    if (!account_reserve(device, wanted - charged, &reservation)) {
        managed_end(pool, device, size);
        return false;
    }
    lock_take(&pool->lock);
    uint64_t before = atomic_fetch_add(&pool->charged, wanted - charged);
    lock_drop(&pool->lock);
    managed_charge(device, before, before + (wanted - charged));
    account_settle(device, &reservation, 0);
    return true;
}

/* A program resets what the driver says was the most. Beside allocations under way that can hide what they took: then
   all that was charged for them stays. */
CUresult managed_reset(struct pool *pool, struct device *device, CUmemoryPool handle, void *value) {
    lock_take(&pool->lock);
    bool alone = pool->under_way++ == 0;
    uint64_t version = atomic_load(&pool->version);
    lock_drop(&pool->lock);
    uint64_t high = pool_ask(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, 0);
    CUresult result = INSIDE(CUDA->cuMemPoolSetAttribute(handle, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, value));
    lock_take(&pool->lock);
    if ((!alone || version != atomic_load(&pool->version)) && high < atomic_load(&pool->charged))
        high = atomic_load(&pool->charged);
    if (high > pool->most)
        pool->most = high;
    lock_drop(&pool->lock);
    managed_end(pool, device, 0);
    return result;
}

/* A destroyed pool of managed memory: when nothing of it is left, its charge goes, and its place is free again. */
void managed_release(struct pool *pool) {
    struct pools *pools = &process()->pools;
    struct device *device = device_at(atomic_load(&pool->device));
    uint64_t charged = 0;
    lock_take(&pools->adding);
    if (atomic_load(&pool->handle) == POOL_DESTROYED && pool_live(pool) == 0) {
        lock_take(&pool->lock);
        charged = atomic_exchange(&pool->charged, 0);
        lock_drop(&pool->lock);
        atomic_store(&pool->handle, NULL);
    }
    lock_drop(&pools->adding);
    managed_charge(device, charged, 0);
}
