/* SPDX-License-Identifier: Apache-2.0 */
/* nvidia-smi as far as it is used for memory: the table, -L, and the two queries in CSV. All figures come from NVML,
   reached as the real one does: dlopen("libnvidia-ml.so.1"), dlsym, nvmlDeviceGetMemoryInfo_v2. */
#include "../nvml/nvml.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "old-glibc.h"

typedef struct device *device;

/* FUNCTION(name, parameters); all return nvmlReturn_t. */
#define FUNCTIONS                                                                                                      \
    FUNCTION(nvmlInit_v2, (void))                                                                                      \
    FUNCTION(nvmlShutdown, (void))                                                                                     \
    FUNCTION(nvmlSystemGetDriverVersion, (char *, unsigned))                                                           \
    FUNCTION(nvmlSystemGetCudaDriverVersion_v2, (int *))                                                               \
    FUNCTION(nvmlSystemGetProcessName, (unsigned, char *, unsigned))                                                   \
    FUNCTION(nvmlDeviceGetCount_v2, (unsigned *))                                                                      \
    FUNCTION(nvmlDeviceGetHandleByIndex_v2, (unsigned, device *))                                                      \
    FUNCTION(nvmlDeviceGetHandleByUUID, (const char *, device *))                                                      \
    FUNCTION(nvmlDeviceGetIndex, (device, unsigned *))                                                                 \
    FUNCTION(nvmlDeviceGetUUID, (device, char *, unsigned))                                                            \
    FUNCTION(nvmlDeviceGetName, (device, char *, unsigned))                                                            \
    FUNCTION(nvmlDeviceGetPciInfo_v3, (device, struct pci_info *))                                                     \
    FUNCTION(nvmlDeviceGetMemoryInfo_v2, (device, struct memory_info_v2 *))                                            \
    FUNCTION(nvmlDeviceGetComputeRunningProcesses_v3, (device, unsigned *, struct process_info *))                     \
    FUNCTION(nvmlDeviceGetTemperature, (device, unsigned, unsigned *))                                                 \
    FUNCTION(nvmlDeviceGetFanSpeed, (device, unsigned *))                                                              \
    FUNCTION(nvmlDeviceGetPerformanceState, (device, unsigned *))                                                      \
    FUNCTION(nvmlDeviceGetPowerUsage, (device, unsigned *))                                                            \
    FUNCTION(nvmlDeviceGetEnforcedPowerLimit, (device, unsigned *))                                                    \
    FUNCTION(nvmlDeviceGetPersistenceMode, (device, unsigned *))                                                       \
    FUNCTION(nvmlDeviceGetDisplayActive, (device, unsigned *))                                                         \
    FUNCTION(nvmlDeviceGetUtilizationRates, (device, unsigned *))                                                      \
    FUNCTION(nvmlDeviceGetCudaComputeCapability, (device, int *, int *))

static struct {
#define FUNCTION(name, parameters) int(*name) parameters;
    FUNCTIONS
#undef FUNCTION
    const char *(*nvmlErrorString)(int);
} nvml;

#define LISTED 2048

