/* SPDX-License-Identifier: Apache-2.0 */
/* What monitors show besides memory: constants of an idle GPU. Each row is a function that stores one number. */
#include "nvml.h"

#define NUMBER(name, value)                                                                                            \
    NVML(name, void *device, unsigned *out) {                                                                          \
        if (!device || !out)                                                                                           \
            return NVML_ERROR_INVALID_ARGUMENT;                                                                        \
        *out = (value);                                                                                                \
        return NVML_SUCCESS;                                                                                           \
    }

NUMBER(DeviceGetFanSpeed, 0)
NUMBER(DeviceGetNumFans, 1)
NUMBER(DeviceGetPowerUsage, 1000)
NUMBER(DeviceGetPowerManagementLimit, 250000)
NUMBER(DeviceGetPerformanceState, 8)
NUMBER(DeviceGetPersistenceMode, 1)
NUMBER(DeviceGetComputeMode, 0)
NUMBER(DeviceGetDisplayActive, 0)
NUMBER(DeviceGetDisplayMode, 0)
NUMBER(DeviceGetVirtualizationMode, 0)
NUMBER(DeviceGetArchitecture, 6)
NUMBER(DeviceGetBrand, 5)
NUMBER(DeviceGetNumGpuCores, 4352)
NUMBER(DeviceGetMemoryBusWidth, 352)
NUMBER(DeviceGetMultiGpuBoard, 0)
NUMBER(DeviceGetBoardId, 256)
NUMBER(DeviceGetMaxPcieLinkGeneration, 3)
NUMBER(DeviceGetMaxPcieLinkWidth, 16)

NVML(DeviceGetFanSpeed_v2, void *device, unsigned fan, unsigned *out) {
    return fan ? NVML_ERROR_INVALID_ARGUMENT : nvml_DeviceGetFanSpeed(device, out);
}

NVML(DeviceGetTemperature, void *device, unsigned sensor, unsigned *out) {
    if (!device || !out || sensor)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = 30;
    return NVML_SUCCESS;
}

struct temperature {
    unsigned version, sensor;
    int value;
};

NVML(DeviceGetTemperatureV, void *device, struct temperature *out) {
    if (!device || !out)
        return NVML_ERROR_INVALID_ARGUMENT;
    out->value = 30;
    return NVML_SUCCESS;
}

NVML(DeviceGetPowerManagementLimitConstraints, void *device, unsigned *least, unsigned *most) {
    if (!device || !least || !most)
        return NVML_ERROR_INVALID_ARGUMENT;
    *least = 100000;
    *most = 280000;
    return NVML_SUCCESS;
}

struct utilization {
    unsigned gpu, memory;
};

NVML(DeviceGetUtilizationRates, void *device, struct utilization *out) {
    if (!device || !out)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = (struct utilization){0, 0};
    return NVML_SUCCESS;
}

NVML(DeviceGetEngineUtilization, void *device, unsigned *out, unsigned *period) {
    if (!device || !out || !period)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = 0;
    *period = 167000;
    return NVML_SUCCESS;
}

NVML(DeviceGetClockInfo, void *device, unsigned type, unsigned *out) {
    if (!device || !out || type > 3)
        return NVML_ERROR_INVALID_ARGUMENT;
    static const unsigned mhz[] = {300, 300, 405, 540};
    *out = mhz[type];
    return NVML_SUCCESS;
}

NVML(DeviceGetMaxClockInfo, void *device, unsigned type, unsigned *out) {
    if (!device || !out || type > 3)
        return NVML_ERROR_INVALID_ARGUMENT;
    static const unsigned mhz[] = {2100, 2100, 7000, 1950};
    *out = mhz[type];
    return NVML_SUCCESS;
}

NVML(DeviceGetPcieThroughput, void *device, unsigned counter, unsigned *out) {
    if (!device || !out || counter > 1)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = 0;
    return NVML_SUCCESS;
}

NVML(DeviceValidateInforom, void *device) {
    return device ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

/* Unknown fields are answered one by one as not supported. */
struct field_value {
    unsigned field, scope;
    long long timestamp, latency;
    int type, result;
    unsigned long long value;
};

NVML(DeviceGetFieldValues, void *device, int count, struct field_value *values) {
    if (!device || count < 0 || (count && !values))
        return NVML_ERROR_INVALID_ARGUMENT;
    for (int i = 0; i < count; i++)
        values[i].result = NVML_ERROR_NOT_SUPPORTED;
    return NVML_SUCCESS;
}

NVML(EventSetCreate, void **out) {
    static char only;
    if (!out)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = &only;
    return NVML_SUCCESS;
}

NVML(EventSetFree, void *set) {
    return set ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}
