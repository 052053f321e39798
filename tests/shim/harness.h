/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the shim. A TEST runs in the test program itself (for the shim's parts); a SCENARIO runs in a program of its
   own that is started as in a container: the shim preloaded from a private directory with a quota file, a ledger folder
   of 64 KiB, and simulated GPUs. */
#ifndef RUNAI_TESTS_HARNESS_H
#define RUNAI_TESTS_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

struct test {
    const char *name;
    void (*run)(void);
    bool scenario;
    const char *limit;   /* the quota; NULL: no quota file */
    const char *gpus;    /* arguments of simgpu create; NULL: none, one GPU of 10989 MiB */
    const char *program; /* another program of the build folder, which gets the test's name; NULL: this one */
    const char *shim;    /* another library of the build folder in place of the shim; NULL: shim/librunai.so */
    const char *preload; /* a library of the build folder to preload behind the shim */
    const char *beside;  /* or one of the system */
    bool before;         /* before the shim instead */
    bool without_nvml;   /* there is no libnvidia-ml */
    bool silent;         /* nothing may come on stderr */
    unsigned repeat;     /* so many times */
    struct test *next;
};
void test_add(struct test *test);

#define TEST(identifier)                                                                                               \
    static void identifier(void);                                                                                      \
    static struct test test_##identifier = {.name = #identifier, .run = identifier};                                   \
    __attribute__((constructor)) static void add_##identifier(void) {                                                  \
        test_add(&test_##identifier);                                                                                  \
    }                                                                                                                  \
    static void identifier(void)

#define SCENARIO(identifier, ...)                                                                                      \
    static void identifier(void);                                                                                      \
    static struct test test_##identifier = {.name = #identifier, .run = identifier, .scenario = true, __VA_ARGS__};    \
    __attribute__((constructor)) static void add_##identifier(void) {                                                  \
        test_add(&test_##identifier);                                                                                  \
    }                                                                                                                  \
    static void identifier(void)

/* Ends the test as failed, with place and reason. */
void fail(const char *file, int line, const char *format, ...) __attribute__((noreturn, format(printf, 3, 4)));
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail(__FILE__, __LINE__, "%s", #condition);                                                                \
    } while (0)
#define EXPECT_EQUAL(actual, expected)                                                                                 \
    do {                                                                                                               \
        long long a_ = (long long)(actual), e_ = (long long)(expected);                                                \
        if (a_ != e_)                                                                                                  \
            fail(__FILE__, __LINE__, "%s is %lld, not %lld", #actual, a_, e_);                                         \
    } while (0)

const char *build_folder(void);
/* The private directory of a scenario, as the container sees it. */
const char *private_directory(void);
/* Its ledger: of this version, or another one's. */
const char *ledger_path(void);
const char *ledger_path_of(int version);
void write_quota(const char *text);
void write_limit(const char *limit);
/* What the simulated device counts over all processes: in use now, and the peak. */
uint64_t device_used(unsigned gpu);
uint64_t device_peak(unsigned gpu);
/* The calls that the shims refused, by the file in which they count them: of one GPU, in the order in which GPUs first
   refused something. All 0 where there is none. */
struct refusals {
    char uuid[41];
    uint64_t count, bytes, ms; /* the last one's size, and its time since 1970 */
};
struct refusals refusals_of(unsigned place);
uint64_t refused_calls(void); /* of all GPUs */
const char *refusals_path(void);
/* Runs in a forked child; returns its exit status, or 1000 + signal. */
int in_child(void (*run)(void *data), void *data);
int wait_for(int pid);
/* This process is killed when its parent ends: the children of a test that timed out or was killed. */
void end_with_parent(void);
/* A page shared with children. */
void *shared_memory(size_t size);
void pause_ms(unsigned ms);
/* Processes that do the same thing at the same moment, and live on until the test has looked. */
struct together {
    _Atomic unsigned ready, go, done, succeeded;
    int count, pids[64];
};
/* Runs the function in as many processes, and returns when all have called together_done. */
struct together *start_together(int count, void (*run)(struct together *t));
/* In the processes: waits for the others; waits for the end, after what they do. */
void together_begin(struct together *t);
void together_done(struct together *t, bool succeeded);
/* Lets them end, and expects that none failed. */
void end_together(struct together *t);

#endif
