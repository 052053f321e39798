/* SPDX-License-Identifier: Apache-2.0 */
/* libnvidia-ml.so.1 of simulated devices (state/device.h): inventory, memory, processes, and the plain facts that
   monitors show. Memory and processes are read from the devices' files at each call; the rest are constants.

   A divided GPU (MIG) has its instances behind nvmlDeviceGetMigDeviceHandleByIndex, each with its own memory and
   processes; the GPU shows the sum of them.

   A process is listed when it holds a context and has a PID in the caller's PID namespace, with that PID: so a
   container sees its own processes, and the host sees all, as with the real driver.

   nvml.def lists the exported names that are modelled; those of nvml-unsupported.def answer NVML_ERROR_NOT_SUPPORTED.
   One lock story: the devices are opened once, by the first nvmlInit, under `lock`, and never closed
   (state/device.h). */
#include "nvml.h"
#include "../state/device.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct device {
    struct sim_gpu gpu;
    struct device *whole;                    /* of an instance: its GPU */
    struct device *instances[SIM_INSTANCES]; /* of a divided GPU */
    unsigned instance_count;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct device devices[SIM_GPUS * (1 + SIM_INSTANCES)]; /* whole ones first */
static unsigned count, all;                                   /* whole ones; with instances */
static unsigned users;                                        /* atomic */

