/* SPDX-License-Identifier: Apache-2.0 */
/* Working memory of measure.c. It is too large for a thread's stack, so it lies in the process's page. */
#ifndef RUNAI_MEASURE_SCRATCH_H
#define RUNAI_MEASURE_SCRATCH_H

#include "ledger.h"
#include "nvml_api.h"

enum { MEASURE_ROWS = LEDGER_ROWS, MEASURE_PROCESSES = 1024, MEASURE_VERDICTS = 256 };

struct measured_row {
    uint32_t pid;
    uint64_t bytes;
};

struct measure_scratch {
    unsigned rows;
    bool partial; /* a row's owner has no PID in our namespace: the list may lack others of the container, too */
    struct {
        uint64_t owner;
        uint32_t pid;
    } translated[MEASURE_ROWS]; /* by place in the ledger: the PID here of the process that has the token */
    struct measured_row row[MEASURE_ROWS];
    nvmlProcessInfo_t list[MEASURE_PROCESSES];
    unsigned listed;
    struct {
        uint32_t pid; /* 0 empty */
        bool ours;
        uint64_t until;          /* coarse ms */
    } verdict[MEASURE_VERDICTS]; /* does a process without a row belong to this container? */
    char own_group[4096];
    bool own_group_known;
    int proc; /* is /proc of our PID namespace? 0 not looked yet, 1 yes, 2 no */
};

#endif
