/* SPDX-License-Identifier: Apache-2.0 */
/* Devices as this process knows them, by UUID; their limits and views. */
#ifndef RUNAI_DEVICE_H
#define RUNAI_DEVICE_H

#include "process.h"

struct device *device_by_ordinal(CUdevice ordinal);
/* The device, where CUDA shows just one, as it does in most containers: then every context and stream is on it, and the
   driver need not be asked which one is current. Else NULL. */
struct device *device_only(void);
/* Of the current context; without one NULL or the only one (the driver will say so). */
struct device *device_current(void);
/* Whatever is current can only be the primary context of the only device. */
bool device_has_one_context(void);
/* The same and the context itself; NULL stands for the only device's primary context, where the process never had
   another one: the driver, which takes as long as all else here, is not asked then. */
struct device *device_current_in(CUcontext *context);
/* A context has ended: its handle may come back on another device. */
void device_forget_contexts(void);
struct device *device_by_nvml(nvmlDevice_t handle);

static inline struct device *device_at(unsigned position) {
    return &process()->devices[position];
}

static inline uint8_t device_position(const struct device *device) {
    return (uint8_t)(device - process()->devices);
}

/* Bytes that may be allocated on it: the share of CUDA's total, or the size, never above the total. UINT64_MAX while
   nothing is known. */
uint64_t device_limit(struct device *device);
/* The shares of NVML's total and reserved. */
void device_nvml_share(struct device *device, uint64_t total, uint64_t reserved, uint64_t *share,
                       uint64_t *reserved_share);

#endif
