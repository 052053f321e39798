/* SPDX-License-Identifier: Apache-2.0 */
/* CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER: which devices there are, and in which order. */
#include "driver.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The fastest first, unless the order of the bus is asked for; stable. */
static void sort(const struct sim_gpu *all, unsigned count, unsigned order[SIM_GPUS]) {
    for (unsigned i = 0; i < count; i++)
        order[i] = i;
    const char *wanted = getenv("CUDA_DEVICE_ORDER");
    if (wanted && strcmp(wanted, "PCI_BUS_ID") == 0)
        return;
    for (unsigned i = 1; i < count; i++)
        for (unsigned j = i; j > 0; j--) {
            unsigned a = order[j - 1], b = order[j];
            if (all[a].state->config.multiprocessors >= all[b].state->config.multiprocessors)
                break;
            order[j - 1] = b;
            order[j] = a;
        }
}

/* A UUID or its beginning, if it names just one device. */
static int by_uuid(const struct sim_gpu *all, unsigned count, const char *text, size_t length) {
    int found = -1;
    for (unsigned i = 0; i < count; i++) {
        char uuid[SIM_UUID_TEXT];
        sim_uuid_text(&all[i].state->config, uuid);
        if (length > 4 && length < sizeof uuid && strncasecmp(uuid, text, length) == 0) {
            if (found >= 0)
                return -1;
            found = (int)i;
        }
    }
    return found;
}

/* MIG-GPU-<UUID of the GPU>/<instance>/0, as before instances had UUIDs. */
static int by_place(const struct sim_gpu *all, unsigned count, const char *text, size_t length) {
    for (unsigned i = 0; i < count; i++) {
        struct sim_config gpu = {0};
        const struct sim_config *config = &all[i].state->config;
        char uuid[SIM_UUID_TEXT], name[SIM_UUID_TEXT + 16];
        memcpy(gpu.uuid, config->gpu_uuid, sizeof gpu.uuid);
        sim_uuid_text(&gpu, uuid);
        snprintf(name, sizeof name, "MIG-%s/%u/0", uuid, config->instance);
        if (config->instance && strlen(name) == length && strncasecmp(name, text, length) == 0)
            return (int)i;
    }
    return -1;
}

static int by_name(const struct sim_gpu *all, unsigned count, const char *text, size_t length) {
    bool place = strncasecmp(text, "MIG-GPU-", 8) == 0;
    return place ? by_place(all, count, text, length) : by_uuid(all, count, text, length);
}

static int by_index(unsigned count, const unsigned order[SIM_GPUS], const char *text, size_t length) {
    unsigned long value = 0;
    if (length == 0)
        return -1;
    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)text[i]) || value > SIM_GPUS)
            return -1;
        value = value * 10 + (unsigned long)(text[i] - '0');
    }
    return value < count ? (int)order[value] : -1;
}

/* As documented for the real driver: a process that sees an instance sees nothing else. */
static unsigned only_instance(const struct sim_gpu *all, unsigned visible, unsigned order[SIM_GPUS]) {
    for (unsigned i = 0; i < visible; i++)
        if (all[order[i]].state->config.instance) {
            order[0] = order[i];
            return 1;
        }
    return visible;
}

/* As documented for the real driver: names after the first that is not a device do not count; if a device is named
   twice, there is none. */
unsigned visible_devices(const struct sim_gpu *all, unsigned count, unsigned order[SIM_GPUS]) {
    unsigned sorted[SIM_GPUS];
    sort(all, count, sorted);
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    if (!list) {
        memcpy(order, sorted, sizeof sorted);
        return only_instance(all, count, order);
    }
    unsigned visible = 0;
    while (visible < SIM_GPUS) {
        while (isspace((unsigned char)*list))
            list++;
        size_t length = strcspn(list, ", \t\n");
        bool named = strncasecmp(list, "GPU-", 4) == 0 || strncasecmp(list, "MIG-", 4) == 0;
        int device = named ? by_name(all, count, list, length) : by_index(count, sorted, list, length);
        if (device < 0)
            break;
        for (unsigned i = 0; i < visible; i++)
            if (order[i] == (unsigned)device)
                return 0;
        order[visible++] = (unsigned)device;
        list += length;
        while (isspace((unsigned char)*list))
            list++;
        if (*list++ != ',')
            break;
    }
    return only_instance(all, visible, order);
}
