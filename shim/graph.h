/* SPDX-License-Identifier: Apache-2.0 */
/* Graph memory, for callers outside hook_graph.c. */
#ifndef RUNAI_GRAPH_H
#define RUNAI_GRAPH_H

#include "account.h"

/* Charges what the device holds for graphs now, and ends a reservation made for it (or NULL). */
void graph_settle(struct device *device, struct reservation *reservation);

#endif
