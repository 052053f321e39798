/* SPDX-License-Identifier: Apache-2.0 */
/* Pools of managed memory.

   Managed memory may lie on the GPU that its pool prefers. So the pool is charged in full to that GPU, or without a
   preference to the one that was current when the program got the pool. When some of it is freed, only
   RESERVED_MEM_CURRENT falls: the memory stays on the GPU until the pool is destroyed (seen on an H200, 580.159), and
   no list of processes counts it. So such a pool is charged with the most that it ever held. cuMemAllocAsync never
   draws from it, but from its device's own pool.

   Freed memory can be allocated again without a new charge, but two allocations side by side must not both count on it.
   So each adds the most that it may take to `asked`, then asks the driver what is reserved, and has the charge raised
   to the sum of both before it goes on. When it is done it asks the driver for the most that was ever reserved, and
   takes itself from `asked`; the charge goes back to that most only when no other is under way. Suppose that the pool
   holds more than is charged. Of the allocations that were under way together take the one that was added last: the
   others were in the sum that it read, or done and in what was reserved, for which it asked after that; so what was
   charged for it holds them all, and was not lowered since. */
#include "account.h"
#include "device.h"
#include "real.h"

/* Changes the charge for a pool of managed memory, which the driver's list of processes never counts. */
static void managed_charge(struct device *device, uint64_t before, uint64_t now) {
    if (before == now)
        return;
    account_release_begin(device); /* so that no measurement sees one without the other */
    if (now > before)
        account_add(device, now - before);
    atomic_fetch_add(&device->unlisted, now - before);
    account_release_end(device, before > now ? before - now : 0);
}

/* The most that an allocation may take of the GPU; capped, so that sums do not overflow. */
static uint64_t managed_most(uint64_t size) {
    return round_up(size < (uint64_t)1 << 48 ? size : (uint64_t)1 << 48, POOL_CHUNK_MAX);
}

/* Ends an allocation, or a reset, which has size 0. */
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

/* The program resets the driver's high-water mark. That can hide what allocations under way took: then everything that
   was charged for them stays. */
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

/* Once nothing is left of a destroyed pool, its charge is released and its place is free. */
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
