/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "harness.h"
#include "../../shim/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_SECONDS = 120, LONG_TIMEOUT_SECONDS = 900 /* where several tests run at once */ };

static struct test *first, **end = &first;
static char build[4096], self[4096];

void test_add(struct test *test) {
    *end = test;
    end = &test->next;
}

void fail(const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "    %s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    _exit(1);
}

const char *build_folder(void) {
    return getenv("RUNAI_TEST_BUILD");
}

const char *private_directory(void) {
    return getenv("RUNAI_TEST_DIRECTORY");
}

const char *ledger_path_of(int version) {
    static char path[4300];
    snprintf(path, sizeof path, "%s/usage/ledger-%d", private_directory(), version);
    return path;
}

const char *ledger_path(void) {
    return ledger_path_of(LEDGER_VERSION);
}

static void write_file(const char *path, const char *text) {
    char beside[4200];
    snprintf(beside, sizeof beside, "%s.new", path);
    FILE *file = fopen(beside, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0 || rename(beside, path) != 0)
        fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
}

void write_quota(const char *text) {
    char path[4096];
    snprintf(path, sizeof path, "%s/quota", private_directory());
    write_file(path, text);
}

void write_limit(const char *limit) {
    char text[300];
    snprintf(text, sizeof text, "version=1\ncontainer=%064d\nlimit=%s\n", 7, limit);
    write_quota(text);
}

static uint64_t ask_simulation(const char *command, unsigned gpu, const char *word) {
    char line[4096], *at;
    snprintf(line, sizeof line, "env -u LD_PRELOAD -u LD_LIBRARY_PATH %s/sim/simgpu %s %s", build_folder(), command,
             getenv("SIMGPU_DIR"));
    FILE *pipe = popen(line, "r");
    unsigned seen = 0;
    uint64_t answer = UINT64_MAX;
    while (pipe && fgets(line, sizeof line, pipe)) {
        if (line[0] == ' ' || seen++ != gpu)
            continue;
        at = *word ? strstr(line, word) : line;
        if (at)
            answer = strtoull(at + strlen(word), NULL, 10);
    }
    if (!pipe || pclose(pipe) != 0 || answer == UINT64_MAX)
        fail(__FILE__, __LINE__, "simgpu %s does not answer", command);
    return answer;
}

uint64_t device_used(unsigned gpu) {
    return ask_simulation("show", gpu, " used ");
}

uint64_t device_peak(unsigned gpu) {
    return ask_simulation("peak", gpu, "");
}

const char *refusals_path(void) {
    static char path[4300];
    snprintf(path, sizeof path, "%s/usage/refused", private_directory());
    return path;
}

