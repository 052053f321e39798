/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says hello, and before it what of ours is in its address space. Linked statically or to another C library it stands
 * for the programs that the preload does not reach. With an argument it stays.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    (void)argv;
    char line[1024];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, "runai"))
            fputs(line, stdout);
    puts("hello");
    if (argc > 1)
        pause();
    return 0;
}
