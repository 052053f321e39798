/* SPDX-License-Identifier: Apache-2.0 */
/* Device pointers as hook_memory.c and hook_pool.c share them: each free call accepts the other's pointers. */
#ifndef RUNAI_LINEAR_H
#define RUNAI_LINEAR_H

#include "process.h"

/* Takes the entry of a pointer out, before the driver frees it. False if the shim does not know the pointer. */
bool linear_take(uint64_t pointer, struct entry *entry);
/* The driver has freed it, at once or in stream order: what leaves the account (nothing for pool memory). */
uint64_t linear_freed(const struct entry *entry, bool ordered);
/* The driver did not free it after all. */
void linear_put_back(const struct entry *entry);
/* A pool's memory is about to be freed. */
void pool_frees(const struct entry *entry);
/* The driver freed a pool's memory, in order of that stream: the pool keeps holding it. */
void pool_freed(const struct entry *entry, CUstream stream);
#define NO_STREAM ((CUstream) ~(uintptr_t)0)

#endif