struct refusals refusals_of(unsigned place) {
    struct refusals found = {0};
    char line[129] = "", blanks[129], behind;
    unsigned long long count, bytes, ms;
    int length, fd = open(refusals_path(), O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : pread(fd, line, 128, place * 128);
    if (fd >= 0)
        close(fd);
    if (n == 0)
        return found;
    int fields = sscanf(line, "%40s %llu %llu %llu%n%c", found.uuid, &count, &bytes, &ms, &length, &behind);
    memset(blanks, ' ', sizeof blanks);
    if (n != 128 || fields != 5 || line[127] != '\n' || memcmp(line + length, blanks, 127 - (size_t)length) != 0)
        fail(__FILE__, __LINE__, "line %u of refusals: %s", place, line);
    found.count = count, found.bytes = bytes, found.ms = ms;
    return found;
}

uint64_t refused_calls(void) {
    uint64_t sum = 0;
    for (unsigned place = 0; place < 32; place++)
        sum += refusals_of(place).count;
    return sum;
}

void end_with_parent(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int wait_for(int pid) {
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int in_child(void (*run)(void *data), void *data) {
    fflush(NULL);
    int pid = fork();
    if (pid == 0) {
        run(data);
        _exit(0);
    }
    return wait_for(pid);
}

void *shared_memory(size_t size) {
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        fail(__FILE__, __LINE__, "mmap");
    return at;
}

void pause_ms(unsigned ms) {
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

struct together *start_together(int count, void (*run)(struct together *t)) {
    struct together *t = shared_memory(sizeof *t);
    EXPECT(count <= (int)(sizeof t->pids / sizeof *t->pids));
    t->count = count;
    fflush(NULL);
    for (int i = 0; i < count; i++) {
        int pid = fork();
        if (pid == 0) {
            end_with_parent();
            run(t);
            _exit(0);
        }
        t->pids[i] = pid; /* by the parent alone: the page is shared */
    }
    while (atomic_load(&t->ready) < (unsigned)count)
        pause_ms(1);
    atomic_store(&t->go, 1);
    while (atomic_load(&t->done) < (unsigned)count)
        pause_ms(1);
    return t;
}

void together_begin(struct together *t) {
    atomic_fetch_add(&t->ready, 1);
    while (!atomic_load(&t->go))
        pause_ms(1);
}

void together_done(struct together *t, bool succeeded) {
    atomic_fetch_add(&t->succeeded, succeeded);
    atomic_fetch_add(&t->done, 1);
    while (atomic_load(&t->go) < 2)
        pause_ms(1);
}

void end_together(struct together *t) {
    atomic_store(&t->go, 2);
    for (int i = 0; i < t->count; i++)
        EXPECT_EQUAL(wait_for(t->pids[i]), 0);
}

/* Makes what a container gets from the plugin, in a folder of its own. */
static void prepare(const struct test *test, const char *folder) {
    char path[4400], command[9000];
    snprintf(path, sizeof path, "%s/usage", folder);
    if (mkdir(path, 01777) != 0)
        fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=1777") != 0)
        chmod(path, 01777); /* not root: an ordinary folder does */
    snprintf(command, sizeof command, "cp %s/%s %s/ && %s/sim/simgpu create %s/gpus %s", build,
             test->shim ? test->shim : "shim/librunai.so", folder, build, folder, test->gpus ? test->gpus : "");
    if (system(command) != 0)
        fail(__FILE__, __LINE__, "%s", command);
    if (test->without_nvml)
        snprintf(command, sizeof command, "mkdir %s/driver && cp %s/sim/libcuda.so.1 %s/driver/", folder, build,
                 folder);
    if (test->without_nvml && system(command) != 0)
        fail(__FILE__, __LINE__, "%s", command);
    setenv("RUNAI_TEST_DIRECTORY", folder, 1);
    if (test->limit)
        write_limit(test->limit);
}

static void start(const struct test *test, const char *folder) {
    char text[9000], program[4200];
    snprintf(text, sizeof text, "%s/gpus", folder);
    setenv("SIMGPU_DIR", text, 1);
    snprintf(text, sizeof text, "%s/%s", test->without_nvml ? folder : build, test->without_nvml ? "driver" : "sim");
    setenv("LD_LIBRARY_PATH", text, 1);
    setenv("RUNAI_QUOTA_TIMEOUT", "3", 0);
    setenv("ASAN_OPTIONS", "detect_leaks=0:verify_asan_link_order=0", 0); /* it wants to be the first preload */
    char other[4300] = "", shim[4300];
    snprintf(shim, sizeof shim, "%s/librunai.so", folder);
    if (test->preload || test->beside)
        snprintf(other, sizeof other, "%s%s%s", test->preload ? build : "", test->preload ? "/shim-tests/" : "",
                 test->preload ? test->preload : test->beside);
    snprintf(text, sizeof text, "%s%s%s", test->before ? other : shim, *other ? ":" : "", test->before ? shim : other);
    if (getenv("RUNAI_TEST_FIRST")) { /* a sanitizer's runtime comes before everything */
        char both[10000];
        snprintf(both, sizeof both, "%s:%s", getenv("RUNAI_TEST_FIRST"), text);
        setenv("LD_PRELOAD", both, 1);
    } else {
        setenv("LD_PRELOAD", text, 1);
    }
    snprintf(program, sizeof program, "%s", self);
    if (test->program)
        snprintf(program, sizeof program, "%s/shim-tests/%s", build, test->program);
    execl(program, program, "--scenario", test->name, (char *)NULL);
    fail(__FILE__, __LINE__, "%s: %s", program, strerror(errno));
}

static bool quiet(const char *folder, const struct test *test) {
    char path[4300], line[400];
    snprintf(path, sizeof path, "%s/stderr", folder);
    FILE *file = fopen(path, "r");
    bool any = false;
    while (file && fgets(line, sizeof line, file)) {
        any = true;
        fputs(line, stderr);
    }
    if (file)
        fclose(file);
    if (any && test->silent)
        fprintf(stderr, "    it wrote to stderr\n");
    return !any || !test->silent;
}

static bool run_scenario(const struct test *test) {
    char folder[64] = "/tmp/runai-shim.XXXXXX", command[300];
    if (!mkdtemp(folder))
        return false;
    chmod(folder, 0755);
    fflush(NULL);
    int pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        end_with_parent();
        if (unshare(CLONE_NEWNS) == 0)
            mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL);
        prepare(test, folder);
        char path[100];
        snprintf(path, sizeof path, "%s/stderr", folder);
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        dup2(fd, STDERR_FILENO);
        alarm(getenv("RUNAI_TEST_REPEAT") ? LONG_TIMEOUT_SECONDS : TIMEOUT_SECONDS);
        start(test, folder);
    }
    int status = wait_for(pid);
    kill(-pid, SIGKILL); /* children that a failed test left waiting */
    bool good = quiet(folder, test) && status == 0;
    if (status >= 1000)
        fprintf(stderr, "    ended by signal %d%s\n", status - 1000, status == 1000 + SIGALRM ? " (too long)" : "");
    snprintf(command, sizeof command, "rm -rf --one-file-system %s", folder);
    if (system(command) != 0)
        good = false;
    return good;
}

static bool run_test(const struct test *test) {
    fflush(NULL);
    int pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        alarm(getenv("RUNAI_TEST_REPEAT") ? LONG_TIMEOUT_SECONDS : TIMEOUT_SECONDS);
        test->run();
        _exit(0);
    }
    int status = wait_for(pid);
    kill(-pid, SIGKILL);
    return status == 0;
}

static void sentence(const struct test *test, char *text, size_t size) {
    snprintf(text, size, "%s", test->name);
    for (char *c = text; *c; c++)
        if (*c == '_')
            *c = ' ';
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--scenario") == 0) {
        for (struct test *t = first; t; t = t->next)
            if (strcmp(t->name, argv[2]) == 0) {
                t->run();
                fflush(NULL);
                return 0;
            }
        return 1;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0 || argc < 2 || !realpath(argv[1], build)) {
        fprintf(stderr, "usage: shim-tests BUILD-FOLDER [part of a test's name]\n");
        return 2;
    }
    setenv("RUNAI_TEST_BUILD", build, 1);
    const char *times = getenv("RUNAI_TEST_REPEAT"); /* races.sh: each test so many times, whatever it says */
    unsigned passed = 0, failed = 0, repeat = times ? (unsigned)atoi(times) : 0;
    for (struct test *t = first; t; t = t->next) {
        if (argc > 2 && !strstr(t->name, argv[2]))
            continue;
        bool good = true;
        for (unsigned i = 0; good && i < (repeat ? repeat : t->repeat ? t->repeat : 1); i++)
            good = t->scenario ? run_scenario(t) : run_test(t);
        char text[300];
        sentence(t, text, sizeof text);
        printf("%s %s\n", good ? "ok    " : "FAILED", text);
        fflush(stdout);
        good ? passed++ : failed++;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
