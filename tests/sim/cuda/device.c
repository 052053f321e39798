/* SPDX-License-Identifier: Apache-2.0 */
/* What devices report about themselves. */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sim_config *config_of(CUdevice device) {
    return &sim.devices[device].gpu.state->config;
}

API(DeviceGetCount, int *count) {
    CUresult rc = sim_enter();
    if (!rc && !count)
        rc = CUDA_ERROR_INVALID_VALUE;
    if (!rc)
        *count = sim.count;
    return rc;
}

API(DeviceGet, CUdevice *device, int ordinal) {
    CUresult rc = sim_enter_device(ordinal);
    if (!rc && !device)
        rc = CUDA_ERROR_INVALID_VALUE;
    if (!rc)
        *device = ordinal;
    return rc;
}

API(DeviceGetName, char *name, int length, CUdevice device) {
    CUresult rc = sim_enter_device(device);
    if (rc || !name || length <= 0)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    snprintf(name, (size_t)length, "%s", config_of(device)->name);
    return CUDA_SUCCESS;
}

API(DeviceGetUuid, CUuuid *uuid, CUdevice device) {
    CUresult rc = sim_enter_device(device);
    if (rc || !uuid)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    memcpy(uuid->bytes, config_of(device)->uuid, sizeof uuid->bytes);
    return CUDA_SUCCESS;
}

/* As it was before there were instances: of the GPU. */
API(DeviceGetUuid_v1, CUuuid *uuid, CUdevice device) {
    CUresult rc = api_DeviceGetUuid(uuid, device);
    if (!rc)
        memcpy(uuid->bytes, config_of(device)->gpu_uuid, sizeof uuid->bytes);
    return rc;
}

API(DeviceGetLuid, char *luid, unsigned *mask, CUdevice device) {
    (void)luid, (void)mask;
    CUresult rc = sim_enter_device(device);
    return rc ? rc : CUDA_ERROR_NOT_SUPPORTED; /* a notion of Windows */
}

API(DeviceTotalMem, size_t *bytes, CUdevice device) {
    CUresult rc = sim_enter_device(device);
    if (rc || !bytes)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *bytes = sim_capacity(&sim.devices[device].gpu);
    return CUDA_SUCCESS;
}

API(DeviceTotalMem_v1, unsigned *bytes, CUdevice device) {
    size_t total;
    CUresult rc = api_DeviceTotalMem(&total, device);
    if (rc || !bytes)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *bytes = total > UINT32_MAX ? UINT32_MAX : (unsigned)total;
    return CUDA_SUCCESS;
}

API(DeviceComputeCapability, int *major, int *minor, CUdevice device) {
    CUresult rc = sim_enter_device(device);
    if (rc || !major || !minor)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *major = (int)config_of(device)->cc_major;
    *minor = (int)config_of(device)->cc_minor;
    return CUDA_SUCCESS;
}

API(DeviceGetPCIBusId, char *text, int length, CUdevice device) {
    CUresult rc = sim_enter_device(device);
    if (rc || !text || length < 13)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    snprintf(text, (size_t)length, "0000:%02X:00.0", config_of(device)->index + 1);
    return CUDA_SUCCESS;
}

API(DeviceGetByPCIBusId, CUdevice *device, const char *text) {
    CUresult rc = sim_enter();
    if (rc || !device || !text)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    unsigned domain = 0, bus = 0, slot = 0;
    if (sscanf(text, "%x:%x:%x", &domain, &bus, &slot) != 3 && sscanf(text, "%x:%x", &bus, &slot) != 2)
        return CUDA_ERROR_INVALID_VALUE;
    for (int i = 0; i < sim.count; i++)
        if (domain == 0 && slot == 0 && config_of(i)->index + 1 == bus) {
            *device = i;
            return CUDA_SUCCESS;
        }
    return CUDA_ERROR_INVALID_DEVICE;
}