static int enter(void) {
    return __atomic_load_n(&users, __ATOMIC_RELAXED) ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

static int check(const struct device *device) {
    int rc = enter();
    if (rc)
        return rc;
    return device >= devices && device < devices + all ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

static const struct sim_config *config_of(const struct device *device) {
    return &device->gpu.state->config;
}

static void open_instances(struct device *whole) {
    struct sim_gpu parts[SIM_INSTANCES];
    unsigned found = sim_open_instances(sim_dir(), &whole->gpu, parts, SIM_INSTANCES);
    for (unsigned i = 0; i < found; i++) {
        devices[all] = (struct device){.gpu = parts[i], .whole = whole};
        whole->instances[whole->instance_count++] = &devices[all++];
    }
}

NVML(InitWithFlags, unsigned flags) {
    (void)flags;
    pthread_mutex_lock(&lock);
    if (count == 0) {
        static struct sim_gpu gpus[SIM_GPUS];
        unsigned found = sim_open_all(sim_dir(), gpus, SIM_GPUS);
        for (unsigned i = 0; i < found; i++)
            devices[i].gpu = gpus[i];
        all = found;
        for (unsigned i = 0; i < found; i++)
            open_instances(&devices[i]);
        count = found;
    }
    int rc = count ? NVML_SUCCESS : NVML_ERROR_DRIVER_NOT_LOADED;
    if (!rc)
        __atomic_fetch_add(&users, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
    return rc;
}

NVML(Init, void) {
    return nvml_InitWithFlags(0);
}

NVML(Shutdown, void) {
    pthread_mutex_lock(&lock);
    int rc = enter();
    if (!rc)
        __atomic_fetch_sub(&users, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
    return rc;
}

/* Inventory. */

NVML(DeviceGetCount, unsigned *out) {
    int rc = enter();
    if (rc || !out)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    *out = count;
    return NVML_SUCCESS;
}

NVML(DeviceGetHandleByIndex, unsigned index, struct device **out) {
    int rc = enter();
    if (rc || !out || index >= count)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    *out = &devices[index];
    return NVML_SUCCESS;
}

NVML(DeviceGetHandleByUUID, const char *uuid, struct device **out) {
    int rc = enter();
    if (rc || !uuid || !out)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < all; i++) {
        char text[SIM_UUID_TEXT];
        sim_uuid_text(config_of(&devices[i]), text);
        if (strcasecmp(text, uuid) == 0) {
            *out = &devices[i];
            return NVML_SUCCESS;
        }
    }
    return NVML_ERROR_NOT_FOUND;
}

NVML(DeviceGetHandleByPciBusId, const char *text, struct device **out) {
    int rc = enter();
    unsigned domain, bus, slot;
    if (rc || !text || !out || sscanf(text, "%x:%x:%x", &domain, &bus, &slot) != 3)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < count; i++)
        if (domain == 0 && slot == 0 && config_of(&devices[i])->index + 1 == bus) {
            *out = &devices[i];
            return NVML_SUCCESS;
        }
    return NVML_ERROR_NOT_FOUND;
}

NVML(DeviceGetIndex, struct device *device, unsigned *out) {
    int rc = check(device);
    if (rc || !out)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    *out = config_of(device)->instance ? config_of(device)->instance - 1 : (unsigned)(device - devices);
    return NVML_SUCCESS;
}

NVML(DeviceGetMinorNumber, struct device *device, unsigned *out) {
    int rc = check(device);
    if (rc || !out)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    *out = config_of(device)->index;
    return NVML_SUCCESS;
}

static int text(char *out, unsigned length, const char *value) {
    if (!out)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (strlen(value) >= length)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(out, value);
    return NVML_SUCCESS;
}

NVML(DeviceGetName, struct device *device, char *out, unsigned length) {
    int rc = check(device);
    return rc ? rc : text(out, length, config_of(device)->name);
}

NVML(DeviceGetUUID, struct device *device, char *out, unsigned length) {
    char uuid[SIM_UUID_TEXT];
    int rc = check(device);
    if (rc)
        return rc;
    sim_uuid_text(config_of(device), uuid);
    return text(out, length, uuid);
}

NVML(DeviceGetPciInfo_v3, struct device *device, struct pci_info *out) {
    int rc = check(device);
    if (rc || !out)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    memset(out, 0, sizeof *out);
    out->bus = config_of(device)->index + 1;
    out->device_id = 0x1e0710de;
    snprintf(out->bus_id_legacy, sizeof out->bus_id_legacy, "0000:%02X:00.0", out->bus & 0xff);
    snprintf(out->bus_id, sizeof out->bus_id, "00000000:%02X:00.0", out->bus);
    return NVML_SUCCESS;
}

/* The older structure ends before the long bus id. */
NVML(DeviceGetPciInfo_v2, struct device *device, struct pci_info *out) {
    struct pci_info full;
    int rc = nvml_DeviceGetPciInfo_v3(device, &full);
    if (!rc && out)
        memcpy(out, &full, offsetof(struct pci_info, subsystem_id));
    return rc;
}

NVML(DeviceGetCudaComputeCapability, struct device *device, int *major, int *minor) {
    int rc = check(device);
    if (rc || !major || !minor)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    *major = (int)config_of(device)->cc_major;
    *minor = (int)config_of(device)->cc_minor;
    return NVML_SUCCESS;
}

/* Instances. */

NVML(DeviceGetMaxMigDeviceCount, struct device *device, unsigned *out) {
    int rc = check(device);
    if (rc || !out)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    *out = device->whole ? 0 : config_of(device)->instances;
    return NVML_SUCCESS;
}

NVML(DeviceGetMigMode, struct device *device, unsigned *current, unsigned *pending) {
    int rc = check(device);
    if (rc || !current || !pending || device->whole)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    *current = *pending = config_of(device)->instances > 0;
    return NVML_SUCCESS;
}

NVML(DeviceIsMigDeviceHandle, struct device *device, unsigned *out) {
    int rc = check(device);
    if (rc || !out)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    *out = device->whole != NULL;
    return NVML_SUCCESS;
}

NVML(DeviceGetMigDeviceHandleByIndex, struct device *device, unsigned index, struct device **out) {
    int rc = check(device);
    if (rc || !out || device->whole)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    if (index >= device->instance_count)
        return NVML_ERROR_NOT_FOUND;
    *out = device->instances[index];
    return NVML_SUCCESS;
}

NVML(DeviceGetDeviceHandleFromMigDeviceHandle, struct device *device, struct device **out) {
    int rc = check(device);
    if (rc || !out || !device->whole)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    *out = device->whole;
    return NVML_SUCCESS;
}

NVML(DeviceGetGpuInstanceId, struct device *device, unsigned *out) {
    int rc = check(device);
    if (rc || !out || !device->whole)
        return rc ? rc : NVML_ERROR_NOT_SUPPORTED;
    *out = config_of(device)->instance;
    return NVML_SUCCESS;
}

NVML(DeviceGetComputeInstanceId, struct device *device, unsigned *out) {
    int rc = nvml_DeviceGetGpuInstanceId(device, out);
    if (!rc)
        *out = 0;
    return rc;
}

NVML(DeviceGetAttributes, struct device *device, struct instance_attributes *out) {
    int rc = check(device);
    if (rc || !out || !device->whole)
        return rc ? rc : NVML_ERROR_NOT_SUPPORTED;
    *out = (struct instance_attributes){.multiprocessors = config_of(device)->multiprocessors,
                                        .gpu_slices = 1,
                                        .compute_slices = 1,
                                        .memory_mib = config_of(device)->total >> 20};
    return NVML_SUCCESS;
}

/* Memory. */

static uint64_t used_on(struct device *device) {
    uint64_t used = sim_used(&device->gpu);
    for (unsigned i = 0; i < device->instance_count; i++)
        used += sim_used(&device->instances[i]->gpu);
    return used;
}

NVML(DeviceGetMemoryInfo, struct device *device, struct memory_info *out) {
    int rc = check(device);
    if (rc || !out)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    const struct sim_config *config = config_of(device);
    if (config->unified)
        return NVML_ERROR_NOT_SUPPORTED;
    uint64_t used = used_on(device) + config->reserved;
    out->total = config->total;
    out->used = used < out->total ? used : out->total;
    out->free = out->total - out->used;
    return NVML_SUCCESS;
}

NVML(DeviceGetMemoryInfo_v2, struct device *device, struct memory_info_v2 *out) {
    int rc = check(device);
    if (rc || !out)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    if (out->version != (sizeof *out | 2u << 24))
        return NVML_ERROR_FUNCTION_NOT_FOUND; /* what the real library answers */
    const struct sim_config *config = config_of(device);
    if (config->unified)
        return NVML_ERROR_NOT_SUPPORTED;
    uint64_t capacity = config->total - config->reserved, used = used_on(device);
    out->total = config->total;
    out->reserved = config->reserved;
    out->used = used < capacity ? used : capacity;
    out->free = capacity - out->used;
    return NVML_SUCCESS;
}

NVML(DeviceGetBAR1MemoryInfo, struct device *device, struct bar1_info *out) {
    int rc = check(device);
    if (rc || !out)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    *out = (struct bar1_info){.total = 256ull << 20, .free = 253ull << 20, .used = 3ull << 20};
    return NVML_SUCCESS;
}

/* Processes. */

struct listing {
    void *out;
    size_t size; /* of an entry */
    unsigned room, listed;
};

static bool list_on(struct device *device, struct listing *listing) {
    struct sim_process *found = calloc(SIM_SLOTS, sizeof *found);
    if (!found)
        return false;
    unsigned n = sim_processes(&device->gpu, found, SIM_SLOTS);
    for (unsigned i = 0; i < n; i++) {
        if (found[i].pid <= 0 || found[i].contexts == 0)
            continue;
        if (listing->listed < listing->room) {
            const unsigned instance = device->whole ? config_of(device)->instance : UINT32_MAX;
            const struct process_info entry = {(unsigned)found[i].pid, found[i].bytes, instance,
                                               device->whole ? 0 : UINT32_MAX};
            memcpy((char *)listing->out + listing->listed * listing->size, &entry, listing->size);
        }
        listing->listed++;
    }
    free(found);
    return true;
}

static int list(struct device *device, unsigned *n, void *out, size_t size) {
    int rc = check(device);
    if (rc || !n || (*n && !out))
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    struct listing listing = {.out = out, .size = size, .room = *n};
    bool good = list_on(device, &listing);
    for (unsigned i = 0; good && i < device->instance_count; i++)
        good = list_on(device->instances[i], &listing);
    if (!good)
        return NVML_ERROR_UNKNOWN;
    *n = listing.listed;
    return listing.listed > listing.room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

NVML(DeviceGetComputeRunningProcesses, struct device *device, unsigned *n, void *out) {
    return list(device, n, out, offsetof(struct process_info, gpu_instance));
}

NVML(DeviceGetComputeRunningProcesses_v3, struct device *device, unsigned *n, void *out) {
    return list(device, n, out, sizeof(struct process_info));
}

/* Graphics and MPS: there are none. */
NVML(NoProcesses, struct device *device, unsigned *n, void *out) {
    (void)out;
    int rc = check(device);
    if (rc || !n)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    *n = 0;
    return NVML_SUCCESS;
}

/* Of each process with a context what simgpu set --busy says; none of an idle GPU, as with the real driver. A divided
   GPU has no such figures. */
NVML(DeviceGetProcessUtilization, struct device *device, struct utilization_sample *out, unsigned *n, uint64_t since) {
    (void)since;
    int rc = check(device);
    if (rc || !n || (*n && !out))
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    const struct sim_config *config = config_of(device);
    if (device->whole || config->instances)
        return NVML_ERROR_NOT_SUPPORTED;
    struct sim_process *found = calloc(SIM_SLOTS, sizeof *found);
    if (!found)
        return NVML_ERROR_UNKNOWN;
    unsigned processes = sim_processes(&device->gpu, found, SIM_SLOTS), listed = 0;
    for (unsigned i = 0; config->busy && i < processes; i++) {
        if (found[i].pid <= 0 || found[i].contexts == 0)
            continue;
        if (listed < *n)
            out[listed] = (struct utilization_sample){.pid = (unsigned)found[i].pid, .sm = config->busy};
        listed++;
    }
    free(found);
    rc = listed == 0 ? NVML_ERROR_NOT_FOUND : listed > *n ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
    *n = listed;
    return rc;
}

NVML(SystemGetProcessName, unsigned pid, char *out, unsigned length) {
    int rc = enter();
    if (rc || !out || !length)
        return rc ? rc : NVML_ERROR_INVALID_ARGUMENT;
    char path[64];
    snprintf(path, sizeof path, "/proc/%u/cmdline", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return NVML_ERROR_NOT_FOUND;
    size_t n = fread(out, 1, length - 1, file);
    fclose(file);
    out[n] = 0;
    return NVML_SUCCESS;
}

/* The driver. */

NVML(SystemGetDriverVersion, char *out, unsigned length) {
    int rc = enter();
    return rc ? rc : text(out, length, "580.159.04");
}

NVML(SystemGetNVMLVersion, char *out, unsigned length) {
    int rc = enter();
    return rc ? rc : text(out, length, "13.580.159.04");
}

NVML(SystemGetCudaDriverVersion, int *out) {
    if (!out)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = 13000;
    return NVML_SUCCESS;
}

static const char *const errors[] = {
    "Success",
    "Uninitialized",
    "Invalid Argument",
    "Not Supported",
    "Insufficient Permissions",
    "Already Initialized",
    "Not Found",
    "Insufficient Size",
    "Insufficient External Power",
    "Driver Not Loaded",
    "Timeout",
    "Interrupt Request Issue",
    "NVML Shared Library Not Found",
    "Function Not Found",
    "Corrupted infoROM",
    "GPU is lost",
    "GPU requires reset",
    "GPU access blocked by the operating system",
    "Driver/library version mismatch",
    "In use",
    "Insufficient Memory",
    "No data",
    "The requested vgpu operation is not available on target device, becasue ECC is enabled",
    "Insufficient Resources",
    "Frequency not supported",
    "Argument version mismatch",
};

const char *nvml_ErrorString(int code);
const char *nvml_ErrorString(int code) {
    return code >= 0 && (size_t)code < sizeof errors / sizeof *errors ? errors[code] : "Unknown Error";
}
