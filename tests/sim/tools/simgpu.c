/* SPDX-License-Identifier: Apache-2.0 */
/* simgpu: creates simulated devices on the host and shows them. */
#include "../state/device.h"
#include "size.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "usage: simgpu create DIR [--gpus N] [--total SIZE] [--reserved SIZE] [--context SIZE] [--module SIZE]\n"
    "                         [--stream SIZE] [--node SIZE]    of each stream; of each node of an executable graph\n"
    "                         [--latency-ns N] [--name TEXT] [--cc MAJOR.MINOR] [--sms N] [--unified 1]\n"
    "                         [--mig N]    each GPU divided into N instances\n"
    "       simgpu show DIR     devices, and the processes that use them (PIDs as seen from here)\n"
    "       simgpu peak DIR     the highest use ever, in bytes, a device a line\n"
    "       simgpu set DIR [--latency-ns N] [--context SIZE] [--module SIZE] [--peak 0] [--sms N] [--busy PERCENT]\n"
    "                      [--gpu N]    changes living devices, all or one\n";

static int fail(const char *what, const char *about) {
    fprintf(stderr, "simgpu: %s%s%s\n", what, about ? ": " : "", about ? about : "");
    return 1;
}

struct options {
    unsigned gpus, instances;
    int gpu; /* just this one; -1: all */
    bool peak;
    struct sim_config config;
    bool context, module, latency, sms, busy; /* given */
};

static bool parse(int argc, char **argv, struct options *o) {
    for (int i = 0; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        uint64_t size = 0;
        bool sized = parse_size(value, &size);
        if (strcmp(name, "--name") == 0 && strlen(value) < sizeof o->config.name)
            strcpy(o->config.name, value);
        else if (strcmp(name, "--cc") == 0 && sscanf(value, "%u.%u", &o->config.cc_major, &o->config.cc_minor) == 2)
            continue;
        else if (!sized)
            return false;
        else if (strcmp(name, "--gpus") == 0 && size >= 1 && size <= SIM_GPUS)
            o->gpus = (unsigned)size;
        else if (strcmp(name, "--mig") == 0 && size >= 1 && size <= SIM_INSTANCES)
            o->instances = (unsigned)size;
        else if (strcmp(name, "--total") == 0)
            o->config.total = size;
        else if (strcmp(name, "--reserved") == 0)
            o->config.reserved = size;
        else if (strcmp(name, "--sms") == 0)
            o->config.multiprocessors = (unsigned)size, o->sms = true;
        else if (strcmp(name, "--busy") == 0 && size <= 100)
            o->config.busy = (unsigned)size, o->busy = true;
        else if (strcmp(name, "--gpu") == 0 && size < SIM_GPUS)
            o->gpu = (int)size;
        else if (strcmp(name, "--unified") == 0)
            o->config.unified = size != 0;
        else if (strcmp(name, "--context") == 0)
            o->config.context_bytes = size, o->context = true;
        else if (strcmp(name, "--module") == 0)
            o->config.module_bytes = size, o->module = true;
        else if (strcmp(name, "--stream") == 0)
            o->config.stream_bytes = size;
        else if (strcmp(name, "--node") == 0)
            o->config.node_bytes = size;
        else if (strcmp(name, "--latency-ns") == 0)
            o->config.latency_ns = size, o->latency = true;
        else if (strcmp(name, "--peak") == 0 && size == 0)
            o->peak = true;
        else
            return false;
    }
    return argc % 2 == 0;
}

/* The file of a device under a new UUID. */
static int make(const char *dir, struct sim_config *config) {
    if (getrandom(config->uuid, sizeof config->uuid, 0) != (ssize_t)sizeof config->uuid)
        return fail("getrandom", strerror(errno));
    if (!config->instance)
        memcpy(config->gpu_uuid, config->uuid, sizeof config->uuid);
    return sim_create(dir, config) ? 0 : fail(dir, strerror(errno));
}

