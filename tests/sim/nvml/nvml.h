/* SPDX-License-Identifier: Apache-2.0 */
/* NVML's types as far as the simulation uses them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_UNINITIALIZED = 1,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_FUNCTION_NOT_FOUND = 13,
    NVML_ERROR_UNKNOWN = 999,
};

struct memory_info {
    uint64_t total, free, used;
};

struct memory_info_v2 {
    unsigned version;
    uint64_t total, reserved, free, used;
};
_Static_assert(sizeof(struct memory_info_v2) == 40, "nvmlMemory_v2_t");

/* nvmlDeviceAttributes_t */
struct instance_attributes {
    unsigned multiprocessors, copy_engines, decoders, encoders, jpegs, ofas, gpu_slices, compute_slices;
    uint64_t memory_mib;
};
_Static_assert(sizeof(struct instance_attributes) == 40, "nvmlDeviceAttributes_t");

struct bar1_info {
    uint64_t total, free, used;
};

/* Version 1 of the lists ends after the memory. */
struct process_info {
    unsigned pid;
    uint64_t used;
    unsigned gpu_instance, compute_instance;
};
_Static_assert(sizeof(struct process_info) == 24 && offsetof(struct process_info, gpu_instance) == 16,
               "nvmlProcessInfo_t");

/* nvmlProcessUtilizationSample_t */
struct utilization_sample {
    unsigned pid;
    uint64_t timestamp;
    unsigned sm, memory, encoder, decoder;
};
_Static_assert(sizeof(struct utilization_sample) == 32 && offsetof(struct utilization_sample, sm) == 16,
               "nvmlProcessUtilizationSample_t");

struct pci_info {
    char bus_id_legacy[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};
_Static_assert(sizeof(struct pci_info) == 68, "nvmlPciInfo_t");

/* Defines the function that a row of nvml.def names. */
#define NVML(name, ...)                                                                                                \
    int nvml_##name(__VA_ARGS__);                                                                                      \
    int nvml_##name(__VA_ARGS__)
