/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that the shim refuses, counted by GPU where the plugin reads them. See docs/shim.md, "Refused
   allocations". */
#ifndef RUNAI_REFUSALS_H
#define RUNAI_REFUSALS_H

#include "process.h"

/* Counts a call that does not fit, which requested so many bytes (0: not known). Called once for each call of the
   program, whatever was tried before. Returns CUDA_ERROR_OUT_OF_MEMORY, the answer to that call. */
CUresult refused(struct device *device, uint64_t bytes) __attribute__((cold));

#endif
