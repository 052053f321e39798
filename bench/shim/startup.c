/* SPDX-License-Identifier: Apache-2.0 */
/* What it takes to start: the first context, and a program that uses no GPU. */
#define _GNU_SOURCE
#include "driver.h"

#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { STAY = 3 };

static void *stay(void *nothing) {
    for (;;)
        pause();
    return nothing;
}

/* In the child, started by start_command with pipes as its standard input and output: when a byte comes, begins; says
   when it was done; stays until the third pipe ends. */
static int start_one(void) {
    char byte;
    pthread_t thread;
    MUST(pthread_create(&thread, NULL, stay, NULL)); /* as in most programs that use a GPU */
    if (read(STDIN_FILENO, &byte, 1) != 1)
        return 1;
    cuda_begin();
    double done = now_ns();
    if (write(STDOUT_FILENO, &done, sizeof done) != sizeof done)
        return 1;
    return read(STAY, &byte, 1) != 0;
}

int start_command(int count, char **arguments) {
    (void)count;
    int processes = (int)strtoul(arguments[1], NULL, 10) & 0xff, go[2], done[2], stay[2], bad = 0;
    if (processes == 0)
        return start_one();
    own_container();
    if (pipe2(go, O_CLOEXEC) != 0 || pipe2(done, O_CLOEXEC) != 0 || pipe2(stay, O_CLOEXEC) != 0)
        return 1;
    pid_t pid[256];
    for (int i = 0; i < processes; i++)
        if ((pid[i] = fork()) == 0) {
            dup2(go[0], STDIN_FILENO);
            dup2(done[1], STDOUT_FILENO);
            dup2(stay[0], STAY);
            become(arguments[0], (char *[]){"shim-bench", "start", "-", "0", NULL});
        }
    close(go[0]);
    close(done[1]);
    usleep(300000 + 5000 * (unsigned)processes); /* all of them are waiting */
    char bytes[256] = {0};
    double begin = now_ns(), end = begin, at;
    if (write(go[1], bytes, (unsigned)processes) != processes)
        return 1;
    for (int i = 0; i < processes; i++) {
        if (read(done[0], &at, sizeof at) != sizeof at)
            bad = 1;
        else if (at > end)
            end = at;
    }
    close(stay[1]);
    for (int i = 0, status; i < processes; i++)
        bad |= waitpid(pid[i], &status, 0) < 0 || status != 0;
    if (!bad)
        printf("start_%d\t%.0f\n", processes, (end - begin) / processes);
    return bad;
}

static double spawn_once(char **environment) {
    pid_t pid;
    int status;
    double begin = now_ns();
    MUST(posix_spawn(&pid, "/bin/true", NULL, NULL, (char *[]){"true", NULL}, environment));
    MUST(waitpid(pid, &status, 0) != pid || status != 0);
    return now_ns() - begin;
}

int spawn_command(int count, char **arguments) {
    (void)count;
    int n = atoi(arguments[1]);
    double *without = calloc((size_t)n, sizeof *without), *with = calloc((size_t)n, sizeof *with);
    char preload[4096], *preloaded[2048];
    int last = 0;
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", arguments[0]);
    while (environ[last] && last < 2046) {
        preloaded[last] = environ[last];
        last++;
    }
    preloaded[last] = preload;
    preloaded[last + 1] = NULL;
    for (int i = 0; i < n; i++) {
        without[i] = spawn_once(environ);
        with[i] = spawn_once(preloaded);
    }
    printf("true_native\t%.0f\ntrue_shim\t%.0f\n", median(without, n), median(with, n));
    free(without);
    free(with);
    return 0;
}
