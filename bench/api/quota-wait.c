/* SPDX-License-Identifier: Apache-2.0 */
// Runs in a container: prints how many microseconds after its own start DIRECTORY/quota is there.
// Sleeps meanwhile. Linked dynamically, as programs that use the GPU are: the loader opens the shim before main begins.
#include <stdio.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

static long long now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

int main(int argc, char **argv) {
    long long begun = now_us();
    if (argc != 2 || chdir(argv[1]) != 0)
        return 2;
    int watch = inotify_init();
    if (watch < 0 || inotify_add_watch(watch, ".", IN_CREATE | IN_MOVED_TO) < 0)
        return 1;
    char events[4096];
    while (access("quota", R_OK) != 0)
        if (read(watch, events, sizeof events) <= 0)
            return 1;
    printf("%lld\n", now_us() - begun);
    return 0;
}