/* The attributes that are not 0; those that depend on the device are answered below. */
static const struct {
    int attribute, value;
} attributes[] = {
    {1, 1024},   {2, 1024},     {3, 1024},    {4, 64},          {5, 2147483647}, {6, 65535},    {7, 65535},
    {8, 49152},  {9, 65536},    {10, 32},     {11, 2147483647}, {12, 65536},     {13, 1545000}, {14, 512},
    {15, 1},     {19, 1},       {21, 131072}, {22, 131072},     {23, 65536},     {24, 16384},   {25, 16384},
    {26, 16384}, {27, 32768},   {28, 32768},  {29, 2048},       {30, 512},       {31, 1},       {36, 7000000},
    {37, 352},   {38, 5767168}, {39, 1024},   {40, 3},          {41, 1},         {51, 32},      {78, 1},
    {79, 1},     {80, 1},       {81, 65536},  {82, 65536},      {83, 1},         {87, 32},      {89, 1},
    {90, 1},     {91, 1},       {92, 1},      {93, 1},          {94, 1},         {95, 1},       {96, 1},
    {97, 65536}, {99, 1},       {102, 1},     {103, 1},         {106, 16},       {112, 1},      {113, 1},
    {115, 1},    {116, 1},      {117, 1},     {118, 100},       {119, 1},        {121, 1},      {122, 1},
    {123, 1},    {125, 1},      {126, 1},     {129, 1},         {134, -1},       {131, -1},
};

API(DeviceGetAttribute, int *value, int attribute, CUdevice device) {
    CUresult rc = sim_enter_device(device);
    if (rc || !value || attribute < 1)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    const struct sim_config *config = config_of(device);
    *value = 0;
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (attributes[i].attribute == attribute)
            *value = attributes[i].value;
    if (attribute == 16)
        *value = (int)config->multiprocessors;
    if (attribute == 18)
        *value = (int)config->unified;
    if (attribute == 33)
        *value = (int)config->index + 1;
    if (attribute == 75)
        *value = (int)config->cc_major;
    if (attribute == 76)
        *value = (int)config->cc_minor;
    return CUDA_SUCCESS;
}

API(DeviceGetProperties, int *properties, CUdevice device) {
    CUresult rc = sim_enter_device(device);
    if (rc || !properties)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    static const int order[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        api_DeviceGetAttribute(&properties[i], order[i], device);
    return CUDA_SUCCESS;
}

static CUresult both(CUdevice device, CUdevice peer) {
    CUresult rc = sim_enter_device(device);
    return rc ? rc : sim_enter_device(peer);
}

API(DeviceCanAccessPeer, int *can, CUdevice device, CUdevice peer) {
    CUresult rc = both(device, peer);
    if (rc || !can)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    *can = device != peer;
    return CUDA_SUCCESS;
}

API(DeviceGetP2PAttribute, int *value, int attribute, CUdevice device, CUdevice peer) {
    CUresult rc = both(device, peer);
    if (rc || !value || device == peer || attribute < 1 || attribute > 4)
        return rc ? rc : device == peer ? CUDA_ERROR_INVALID_DEVICE : CUDA_ERROR_INVALID_VALUE;
    *value = attribute == 2 || attribute == 4;
    return CUDA_SUCCESS;
}

API(DeviceGetExecAffinitySupport, int *supported, int type, CUdevice device) {
    CUresult rc = sim_enter_device(device);
    if (!rc && supported)
        *supported = 0;
    (void)type;
    return rc;
}

API(DeviceGetTexture1DLinearMaxWidth, size_t *width, int format, unsigned channels, CUdevice device) {
    (void)format, (void)channels;
    CUresult rc = sim_enter_device(device);
    if (!rc && width)
        *width = 1 << 28;
    return rc;
}

/* An opaque description of the whole device: enough to make a green context of it. */
API(DeviceGetDevResource, CUdevice device, int *resource, int type) {
    CUresult rc = sim_enter_device(device);
    if (rc || !resource || type != 1)
        return rc ? rc : CUDA_ERROR_INVALID_VALUE;
    memset(resource, 0, 144);
    resource[0] = type;
    resource[24] = (int)config_of(device)->multiprocessors;
    return CUDA_SUCCESS;
}
