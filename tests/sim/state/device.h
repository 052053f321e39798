/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated GPU is a file (gpu0, gpu1, ...) that every process with access to it maps: its configuration, and one
   slot for each process that uses it. A container that gets the file shares the device's memory, as with /dev/nvidia0.

   A process owns its slot through a POSIX lock on one byte of the file. The kernel drops that lock however the process
   ends, and translates the owner's PID into the caller's namespace. A slot without a lock is dead: it is collected when
   space is short, when the peak would rise, and when processes are listed.

   What is used is always the sum over the slots, and a charge is one store to one's own slot, made under the lock on
   the device's byte: a process killed at any moment leaves nothing inconsistent.

   A GPU can be divided into instances (MIG). Each is a file of its own beside its GPU's (gpu0.1, gpu0.2, ...), with
   memory of its own; the GPU's own file then says only how many there are.

   POSIX locks go when *any* descriptor of the file is closed in the process, so nothing here ever closes one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SIM_MAGIC 0x5550474du
#define SIM_VERSION 6u
#define SIM_SLOTS 2048
#define SIM_GPUS 64
#define SIM_INSTANCES 7
#define SIM_DEFAULT_DIR "/run/simgpu"
/* Where a managed plugin that mounts the host's /run sees it. */
#define SIM_HOST_DIR "/host/run/simgpu"

struct sim_slot {
    uint32_t pid;      /* as the process sees itself; 0 = free. Written under the device lock. */
    uint32_t contexts; /* live CUDA contexts; a process without one is not listed by NVML */
    uint64_t pid_ns;   /* inode of its PID namespace */
    uint64_t bytes;    /* device memory in use */
    uint64_t listed;   /* of it, what NVML's list of processes counts */
    char command[32];
};

struct sim_config {
    uint32_t index;
    uint32_t cc_major, cc_minor;
    uint32_t multiprocessors;
    uint32_t unified;       /* memory shared with the host: NVML does not report it */
    uint32_t instances;     /* of a divided GPU: how many; else 0 */
    uint32_t instance;      /* of an instance: its number, from 1 on; of a GPU 0 */
    uint32_t busy;          /* percent of its time that each process with a context keeps it busy, to NVML */
    uint64_t total;         /* NVML's total */
    uint64_t reserved;      /* NVML's reserved: CUDA's total is total - reserved */
    uint64_t context_bytes; /* held by each context */
    uint64_t module_bytes;  /* held by each loaded module, beside its globals */
    uint64_t stream_bytes;  /* held by each stream, and when it is gone for the next; in steps of the granularity */
    uint64_t node_bytes;    /* the same for each node of an executable graph */
    uint64_t granularity;
    uint64_t latency_ns; /* of each call that allocates or frees */
    uint8_t uuid[16];
    uint8_t gpu_uuid[16]; /* of the GPU that it is, or is a part of */
    char name[96];
};

struct sim_device {
    uint32_t magic, version;
    struct sim_config config;
    uint64_t peak;       /* highest use ever; under the device lock */
    uint32_t slots_used; /* no slot at or above was ever taken; under the device lock */
    struct sim_slot slots[SIM_SLOTS];
};

/* One opened device of this process. */
struct sim_gpu {
    int fd;
    int slot; /* -1 until this process owns one */
    struct sim_device *state;
};

struct sim_process {
    pid_t pid;     /* in the caller's PID namespace */
    pid_t own_pid; /* as the process sees itself */
    uint64_t pid_ns;
    uint64_t bytes; /* that NVML lists */
    uint32_t contexts;
    char command[32];
};

/* The folder of the devices: SIMGPU_DIR, else /run/simgpu, else the host's. */
const char *sim_dir(void);

/* Opens each gpuN of the folder, in order; answers how many. The descriptors stay open for good. */
unsigned sim_open_all(const char *dir, struct sim_gpu *gpus, unsigned max);
/* The instances of a divided GPU, as far as their files are there. */
unsigned sim_open_instances(const char *dir, const struct sim_gpu *gpu, struct sim_gpu *out, unsigned max);
bool sim_create(const char *dir, const struct sim_config *config);

/* Owns a slot for this process; false when all are taken by the living. */
bool sim_attach(struct sim_gpu *gpu);

/* Atomic over all processes: adds to this process's use unless the device would be exceeded. */
bool sim_charge(struct sim_gpu *gpu, uint64_t bytes);
void sim_refund(struct sim_gpu *gpu, uint64_t bytes);
/* The same for memory that counts as used, but not for any process in NVML's list. */
bool sim_charge_unlisted(struct sim_gpu *gpu, uint64_t bytes);
void sim_refund_unlisted(struct sim_gpu *gpu, uint64_t bytes);
void sim_count_context(struct sim_gpu *gpu, int change);

/* Use by the living, all processes and namespaces. */
uint64_t sim_used(struct sim_gpu *gpu);
uint64_t sim_capacity(const struct sim_gpu *gpu);

/* Lists the living processes; those that have no PID in the caller's namespace have pid 0. Answers how many. */
unsigned sim_processes(struct sim_gpu *gpu, struct sim_process *out, unsigned max);

/* "GPU-..." or "MIG-...". */
#define SIM_UUID_TEXT 41
void sim_uuid_text(const struct sim_config *config, char text[SIM_UUID_TEXT]);
