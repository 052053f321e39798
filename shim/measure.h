/* What the driver itself counts, by NVML. Some 20 us: never on the hot path. */
#ifndef RUNAI_MEASURE_H
#define RUNAI_MEASURE_H

#include "process.h"

/* Sets our own overhead and the use of processes without a row. Under process->slow. */
void measure(struct device *device);
/* The same for callers without the lock, after dead rows are gone: before figures are shown, and after what only
 * measuring can see. */
void measure_now(struct device *device);
/* Now if that was not just done; else before the next allocation or figure. For calls that come in bursts. */
void measure_soon(struct device *device);
/* Starts NVML beside a call that takes long, and waits for it after that call: it takes some 20 ms, the driver's own
 * start five times as long. */
void measure_prepare_begin(void);
void measure_prepare_end(void);
/* Bytes that the driver counts for this process; false when NVML cannot say. */
bool measure_own_now(struct device *device, uint64_t *bytes);

#endif
