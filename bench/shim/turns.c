/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that measure calls in turn, native and with each shim, in containers of their own as far as the driver sees
   them; and the neighbour, outside, which one kind has beside it. Prints `side<TAB>key<TAB>ns`, a line a round. */
#define _GNU_SOURCE
#include "driver.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_SIDES = 4 };

struct side {
    const char *name;
    pid_t pid;
    int go, answer;
};

static double answer_of(const struct side *side) {
    double ns;
    if (read(side->answer, &ns, sizeof ns) != sizeof ns) {
        fprintf(stderr, "shim-bench: %s ended\n", side->name);
        exit(1);
    }
    return ns;
}

static double take_turn(const struct side *side, int what, int kind) {
    struct turn turn = {what, kind};
    MUST(write(side->go, &turn, sizeof turn) != sizeof turn);
    return answer_of(side);
}

/* In a child: a container's process, and this one waits for it. */
static void contain(void) {
    int status;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    own_container();
    pid_t pid = fork();
    if (pid != 0)
        _exit(waitpid(pid, &status, 0) < 0 || status != 0);
}

static struct side start(const char *name, const char *library, bool contained, char *const arguments[]) {
    struct side side = {.name = name};
    int go[2], answer[2];
    MUST(pipe2(go, O_CLOEXEC) | pipe2(answer, O_CLOEXEC));
    fflush(stdout);
    side.pid = fork();
    if (side.pid == 0) {
        dup2(go[0], STDIN_FILENO);
        dup2(answer[1], STDOUT_FILENO);
        if (contained)
            contain();
        become(library, arguments);
    }
    close(go[0]);
    close(answer[1]);
    side.go = go[1];
    side.answer = answer[0];
    return side;
}

/* The neighbour's: holds MIB; with a byte from its standard input it allocates and frees without a pause, with the next
   it stops. Says one double when it has begun, and one each time. */
int neighbour_command(int count, char **arguments) {
    pointer_t held, p;
    size_t bytes = strtoul(arguments[0], NULL, 10) * MIB;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    double ns = 0;
    bool busy = false;
    char byte;
    (void)count;
    pin(1);
    cuda_begin();
    if (bytes)
        MUST(cu.cuMemAlloc_v2(&held, bytes));
    for (;;) {
        if (write(STDOUT_FILENO, &ns, sizeof ns) != sizeof ns)
            return 1;
        while (busy && poll(&input, 1, 0) == 0) {
            MUST(cu.cuMemAlloc_v2(&p, 64 * MIB));
            MUST(cu.cuMemFree_v2(p));
        }
        if (read(STDIN_FILENO, &byte, 1) != 1)
            return 0;
        busy = !busy;
    }
}

static void toggle(const struct side *neighbour) {
    MUST(write(neighbour->go, "", 1) != 1);
    answer_of(neighbour);
}

static void measure(const struct side *sides, int count, int kind, int rounds) {
    for (int s = 0; s < count; s++)
        take_turn(&sides[s], TURN_BEGIN, kind);
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < count; i++) {
            const struct side *side = &sides[(r + i) % count];
            printf("%s\t%s\t%.1f\n", side->name, kind_key(kind), take_turn(side, TURN_ROUND, kind));
        }
    for (int s = 0; s < count; s++)
        take_turn(&sides[s], TURN_END, kind);
    fflush(stdout);
}

int turns_command(int count, char **arguments) {
    struct side sides[MOST_SIDES],
        neighbour = start("the neighbour", "-", false, (char *[]){"shim-bench", "neighbour", "0", NULL});
    int rounds = atoi(arguments[0]), n = 0, status, bad = 0;
    answer_of(&neighbour);
    for (; n < count - 1 && n < MOST_SIDES; n++) {
        char *library = strchr(arguments[n + 1], '=');
        if (!library)
            return 2;
        *library++ = 0;
        sides[n] = start(arguments[n + 1], library, true, (char *[]){"shim-bench", "turn", NULL});
        answer_of(&sides[n]);
    }
    for (int kind = 0; kind_key(kind); kind++) {
        bool beside = strstr(kind_key(kind), "_beside");
        if (beside)
            toggle(&neighbour);
        measure(sides, n, kind, rounds);
        if (beside)
            toggle(&neighbour);
    }
    for (int s = 0; s < n; s++) {
        MUST(write(sides[s].go, &(struct turn){.what = TURN_LEAVE}, sizeof(struct turn)) != sizeof(struct turn));
        bad |= waitpid(sides[s].pid, &status, 0) < 0 || status != 0;
    }
    MUST(kill(neighbour.pid, SIGTERM));
    return bad | (waitpid(neighbour.pid, &status, 0) < 0);
}
