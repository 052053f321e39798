/* SPDX-License-Identifier: Apache-2.0 */
/* What the driver itself counts, by NVML. Some 20 us: never on the hot path. */
#ifndef RUNAI_MEASURE_H
#define RUNAI_MEASURE_H

#include "process.h"

/* Sets our own overhead and the use of processes without a row. Under process->slow. */
void measure(struct device *device);
/* The same for callers without the lock, after dead rows are reclaimed: before figures are shown, and after changes
   that only a measurement sees. */
void measure_now(struct device *device);
/* Requests a measurement before figures are shown, and before the next allocation if that is close to the limit. */
void measure_soon(struct device *device);
/* Launches load kernels and modules without the shim seeing it: with less room than this, a reservation needs a recent
   measurement, by any process of the container. */
#define MEASURE_CLOSE (1024 * MIB)
bool measure_is_due(struct device *device, uint64_t room);
void measure_if_due(struct device *device, uint64_t room);
/* NVML is started by the first measurement, some 10 ms that a program far from its limit does not pay at its start. */
bool measure_started(void);
/* The program has started NVML, which may not have been available before. */
void measure_again(void);
/* Starts it in a thread, once; and waits for that thread, a while. */
void measure_start_aside(void);
void measure_wait_aside(void);
/* Bytes that the driver counts for this process; false when NVML cannot say. */
bool measure_own_now(struct device *device, uint64_t *bytes);

#endif
