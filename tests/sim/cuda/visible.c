/* CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER: which devices there are, and in which order. */
#include "driver.h"

#include <ctype.h>
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
        sim_uuid_text(all[i].state->config.uuid, uuid);
        if (length > 4 && length < sizeof uuid && strncasecmp(uuid, text, length) == 0) {
            if (found >= 0)
                return -1;
            found = (int)i;
        }
    }
    return found;
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

/* As documented for the real driver: what stands behind the first name that is no device (MIG instances included, the
   simulation has none) does not count; a device named twice leaves none. */
unsigned visible_devices(const struct sim_gpu *all, unsigned count, unsigned order[SIM_GPUS]) {
    unsigned sorted[SIM_GPUS];
    sort(all, count, sorted);
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    if (!list) {
        memcpy(order, sorted, sizeof sorted);
        return count;
    }
    unsigned visible = 0;
    while (visible < SIM_GPUS) {
        while (isspace((unsigned char)*list))
            list++;
        size_t length = strcspn(list, ", \t\n");
        int device = strncasecmp(list, "GPU-", 4) == 0 ? by_uuid(all, count, list, length)
                                                       : by_index(count, sorted, list, length);
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
    return visible;
}
