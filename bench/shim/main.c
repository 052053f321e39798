/* SPDX-License-Identifier: Apache-2.0 */
/* shim-bench: what the shim costs, and whether it is exact, on whatever driver it finds. run.sh runs it with and
   without the shim in turn and makes the table. LIBRARY is what to preload into the processes that it starts, or "-".

     turns ROUNDS SIDE=LIBRARY...            time of each kind of call in turn: `side<TAB>key<TAB>ns`
     neighbour MIB                           holds so much until its input ends
     count N                                 N calls of each kind in functions calls_*, for callgrind
     start LIBRARY PROCESSES                 cuInit and first context in so many processes at once, ns per process
     spawn LIBRARY N                         /bin/true, N times with the library and N times without, in turn
     overshoot LIBRARY LIMIT PROCESSES ROUNDS SECONDS
                                             processes racing at a limit, the driver's count meanwhile
     rest LIBRARY                            what a process sees as its use, against the driver's count */
#include "driver.h"

#include <string.h>

static const struct {
    const char *name;
    int (*run)(int count, char **arguments);
    int least; /* arguments */
} commands[] = {
    {"turns", turns_command, 2}, {"turn", turn_command, 0},       {"neighbour", neighbour_command, 1},
    {"count", count_command, 1}, {"start", start_command, 2},     {"spawn", spawn_command, 2},
    {"rest", rest_command, 1},   {"resting", resting_command, 2}, {"overshoot", overshoot_command, 5},
    {"racer", racer_command, 2},
};

int main(int argc, char **argv) {
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (argc > 1 && strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].least)
            return commands[i].run(argc - 2, argv + 2);
    fprintf(stderr, "usage: shim-bench turns|count|start|spawn|overshoot|rest ..., see main.c\n");
    return 2;
}
