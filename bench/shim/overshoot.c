/* SPDX-License-Identifier: Apache-2.0 */
/* Processes racing at the limit, watched from a process that has no shim: the driver's count must never be above it. */
#define _GNU_SOURCE
#include "driver.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_CALLS = 20, HELD = 256 };

struct race {
    _Atomic unsigned ready, round, calls /* of each process in this round */, done, ending, had, refused;
};

static struct race *map(int fd) {
    struct race *race = mmap(NULL, sizeof *race, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (race == MAP_FAILED) {
        perror("shim-bench: mmap");
        exit(1);
    }
    return race;
}

static int allocate(pointer_t *p, size_t size, unsigned how) {
    return how % 4 ? cu.cuMemAlloc_v2(p, size) : cu.cuMemAllocAsync(p, size, NULL);
}

/* Takes more often than it gives back, so that all together are at the limit nearly always; begins and ends with
   nothing. */
static void race_once(struct race *race, unsigned *seed, unsigned largest) {
    static pointer_t held[HELD];
    static unsigned n;
    for (unsigned i = 0, calls = atomic_load(&race->calls); i < calls; i++) {
        size_t size = (size_t)(rand_r(seed) % (int)largest + 1) * MIB - (size_t)(rand_r(seed) % 4096);
        if (n < HELD && (i == 0 || rand_r(seed) % 8 < 5)) {
            int code = allocate(&held[n], size, (unsigned)rand_r(seed));
            if (code == OUT_OF_MEMORY)
                atomic_fetch_add(&race->refused, 1);
            else
                MUST(code);
            if (code == 0) {
                n++;
                atomic_fetch_add(&race->had, 1);
            }
        } else if (n > 0) {
            unsigned k = (unsigned)rand_r(seed) % n;
            MUST(rand_r(seed) % 4 ? cu.cuMemFree_v2(held[k]) : cu.cuMemFreeAsync(held[k], NULL));
            held[k] = held[--n];
        }
    }
    while (n > 0)
        MUST(cu.cuMemFree_v2(held[--n]));
    MUST(cu.cuStreamSynchronize(NULL)); /* now the pool gives back what it holds */
}

/* The child: FD of the race, largest allocation in MiB. */
int racer_command(int count, char **arguments) {
    (void)count;
    struct race *race = map(atoi(arguments[0]));
    unsigned seen = 0, seed = (unsigned)getpid();
    cuda_begin();
    atomic_fetch_add(&race->ready, 1);
    while (!atomic_load(&race->ending)) {
        if (atomic_load(&race->round) == seen) {
            usleep(50);
            continue;
        }
        seen++;
        race_once(race, &seed, (unsigned)atoi(arguments[1]));
        atomic_fetch_add(&race->done, 1);
    }
    return 0;
}

static int children_left(int *bad) {
    int status, pid = waitpid(-1, &status, WNOHANG);
    if (pid > 0)
        *bad = 1;
    return pid >= 0;
}

/* So many that the rounds that are left fit into the time that is left, as long as the last one took. */
static unsigned next_calls(unsigned last, double took, unsigned rounds_left, double time_left) {
    double calls = took > 0 ? last * (0.9 * time_left / rounds_left) / took : MOST_CALLS;
    return calls < 1 ? 1 : calls > MOST_CALLS ? MOST_CALLS : (unsigned)calls;
}

int overshoot_command(int count, char **arguments) {
    (void)count;
    uint64_t limit = strtoull(arguments[1], NULL, 10), list_most = 0, device_most = 0, before, beside;
    unsigned processes = (unsigned)atoi(arguments[2]), rounds = (unsigned)atoi(arguments[3]), samples = 0;
    int fd = memfd_create("race", 0), bad = 0;
    if (fd < 0 || ftruncate(fd, sizeof(struct race)) != 0)
        return 1;
    struct race *race = map(fd);
    nvml_begin();
    before = nvml_processes_use(0, NULL);
    char number[16], largest[16];
    snprintf(number, sizeof number, "%d", fd);
    snprintf(largest, sizeof largest, "%u", 64);
    for (unsigned i = 0; i < processes; i++)
        if (fork() == 0)
            become(arguments[0], (char *[]){"shim-bench", "racer", number, largest, NULL});
    while (!bad && atomic_load(&race->ready) < processes && children_left(&bad))
        usleep(1000);
    /* The device's count has what belongs to no process: known while nothing moves. */
    beside = nvml_device_memory().used - nvml_processes_use(0, NULL);
    unsigned round = 0, calls = MOST_CALLS / 4, fewest = MOST_CALLS;
    double now = now_ns(), until = now + 1e9 * atof(arguments[4]), begun;
    for (; round < rounds && now < until && !bad; round++) {
        fewest = calls < fewest ? calls : fewest;
        begun = now;
        atomic_store(&race->calls, calls);
        atomic_fetch_add(&race->round, 1);
        while (atomic_load(&race->done) < processes * (round + 1) && !bad) {
            uint64_t list = nvml_processes_use(0, NULL) - before, device = nvml_device_memory().used - beside - before;
            list_most = list > list_most ? list : list_most;
            device_most = device > device_most && device < UINT64_MAX / 2 ? device : device_most;
            if (++samples % 64 == 0)
                children_left(&bad);
            sched_yield();
        }
        now = now_ns();
        calls = next_calls(calls, now - begun, rounds - round, until - now);
    }
    atomic_store(&race->ending, 1);
    for (int status; wait(&status) > 0;)
        bad |= status != 0;
    printf("overshoot_rounds\t%u\novershoot_calls\t%u\novershoot_samples\t%u\novershoot_had\t%u\n"
           "overshoot_refused\t%u\n",
           round, fewest, samples, atomic_load(&race->had), atomic_load(&race->refused));
    printf("overshoot_limit\t%llu\novershoot_list\t%llu\novershoot_device\t%llu\n", (unsigned long long)limit,
           (unsigned long long)list_most, (unsigned long long)device_most);
    return bad;
}