static bool load(void) {
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
    if (!library)
        return false;
    bool all = true;
#define FUNCTION(name, parameters)                                                                                     \
    *(void **)&nvml.name = dlsym(library, #name);                                                                      \
    all = all && nvml.name;
    FUNCTIONS
#undef FUNCTION
    *(void **)&nvml.nvmlErrorString = dlsym(library, "nvmlErrorString");
    return all && nvml.nvmlErrorString;
}

static unsigned mib(uint64_t bytes) {
    return (unsigned)((bytes + (1u << 20) - 1) >> 20);
}

/* Left, right or not at all cut to its column. */
static void cut(char *out, const char *text, size_t width) {
    size_t length = strlen(text);
    if (length <= width)
        strcpy(out, text);
    else
        snprintf(out, width + 1, "%.*s...", (int)width - 3, text);
}

/* Version 0: the device does not report it (memory shared with the host). */
static struct memory_info_v2 memory_of(device d) {
    struct memory_info_v2 m = {.version = sizeof m | 2u << 24};
    int rc = nvml.nvmlDeviceGetMemoryInfo_v2(d, &m);
    if (rc == NVML_ERROR_NOT_SUPPORTED)
        m.version = 0;
    else if (rc) {
        fprintf(stderr, "nvmlDeviceGetMemoryInfo_v2: %s\n", nvml.nvmlErrorString(rc));
        exit(1);
    }
    return m;
}

static unsigned processes_of(device d, struct process_info *out) {
    unsigned n = LISTED;
    return nvml.nvmlDeviceGetComputeRunningProcesses_v3(d, &n, out) ? 0 : n;
}

static void process_name(unsigned pid, char out[256]) {
    if (nvml.nvmlSystemGetProcessName(pid, out, 256) || !*out)
        strcpy(out, "[Not Found]");
}

static void print_device(unsigned index, device d) {
    char name[96] = "", shown[28], fan[8], usage[32], bytes[32];
    unsigned temperature = 0, speed = 0, state = 0, power = 0, limit = 0, persistence = 0, display = 0;
    unsigned rates[2] = {0};
    struct pci_info pci = {0};
    struct memory_info_v2 m = memory_of(d);
    nvml.nvmlDeviceGetName(d, name, sizeof name);
    nvml.nvmlDeviceGetTemperature(d, 0, &temperature);
    nvml.nvmlDeviceGetPerformanceState(d, &state);
    nvml.nvmlDeviceGetPowerUsage(d, &power);
    nvml.nvmlDeviceGetEnforcedPowerLimit(d, &limit);
    nvml.nvmlDeviceGetPersistenceMode(d, &persistence);
    nvml.nvmlDeviceGetDisplayActive(d, &display);
    nvml.nvmlDeviceGetUtilizationRates(d, rates);
    nvml.nvmlDeviceGetPciInfo_v3(d, &pci);
    if (nvml.nvmlDeviceGetFanSpeed(d, &speed))
        strcpy(fan, "N/A");
    else
        snprintf(fan, sizeof fan, "%u%%", speed);
    cut(shown, name, 26);
    snprintf(usage, sizeof usage, "%4uW / %4uW", power / 1000, limit / 1000);
    if (m.version)
        snprintf(bytes, sizeof bytes, "%uMiB / %uMiB", mib(m.used), mib(m.total));
    else
        strcpy(bytes, "Not Supported");
    printf("| %3u  %-26s %6s  | %18s %3s | %20s |\n", index, shown, persistence ? "On" : "Off", pci.bus_id,
           display ? "On" : "Off", "N/A");
    printf("| %3s  %3uC    P%-2u %22s | %22s | %6u%% %12s |\n", fan, temperature, state, usage, bytes, rates[0],
           "Default");
    printf("|                                         |                        |                  N/A |\n"
           "+-----------------------------------------+------------------------+----------------------+\n");
}

static int table(device *devices, unsigned count) {
    static struct process_info list[LISTED];
    char now[64], driver[80] = "", version[32];
    int cuda = 0;
    time_t seconds = time(NULL);
    strftime(now, sizeof now, "%a %b %e %H:%M:%S %Y", localtime(&seconds));
    nvml.nvmlSystemGetDriverVersion(driver, sizeof driver);
    nvml.nvmlSystemGetCudaDriverVersion_v2(&cuda);
    snprintf(version, sizeof version, "%d.%d", cuda / 1000, cuda % 1000 / 10);
    printf("%s\n"
           "+-----------------------------------------------------------------------------------------+\n"
           "| NVIDIA-SMI %-22s Driver Version: %-14s CUDA Version: %-8s |\n"
           "+-----------------------------------------+------------------------+----------------------+\n"
           "| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |\n"
           "| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |\n"
           "|                                         |                        |               MIG M. |\n"
           "|=========================================+========================+======================|\n",
           now, driver, driver, version);
    for (unsigned i = 0; i < count; i++) {
        unsigned index = i;
        nvml.nvmlDeviceGetIndex(devices[i], &index);
        print_device(index, devices[i]);
    }
    printf("\n"
           "+-----------------------------------------------------------------------------------------+\n"
           "| Processes:                                                                              |\n"
           "|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |\n"
           "|        ID   ID                                                               Usage      |\n"
           "|=========================================================================================|\n");
    bool any = false;
    for (unsigned i = 0; i < count; i++) {
        unsigned n = processes_of(devices[i], list), index = i;
        nvml.nvmlDeviceGetIndex(devices[i], &index);
        for (unsigned p = 0; p < n; p++) {
            char name[256], shown[40], used[32];
            process_name(list[p].pid, name);
            cut(shown, name, 32);
            snprintf(used, sizeof used, "%uMiB", mib(list[p].used));
            printf("| %4u   N/A  N/A %16u      C   %-32s %13s |\n", index, list[p].pid, shown, used);
            any = true;
        }
    }
    if (!any)
        printf("|  No running processes found                                                             |\n");
    printf("+-----------------------------------------------------------------------------------------+\n");
    return 0;
}

static int list_devices(device *devices, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        char name[96] = "", uuid[96] = "";
        unsigned index = i;
        nvml.nvmlDeviceGetIndex(devices[i], &index);
        nvml.nvmlDeviceGetName(devices[i], name, sizeof name);
        nvml.nvmlDeviceGetUUID(devices[i], uuid, sizeof uuid);
        printf("GPU %u: %s (UUID: %s)\n", index, name, uuid);
    }
    return 0;
}