/* Equal parts, in whole MiB. */
static int divide(const char *dir, const struct sim_config *gpu) {
    struct sim_config part = *gpu;
    uint64_t mib = (uint64_t)1 << 20;
    part.instances = 0;
    part.total = gpu->total / mib / gpu->instances * mib;
    part.reserved = gpu->reserved / mib / gpu->instances * mib;
    part.multiprocessors = gpu->multiprocessors / gpu->instances;
    snprintf(part.name, sizeof part.name, "%.60s MIG %ug.%llugb", gpu->name, 1, (unsigned long long)(part.total >> 30));
    for (part.instance = 1; part.instance <= gpu->instances; part.instance++)
        if (make(dir, &part) != 0)
            return 1;
    return 0;
}

static int create(const char *dir, struct options *o) {
    if (o->config.reserved > o->config.total)
        return fail("reserved is more than total", NULL);
    if (mkdir(dir, 0755) != 0 && errno != EEXIST)
        return fail(dir, strerror(errno));
    for (unsigned i = 0; i < o->gpus; i++) {
        o->config.index = i;
        o->config.instances = o->instances;
        if (make(dir, &o->config) != 0 || (o->instances && divide(dir, &o->config) != 0))
            return 1;
    }
    for (unsigned i = o->gpus; i < SIM_GPUS; i++) { /* of an earlier time */
        char path[4096];
        if (snprintf(path, sizeof path, "%s/gpu%u", dir, i) < (int)sizeof path)
            unlink(path);
    }
    return 0;
}

static void show_device(struct sim_gpu *gpu) {
    const struct sim_config *c = &gpu->state->config;
    char uuid[SIM_UUID_TEXT];
    sim_uuid_text(c, uuid);
    printf("gpu %u %s %s total %llu reserved %llu used %llu peak %llu\n", c->index, uuid, c->name,
           (unsigned long long)c->total, (unsigned long long)c->reserved, (unsigned long long)sim_used(gpu),
           (unsigned long long)gpu->state->peak);
    static struct sim_process all[SIM_SLOTS];
    unsigned n = sim_processes(gpu, all, SIM_SLOTS);
    for (unsigned i = 0; i < n; i++)
        printf("  process %d (%d in pid namespace %llu) %s contexts %u used %llu\n", all[i].pid, all[i].own_pid,
               (unsigned long long)all[i].pid_ns, all[i].command, all[i].contexts, (unsigned long long)all[i].bytes);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fputs(usage, stderr);
        return 1;
    }
    struct options o = {.gpus = 1,
                        .gpu = -1,
                        .config = {.cc_major = 7,
                                   .cc_minor = 5,
                                   .multiprocessors = 68,
                                   .total = 10989ull << 20,
                                   .context_bytes = 64ull << 20,
                                   .module_bytes = 2ull << 20,
                                   .granularity = 2ull << 20,
                                   .name = "NVIDIA GeForce RTX 2080 Ti (simulated)"}};
    if (!parse(argc - 3, argv + 3, &o)) {
        fputs(usage, stderr);
        return 1;
    }
    if (strcmp(argv[1], "create") == 0)
        return create(argv[2], &o);

    static struct sim_gpu whole[SIM_GPUS], gpus[SIM_GPUS * (1 + SIM_INSTANCES)];
    unsigned wholes = sim_open_all(argv[2], whole, SIM_GPUS), count = 0;
    if (wholes == 0)
        return fail("no devices", argv[2]);
    for (unsigned i = 0; i < wholes; i++) {
        gpus[count++] = whole[i];
        count += sim_open_instances(argv[2], &whole[i], &gpus[count], SIM_INSTANCES);
    }
    for (unsigned i = 0; i < count; i++) {
        struct sim_device *state = gpus[i].state;
        if (o.gpu >= 0 && state->config.index != (unsigned)o.gpu)
            continue;
        if (strcmp(argv[1], "show") == 0)
            show_device(&gpus[i]);
        else if (strcmp(argv[1], "peak") == 0)
            printf("%llu\n", (unsigned long long)state->peak);
        else if (strcmp(argv[1], "set") == 0) {
            if (o.latency)
                state->config.latency_ns = o.config.latency_ns;
            if (o.context)
                state->config.context_bytes = o.config.context_bytes;
            if (o.module)
                state->config.module_bytes = o.config.module_bytes;
            if (o.sms)
                state->config.multiprocessors = o.config.multiprocessors;
            if (o.busy)
                state->config.busy = o.config.busy;
            if (o.peak)
                state->peak = sim_used(&gpus[i]);
        } else {
            fputs(usage, stderr);
            return 1;
        }
    }
    return 0;
}
