/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of this process, by UUID; their limits and views. */
#ifndef RUNAI_DEVICE_H
#define RUNAI_DEVICE_H

#include "process.h"

struct device *device_by_ordinal(CUdevice ordinal);
/* The only device, if CUDA shows just one, as in most containers; otherwise NULL. Every context and stream is then on
   it, and the driver need not be asked which device is current. */
struct device *device_only(void);
/* The device of the current context. Without a context NULL, or the only device (the driver will report the error). */
struct device *device_current(void);
/* True if the current context can only be the primary context of the only device. */
bool device_has_one_context(void);
/* The same, and the context. It is NULL for the only device's primary context if the process never had another one:
   then the driver is not asked, which would take as long as everything else here. */
struct device *device_current_in(CUcontext *context);
/* A context has ended: its handle may be reused on another device. */
void device_forget_contexts(void);
struct device *device_by_nvml(nvmlDevice_t handle);

static inline struct device *device_at(unsigned position) {
    return &process()->devices[position];
}

static inline uint8_t device_position(const struct device *device) {
    return (uint8_t)(device - process()->devices);
}

/* Bytes that may be allocated on the device: the share of CUDA's total, or the size, but never more than the total.
   UINT64_MAX while the total is unknown. */
uint64_t device_limit(struct device *device);
/* The shares of NVML's total and reserved. */
void device_nvml_share(struct device *device, uint64_t total, uint64_t reserved, uint64_t *share,
                       uint64_t *reserved_share);

#endif