struct format {
    bool header, units;
};

static bool parse_format(const char *text, struct format *f) {
    *f = (struct format){true, true};
    bool csv = false;
    char copy[128];
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok(copy, ","); word; word = strtok(NULL, ",")) {
        if (strcmp(word, "csv") == 0)
            csv = true;
        else if (strcmp(word, "noheader") == 0)
            f->header = false;
        else if (strcmp(word, "nounits") == 0)
            f->units = false;
        else
            return false;
    }
    return csv;
}

static void megabytes(char *out, size_t size, uint64_t bytes, const struct format *f) {
    snprintf(out, size, "%u%s", mib(bytes), f->units ? " MiB" : "");
}

/* One field of a device; false when it has no such field. */
static bool gpu_field(const char *field, device d, unsigned count, const struct format *f, char *out, size_t size) {
    struct memory_info_v2 m = memory_of(d);
    struct pci_info pci;
    unsigned number = 0, rates[2] = {0};
    int major = 0, minor = 0;
    *out = 0;
    if (strcmp(field, "index") == 0)
        nvml.nvmlDeviceGetIndex(d, &number), snprintf(out, size, "%u", number);
    else if (strcmp(field, "uuid") == 0 || strcmp(field, "gpu_uuid") == 0)
        nvml.nvmlDeviceGetUUID(d, out, (unsigned)size);
    else if (strcmp(field, "name") == 0 || strcmp(field, "gpu_name") == 0)
        nvml.nvmlDeviceGetName(d, out, (unsigned)size);
    else if (strcmp(field, "count") == 0)
        snprintf(out, size, "%u", count);
    else if (strcmp(field, "driver_version") == 0)
        nvml.nvmlSystemGetDriverVersion(out, (unsigned)size);
    else if (strncmp(field, "memory.", 7) == 0 && !m.version)
        snprintf(out, size, "[N/A]");
    else if (strcmp(field, "memory.total") == 0)
        megabytes(out, size, m.total, f);
    else if (strcmp(field, "memory.used") == 0)
        megabytes(out, size, m.used, f);
    else if (strcmp(field, "memory.free") == 0)
        megabytes(out, size, m.free, f);
    else if (strcmp(field, "memory.reserved") == 0)
        megabytes(out, size, m.reserved, f);
    else if (strcmp(field, "utilization.gpu") == 0)
        nvml.nvmlDeviceGetUtilizationRates(d, rates), snprintf(out, size, "%u%s", rates[0], f->units ? " %" : "");
    else if (strcmp(field, "compute_cap") == 0)
        nvml.nvmlDeviceGetCudaComputeCapability(d, &major, &minor), snprintf(out, size, "%d.%d", major, minor);
    else if (strcmp(field, "pci.bus_id") == 0 || strcmp(field, "gpu_bus_id") == 0)
        nvml.nvmlDeviceGetPciInfo_v3(d, &pci), snprintf(out, size, "%s", pci.bus_id);
    else
        return false;
    return true;
}

static bool process_field(const char *field, device d, const struct process_info *p, const struct format *f, char *out,
                          size_t size) {
    char name[256];
    *out = 0;
    if (strcmp(field, "pid") == 0)
        snprintf(out, size, "%u", p->pid);
    else if (strcmp(field, "process_name") == 0 || strcmp(field, "name") == 0)
        process_name(p->pid, name), snprintf(out, size, "%s", name);
    else if (strcmp(field, "used_memory") == 0 || strcmp(field, "used_gpu_memory") == 0)
        megabytes(out, size, p->used, f);
    else if (strcmp(field, "gpu_uuid") == 0)
        nvml.nvmlDeviceGetUUID(d, out, (unsigned)size);
    else if (strcmp(field, "gpu_name") == 0)
        nvml.nvmlDeviceGetName(d, out, (unsigned)size);
    else
        return false;
    return true;
}

static unsigned split(char *text, char *fields[32]) {
    unsigned n = 0;
    for (char *word = strtok(text, ", "); word && n < 32; word = strtok(NULL, ", "))
        fields[n++] = word;
    return n;
}

static int header(char *fields[32], unsigned n, const struct format *f) {
    for (unsigned i = 0; i < n; i++) {
        bool bytes = strncmp(fields[i], "memory.", 7) == 0 || strncmp(fields[i], "used_", 5) == 0;
        bool percent = strncmp(fields[i], "utilization.", 12) == 0;
        printf("%s%s%s", i ? ", " : "", fields[i], bytes && f->units ? " [MiB]" : percent && f->units ? " [%]" : "");
    }
    putchar('\n');
    return 0;
}

static int query(device *devices, unsigned count, char *text, bool processes, const struct format *f) {
    static struct process_info list[LISTED];
    char *fields[32], value[256];
    unsigned n = split(text, fields);
    for (unsigned i = 0; i < n; i++)
        if (processes ? !process_field(fields[i], devices[0], &(struct process_info){0}, f, value, sizeof value)
                      : !gpu_field(fields[i], devices[0], count, f, value, sizeof value)) {
            printf("Field \"%s\" is not a valid field to query.\n\n", fields[i]);
            return 2;
        }
    if (f->header)
        header(fields, n, f);
    for (unsigned d = 0; d < count; d++) {
        unsigned rows = processes ? processes_of(devices[d], list) : 1;
        for (unsigned row = 0; row < rows; row++)
            for (unsigned i = 0; i < n; i++) {
                if (processes)
                    process_field(fields[i], devices[d], &list[row], f, value, sizeof value);
                else
                    gpu_field(fields[i], devices[d], count, f, value, sizeof value);
                printf("%s%s%s", i ? ", " : "", value, i + 1 == n ? "\n" : "");
            }
    }
    return 0;
}

static bool pick(const char *id, device *devices, unsigned *count) {
    char *end;
    unsigned long index = strtoul(id, &end, 10);
    device one;
    if (*id && !*end) {
        if (index >= *count)
            return false;
        one = devices[index];
    } else if (nvml.nvmlDeviceGetHandleByUUID(id, &one))
        return false;
    devices[0] = one;
    *count = 1;
    return true;
}

int main(int argc, char **argv) {
    static device devices[256];
    char *gpu = NULL, *apps = NULL;
    const char *id = NULL;
    bool list_only = false;
    struct format format = {true, true};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-L") == 0 || strcmp(argv[i], "--list-gpus") == 0)
            list_only = true;
        else if (strncmp(argv[i], "--query-gpu=", 12) == 0)
            gpu = argv[i] + 12;
        else if (strncmp(argv[i], "--query-compute-apps=", 21) == 0)
            apps = argv[i] + 21;
        else if (strncmp(argv[i], "--id=", 5) == 0)
            id = argv[i] + 5;
        else if (strcmp(argv[i], "-i") == 0 && i + 1 < argc)
            id = argv[++i];
        else if (strncmp(argv[i], "--format=", 9) != 0 || !parse_format(argv[i] + 9, &format)) {
            printf("Invalid combination of input arguments: %s\n", argv[i]);
            return 1;
        }
    }
    if (!load()) {
        printf("NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure that the NVIDIA "
               "Display Driver is properly installed and present in your system.\n");
        return 12;
    }
    unsigned count = 0;
    int rc = nvml.nvmlInit_v2();
    if (rc) {
        printf("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver: %s\n",
               nvml.nvmlErrorString(rc));
        return 9;
    }
    nvml.nvmlDeviceGetCount_v2(&count);
    if (count > 256)
        count = 256;
    for (unsigned i = 0; i < count; i++)
        nvml.nvmlDeviceGetHandleByIndex_v2(i, &devices[i]);
    if (count == 0 || (id && !pick(id, devices, &count))) {
        printf("No devices were found\n");
        return 6;
    }
    int code = list_only ? list_devices(devices, count)
               : gpu     ? query(devices, count, gpu, false, &format)
               : apps    ? query(devices, count, apps, true, &format)
                         : table(devices, count);
    nvml.nvmlShutdown();
    return code;
}
